//! Which modes have been found.

use std::collections::HashMap;
use std::sync::Arc;

use crate::environment::Environment;
use crate::object::Object;

/// Looks for listed modes among the objects that it is shown. A mode counts once, from when an
/// object is within a distance of it; with a distance of 0 the mode itself has to be seen.
pub struct ModeSearch {
    environment: Arc<dyn Environment>,
    distance: f64,
    known: usize,
    /// Those not found yet.
    left: Vec<Object>,
    places: HashMap<Object, usize>,
}

impl ModeSearch {
    /// For these modes; one that is listed twice counts once.
    #[must_use]
    pub fn new(environment: Arc<dyn Environment>, modes: Vec<Object>, distance: f64) -> Self {
        let (mut left, mut places) = (Vec::new(), HashMap::new());
        for mode in modes {
            if let std::collections::hash_map::Entry::Vacant(vacant) = places.entry(mode) {
                left.push(vacant.key().clone());
                vacant.insert(left.len() - 1);
            }
        }
        Self { environment, distance, known: left.len(), left, places }
    }

    /// Number of modes.
    #[must_use]
    pub fn known(&self) -> usize {
        self.known
    }

    /// How many have been found.
    #[must_use]
    pub fn found(&self) -> usize {
        self.known - self.left.len()
    }

    /// Looks at an object.
    pub fn see(&mut self, object: &Object) {
        if self.distance > 0.0 {
            let is_near = |mode: &Object| self.environment.distance(object, mode);
            let distance = self.distance;
            self.left.retain(|mode| is_near(mode).is_none_or(|far| far > distance));
        } else if let Some(place) = self.places.remove(object) {
            self.left.swap_remove(place);
            if let Some(place_of_moved) =
                self.left.get(place).and_then(|moved| self.places.get_mut(moved))
            {
                *place_of_moved = place;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::environment::{Sequence, sequence::Length};

    fn found(distance: f64, modes: &[&str], seen: &[&str]) -> Vec<usize> {
        let words = Sequence::over_alphabet("01", Length::Length(4)).unwrap();
        let text = |text: &&str| Object::Text((*text).to_owned());
        let modes = modes.iter().map(text).collect();
        let mut search = ModeSearch::new(Arc::new(words), modes, distance);
        let after = |object: &&str| {
            search.see(&text(object));
            search.found()
        };
        seen.iter().map(after).collect()
    }

    #[test]
    fn a_mode_counts_once_and_only_itself_without_a_distance() {
        let modes = ["0000", "1111", "0011", "1111"];
        let seen = ["0001", "0000", "0000", "0011", "1111", "1111"];
        assert_eq!(found(0.0, &modes, &seen), [0, 1, 1, 2, 3, 3]);
    }

    #[test]
    fn within_a_distance_one_object_finds_every_mode_that_is_near() {
        let modes = ["0000", "1111", "0011"];
        assert_eq!(found(1.0, &modes, &["0110", "0001", "1111"]), [0, 2, 3]);
        assert_eq!(found(2.0, &modes, &["0101"]), [3]);
    }
}
