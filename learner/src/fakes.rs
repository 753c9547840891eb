//! What tests of training share.

use std::path::Path;

use tributary_common::environment::Environment;
use tributary_common::ids::{Incarnation, PolicyVersion, RunId};
use tributary_common::log_space::LogReward;
use tributary_common::network::Network;
use tributary_common::object::Object;
use tributary_common::random::Stream;
use tributary_common::reward::ObjectKey;
use tributary_common::trajectory::TrajectoryKind;

use crate::checkpoint::CheckpointConfig;
use crate::examine::Sound;
use crate::replay::Samples;

/// The writer of a run whose newest learner is this one.
pub(crate) fn checkpoint_config(
    run: &Path,
    run_id: RunId,
    incarnation: Incarnation,
    network: Network,
) -> CheckpointConfig {
    CheckpointConfig {
        run_directory: run.to_owned(),
        run_id,
        incarnation,
        network,
        run_file: "[run]\n".to_owned(),
        keep_every: 0,
        newest_learner: Box::new(move || Ok(incarnation)),
    }
}

/// A forward trajectory that cost nothing to measure; each path leads to an object of its own.
pub(crate) fn sound(actions: &[u32], log_reward: LogReward, policy: PolicyVersion) -> Sound {
    let bytes: Vec<u8> = actions.iter().flat_map(|action| action.to_le_bytes()).collect();
    let key = ObjectKey(*blake3::hash(&bytes).as_bytes());
    Sound {
        actions: actions.to_vec(),
        log_reward,
        policy,
        built: Object::Integers(actions.iter().map(|&action| i64::from(action)).collect()),
        object: key.short(),
        key,
        kind: TrajectoryKind::Forward,
        seconds: 0.0,
    }
}

/// Trajectories of uniformly random legal steps, with log-rewards in [-2, -1).
pub(crate) fn random_trajectories(
    environment: &dyn Environment,
    count: u64,
    stream: &mut Stream,
) -> Samples {
    let mut samples = Samples::default();
    let (mut state, mut legal) = (vec![0; environment.state_width()], Vec::new());
    for i in 0..count {
        environment.reset(&mut state);
        let mut actions = Vec::new();
        loop {
            legal.clear();
            environment.legal_forward(&state, &mut legal);
            let exits = usize::from(environment.can_stop(&state));
            let Some(&action) = legal.get(stream.below(legal.len() + exits)) else { break };
            actions.push(action);
            environment.step(&mut state, action);
        }
        samples.push(i, actions, stream.uniform() - 2.0, PolicyVersion::default());
    }
    samples
}
