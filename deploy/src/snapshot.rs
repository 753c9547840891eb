//! A policy at rest: what it draws, what the objects are worth.

use std::sync::Arc;

use tributary_actor::outside::{self, Values};
use tributary_common::environment::Environment;
use tributary_common::ids::PolicyVersion;
use tributary_common::log_space::LogReward;
use tributary_common::network::cpu::Snapshot;
use tributary_common::network::{Network, Weights};
use tributary_common::object::Object;
use tributary_common::random::{Purpose, Stream};
use tributary_common::reward::Reward;
use tributary_common::rollout::{Exploration, Rollouts};
use tributary_common::run_file::RunFile;

use crate::error::CommandError;
use crate::guard;

/// The run's network as it is before the first update.
pub(crate) fn untrained(run_file: &RunFile, environment: &dyn Environment) -> Snapshot {
    let network = Network::of_run(run_file, environment);
    let values = network.initial_values(run_file.run.seed);
    with_values(network, values)
}

/// A policy that prefers nothing.
pub(crate) fn indifferent(environment: &dyn Environment) -> Snapshot {
    let network = Network::mlp(environment, &[], false, false);
    let values = vec![0.0; network.parameter_count()];
    with_values(network, values)
}

fn with_values(network: Network, values: Vec<f32>) -> Snapshot {
    let version = PolicyVersion::default();
    Snapshot::new(Arc::new(network), Weights { version, log_z: 0.0, generated: 0, values })
}

/// Draws objects from a policy, batch by batch; the same for the same seed.
pub(crate) struct Drawing<'a> {
    rollouts: Rollouts,
    environment: Arc<dyn Environment>,
    snapshot: &'a Snapshot,
    seed: u64,
    drawn: u64,
}

impl<'a> Drawing<'a> {
    /// From this policy, without exploration.
    pub(crate) fn new(
        environment: &Arc<dyn Environment>,
        snapshot: &'a Snapshot,
        seed: u64,
    ) -> Self {
        let (rollouts, environment) =
            (Rollouts::new(Arc::clone(environment)), Arc::clone(environment));
        Self { rollouts, environment, snapshot, seed, drawn: 0 }
    }

    /// The next `count` objects with the lengths of their trajectories.
    pub(crate) fn next(&mut self, count: usize) -> Result<Vec<(Object, usize)>, CommandError> {
        let mut streams: Vec<Stream> = (self.drawn..self.drawn + count as u64)
            .map(|index| Stream::new(self.seed, Purpose::Sample, 0, index))
            .collect();
        self.drawn += count as u64;
        let mut trajectories = Vec::with_capacity(count);
        self.rollouts
            .draw(self.snapshot, Exploration::NONE, &mut streams, &mut trajectories)
            .map_err(|error| {
                let kind = self.environment.identity().kind;
                CommandError::Environment { kind, reason: error.to_string() }
            })?;
        Ok(trajectories.into_iter().map(|t| (t.object, t.actions.len())).collect())
    }
}

/// What an object measures and is worth.
pub(crate) struct Worth {
    /// The raw values.
    pub(crate) raw: Vec<f64>,
    /// log R.
    pub(crate) log_reward: LogReward,
}

/// Measures objects; a program outside is started for that.
///
/// # Errors
/// A reward that fails, or whose values are no rewards; with the object.
pub(crate) fn measure(reward: &dyn Reward, objects: &[Object]) -> Result<Vec<Worth>, CommandError> {
    let failed = |reason: String| CommandError::Reward { kind: reward.identity().kind, reason };
    let outputs = reward.outputs().len();
    let mut raw = Vec::with_capacity(objects.len() * outputs);
    match reward.outside() {
        None => reward.evaluate(objects, &mut raw).map_err(|error| failed(error.to_string()))?,
        Some(outside) => {
            let commands = Some(guard::commands()?);
            let found = outside::measure(outside, Values::of(reward), commands.as_ref(), objects)?;
            for (object, found) in objects.iter().zip(found) {
                raw.extend(found.map_err(|failure| failed(format!("\"{object}\": {failure}")))?);
            }
        }
    }
    let (found, expected) = (raw.len(), objects.len() * outputs);
    if outputs == 0 || found != expected {
        let objects = objects.len();
        return Err(failed(format!(
            "it gave {found} raw values for {objects} objects, expected {expected}: {outputs} each"
        )));
    }
    let worth = |(object, raw): (&Object, &[f64])| {
        let log_reward =
            reward.transform(raw).map_err(|error| failed(format!("\"{object}\": {error}")))?;
        Ok(Worth { raw: raw.to_vec(), log_reward })
    };
    objects.iter().zip(raw.chunks_exact(outputs)).map(worth).collect()
}
