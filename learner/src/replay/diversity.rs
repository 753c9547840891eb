//! Keeps the best from being one good object and its neighbours.
//!
//! As the prioritized buffer of torchgfn (`NormBasedDiversePrioritizedReplayBuffer`), but with the
//! environment's own distance, and nothing is refused: what is too near only loses its preference.

use std::sync::Arc;

use tributary_common::environment::Environment;
use tributary_common::object::Object;

use super::columns::{BadColumns, Columns, index};

/// The best residents of which no two are near each other, at most `among` of them.
///
/// A new object that is nearer than `distance` to a leader that is no worse is barred from the best.
/// Else it is a leader, if it is good enough, and bars the worse leaders near it. A comparison costs
/// at most `among` distances. When a leader leaves, those that it barred stay barred.
pub(super) struct Diversity {
    environment: Arc<dyn Environment>,
    distance: f64,
    among: usize,
    /// Best first.
    leaders: Vec<Leader>,
}

struct Leader {
    slot: usize,
    log_reward: f64,
    object: Object,
}

impl Diversity {
    pub(super) fn new(environment: Arc<dyn Environment>, distance: f64, among: usize) -> Self {
        Self { environment, distance, among, leaders: Vec::new() }
    }

    /// The slots that are barred because this object comes; its own may be one of them.
    pub(super) fn inserted(&mut self, slot: usize, object: &Object, log_reward: f64) -> Vec<usize> {
        let worse = self.leaders.partition_point(|leader| leader.log_reward >= log_reward);
        let (environment, distance) = (&*self.environment, self.distance);
        let is_near = |leader: &Leader| {
            environment.distance(&leader.object, object).is_some_and(|d| d < distance)
        };
        if self.leaders[..worse].iter().any(is_near) {
            return vec![slot];
        }
        let barred = self.leaders[worse..].iter().filter(|leader| is_near(leader));
        let barred: Vec<usize> = barred.map(|leader| leader.slot).collect();
        self.leaders.retain(|leader| !barred.contains(&leader.slot));
        self.leaders.insert(worse, Leader { slot, log_reward, object: object.clone() });
        self.leaders.truncate(self.among);
        barred
    }

    /// The slots of the leaders, best first.
    pub(super) fn save(&self, columns: &mut Columns) {
        columns.put("leaders", self.leaders.iter().map(|leader| leader.slot as u64));
    }

    /// Those that were saved; `resident` gives the object and log R of a slot.
    pub(super) fn restore(
        &mut self,
        columns: &Columns,
        resident: impl Fn(usize) -> Option<(Object, f64)>,
    ) -> Result<(), BadColumns> {
        let slots = columns.slots()?;
        for &slot in columns.whole("leaders")? {
            let slot = index("leaders", slot, slots)?;
            let (object, log_reward) = resident(slot).ok_or(BadColumns::Unfit("leaders"))?;
            self.leaders.push(Leader { slot, log_reward, object });
        }
        Ok(())
    }

    pub(super) fn removed(&mut self, slot: usize) {
        self.leaders.retain(|leader| leader.slot != slot);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tributary_common::environment::Hypergrid;
    use tributary_common::random::{Purpose, Stream};

    use super::*;

    fn cell(x: usize, y: usize) -> Object {
        Object::Integers(vec![x as i64, y as i64])
    }

    fn diversity(among: usize) -> Diversity {
        Diversity::new(Arc::new(Hypergrid::new(2, 9).unwrap()), 3.0, among)
    }

    #[test]
    fn the_near_and_no_better_is_barred_and_the_better_bars_the_near() {
        let mut diversity = diversity(10);
        assert!(diversity.inserted(0, &cell(0, 0), 1.0).is_empty());
        assert_eq!(diversity.inserted(1, &cell(1, 1), 1.0), [1], "as good and 2 away");
        assert!(diversity.inserted(2, &cell(2, 1), 0.5).is_empty(), "3 away is not nearer than 3");
        assert_eq!(diversity.inserted(3, &cell(1, 0), 2.0), [0, 2], "better than both, near both");
        diversity.removed(3);
        assert!(diversity.inserted(4, &cell(0, 0), 0.0).is_empty(), "its leader is gone");
    }

    #[test]
    fn leaders_stay_apart_in_order_and_few() {
        let (seed, among) = (5, 7);
        let mut random = Stream::new(seed, Purpose::Walk, 0, 0);
        let mut diversity = diversity(among);
        let mut barred = 0;
        for slot in 0..500 {
            let object = cell(random.below(9), random.below(9));
            barred += diversity.inserted(slot, &object, random.below(50) as f64).len();
            if random.below(3) == 0 {
                diversity.removed(slot.saturating_sub(random.below(20)));
            }
            let leaders = &diversity.leaders;
            assert!(leaders.len() <= among, "seed {seed}");
            assert!(leaders.is_sorted_by(|a, b| a.log_reward >= b.log_reward), "seed {seed}");
            for (i, a) in leaders.iter().enumerate() {
                for b in &leaders[..i] {
                    let distance = diversity.environment.distance(&a.object, &b.object);
                    assert!(
                        distance.unwrap() >= 3.0,
                        "seed {seed}: {:?}, {:?}",
                        a.object,
                        b.object
                    );
                }
            }
        }
        assert!(barred > 100, "seed {seed}: {barred}");
    }
}
