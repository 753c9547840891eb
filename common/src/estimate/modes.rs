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
    found: Vec<Object>,
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
        let found = Vec::new();
        Self { environment, distance, known: left.len(), left, places, found }
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

    /// Those that have been found.
    #[must_use]
    pub fn found_modes(&self) -> &[Object] {
        &self.found
    }

    /// Counts these as found before; what is no listed mode is ignored.
    pub fn restore(&mut self, found: &[Object]) {
        for mode in found {
            self.take(mode);
        }
    }

    /// Looks at an object.
    pub fn see(&mut self, object: &Object) {
        if self.distance > 0.0 {
            let distance = self.distance;
            let far = |mode: &&Object| self.environment.distance(object, mode);
            let is_near = |mode: &&Object| far(mode).is_some_and(|far| far <= distance);
            let near: Vec<Object> = self.left.iter().filter(is_near).cloned().collect();
            self.restore(&near);
        } else {
            self.take(object);
        }
    }

    /// A mode has been found, if it is one of those that are left.
    fn take(&mut self, object: &Object) {
        if let Some(place) = self.places.remove(object) {
            self.found.push(self.left.swap_remove(place));
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
    fn what_was_found_before_stays_found() {
        let text = |text: &str| Object::Text(text.to_owned());
        for distance in [0.0, 1.0] {
            let words = Sequence::over_alphabet("01", Length::Length(4)).unwrap();
            let search = |modes: &[&str]| {
                let modes = modes.iter().map(|mode| text(mode)).collect();
                ModeSearch::new(Arc::new(words.clone()), modes, distance)
            };
            let mut before = search(&["0000", "0111", "1010"]);
            before.see(&text("0111"));
            before.see(&text("0000"));
            assert_eq!(before.found_modes(), [text("0111"), text("0000")]);
            // The list may have changed in between.
            let mut after = search(&["1010", "0111", "1100"]);
            after.restore(before.found_modes());
            assert_eq!((after.known(), after.found()), (3, 1));
            after.see(&text("1100"));
            after.see(&text("0111"));
            assert_eq!(after.found(), 2);
        }
    }

    #[test]
    fn within_a_distance_one_object_finds_every_mode_that_is_near() {
        let modes = ["0000", "1111", "0011"];
        assert_eq!(found(1.0, &modes, &["0110", "0001", "1111"]), [0, 2, 3]);
        assert_eq!(found(2.0, &modes, &["0101"]), [3]);
    }
}
