//! Which modes were found among the objects drawn in training.

use std::collections::HashSet;
use std::sync::Arc;

use tributary_common::estimate::ModeSearch;
use tributary_common::exact::Target;
use tributary_common::object::Object;
use tributary_common::registry::Task;

use super::Drawn;

/// The modes of a task, and those found so far.
pub(crate) enum Modes {
    /// Objects of at least this log-reward.
    Best { least: f64, of: usize, found: HashSet<Object> },
    /// Balls around the hidden modes of a bit sequence, whose raw value is the distance to the
    /// nearest of them.
    Balls { radius: f64, search: ModeSearch },
}

impl Modes {
    /// The best objects of a target: the given fraction of all, at least one, and those that are
    /// worth as much as the last of them.
    pub(crate) fn best(target: &Target, fraction: f64) -> Self {
        let mut log_rewards = target.log_rewards().to_vec();
        log_rewards.sort_unstable_by(|a, b| b.total_cmp(a));
        let last = ((fraction * log_rewards.len() as f64) as usize).max(1) - 1;
        // Sums in another order differ in the last digits.
        let least = log_rewards[last] - 1e-9;
        let of = log_rewards.partition_point(|&log_reward| log_reward >= least);
        Self::Best { least, of, found: HashSet::new() }
    }

    /// The reward's own modes, each found within this many bits of it.
    pub(crate) fn balls(task: &Task, radius: f64) -> Self {
        let environment = Arc::clone(&task.environment);
        let search = ModeSearch::new(environment, task.undelayed.modes(), radius);
        Self::Balls { radius, search }
    }

    /// Looks at an object.
    pub(crate) fn drawn(&mut self, drawn: &Drawn<'_>) {
        match self {
            Self::Best { least, found, .. } => {
                if drawn.log_reward >= *least && !found.contains(drawn.object) {
                    found.insert(drawn.object.clone());
                }
            }
            Self::Balls { radius, search } => {
                if drawn.raw.first().is_some_and(|nearest| nearest <= radius) {
                    search.see(drawn.object);
                }
            }
        }
    }

    /// Modes found.
    pub(crate) fn found(&self) -> usize {
        match self {
            Self::Best { found, .. } => found.len(),
            Self::Balls { search, .. } => search.found(),
        }
    }

    /// Modes there are.
    pub(crate) fn of(&self) -> usize {
        match self {
            Self::Best { of, .. } => *of,
            Self::Balls { search, .. } => search.known(),
        }
    }
}
