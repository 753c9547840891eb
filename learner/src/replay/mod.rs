//! What the learner keeps of the trajectories that it accepted, and how it picks from them.
//!
//! A trajectory rests as its actions, its log-reward and the policy version that drew it; states
//! are rebuilt when it is trained on. The oldest leave first. How often each is trained on is held
//! to `samples_per_insert` by a [`RateLimiter`]. Where only its object counts its actions are a name
//! of that, and the sample says that another path is to be drawn. A new selector is one file and one
//! line in `selector`; `docs/replay.md` says what each is for.

mod columns;
mod counters;
mod deciles;
mod diversity;
mod fifo;
mod fresh;
mod initial;
mod log_sum_tree;
mod members;
mod packed;
mod prioritized;
mod rate_limiter;
mod residents;
mod samples;
mod saving;
mod shares;
mod staleness;
mod top_fraction;
mod uniform;

use std::sync::Arc;

use tributary_common::data_set::Known;
use tributary_common::environment::Environment;
use tributary_common::random::Stream;
use tributary_common::run_file::{self, Duplicates, Keep, Selector as SelectorKind};
use tributary_common::trajectory::TrajectoryKind;

use crate::examine::Sound;
pub use columns::{BadColumns, Columns};
pub use counters::Counters;
pub use deciles::Decile;
use diversity::Diversity;
use fifo::Fifo;
use fresh::Fresh;
use initial::Initial;
use packed::Packed;
use prioritized::Prioritized;
pub use rate_limiter::RateLimiter;
use residents::{Resident, Residents};
pub use samples::{Samples, Source};
use shares::Shares;
use staleness::Staleness;
use top_fraction::TopFraction;
use uniform::Uniform;

/// How replay picks: it is told what comes and goes, and names what is trained on. Residents are
/// named by their slots, small numbers that are used again when a resident has left.
trait Selector: Send {
    /// A trajectory came into a free slot, to be used `uses` times. Its log R is finite.
    fn inserted(&mut self, slot: usize, uses: u64, log_reward: f64);

    /// A resident leaves. Returns the uses that it should still have had.
    fn removed(&mut self, slot: usize) -> u64;

    /// A resident is not to be preferred from now on.
    fn barred(&mut self, _slot: usize) {}

    /// Residents that may be picked. A batch waits for as many, so that it is not one trajectory
    /// many times over where each has many uses.
    fn ready(&self) -> usize;

    /// Appends so many residents; fewer if there is nobody to pick.
    fn pick(&mut self, count: usize, stream: &mut Stream, picked: &mut Vec<usize>);

    /// Adds what does not follow from the run file and the residents.
    fn save(&self, columns: &mut Columns);

    /// Takes that up again; nobody is in yet.
    fn restore(&mut self, columns: &Columns) -> Result<(), BadColumns>;

    /// These were trained on, with these squared residuals of trajectory balance, in squared nats.
    fn trained(&mut self, _losses: &mut dyn Iterator<Item = (usize, f64)>) {}
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

/// The trajectories that training picks from. Memory is bounded by about
/// `capacity · (200 + b · actions)` bytes, where an action takes b = 1, 2 or 4 bytes as the number of
/// actions needs, and up to 100 more for each with the selectors that prefer.
pub struct Replay {
    capacity: usize,
    shares: Shares,
    /// What a lower log R becomes: training needs a finite target, also for R = 0.
    log_reward_min: f64,
    online_probability: f64,
    keep: Keep,
    selector: Box<dyn Selector>,
    fresh: Fresh,
    limiter: RateLimiter,
    residents: Residents,
    staleness: Option<Staleness>,
    diversity: Option<Diversity>,
    initial: Initial,
    picked: Vec<usize>,
    newest: Vec<usize>,
    is_closed: bool,
    counters: Counters,
}

impl Replay {
    /// An empty replay that gives batches of `batch` trajectories, with log R as the default of
    /// `objective.log_reward_min` has it.
    pub fn new(config: &run_file::Replay, batch: usize) -> Result<Self, TooSmall> {
        let run_file::Replay { capacity, samples_per_insert, .. } = *config;
        let shares = Shares::new(config, batch);
        let limiter =
            RateLimiter::new(samples_per_insert, shares.replayed, capacity).map_err(|needed| {
                TooSmall { capacity, batch, uses: samples_per_insert.to_string(), needed }
            })?;
        Ok(Self {
            capacity,
            shares,
            log_reward_min: run_file::Objective::default().log_reward_min,
            online_probability: config.online_probability,
            keep: config.keep,
            selector: selector(config),
            fresh: Fresh::new(shares.online > 0),
            limiter,
            residents: Residents::new(config.duplicates == Duplicates::Merge),
            staleness: Staleness::new(config),
            diversity: None,
            initial: Initial::default(),
            picked: Vec::new(),
            newest: Vec::new(),
            is_closed: false,
            counters: Counters::default(),
        })
    }

    /// With another least log R.
    #[must_use]
    pub fn with_log_reward_min(self, log_reward_min: f64) -> Self {
        Self { log_reward_min, ..self }
    }

