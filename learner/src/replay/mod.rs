//! What the learner keeps of the trajectories that it accepted, and how it picks from them.
//!
//! A trajectory rests as its actions, its log-reward and the policy version that drew it; states
//! are rebuilt when it is trained on. The oldest leave first. How often each is trained on is held
//! to `samples_per_insert` by a [`RateLimiter`]. A new selector is one file and one line in
//! `selector`; `docs/replay.md` says what each is for.

mod fifo;
mod fresh;
mod log_sum_tree;
mod prioritized;
mod rate_limiter;
mod top_fraction;
mod uniform;

use std::collections::VecDeque;

use tributary_common::ids::PolicyVersion;
use tributary_common::log_space::LogReward;
use tributary_common::random::Stream;
use tributary_common::run_file::{self, Selector as SelectorKind};

use fifo::Fifo;
use fresh::Fresh;
use prioritized::Prioritized;
pub use rate_limiter::RateLimiter;
use top_fraction::TopFraction;
use uniform::Uniform;

/// How replay picks: it is told what comes and goes, and names what is trained on.
trait Selector: Send {
    /// A trajectory came, to be used `uses` times. Ordinals come in order, without gaps; log R is
    /// finite.
    fn inserted(&mut self, ordinal: u64, uses: u64, log_reward: f64);

    /// The oldest trajectory leaves. Returns the uses that it should still have had.
    fn evicted(&mut self, ordinal: u64) -> u64;

    /// Residents that may be picked. A batch waits for as many, so that it is not one trajectory
    /// many times over where each has many uses.
    fn ready(&self) -> usize;

    /// The ordinal of a resident; none if there is nobody to pick.
    fn pick(&mut self, stream: &mut Stream) -> Option<u64>;

    /// These were trained on, with these squared residuals of trajectory balance, in squared nats.
    /// Some may have left.
    fn trained(&mut self, _ordinals: &[u64], _squared_residuals: &[f64]) {}
}

fn selector(config: &run_file::Replay) -> Box<dyn Selector> {
    match config.selector {
        SelectorKind::Fifo => Box::new(Fifo::default()),
        SelectorKind::Uniform => Box::new(Uniform::default()),
        SelectorKind::Prioritized => Box::new(Prioritized::new(config.priority, config.exponent)),
        SelectorKind::TopFraction => {
            Box::new(TopFraction::new(config.top_fraction, config.top_share))
        }
    }
}

/// Trajectories drawn from replay, in columns; a batch of training. Reused between draws.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    /// The place of each among all that were ever inserted, from 0.
    pub ordinals: Vec<u64>,
    /// The actions of all, one trajectory after the other, without the exit.
    pub actions: Vec<u32>,
    /// Where the actions of each end.
    pub ends: Vec<usize>,
    /// log R of each; at least finite.
    pub log_rewards: Vec<f64>,
    /// The weights that drew each.
    pub policies: Vec<PolicyVersion>,
}

impl Samples {
    /// Number of trajectories.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The actions of each in order.
    pub fn iter_actions(&self) -> impl Iterator<Item = &[u32]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.actions[start..end])
    }

    /// Removes all, keeping the memory.
    pub fn clear(&mut self) {
        self.ordinals.clear();
        self.actions.clear();
        self.ends.clear();
        self.log_rewards.clear();
        self.policies.clear();
    }

    /// Appends one.
    pub fn push(
        &mut self,
        ordinal: u64,
        actions: impl IntoIterator<Item = u32>,
        log_reward: f64,
        policy: PolicyVersion,
    ) {
        self.ordinals.push(ordinal);
        self.actions.extend(actions);
        self.ends.push(self.actions.len());
        self.log_rewards.push(log_reward);
        self.policies.push(policy);
    }
}

/// What went through replay, in trajectories.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Ever inserted.
    pub inserted: u64,
    /// Gone again: `inserted = resident + evicted`.
    pub evicted: u64,
    /// Drawn, each as often as it was.
    pub sampled: u64,
    /// Uses that evicted trajectories should still have had.
    pub forfeited: u64,
    /// Inserted with R = 0.
    pub zero_rewards: u64,
    /// Inserted with a log R below the least that is trained on, and trained on as that; those with
    /// R = 0 among them.
    pub clipped_rewards: u64,
}

/// A replay that cannot hold what one batch needs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "replay.capacity = {capacity} is too small for learner.batch = {batch} \
     with replay.samples_per_insert = {uses}; make it at least {needed}"
)]
pub struct TooSmall {
    capacity: usize,
    batch: usize,
    uses: String,
    needed: usize,
}

struct Resident {
    length: u32,
    log_reward: f64,
    policy: PolicyVersion,
}

/// The trajectories that training picks from. Memory is bounded by about
/// `capacity · (64 + 4 · actions)` bytes, and up to 100 more for each with the selectors that prefer.
pub struct Replay {
    capacity: usize,
    batch: usize,
    /// What a lower log R becomes: training needs a finite target, also for R = 0.
    log_reward_min: f64,
    /// Trajectories of every batch that have not been trained on.
    online: usize,
    selector: Box<dyn Selector>,
    fresh: Fresh,
    limiter: RateLimiter,
    residents: VecDeque<Resident>,
    /// The actions of all residents, oldest first.
    actions: VecDeque<u32>,
    /// Where each resident's actions start, counted from the first action ever inserted.
    starts: VecDeque<u64>,
    /// Actions that have left.
    actions_evicted: u64,
    picked: Vec<u64>,
    counters: Counters,
}

