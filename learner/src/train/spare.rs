//! Memory of weights that were published and that nobody reads any more: new memory of some megabytes
//! costs more than the copy into it.

use std::sync::Arc;

use tributary_common::network::Weights;

/// Sets of weights that are watched until nobody else has them: two of the newest version, two of the
/// one before, and some that a slow reader holds.
const MOST: usize = 8;

/// The sets that were handed out lately.
#[derive(Default)]
pub(super) struct Spare(Vec<Arc<Weights>>);

impl Spare {
    /// Memory to write weights to: that of a set that nobody has any more, if there is one.
    pub(super) fn take(&mut self) -> Vec<f32> {
        let unread = self.0.iter().position(|weights| Arc::strong_count(weights) == 1);
        let weights = unread.and_then(|index| Arc::into_inner(self.0.remove(index)));
        weights.map(|weights| weights.values).unwrap_or_default()
    }

    /// Watches a set that is handed out; of too many the oldest is left to its readers.
    pub(super) fn watch(&mut self, weights: &Arc<Weights>) {
        if self.0.len() == MOST {
            self.0.remove(0);
        }
        self.0.push(Arc::clone(weights));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tributary_common::ids::PolicyVersion;

    fn weights(value: f32) -> Arc<Weights> {
        let version = PolicyVersion::default();
        Arc::new(Weights { version, log_z: 0.0, generated: 0, values: vec![value] })
    }

    #[test]
    fn memory_comes_back_when_nobody_reads_it() {
        let mut spare = Spare::default();
        let (first, second) = (weights(1.0), weights(2.0));
        spare.watch(&first);
        spare.watch(&second);
        assert!(spare.take().is_empty(), "both are read");
        drop(second);
        assert_eq!(spare.take(), [2.0]);
        assert!(spare.take().is_empty());
        drop(first);
        assert_eq!(spare.take(), [1.0]);
    }

    #[test]
    fn no_more_are_watched_than_a_few() {
        let mut spare = Spare::default();
        let all: Vec<_> = (0..100).map(|i| weights(i as f32)).collect();
        all.iter().for_each(|weights| spare.watch(weights));
        drop(all);
        let mut taken = std::iter::from_fn(|| Some(spare.take()).filter(|taken| !taken.is_empty()));
        assert_eq!(taken.next(), Some(vec![100.0 - MOST as f32]));
        assert_eq!(taken.count(), MOST - 1);
    }
}
