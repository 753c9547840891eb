//! How well a policy stands: its exact distance to the target, or correlations on a test set.

use anyhow::Result;
use tributary_common::exact::{Comparison, SnapshotPolicy, Target, terminating_distribution};
use tributary_common::network::cpu::Snapshot;
use tributary_common::registry::Task;

/// States beyond which a target is not listed.
const MOST_STATES: u64 = 300_000;

/// The exact target of a task, if its states can be listed.
pub(crate) fn target(task: &Task) -> Result<Target> {
    let (environment, reward) = (task.environment.as_ref(), task.undelayed.as_ref());
    Ok(Target::new(environment, reward, MOST_STATES, &mut || true)?)
}

/// The probability of every object, in the order of the target.
pub(crate) fn distribution(task: &Task, policy: &Snapshot) -> Result<Vec<f64>> {
    let mut policy = SnapshotPolicy::new(policy);
    Ok(terminating_distribution(task.environment.as_ref(), &mut policy, &mut || true)?)
}

/// The exact distance of a policy to its target.
pub(crate) fn exact(task: &Task, target: &Target, policy: &Snapshot) -> Result<Comparison> {
    Ok(Comparison::new(target, &distribution(task, policy)?))
}
