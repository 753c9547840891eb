//! A share of the draws from the residents with the best rewards, the others from the rest; each
//! part uniformly, with replacement. The prioritized replay training of Shen, Bengio, Hajiramezanali,
//! Loukas, Cho, Biancalani: "Towards understanding and improving GFlowNet training", 2023.

use std::cmp::Ordering;
use std::collections::{BTreeSet, VecDeque};

use tributary_common::random::Stream;

use super::Selector;

pub(super) struct TopFraction {
    fraction: f64,
    share: f64,
    best: Part,
    rest: Part,
    /// Where each resident is, oldest first.
    places: VecDeque<Place>,
    oldest: u64,
}

/// Residents of one part: by reward, to know the border, and in any order, to draw from.
#[derive(Default)]
struct Part {
    by_reward: BTreeSet<Ranked>,
    members: Vec<u64>,
}

/// By log-reward; of two that are equal the later is the better.
#[derive(Clone, Copy)]
struct Ranked {
    log_reward: f64,
    ordinal: u64,
}

#[derive(Clone, Copy)]
struct Place {
    log_reward: f64,
    is_best: bool,
    /// In the members of its part.
    index: usize,
}

impl TopFraction {
    pub(super) fn new(fraction: f64, share: f64) -> Self {
        let (best, rest) = (Part::default(), Part::default());
        Self { fraction, share, best, rest, places: VecDeque::new(), oldest: 0 }
    }

    fn part(&mut self, is_best: bool) -> &mut Part {
        if is_best { &mut self.best } else { &mut self.rest }
    }

    fn place(&mut self, ordinal: u64) -> &mut Place {
        &mut self.places[(ordinal - self.oldest) as usize]
    }

    fn join(&mut self, ranked: Ranked, is_best: bool) {
        let part = self.part(is_best);
        part.by_reward.insert(ranked);
        part.members.push(ranked.ordinal);
        let index = part.members.len() - 1;
        let place = self.place(ranked.ordinal);
        (place.is_best, place.index) = (is_best, index);
    }

    fn leave(&mut self, ordinal: u64) -> Ranked {
        let Place { log_reward, is_best, index } = *self.place(ordinal);
        let ranked = Ranked { log_reward, ordinal };
        let part = self.part(is_best);
        part.by_reward.remove(&ranked);
        part.members.swap_remove(index);
        let moved = part.members.get(index).copied();
        if let Some(moved) = moved {
            self.place(moved).index = index;
        }
        ranked
    }

    /// Moves residents over the border until the best are as many as they should be.
    fn settle(&mut self) {
        let residents = self.best.members.len() + self.rest.members.len();
        let wanted = (self.fraction * residents as f64).ceil() as usize;
        while self.best.members.len() > wanted {
            let Some(&worst) = self.best.by_reward.first() else { return };
            let ranked = self.leave(worst.ordinal);
            self.join(ranked, false);
        }
        while self.best.members.len() < wanted {
            let Some(&better) = self.rest.by_reward.last() else { return };
            let ranked = self.leave(better.ordinal);
            self.join(ranked, true);
        }
    }
}

impl Selector for TopFraction {
    fn inserted(&mut self, ordinal: u64, _: u64, log_reward: f64) {
        self.places.push_back(Place { log_reward, is_best: false, index: 0 });
        let ranked = Ranked { log_reward, ordinal };
        let is_best = self.best.by_reward.first().is_some_and(|worst| ranked > *worst);
        self.join(ranked, is_best);
        self.settle();
    }

    fn evicted(&mut self, ordinal: u64) -> u64 {
        self.leave(ordinal);
        self.places.pop_front();
        self.oldest = ordinal + 1;
        self.settle();
        0
    }

    fn ready(&self) -> usize {
        self.places.len()
    }

    fn pick(&mut self, stream: &mut Stream) -> Option<u64> {
        let from_best = stream.uniform() < self.share || self.rest.members.is_empty();
        let members = &self.part(from_best).members;
        (!members.is_empty()).then(|| members[stream.below(members.len())])
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_reward = self.log_reward.total_cmp(&other.log_reward);
        by_reward.then(self.ordinal.cmp(&other.ordinal))
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
    /// The ordinals of the best, in order.
    pub(super) fn best(&self) -> Vec<u64> {
        let mut best = self.best.members.clone();
        best.sort_unstable();
        best
    }
}
