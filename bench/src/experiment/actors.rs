//! Simulated actors: each draws with the weights that it is given, in its turn.

use std::sync::Arc;

use anyhow::{Result, ensure};
use tributary_common::log_space::LogReward;
use tributary_common::network::cpu::Snapshot;
use tributary_common::object::Object;
use tributary_common::random::{Purpose, Stream};
use tributary_common::reward::Reward;
use tributary_common::rollout::{Exploration, Rollouts, Trajectory};
use tributary_common::run_file;

use super::Experiment;

/// A trajectory with what its object is worth.
pub(super) struct Measured {
    pub(super) actions: Vec<u32>,
    pub(super) object: Object,
    pub(super) raw: Vec<f64>,
    pub(super) log_reward: LogReward,
}

/// All actors of a run.
pub(super) struct Actors {
    rollouts: Rollouts,
    reward: Arc<dyn Reward>,
    exploration: run_file::Exploration,
    seed: u64,
    batch: usize,
    /// Trajectories that each has drawn.
    drawn: Vec<u64>,
    turn: usize,
}

impl Actors {
    pub(super) fn new(experiment: &Experiment) -> Self {
        let Experiment { run_file, task, actors, .. } = experiment;
        Self {
            rollouts: Rollouts::new(Arc::clone(&task.environment)),
            reward: Arc::clone(&task.undelayed),
            exploration: run_file.exploration.clone(),
            seed: run_file.run.seed,
            batch: run_file.actor.batch,
            drawn: vec![0; *actors],
            turn: 0,
        }
    }

    /// The batch of the actor whose turn it is, each with its exploration setting.
    pub(super) fn draw(
        &mut self,
        weights: &Snapshot,
        generated: u64,
    ) -> Result<Vec<(Measured, u32)>> {
        let actor = self.turn;
        self.turn = (actor + 1) % self.drawn.len();
        let first = self.drawn[actor];
        self.drawn[actor] += self.batch as u64;
        let stream = |index| Stream::new(self.seed, Purpose::Rollout, actor as u64, index);
        let mut streams: Vec<Stream> = (first..self.drawn[actor]).map(stream).collect();
        let setting = (actor % self.exploration.settings()) as u32;
        let exploration = Exploration::at(&self.exploration, setting, generated);
        let mut trajectories = Vec::with_capacity(self.batch);
        self.rollouts.draw(weights, exploration, &mut streams, &mut trajectories)?;
        let measured = self.measure(trajectories)?;
        Ok(measured.into_iter().map(|measured| (measured, setting)).collect())
    }

    fn measure(&self, trajectories: Vec<Trajectory>) -> Result<Vec<Measured>> {
        let (actions, objects): (Vec<_>, Vec<_>) =
            trajectories.into_iter().map(|t| (t.actions, t.object)).unzip();
        let mut raw = Vec::new();
        self.reward.evaluate(&objects, &mut raw)?;
        let outputs = self.reward.outputs().len();
        ensure!(raw.len() == objects.len() * outputs, "the reward gave {} values", raw.len());
        let mut measured = Vec::with_capacity(objects.len());
        for ((actions, object), raw) in actions.into_iter().zip(objects).zip(raw.chunks(outputs)) {
            let log_reward = self.reward.transform(raw)?;
            measured.push(Measured { actions, object, raw: raw.to_vec(), log_reward });
        }
        Ok(measured)
    }
}