impl Replay {
    /// An empty replay that gives batches of `batch` trajectories, with log R as the default of
    /// `objective.log_reward_min` has it.
    pub fn new(config: &run_file::Replay, batch: usize) -> Result<Self, TooSmall> {
        let run_file::Replay { capacity, samples_per_insert, online_fraction, .. } = *config;
        let limiter = RateLimiter::new(samples_per_insert, batch, capacity).map_err(|needed| {
            TooSmall { capacity, batch, uses: samples_per_insert.to_string(), needed }
        })?;
        // Rounded up, but not to more than arrive while a batch is due: training would starve.
        let arriving = (batch as f64 / samples_per_insert.max(1.0)).floor();
        let online = (online_fraction * batch as f64).ceil().min(arriving) as usize;
        Ok(Self {
            capacity,
            batch,
            log_reward_min: run_file::Objective::default().log_reward_min,
            online,
            selector: selector(config),
            fresh: Fresh::default(),
            limiter,
            residents: VecDeque::new(),
            actions: VecDeque::new(),
            starts: VecDeque::new(),
            actions_evicted: 0,
            picked: Vec::new(),
            counters: Counters::default(),
        })
    }

    /// With another least log R.
    #[must_use]
    pub fn with_log_reward_min(self, log_reward_min: f64) -> Self {
        Self { log_reward_min, ..self }
    }

    /// Whether training keeps up, so that another trajectory is welcome. Who has one waits until it
    /// is; [`insert`](Self::insert) itself never refuses.
    pub fn may_insert(&self) -> bool {
        self.limiter.may_insert() || !self.may_sample()
    }

    /// Keeps a trajectory (the oldest leaves when there is no room) and returns its ordinal.
    pub fn insert(&mut self, actions: &[u32], log_reward: LogReward, policy: PolicyVersion) -> u64 {
        if self.residents.len() == self.capacity {
            self.evict();
        }
        let ordinal = self.counters.inserted;
        self.counters.inserted += 1;
        let log_reward = log_reward.get();
        self.counters.zero_rewards += u64::from(log_reward == f64::NEG_INFINITY);
        self.counters.clipped_rewards += u64::from(log_reward < self.log_reward_min);
        let log_reward = log_reward.max(self.log_reward_min);
        self.starts.push_back(self.actions_evicted + self.actions.len() as u64);
        self.actions.extend(actions);
        self.residents.push_back(Resident { length: actions.len() as u32, log_reward, policy });
        let uses = self.limiter.inserted();
        self.selector.inserted(ordinal, uses, log_reward);
        self.fresh.inserted(ordinal);
        ordinal
    }

    fn evict(&mut self) {
        let Some(oldest) = self.residents.pop_front() else { return };
        self.starts.pop_front();
        self.actions.drain(..oldest.length as usize);
        self.actions_evicted += u64::from(oldest.length);
        let forfeited = self.selector.evicted(self.counters.evicted);
        self.fresh.evicted(self.counters.evicted);
        self.limiter.forfeited(forfeited);
        self.counters.evicted += 1;
        self.counters.forfeited += forfeited;
    }

    /// Whether [`sample`](Self::sample) gives a batch.
    pub fn may_sample(&self) -> bool {
        self.limiter.may_sample()
            && self.selector.ready() >= self.batch
            && self.fresh.count() >= self.online
    }

    /// Draws a batch, replacing what is in `samples`; none, and `false`, when the trajectories have
    /// had their uses and training must wait for new ones.
    pub fn sample(&mut self, stream: &mut Stream, samples: &mut Samples) -> bool {
        samples.clear();
        if !self.may_sample() {
            return false;
        }
        self.pick(stream);
        for &ordinal in &self.picked {
            let place = (ordinal - self.counters.evicted) as usize;
            let Resident { length, log_reward, policy } = self.residents[place];
            let start = (self.starts[place] - self.actions_evicted) as usize;
            let actions = self.actions.range(start..start + length as usize).copied();
            samples.push(ordinal, actions, log_reward, policy);
        }
        self.limiter.sampled(samples.len() as u64);
        self.counters.sampled += samples.len() as u64;
        true
    }

    /// The newest of those not yet trained on for their share of the batch, then the selector's.
    fn pick(&mut self, stream: &mut Stream) {
        self.picked.clear();
        while self.picked.len() < self.batch {
            let is_online = self.picked.len() < self.online;
            let ordinal = if is_online { self.fresh.newest() } else { None };
            let Some(ordinal) = ordinal.or_else(|| self.selector.pick(stream)) else { return };
            self.fresh.draw(ordinal);
            self.picked.push(ordinal);
        }
    }

    /// Tells how far the trajectories of the batch with these ordinals were from balance: their
    /// squared residuals of trajectory balance, in squared nats.
    pub fn trained(&mut self, ordinals: &[u64], squared_residuals: &[f64]) {
        self.selector.trained(ordinals, squared_residuals);
    }

    /// Trajectories that are kept.
    pub fn resident(&self) -> usize {
        self.residents.len()
    }

    /// What went through.
    pub fn counters(&self) -> Counters {
        self.counters
    }
}

#[cfg(test)]
mod tests;