    /// Also draws from these objects their share of every batch.
    #[must_use]
    pub fn with_initial(mut self, objects: Vec<Known>) -> Self {
        self.initial = Initial::new(objects);
        self.counters.imported = self.initial.len() as u64;
        self
    }

    /// Keeps the preferred apart, if the run file says so, by this environment's distance.
    #[must_use]
    pub fn with_distance_of(
        mut self,
        environment: Arc<dyn Environment>,
        config: &run_file::Replay,
    ) -> Self {
        let among = config.diversity_among;
        self.diversity =
            config.diversity_distance.map(|least| Diversity::new(environment, least, among));
        self
    }

    /// Whether training keeps up, so that another trajectory is welcome. Who has one waits until it
    /// is; [`insert`](Self::insert) itself never refuses.
    pub fn may_insert(&self) -> bool {
        self.shares.replayed == 0 || self.limiter.may_insert() || !self.may_sample()
    }

    /// Whether who found it full should come back: each time costs a wake-up and an ack, so not for every
    /// batch that is drawn. Training always has what it needs until then, or it is so.
    pub fn has_ample_room(&self) -> bool {
        self.shares.replayed == 0 || self.limiter.has_ample_room() || !self.may_sample()
    }

    /// Keeps a trajectory (the oldest leaves when there is no room) and returns its ordinal.
    pub fn insert(&mut self, sound: &Sound) -> u64 {
        let mut uses = self.limiter.inserted();
        match self.residents.with_object(sound.object) {
            Some(slot) => uses += self.merge(slot),
            None if self.residents.len() == self.capacity => self.evict(),
            None => {}
        }
        let ordinal = self.counters.inserted;
        self.counters.inserted += 1;
        let log_reward = sound.log_reward.get();
        self.counters.zero_rewards += u64::from(log_reward == f64::NEG_INFINITY);
        self.counters.clipped_rewards += u64::from(log_reward < self.log_reward_min);
        let log_reward = log_reward.max(self.log_reward_min);
        let slot = self.residents.insert(Resident {
            ordinal,
            actions: Packed::new(&sound.actions),
            log_reward,
            policy: sound.policy,
            object: sound.object,
            kind: sound.kind,
            seconds: sound.seconds,
            uses,
            used: 0,
            is_stale: false,
        });
        self.introduce(slot, sound);
        ordinal
    }

    /// Tells everybody of a new resident.
    fn introduce(&mut self, slot: usize, sound: &Sound) {
        let Some(resident) = self.residents.get(slot) else { return };
        self.selector.inserted(slot, resident.uses, resident.log_reward);
        if sound.kind == TrajectoryKind::Forward {
            self.fresh.inserted(resident.ordinal, slot);
        }
        if let Some(staleness) = &mut self.staleness {
            staleness.inserted(slot, resident);
        }
        if let Some(diversity) = &mut self.diversity {
            let barred = diversity.inserted(slot, &sound.built, resident.log_reward);
            barred.into_iter().for_each(|slot| self.selector.barred(slot));
        }
    }

    /// Takes a resident out; with it the uses that the selector still had for it.
    fn remove(&mut self, slot: usize) -> Option<(Resident, u64)> {
        let resident = self.residents.remove(slot)?;
        self.fresh.remove(resident.ordinal);
        if let Some(staleness) = &mut self.staleness {
            staleness.removed(slot, &resident);
        }
        if let Some(diversity) = &mut self.diversity {
            diversity.removed(slot);
        }
        Some((resident, self.selector.removed(slot)))
    }

    /// The oldest leaves.
    fn evict(&mut self) {
        let oldest = self.residents.oldest();
        let Some((_, left)) = oldest.and_then(|slot| self.remove(slot)) else { return };
        self.counters.evicted += 1;
        self.counters.forfeited += self.limiter.forfeited(left);
    }

    /// A resident makes way for a newer trajectory of its object, which inherits its uses.
    fn merge(&mut self, slot: usize) -> u64 {
        let Some((resident, _)) = self.remove(slot) else { return 0 };
        self.counters.merged += 1;
        resident.uses.saturating_sub(resident.used)
    }

    /// Paths that are too old for the update after this step are discarded, or their trajectories.
    fn expire(&mut self, step: u64) {
        while let Some(slot) = self.staleness.as_mut().and_then(|stale| stale.expired(step)) {
            if self.staleness.as_ref().is_some_and(Staleness::rejects) {
                self.reject(slot);
            } else if let Some(resident) = self.residents.get_mut(slot) {
                resident.is_stale = true;
                self.fresh.remove(resident.ordinal);
            }
        }
    }

    /// A resident leaves for the age of its path, and with it the uses that it has not had.
    fn reject(&mut self, slot: usize) {
        let Some((resident, _)) = self.remove(slot) else { return };
        let left = resident.uses.saturating_sub(resident.used);
        self.counters.evicted += 1;
        self.counters.forfeited += self.limiter.forfeited(left);
        if let Some(staleness) = &mut self.staleness {
            staleness.rejected(&resident);
        }
    }

