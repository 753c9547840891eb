//! How a backpack is packed: one item after the other, each at most once, up to a weight.

use tributary_common::environment::{Enumeration, Environment, Identity, NotAnObject};
use tributary_common::object::Object;
use tributary_common::run_file::{Config, Keys, Problem, Section};

/// The most items: the list of all packings stays short.
const MOST_ITEMS: usize = 20;

/// A backpack. State: one word whose bit `i` says whether item `i` is packed. Action `i` packs item
/// `i`, backward action `i` takes it out again; the packing may end at any time.
#[derive(Clone, Debug, Default)]
pub struct Backpack {
    items: Vec<String>,
    weights: Vec<u64>,
    capacity: u64,
    /// Every packing that can be carried, ascending: packing one more makes the number larger.
    packings: Vec<u32>,
}

/// The keys in the run file are declared once: name, field, meaning, conditions.
impl Config for Backpack {
    fn about() -> &'static str {
        "things that are packed one after the other, up to a weight"
    }

    fn declare(&mut self, keys: &mut Keys<'_>) {
        keys.key("items", &mut self.items, "the names of the things that could be taken")
            .required()
            .must("be 1 to 20 different names without white space", |items| are_names(items));
        keys.key("weights", &mut self.weights, "the weight of each item, in its order").required();
        keys.key("capacity", &mut self.capacity, "the most weight that can be carried").required();
    }
}

fn are_names(items: &[String]) -> bool {
    let is_name = |item: &String| !item.is_empty() && !item.contains(char::is_whitespace);
    let is_first = |i: usize| !items[..i].contains(&items[i]);
    (1..=MOST_ITEMS).contains(&items.len())
        && items.iter().all(is_name)
        && (0..items.len()).all(is_first)
}

impl Backpack {
    /// Its `kind` in the run file.
    pub const KIND: &str = "backpack";

    /// The backpack that `[environment]` of a run file describes.
    ///
    /// # Errors
    /// Every problem with its keys.
    pub fn from_section(section: &Section) -> Result<Self, Vec<Problem>> {
        let mut backpack: Self = section.parse()?;
        let (items, weights) = (backpack.items.len(), backpack.weights.len());
        if items != weights {
            let message = format!("gives {weights} weights for {items} items");
            return Err(vec![section.problem("weights", &message)]);
        }
        backpack.packings = (0..1 << items)
            .filter(|&packed| backpack.weight(packed) <= backpack.capacity)
            .collect();
        Ok(backpack)
    }

    fn weight(&self, packed: u32) -> u64 {
        let weights = self.weights.iter().enumerate();
        weights.filter(|(i, _)| packed >> i & 1 == 1).map(|(_, weight)| weight).sum()
    }
}

impl Environment for Backpack {
    fn identity(&self) -> Identity {
        let (items, weights, capacity) = (&self.items, &self.weights, self.capacity);
        let configuration =
            serde_json::json!({ "items": items, "weights": weights, "capacity": capacity });
        let configuration = configuration.to_string();
        Identity { kind: Self::KIND.to_owned(), version: 1, configuration }
    }

    fn forward_actions(&self) -> usize {
        self.items.len()
    }

    fn backward_actions(&self) -> usize {
        self.items.len()
    }

    fn max_steps(&self) -> usize {
        self.items.len()
    }

    fn state_width(&self) -> usize {
        1
    }

    fn reset(&self, state: &mut [u32]) {
        state[0] = 0;
    }

    fn legal_forward(&self, state: &[u32], actions: &mut Vec<u32>) {
        let items = 0..self.items.len() as u32;
        actions.extend(items.filter(|&item| self.is_legal(state, item)));
    }

    fn legal_backward(&self, state: &[u32], actions: &mut Vec<u32>) {
        let items = 0..self.items.len() as u32;
        actions.extend(items.filter(|&item| state[0] >> item & 1 == 1));
    }

    fn is_legal(&self, state: &[u32], action: u32) -> bool {
        self.weights.get(action as usize).is_some_and(|weight| {
            state[0] >> action & 1 == 0 && self.weight(state[0]) + weight <= self.capacity
        })
    }

    fn can_stop(&self, _state: &[u32]) -> bool {
        true
    }

