//! log p(x) and its correlation with log R on a test set.

use std::sync::Arc;

use anyhow::{Context, Result};
use serde::Serialize;
use tributary_common::estimate::{PathEstimator, Row, measure};
use tributary_common::network::cpu::Snapshot;
use tributary_common::registry::Task;
use tributary_common::reward::Known;
use tributary_common::statistics::{pearson, spearman};

/// Objects with their log-reward.
pub(crate) struct TestSet {
    known: Vec<Known>,
    /// Paths of P_B for each object.
    paths: usize,
}

/// Of log p and log R.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Correlation {
    pub(crate) spearman: f64,
    pub(crate) pearson: f64,
}

impl TestSet {
    /// Every so manieth object of the reward's own test set.
    pub(crate) fn of_reward(task: &Task, every: usize, paths: usize) -> Result<Self> {
        let objects = task.undelayed.test_set().into_iter().step_by(every);
        let rows = objects.map(|object| Row { object, raw: None }).collect();
        let known = measure(task.environment.as_ref(), task.undelayed.as_ref(), rows)?;
        Ok(Self { known, paths })
    }

    /// Objects in it.
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// log p of each object by its paths, or exactly where that costs no more.
    pub(crate) fn correlate(
        &self,
        task: &Task,
        policy: &Snapshot,
        seed: u64,
    ) -> Result<Correlation> {
        let mut estimator = PathEstimator::new(Arc::clone(&task.environment), self.paths, seed);
        let states: Vec<&[u32]> = self.known.iter().map(|known| known.state.as_slice()).collect();
        let log_p = estimator.log_probabilities(policy, &states, &mut || true)?.values;
        let log_r: Vec<f64> = self.known.iter().map(|known| known.log_reward).collect();
        Ok(Correlation {
            spearman: spearman(&log_p, &log_r).context("log p or log R does not vary")?,
            pearson: pearson(&log_p, &log_r).context("log p or log R does not vary")?,
        })
    }
}
