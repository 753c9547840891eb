//! A share of the draws from the residents with the best rewards, the others from the rest; each
//! part uniformly, with replacement. The prioritized replay training of Shen, Bengio, Hajiramezanali,
//! Loukas, Cho, Biancalani: "Towards understanding and improving GFlowNet training", 2023.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use tributary_common::random::Stream;

use super::Selector;
use super::columns::{BadColumns, Columns, index};
use super::members::Members;

pub(super) struct TopFraction {
    fraction: f64,
    share: f64,
    best: Part,
    rest: Part,
    /// Of each slot.
    places: Vec<Place>,
    insertions: u64,
}

/// Residents of one part: by reward, to know the border, and in any order, to draw from.
#[derive(Default)]
struct Part {
    /// Without those that are barred.
    by_reward: BTreeSet<Ranked>,
    members: Members,
}

/// By log-reward; of two that are equal the later is the better.
#[derive(Clone, Copy, Default)]
struct Ranked {
    log_reward: f64,
    insertion: u64,
    slot: usize,
}

#[derive(Clone, Copy, Default)]
struct Place {
    ranked: Ranked,
    is_best: bool,
    /// Never one of the best.
    is_barred: bool,
}

impl TopFraction {
    pub(super) fn new(fraction: f64, share: f64) -> Self {
        let (best, rest) = (Part::default(), Part::default());
        Self { fraction, share, best, rest, places: Vec::new(), insertions: 0 }
    }

    fn part(&mut self, is_best: bool) -> &mut Part {
        if is_best { &mut self.best } else { &mut self.rest }
    }

    fn join(&mut self, slot: usize, is_best: bool) {
        self.places[slot].is_best = is_best;
        let Place { ranked, is_barred, .. } = self.places[slot];
        let part = self.part(is_best);
        part.members.insert(slot);
        if !is_barred {
            part.by_reward.insert(ranked);
        }
    }

    fn leave(&mut self, slot: usize) {
        let Place { ranked, is_best, .. } = self.places[slot];
        let part = self.part(is_best);
        part.members.remove(slot);
        part.by_reward.remove(&ranked);
    }

    /// Moves residents over the border until the best are as many as they should be.
    fn settle(&mut self) {
        let wanted = (self.fraction * self.ready() as f64).ceil() as usize;
        while self.best.members.len() > wanted {
            let Some(&worst) = self.best.by_reward.first() else { return };
            self.leave(worst.slot);
            self.join(worst.slot, false);
        }
        while self.best.members.len() < wanted {
            let Some(&better) = self.rest.by_reward.last() else { return };
            self.leave(better.slot);
            self.join(better.slot, true);
        }
    }
}

impl Selector for TopFraction {
    fn save(&self, columns: &mut Columns) {
        self.best.members.save("best", columns);
        self.rest.members.save("rest", columns);
        let places = || self.places.iter();
        columns.put("top.insertion", places().map(|place| place.ranked.insertion));
        columns.put("top.is_barred", places().map(|place| u64::from(place.is_barred)));
        columns.put_real("top.log_reward", places().map(|place| place.ranked.log_reward));
        columns.put("top.insertions", [self.insertions]);
    }

    fn restore(&mut self, columns: &Columns) -> Result<(), BadColumns> {
        let insertions = columns.whole("top.insertion")?;
        let log_rewards = columns.real("top.log_reward")?;
        let barred = columns.whole("top.is_barred")?;
        if insertions.len() != log_rewards.len() || insertions.len() != barred.len() {
            return Err(BadColumns::Unfit("top.is_barred"));
        }
        let place = |(slot, (&insertion, &log_reward)): (usize, (&u64, &f64))| Place {
            ranked: Ranked { log_reward, insertion, slot },
            is_best: false,
            is_barred: barred[slot] == 1,
        };
        self.places = insertions.iter().zip(log_rewards).enumerate().map(place).collect();
        self.insertions = columns.one("top.insertions")?;
        for (is_best, name) in [(true, "best"), (false, "rest")] {
            for &slot in columns.whole(name)? {
                self.join(index(name, slot, self.places.len())?, is_best);
            }
        }
        Ok(())
    }

    fn inserted(&mut self, slot: usize, _: u64, log_reward: f64) {
        if self.places.len() <= slot {
            self.places.resize(slot + 1, Place::default());
        }
        let ranked = Ranked { log_reward, insertion: self.insertions, slot };
        self.insertions += 1;
        self.places[slot] = Place { ranked, is_best: false, is_barred: false };
        let is_best = self.best.by_reward.first().is_some_and(|worst| ranked > *worst);
        self.join(slot, is_best);
        self.settle();
    }

    fn removed(&mut self, slot: usize) -> u64 {
        self.leave(slot);
        self.settle();
        0
    }

    fn barred(&mut self, slot: usize) {
        self.leave(slot);
        self.places[slot].is_barred = true;
        self.join(slot, false);
        self.settle();
    }

    fn ready(&self) -> usize {
        self.best.members.len() + self.rest.members.len()
    }

    fn pick(&mut self, count: usize, stream: &mut Stream, picked: &mut Vec<usize>) {
        picked.extend((0..count).filter_map(|_| {
            let from_best = stream.uniform() < self.share || self.rest.members.len() == 0;
            let from_best = from_best && self.best.members.len() > 0;
            self.part(from_best).members.draw(stream)
        }));
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_reward = self.log_reward.total_cmp(&other.log_reward);
        by_reward.then(self.insertion.cmp(&other.insertion))
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ranked {}

#[cfg(test)]
impl TopFraction {
    /// The slots of the best, in order.
    pub(super) fn best(&self) -> Vec<usize> {
        self.best.members.sorted()
    }
}
