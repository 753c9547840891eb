//! How good a policy is where its objects cannot be listed: estimates from a test set, from its own
//! samples and from samples of the target, and what a run has found.
//!
//! log p(x) of an object is the log of a sum over all paths to it, so it is estimated from paths
//! drawn backward, or computed by dynamic programming where x has few ancestors. `docs/evaluation.md`
//! defines every figure and says which way it is biased.

mod ancestors;
mod data;
mod figures;
mod log_probability;
mod modes;
mod object_file;
mod top;

pub use ancestors::Ancestors;
pub use data::EvaluationData;
pub use figures::{SampleFigures, Sampler, TargetSampleFigures, TestSetFigures, test_set};
pub use log_probability::{LogProbabilities, MOST_ANCESTORS, PathEstimator};
pub use modes::ModeSearch;
pub use object_file::{ObjectFileError, Row, read_objects};
pub use top::Top;

use crate::environment::{Environment, NotAnObject};
use crate::object::Object;
use crate::reward::{InvalidRaw, Known, Reward, RewardError};
use crate::rollout::BrokenEnvironment;
use crate::trajectory::IllegalTrajectory;

/// Why there is no estimate.
#[derive(Debug, thiserror::Error)]
pub enum EstimateError {
    /// The environment breaks its laws.
    #[error(transparent)]
    Broken(#[from] BrokenEnvironment),
    /// Likewise.
    #[error(transparent)]
    Trajectory(#[from] IllegalTrajectory),
    /// An object that the environment cannot build.
    #[error(transparent)]
    Object(#[from] NotAnObject),
    /// The reward has no value for an object.
    #[error(transparent)]
    Reward(#[from] RewardError),
    /// The reward's value for an object is no log-reward.
    #[error("\"{object}\": {error}")]
    Raw {
        /// The object.
        object: String,
        /// What is wrong with its value.
        error: InvalidRaw,
    },
    /// `keep_going` said no.
    #[error("stopped before the end")]
    Stopped,
}

/// Objects with their states and log-rewards. What a row says of its raw value is not measured again.
///
/// # Errors
/// An object that the environment cannot build or the reward cannot measure.
pub fn measure(
    environment: &dyn Environment,
    reward: &dyn Reward,
    rows: Vec<Row>,
) -> Result<Vec<Known>, EstimateError> {
    let outputs = reward.outputs().len();
    let is_given = |row: &Row| outputs == 1 && row.raw.is_some();
    let asked: Vec<Object> =
        rows.iter().filter(|row| !is_given(row)).map(|row| row.object.clone()).collect();
    let mut measured = Vec::with_capacity(asked.len() * outputs);
    // Programs outside are asked by actors only: here they refuse whoever calls.
    if !asked.is_empty() {
        reward.evaluate(&asked, &mut measured)?;
    }
    let mut measured = measured.chunks_exact(outputs.max(1));
    let mut known = Vec::with_capacity(rows.len());
    for row in rows {
        let given = row.raw.filter(|_| outputs == 1).map(|value| [value]);
        let raw = match &given {
            Some(raw) => raw.as_slice(),
            None => measured.next().unwrap_or_default(),
        };
        let refused = |error| EstimateError::Raw { object: row.object.to_string(), error };
        let log_reward = reward.transform(raw).map_err(refused)?.get();
        let state = environment.state_of(&row.object)?;
        known.push(Known { object: row.object, state, log_reward });
    }
    Ok(known)
}

/// At most so many of the items, spread evenly over them in their order.
pub fn spread<T: Clone>(items: &[T], most: usize) -> Vec<T> {
    let count = items.len().min(most);
    (0..count).map(|i| items[i * items.len() / count].clone()).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
