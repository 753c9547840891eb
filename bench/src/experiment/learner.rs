//! Replay and trainer, and the versions of the weights that were published.

use std::collections::VecDeque;
use std::sync::Arc;

use anyhow::Result;
use tributary_common::ids::{Incarnation, PolicyVersion};
use tributary_common::network::Network;
use tributary_common::network::cpu::Snapshot;
use tributary_common::random::{Purpose, Stream};
use tributary_common::run_file::Weights;
use tributary_learner::replay::{Replay, Samples};
use tributary_learner::train::Trainer;
use tributary_learner::training::{Training, WeightSets};

use super::actors::Measured;
use super::{Experiment, Shared, Standing};

/// The learner's part of a run.
pub(super) struct Learner {
    trainer: Trainer,
    replay: Replay,
    network: Arc<Network>,
    seed: u64,
    publish_every: u64,
    weights: Weights,
    /// The newest last; as many as the lag needs.
    published: VecDeque<Shared>,
    lag: usize,
    samples: Samples,
    draws: u64,
    generated: u64,
    /// Sum over all trained trajectories of their lag in updates.
    lags: u64,
    trained: u64,
}

impl Learner {
    pub(super) fn new(experiment: &Experiment) -> Result<Self> {
        let Experiment { run_file, task, lag, .. } = experiment;
        let trainer = Trainer::new(run_file, task, Incarnation(1))?;
        let network = Arc::new(trainer.network().clone());
        let mut learner = Self {
            replay: Replay::new(&run_file.replay, run_file.learner.batch)?,
            network,
            trainer,
            seed: run_file.run.seed,
            publish_every: run_file.learner.publish_every,
            weights: run_file.actor.weights,
            published: VecDeque::new(),
            lag: *lag,
            samples: Samples::default(),
            draws: 0,
            generated: 0,
            lags: 0,
            trained: 0,
        };
        learner.publish()?;
        Ok(learner)
    }

    /// Updates done.
    pub(super) fn step(&self) -> u64 {
        self.trainer.step()
    }

    /// Trajectories inserted.
    pub(super) fn generated(&self) -> u64 {
        self.generated
    }

    /// The weights so many published versions behind the newest; the first while there are fewer.
    pub(super) fn weights_behind(&self, lag: usize) -> Shared {
        let newest = self.published.len() - 1;
        Arc::clone(&self.published[newest.saturating_sub(lag)])
    }

    /// Takes in a trajectory.
    pub(super) fn insert(&mut self, measured: &Measured, policy: PolicyVersion, _setting: u32) {
        self.replay.insert(&measured.actions, measured.log_reward, policy);
        self.generated += 1;
    }

    /// One update, if replay owes the trainer a batch.
    pub(super) fn update_if_due(&mut self) -> Result<bool> {
        let mut stream = Stream::new(self.seed, Purpose::Replay, 0, self.draws);
        if !self.replay.sample(&mut stream, &mut self.samples) {
            return Ok(false);
        }
        self.draws += 1;
        let before = self.trainer.step();
        let report = self.trainer.update(&self.samples)?;
        self.replay.trained(&self.samples.ordinals, &report.squared_residuals);
        self.lags += self.samples.policies.iter().map(|policy| before - policy.step).sum::<u64>();
        self.trained += self.samples.len() as u64;
        if report.step.is_multiple_of(self.publish_every) {
            self.publish()?;
        }
        Ok(true)
    }

    fn publish(&mut self) -> Result<()> {
        let WeightSets { raw, ema } = self.trainer.publish(self.generated)?;
        let weights = match self.weights {
            Weights::Raw => raw,
            Weights::Ema => ema,
        };
        self.published.push_back(Arc::new(Snapshot::new(Arc::clone(&self.network), weights)));
        while self.published.len() > self.lag + 1 {
            self.published.pop_front();
        }
        Ok(())
    }

    /// Where it stands after so many seconds.
    pub(super) fn standing(&mut self, seconds: f64) -> Result<Standing> {
        let ema = self.trainer.publish(self.generated)?.ema;
        Ok(Standing {
            updates: self.trainer.step(),
            generated: self.generated,
            seconds,
            policy: Snapshot::new(Arc::clone(&self.network), ema),
            log_z: self.trainer.log_z(),
            mean_lag: self.lags as f64 / self.trained.max(1) as f64,
        })
    }
}
