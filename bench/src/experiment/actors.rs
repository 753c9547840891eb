//! Simulated actors: each draws with the weights that it is given, in its turn.

use std::sync::Arc;

use anyhow::{Result, ensure};
use tributary_common::log_space::LogReward;
use tributary_common::network::cpu::Snapshot;
use tributary_common::object::Object;
use tributary_common::random::{Purpose, Stream};
use tributary_common::reward::Reward;
use tributary_common::rollout::{Exploration, LocalSearch, Rollouts, Trajectory, accepts};
use tributary_common::run_file;
use tributary_common::trajectory::TrajectoryKind;

use super::Experiment;

/// A trajectory with what its object is worth.
#[derive(Clone)]
pub(super) struct Measured {
    pub(super) actions: Vec<u32>,
    pub(super) object: Object,
    pub(super) raw: Vec<f64>,
    pub(super) log_reward: LogReward,
    pub(super) kind: TrajectoryKind,
}

/// All actors of a run.
pub(super) struct Actors {
    rollouts: Rollouts,
    local_search: LocalSearch,
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
        let keys = &run_file.exploration.local_search;
        Self {
            rollouts: Rollouts::new(Arc::clone(&task.environment)),
            local_search: LocalSearch::new(&task.environment, keys),
            reward: Arc::clone(&task.undelayed),
            exploration: run_file.exploration.clone(),
            seed: run_file.run.seed,
            batch: run_file.actor_batch(),
            drawn: vec![0; *actors],
            turn: 0,
        }
    }

    /// The batch of the actor whose turn it is, and its exploration setting: trajectories, then what
    /// local search proposed around them.
    pub(super) fn draw(
        &mut self,
        weights: &Snapshot,
        generated: u64,
    ) -> Result<(Vec<Measured>, u32)> {
        let actor = self.turn;
        self.turn = (actor + 1) % self.drawn.len();
        let first = self.drawn[actor];
        self.drawn[actor] += self.batch as u64;
        let (seed, last) = (self.seed, self.drawn[actor]);
        let streams = |purpose| -> Vec<Stream> {
            (first..last).map(|index| Stream::new(seed, purpose, actor as u64, index)).collect()
        };
        let setting = (actor % self.exploration.settings()) as u32;
        let exploration = Exploration::at(&self.exploration, setting, generated);
        let known = self.exploration.initial.is_some() || exploration.backward > 0.0;
        ensure!(!known, "simulated actors do not start from known objects");
        let mut trajectories = Vec::with_capacity(self.batch);
        let mut rollout_streams = streams(Purpose::Rollout);
        self.rollouts.draw(weights, exploration, &mut rollout_streams, &mut trajectories)?;
        let mut measured = self.measure(trajectories, TrajectoryKind::Forward)?;
        if exploration.rounds > 0 {
            let around =
                self.search(weights, &measured, exploration.rounds, streams(Purpose::LocalSearch))?;
            measured.extend(around);
        }
        Ok((measured, setting))
    }

    /// So many proposals for each of these trajectories, in rounds.
    fn search(
        &mut self,
        weights: &Snapshot,
        starts: &[Measured],
        rounds: usize,
        mut streams: Vec<Stream>,
    ) -> Result<Vec<Measured>> {
        let accept = self.exploration.local_search.accept;
        let (mut places, mut all) = (starts.to_vec(), Vec::new());
        for _ in 0..rounds {
            let actions: Vec<&[u32]> =
                places.iter().map(|place| place.actions.as_slice()).collect();
            let proposals = self.local_search.propose(weights, &actions, &mut streams)?;
            let (trajectories, corrections): (Vec<_>, Vec<_>) =
                proposals.into_iter().map(|p| (p.trajectory, p.log_correction)).unzip();
            let proposed = self.measure(trajectories, TrajectoryKind::LocalSearch)?;
            let moves = places.iter_mut().zip(&proposed).zip(corrections).zip(&mut streams);
            for (((place, proposed), correction), stream) in moves {
                let rewards = [place.log_reward, proposed.log_reward];
                if accepts(accept, rewards, correction, stream) {
                    place.clone_from(proposed);
                }
            }
            all.extend(proposed);
        }
        Ok(all)
    }

    fn measure(
        &self,
        trajectories: Vec<Trajectory>,
        kind: TrajectoryKind,
    ) -> Result<Vec<Measured>> {
        let (actions, objects): (Vec<_>, Vec<_>) =
            trajectories.into_iter().map(|t| (t.actions, t.object)).unzip();
        let mut raw = Vec::new();
        self.reward.evaluate(&objects, &mut raw)?;
        let outputs = self.reward.outputs().len();
        ensure!(raw.len() == objects.len() * outputs, "the reward gave {} values", raw.len());
        let mut measured = Vec::with_capacity(objects.len());
        for ((actions, object), raw) in actions.into_iter().zip(objects).zip(raw.chunks(outputs)) {
            let log_reward = self.reward.transform(raw)?;
            measured.push(Measured { actions, object, raw: raw.to_vec(), log_reward, kind });
        }
        Ok(measured)
    }
}
