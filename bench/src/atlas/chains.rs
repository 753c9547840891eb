//! Local search alone: chains of proposals, accepted by Metropolis and Hastings.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use tributary_common::ids::PolicyVersion;
use tributary_common::log_space::LogReward;
use tributary_common::network::cpu::Snapshot;
use tributary_common::network::{Network, Weights};
use tributary_common::object::Object;
use tributary_common::random::{Purpose, Stream};
use tributary_common::rollout::{Exploration, LocalSearch, Rollouts, accepts};
use tributary_common::run_file::Acceptance;

use super::Learned;
use crate::experiment::{Experiment, measure};

const CHAINS: usize = 128;
/// Proposals of each chain that are not counted: where it starts should not matter.
const BURN_IN: u64 = 200;
/// Far from uniform, so that P_F and P_B have something to be corrected for.
const SCALE_OF_WEIGHTS: f32 = 2.0;

/// Where the chains are found, with a policy that was never trained: whatever P_F and P_B are, it must
/// be in proportion to R. With the ratio of the proposals `inverted` it is not.
pub(super) fn visit(experiment: &Experiment, inverted: bool) -> Result<Learned> {
    let Experiment { run_file, task, .. } = experiment;
    let snapshot = untrained(experiment);
    let seed = run_file.run.seed;
    let stream = |purpose| move |chain| Stream::new(seed, purpose, 1, chain);
    let mut streams: Vec<Stream> = (0..CHAINS as u64).map(stream(Purpose::Rollout)).collect();
    let mut places = Vec::new();
    let mut rollouts = Rollouts::new(Arc::clone(&task.environment));
    rollouts.draw(&snapshot, Exploration::NONE, &mut streams, &mut places)?;
    let log_rewards = |objects: &[Object]| -> Result<Vec<LogReward>> {
        let mut raw = Vec::new();
        task.undelayed.evaluate(objects, &mut raw)?;
        let raw = raw.chunks(task.undelayed.outputs().len());
        raw.map(|raw| Ok(task.undelayed.transform(raw)?)).collect()
    };
    let objects: Vec<Object> = places.iter().map(|place| place.object.clone()).collect();
    let mut rewards = log_rewards(&objects)?;
    let mut search = LocalSearch::new(&task.environment, &run_file.exploration.local_search);
    let mut streams: Vec<Stream> = (0..CHAINS as u64).map(stream(Purpose::LocalSearch)).collect();
    let mut counts = HashMap::<Object, u64>::new();
    let proposals = experiment.updates()?;
    for round in 0..BURN_IN + proposals {
        let actions: Vec<&[u32]> = places.iter().map(|place| place.actions.as_slice()).collect();
        let proposed = search.propose(&snapshot, &actions, &mut streams)?;
        let objects: Vec<Object> = proposed.iter().map(|p| p.trajectory.object.clone()).collect();
        for (i, (proposal, reward)) in proposed.into_iter().zip(log_rewards(&objects)?).enumerate()
        {
            let correction = proposal.log_correction;
            let correction = if inverted { -correction } else { correction };
            let rewards_of = [rewards[i], reward];
            let acceptance = Acceptance::MetropolisHastings;
            if accepts(acceptance, rewards_of, correction, &mut streams[i]) {
                (places[i], rewards[i]) = (proposal.trajectory, reward);
            }
            if round >= BURN_IN {
                *counts.entry(places[i].object.clone()).or_default() += 1;
            }
        }
    }
    let visits = (proposals * CHAINS as u64) as f64;
    let list = task.environment.enumeration().context("a list of all states")?;
    let mut state = vec![0; task.environment.state_width()];
    let mut distribution = Vec::new();
    for index in 0..list.states() {
        list.state(index, &mut state);
        if task.environment.can_stop(&state) {
            let count = counts.get(&task.environment.object(&state)).copied().unwrap_or_default();
            distribution.push(count as f64 / visits);
        }
    }
    Ok(Learned::new(&measure::target(task)?, &distribution))
}

fn untrained(experiment: &Experiment) -> Snapshot {
    let network = Network::of_run(&experiment.run_file, experiment.task.environment.as_ref());
    let mut values = network.initial_values(experiment.run_file.run.seed);
    values.iter_mut().for_each(|value| *value *= SCALE_OF_WEIGHTS);
    let version = PolicyVersion::default();
    Snapshot::new(Arc::new(network), Weights { version, log_z: 0.0, generated: 0, values })
}
