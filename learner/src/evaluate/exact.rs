//! The exact comparison of weights with the target.

use std::time::Instant;

use tributary_common::exact::{
    Comparison, ExactError, SnapshotPolicy, Target, terminating_distribution,
};
use tributary_common::network::cpu::Snapshot;
use tributary_common::registry::Task;
use tributary_common::run_file::RunFile;

use crate::distribution::Distribution;
use crate::figures::ExactFigures;

/// Compares weights with the target.
pub(super) struct ExactComparison {
    most_states: u64,
    target: Option<Target>,
}

impl ExactComparison {
    /// For an environment of at most `[evaluation] max_states` states; `None` where it has more, or
    /// cannot list them, or where each object is to be paid for once, and by actors.
    pub(super) fn new(run_file: &RunFile, task: &Task) -> Option<Self> {
        if !task.is_free(run_file) {
            tracing::info!("no exact comparison with the target: it would be paid for");
            return None;
        }
        let config = &run_file.evaluation;
        let list = task.environment.enumeration();
        let is_short = list.is_some_and(|list| list.states() <= config.max_states);
        if !is_short {
            tracing::info!(
                "no exact comparison with the target: the environment's states are too many"
            );
        }
        is_short.then_some(Self { most_states: config.max_states, target: None })
    }

    /// Makes the target.
    pub(super) fn prepare(&mut self, task: &Task) -> Result<(), ExactError> {
        let Task { environment, undelayed, .. } = task;
        let most = self.most_states;
        let target = Target::new(environment.as_ref(), undelayed.as_ref(), most, &mut || true)?;
        let (states, log_z) = (target.states(), target.log_z());
        tracing::info!(states, log_z, "the exact target is known");
        self.target = Some(target);
        Ok(())
    }

    /// The target, once it was made.
    pub(super) fn target(&self) -> Option<&Target> {
        self.target.as_ref()
    }

    /// Compares weights.
    pub(super) fn compare(
        &self,
        task: &Task,
        snapshot: &Snapshot,
        keep_going: &mut dyn FnMut() -> bool,
    ) -> Result<(ExactFigures, Option<Distribution>), ExactError> {
        let start = Instant::now();
        let target = self.target.as_ref().ok_or(ExactError::NoReward)?;
        let mut policy = SnapshotPolicy::new(snapshot);
        let environment = task.environment.as_ref();
        let policy = terminating_distribution(environment, &mut policy, keep_going)?;
        let weights = snapshot.weights();
        let figures = ExactFigures {
            policy: weights.version,
            generated: weights.generated,
            log_z: weights.log_z,
            seconds: start.elapsed().as_secs_f64(),
            comparison: Comparison::new(target, &policy),
        };
        let drawn = Distribution::of(environment, target, &policy, figures.policy.step);
        Ok((figures, drawn))
    }
}
