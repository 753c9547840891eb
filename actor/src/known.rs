//! The objects that an actor draws backward trajectories from: those of a file, then its own best.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tributary_common::log_space::LogReward;
use tributary_common::object::Object;
use tributary_common::random::Stream;
use tributary_common::reward::Reward;
use tributary_common::reward::table::file::objects::Listed;

/// Objects kept for backward trajectories.
const MOST_BEST: usize = 1_000;

/// Shared by the threads of an actor.
pub(crate) struct KnownObjects {
    reward: Arc<dyn Reward>,
    /// Whether the actor's best are kept.
    keeps_best: bool,
    inner: Mutex<Inner>,
}

struct Inner {
    /// Not started from yet.
    initial: Vec<Listed>,
    /// By falling reward.
    best: Vec<Best>,
    /// The objects of `best`.
    members: HashSet<Object>,
}

struct Best {
    object: Object,
    raw: Vec<f64>,
    log_reward: LogReward,
}

impl KnownObjects {
    /// These initial objects, in an order of this actor's own.
    pub(crate) fn new(
        reward: Arc<dyn Reward>,
        keeps_best: bool,
        initial: &[Listed],
        order: &mut Stream,
    ) -> Self {
        let mut initial = initial.to_vec();
        for i in (1..initial.len()).rev() {
            initial.swap(i, order.below(i + 1));
        }
        let inner = Inner { initial, best: Vec::new(), members: HashSet::new() };
        Self { reward, keeps_best, inner: Mutex::new(inner) }
    }

    /// Whether there are initial objects that nobody has started from.
    pub(crate) fn has_initial(&self) -> bool {
        !self.inner().initial.is_empty()
    }

    /// An initial object while there are any, then one of the best, each as likely as another.
    pub(crate) fn pick(&self, stream: &mut Stream) -> Option<Listed> {
        let mut inner = self.inner();
        if let Some(listed) = inner.initial.pop() {
            return Some(listed);
        }
        if inner.best.is_empty() {
            return None;
        }
        let Best { object, raw, .. } = &inner.best[stream.below(inner.best.len())];
        Some(Listed { object: object.clone(), raw: Some(raw.clone()) })
    }

    /// Keeps a measured object if it is among the best. R = 0 is nothing to go back from.
    pub(crate) fn offer(&self, object: &Object, raw: &[f64]) {
        if !self.keeps_best {
            return;
        }
        let Ok(log_reward) = self.reward.transform(raw) else { return };
        let mut inner = self.inner();
        let place = inner.best.partition_point(|best| best.log_reward >= log_reward);
        let is_worse = place == MOST_BEST || log_reward.get() == f64::NEG_INFINITY;
        if is_worse || inner.members.contains(object) {
            return;
        }
        inner.members.insert(object.clone());
        let best = Best { object: object.clone(), raw: raw.to_vec(), log_reward };
        inner.best.insert(place, best);
        if inner.best.len() > MOST_BEST
            && let Some(worst) = inner.best.pop()
        {
            inner.members.remove(&worst.object);
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::fakes::Sum;
    use tributary_common::random::Purpose;

    fn cell(sum: i64) -> Object {
        Object::Integers(vec![sum, 0])
    }

    fn picked(known: &KnownObjects, draws: u64) -> Vec<Listed> {
        let pick = |i| known.pick(&mut Stream::new(5, Purpose::Backward, 0, i));
        (0..draws).filter_map(pick).collect()
    }

    #[test]
    fn the_best_are_kept_once_each_and_picked_alike() {
        let mut order = Stream::new(1, Purpose::Backward, 0, 0);
        let known = KnownObjects::new(Arc::new(Sum::default()), true, &[], &mut order);
        assert!(picked(&known, 1).is_empty());
        let most = MOST_BEST as i64;
        // -1 has R = 0; the two smallest of the others are pushed out again.
        for sum in [0, -1, 1, 1].into_iter().chain(2..most + 2) {
            known.offer(&cell(sum), &[sum as f64]);
        }
        known.offer(&cell(0), &[0.0]);
        known.offer(&cell(7), &[f64::NAN]);
        let inner = known.inner();
        let kept: Vec<f64> = inner.best.iter().map(|best| best.raw[0]).collect();
        assert_eq!(kept, (2..most + 2).rev().map(|sum| sum as f64).collect::<Vec<_>>());
        assert_eq!(inner.members.len(), MOST_BEST);
        drop(inner);
        let draws = picked(&known, 20_000);
        let top = draws.iter().filter(|listed| listed.raw.as_ref().unwrap()[0] > 502.0).count();
        assert!(top.abs_diff(10_000 * 998 / 1000) < 500, "{top} of 20000");
    }

    #[test]
    fn initial_objects_are_picked_once_in_an_order_of_the_actors_own() {
        let initial: Vec<Listed> =
            (0..50).map(|sum| Listed { object: cell(sum), raw: None }).collect();
        let all = |actor| {
            let mut order = Stream::new(1, Purpose::Backward, actor, u64::MAX);
            let known = KnownObjects::new(Arc::new(Sum::default()), false, &initial, &mut order);
            known.offer(&cell(99), &[99.0]);
            let picked = picked(&known, 100);
            assert!(!known.has_initial());
            picked
        };
        let (first, second) = (all(0), all(1));
        assert_eq!((first.len(), second.len()), (50, 50));
        assert_ne!(first, second);
        assert!(initial.iter().all(|listed| first.contains(listed) && second.contains(listed)));
    }
}