    fn step(&self, state: &mut [u32], action: u32) {
        state[0] |= 1 << action;
    }

    fn undo(&self, state: &mut [u32], backward: u32) {
        state[0] &= !(1 << backward);
    }

    fn inverse(&self, _state: &[u32], action: u32) -> u32 {
        action
    }

    fn forward_of(&self, _state: &[u32], backward: u32) -> u32 {
        backward
    }

    fn features(&self) -> usize {
        self.items.len()
    }

    fn active_features(&self, state: &[u32], features: &mut Vec<u32>) {
        self.legal_backward(state, features);
    }

    fn object(&self, state: &[u32]) -> Object {
        let items = self.items.iter().enumerate();
        let packed = items.filter(|(i, _)| state[0] >> i & 1 == 1);
        Object::Words(packed.map(|(_, name)| name.clone()).collect())
    }

    fn state_of(&self, object: &Object) -> Result<Vec<u32>, NotAnObject> {
        let refuse =
            |reason: &str| NotAnObject { object: object.to_string(), reason: reason.to_owned() };
        let Object::Words(names) = object else { return Err(refuse("expected a list of items")) };
        let mut packed = 0;
        for name in names {
            let item = self.items.iter().position(|item| item == name);
            let item = item.ok_or_else(|| refuse(&format!("there is no item \"{name}\"")))?;
            packed |= 1 << item;
        }
        // One packing, one object: the same items in another order are the same list.
        if &self.object(&[packed]) != object {
            return Err(refuse("the items are not in the run file's order, or one comes twice"));
        }
        if self.packings.binary_search(&packed).is_err() {
            return Err(refuse("it is too heavy"));
        }
        Ok(vec![packed])
    }

    fn enumeration(&self) -> Option<&dyn Enumeration> {
        Some(self)
    }
}

/// With a list of all states the learned distribution is compared with the target exactly.
impl Enumeration for Backpack {
    fn states(&self) -> u64 {
        self.packings.len() as u64
    }

    fn index(&self, state: &[u32]) -> u64 {
        self.packings.partition_point(|&packed| packed < state[0]) as u64
    }

    fn state(&self, index: u64, state: &mut [u32]) {
        state[0] = self.packings[index as usize];
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tributary_common::environment::laws::check_laws;

    fn backpack(keys: &str) -> Result<Backpack, String> {
        let section =
            Section::from_toml("environment", &format!("kind = 'backpack'\n{keys}")).unwrap();
        Backpack::from_section(&section).map_err(|problems| problems[0].to_string())
    }

    const SMALL: &str = "items = ['rope', 'tent', 'stove']\nweights = [1, 3, 2]\ncapacity = 4";

    #[test]
    fn the_laws_hold() {
        for keys in [SMALL, "items = ['a']\nweights = [9]\ncapacity = 1"] {
            check_laws(&backpack(keys).unwrap(), 1_000, 1).unwrap();
        }
    }

    #[test]
    fn only_what_can_be_carried_is_packed() {
        let backpack = backpack(SMALL).unwrap();
        // All but tent + stove (5) and everything (6).
        assert_eq!(backpack.states(), 6);
        let words = |words: &[&str]| Object::Words(words.iter().map(|&w| w.to_owned()).collect());
        assert_eq!(backpack.state_of(&words(&["rope", "tent"])).unwrap(), [0b011]);
        for object in [&["tent", "stove"][..], &["tent", "rope"], &["boat"], &["rope", "rope"]] {
            assert!(backpack.state_of(&words(object)).is_err(), "{object:?}");
        }
    }

    #[test]
    fn wrong_keys_are_explained() {
        let error = backpack("items = ['a', 'a']\nweights = [1, 1]\ncapacity = 3").unwrap_err();
        assert!(error.contains("different names"), "{error}");
        let error = backpack("items = ['a', 'b']\nweights = [1]\ncapacity = 3").unwrap_err();
        assert!(error.contains("1 weights for 2 items"), "{error}");
        let error = backpack("items = ['a']\nweights = [1]\ncapcity = 3").unwrap_err();
        assert!(error.contains("capacity"), "{error}");
    }
}
