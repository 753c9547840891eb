//! The best objects of a run, how far apart they are, and how new.

use crate::environment::Environment;
use crate::object::Object;

/// The k objects with the highest log-reward among those that it is shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Top {
    most: usize,
    /// Ascending by log-reward.
    best: Vec<(f64, Object)>,
}

impl Top {
    /// Nothing yet; keeps so many.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { most, best: Vec::new() }
    }

    /// Looks at an object that was not shown before; of equals the earlier stay. Says whether it is
    /// among the best.
    pub fn see(&mut self, object: &Object, log_reward: f64) -> bool {
        let place = self.best.partition_point(|(other, _)| *other < log_reward);
        if self.best.len() == self.most {
            if place == 0 {
                return false;
            }
            self.best.remove(0);
            self.best.insert(place - 1, (log_reward, object.clone()));
        } else {
            self.best.insert(place, (log_reward, object.clone()));
        }
        true
    }

    /// The best, ascending.
    #[must_use]
    pub fn objects(&self) -> &[(f64, Object)] {
        &self.best
    }

    /// Takes up what another one held, ascending; it was shown nothing yet.
    pub fn restore(&mut self, best: impl DoubleEndedIterator<Item = (f64, Object)>) {
        // Of equals the one that is shown later comes first.
        best.rev().for_each(|(log_reward, object)| {
            self.see(&object, log_reward);
        });
    }

    /// Their log-rewards, ascending.
    pub fn log_rewards(&self) -> impl Iterator<Item = f64> {
        self.best.iter().map(|(log_reward, _)| *log_reward)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.best.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.best.is_empty()
    }

    /// The mean distance of all pairs of them; `None` for fewer than two, or without distances.
    #[must_use]
    pub fn diversity(&self, environment: &dyn Environment) -> Option<f64> {
        let mut sum = 0.0;
        for (i, (_, one)) in self.best.iter().enumerate() {
            for (_, other) in &self.best[..i] {
                sum += environment.distance(one, other)?;
            }
        }
        let pairs = self.best.len() * self.best.len().saturating_sub(1) / 2;
        (pairs > 0).then(|| sum / pairs as f64)
    }

    /// The mean distance of each to the nearest object of the reference; `None` if either is empty,
    /// or without distances.
    #[must_use]
    pub fn novelty(&self, environment: &dyn Environment, reference: &[Object]) -> Option<f64> {
        let mut sum = 0.0;
        for (_, object) in &self.best {
            let distances = reference.iter().map(|other| environment.distance(object, other));
            sum += distances.flatten().min_by(f64::total_cmp)?;
        }
        (!self.best.is_empty()).then(|| sum / self.best.len() as f64)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::environment::{Sequence, sequence::Length};

    fn text(text: &str) -> Object {
        Object::Text(text.to_owned())
    }

    #[test]
    fn the_best_stay_and_of_equals_the_earlier() {
        let mut top = Top::new(3);
        let shown = [("a", -1.0), ("b", -3.0), ("c", f64::NEG_INFINITY), ("d", -3.0), ("e", 0.0)];
        let kept = shown.map(|(name, log_reward)| top.see(&text(name), log_reward));
        assert_eq!(kept, [true, true, true, true, true]);
        assert_eq!(top.log_rewards().collect::<Vec<_>>(), [-3.0, -1.0, 0.0]);
        assert!(!top.see(&text("f"), -3.0) && !top.see(&text("g"), -4.0));
        assert!(!Top::new(0).see(&text("a"), 1.0));
    }

    #[test]
    fn what_comes_back_is_what_was_there() {
        let mut top = Top::new(4);
        for (name, log_reward) in [("a", 1.0), ("b", f64::NEG_INFINITY), ("c", 1.0), ("d", 2.0)] {
            top.see(&text(name), log_reward);
        }
        let mut restored = Top::new(4);
        restored.restore(top.objects().iter().cloned());
        assert_eq!(restored, top);
        let mut smaller = Top::new(2);
        smaller.restore(top.objects().iter().cloned());
        assert_eq!(smaller.objects(), &top.objects()[2..]);
    }

    #[test]
    fn diversity_and_novelty_by_hand() {
        let words = Sequence::over_alphabet("01", Length::Length(4)).unwrap();
        let mut top = Top::new(3);
        assert_eq!((top.diversity(&words), top.novelty(&words, &[text("0000")])), (None, None));
        for word in ["0000", "0001", "1111"] {
            top.see(&text(word), 1.0);
        }
        // Pairs 1, 4 and 3 apart.
        assert_eq!(top.diversity(&words), Some(8.0 / 3.0));
        // 0, 1 and 2 from the nearest.
        assert_eq!(top.novelty(&words, &[text("0000"), text("0011")]), Some(1.0));
        assert_eq!(top.novelty(&words, &[]), None);
    }
}