    /// Whether [`sample`](Self::sample) gives a batch, but for those whose path is too old.
    pub fn may_sample(&self) -> bool {
        let Shares { replayed, online, .. } = self.shares;
        let ready = self.selector.ready();
        let is_whole = if self.is_closed { ready > 0 } else { ready >= replayed };
        let is_fit = is_whole && self.fresh.count() >= online;
        self.limiter.may_sample() && (is_fit || self.limiter.is_overdue() && ready > 0)
    }

    /// No new trajectories will make a batch whole: what is owed is drawn of as few as there are.
    pub fn close(&mut self) {
        self.is_closed = true;
    }

    /// Trajectories of a batch that were inserted; the others are of a data set.
    pub fn replayed_in_batch(&self) -> usize {
        self.shares.replayed
    }

    /// Whether what was inserted is to be trained on at all.
    pub fn trains_on_inserted(&self) -> bool {
        self.shares.replayed > 0
    }

    /// Draws a batch for the update after this step, replacing what is in `samples`; none, and
    /// `false`, when the trajectories have had their uses and training must wait for new ones.
    pub fn sample(&mut self, step: u64, stream: &mut Stream, samples: &mut Samples) -> bool {
        samples.clear();
        self.expire(step);
        if !self.may_sample() {
            return false;
        }
        self.pick(stream);
        // They are far apart in memory: the looks at their lengths wait for it side by side.
        let residents = self.picked.iter().filter_map(|&slot| self.residents.get(slot));
        samples.actions.reserve(residents.map(|resident| resident.actions.len()).sum());
        for i in 0..self.picked.len() {
            self.give(self.picked[i], samples);
        }
        self.limiter.sampled(samples.len() as u64);
        self.counters.sampled += samples.len() as u64;
        for _ in 0..self.shares.initial {
            self.initial.draw(self.log_reward_min, stream, samples);
        }
        self.counters.imported_sampled += (samples.len() - self.picked.len()) as u64;
        true
    }

    /// The newest of those not yet trained on for their share of the batch, then the selector's.
    fn pick(&mut self, stream: &mut Stream) {
        let Shares { replayed, online, initial } = self.shares;
        self.picked.clear();
        while self.picked.len() < online {
            let Some(slot) = self.fresh.newest() else { break };
            self.picked.push(slot);
            self.trains_on(slot);
        }
        let promised = self.picked.len();
        if self.online_probability > 0.0 {
            self.newest.clear();
            self.newest.extend(self.residents.newest().take(replayed + initial));
            for _ in promised..replayed {
                if stream.uniform() < self.online_probability {
                    self.picked.push(self.newest[stream.below(self.newest.len())]);
                }
            }
        }
        self.selector.pick(replayed - self.picked.len(), stream, &mut self.picked);
        if self.fresh.count() > 0 {
            (promised..self.picked.len()).for_each(|i| self.trains_on(self.picked[i]));
        }
    }

    /// This resident is no longer among those not yet trained on.
    fn trains_on(&mut self, slot: usize) {
        if let Some(resident) = self.residents.get(slot) {
            self.fresh.remove(resident.ordinal);
        }
    }

    /// Copies a resident to the samples and says which path it is to be trained on with.
    fn give(&mut self, slot: usize, samples: &mut Samples) {
        let Some(resident) = self.residents.get_mut(slot) else { return };
        let is_first = resident.used == 0;
        let has_path = is_first || self.keep == Keep::Trajectories;
        let source = match (has_path && !resident.is_stale, is_first) {
            (true, _) if resident.kind == TrajectoryKind::Backward => Source::Backward,
            (true, true) => Source::Fresh,
            (true, false) => Source::Replayed,
            (false, _) => Source::Redrawn,
        };
        if let Some(staleness) = &mut self.staleness {
            staleness.used(slot, resident, has_path);
        }
        resident.used += 1;
        self.counters.redrawn += u64::from(source.is_redrawn());
        let Resident { ordinal, ref actions, log_reward, policy, .. } = *resident;
        samples.push_with(source, ordinal, |out| actions.extend(out), log_reward, policy);
    }

    /// Tells how far the trajectories of the batch with these ordinals were from balance: their
    /// squared residuals of trajectory balance, in squared nats. Some may have left.
    pub fn trained(&mut self, ordinals: &[u64], squared_residuals: &[f64]) {
        let resident = |(&ordinal, &residual): (&u64, &f64)| {
            self.residents.with_ordinal(ordinal).map(|slot| (slot, residual))
        };
        self.selector.trained(&mut ordinals.iter().zip(squared_residuals).filter_map(resident));
    }

    /// Trajectories that are kept.
    pub fn resident(&self) -> usize {
        self.residents.len()
    }

    /// What went through.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// What became of paths that were too old, by the seconds that rewards took, fastest first; none
    /// where no path is.
    pub fn deciles(&self) -> Option<[Decile; 10]> {
        self.staleness.as_ref().map(Staleness::rows)
    }
}

#[cfg(test)]
mod tests;
