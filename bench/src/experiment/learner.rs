//! Replay and trainer, and the versions of the weights that were published.

use std::collections::VecDeque;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use tributary_common::data_set::initial;
use tributary_common::ids::{Incarnation, PolicyVersion, Seq};
use tributary_common::network::Network;
use tributary_common::network::cpu::Snapshot;
use tributary_common::random::{Purpose, Stream};
use tributary_common::registry::Task;
use tributary_common::run_file::{RunFileError, Weights};
use tributary_common::trajectory::TrajectoryView;
use tributary_learner::examine::Examiner;
use tributary_learner::redraw::Redraw;
use tributary_learner::replay::{Replay, Samples};
use tributary_learner::train::Trainer;
use tributary_learner::training::{Training, WeightSets};

use super::actors::Measured;
use super::{Experiment, Shared, Standing};

/// The learner's part of a run.
pub(super) struct Learner {
    trainer: Trainer,
    examiner: Examiner,
    replay: Replay,
    redraw: Option<Redraw>,
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
        let Task { environment, undelayed, .. } = task;
        let initial = initial(run_file, task, &experiment.files).map_err(RunFileError::from)?;
        let draws = || {
            let (environment, network) = (Arc::clone(environment), Arc::clone(&network));
            Redraw::new(environment, network, run_file.run.seed, run_file.replay.redraw_uniform)
        };
        let mut learner = Self {
            examiner: Examiner::new(Arc::clone(environment), Arc::clone(undelayed)),
            replay: Replay::new(&run_file.replay, run_file.learner.batch)?
                .with_log_reward_min(run_file.objective.log_reward_min)
                .with_initial(initial)
                .with_distance_of(Arc::clone(environment), &run_file.replay),
            redraw: run_file.replay.redraws().then(draws),
            network,
            trainer,
            seed: run_file.run.seed,
            publish_every: run_file.publish_every(),
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

    /// Takes in a trajectory, if it can have happened.
    pub(super) fn insert(
        &mut self,
        measured: &Measured,
        policy: PolicyVersion,
        setting: u32,
    ) -> Result<()> {
        let view = TrajectoryView {
            seq: Seq(self.generated),
            actions: &measured.actions,
            raw: &measured.raw,
            policy,
            kind: measured.kind,
            setting,
            log_mu: 0.0,
            seconds: 0.0,
        };
        let sound = self.examiner.examine(&view);
        let sound = sound.map_err(|unsound| anyhow!("{}: {}", measured.object, unsound.detail))?;
        self.replay.insert(&sound);
        self.generated += 1;
        Ok(())
    }

    /// One update, if replay owes the trainer a batch.
    pub(super) fn update_if_due(&mut self) -> Result<bool> {
        let before = self.trainer.step();
        let mut stream = Stream::new(self.seed, Purpose::Replay, 0, self.draws);
        if !self.replay.sample(before, &mut stream, &mut self.samples) {
            return Ok(false);
        }
        self.draws += 1;
        if let Some(redraw) = &mut self.redraw {
            redraw.draw(self.draws, &mut self.samples)?;
        }
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
        if let Some(redraw) = &mut self.redraw {
            redraw.follow(&raw);
        }
        let weights = match self.weights {
            Weights::Raw => raw,
            Weights::Ema => ema,
        };
        self.published
            .push_back(Arc::new(Snapshot::new(Arc::clone(&self.network), (*weights).clone())));
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
            policy: Snapshot::new(Arc::clone(&self.network), (*ema).clone()),
            log_z: self.trainer.log_z(),
            mean_lag: self.lags as f64 / self.trained.max(1) as f64,
        })
    }
}
