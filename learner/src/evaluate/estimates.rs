//! Estimates of how good weights are: from a test set, their own samples, samples of the target.

use std::sync::Arc;
use std::time::Instant;

use tributary_common::estimate::{
    EstimateError, EvaluationData, PathEstimator, Sampler, spread, test_set,
};
use tributary_common::exact::{ExactError, Target};
use tributary_common::network::cpu::Snapshot;
use tributary_common::random::{Purpose, Stream};
use tributary_common::registry::Task;
use tributary_common::reward::Known;
use tributary_common::run_file::RunFile;

use super::figures::EstimateFigures;

/// Estimates, as the run file asks for them.
pub(super) struct Estimates {
    seed: u64,
    test_set: Vec<Known>,
    target_samples: Vec<Known>,
    samples: Option<usize>,
    paths: PathEstimator,
    sampler: Sampler,
    is_paid_for: bool,
}

impl Estimates {
    /// Nothing is estimated yet.
    pub(super) fn new(run_file: &RunFile, task: &Task, data: &EvaluationData) -> Self {
        let (config, seed) = (&run_file.evaluation, run_file.run.seed);
        let environment = || Arc::clone(&task.environment);
        Self {
            seed,
            test_set: spread(&data.test_set, config.test_objects),
            target_samples: data.target_samples.clone(),
            samples: config.samples,
            paths: PathEstimator::new(environment(), config.paths, seed),
            sampler: Sampler::new(environment(), Arc::clone(&task.undelayed), seed),
            is_paid_for: run_file.reward.durable == Some(true)
                || task.undelayed.outside().is_some(),
        }
    }

    /// Decides how many samples are drawn, and draws those of the target where it is known.
    pub(super) fn prepare(
        &mut self,
        task: &Task,
        target: Option<&Target>,
    ) -> Result<(), ExactError> {
        let usual = tributary_common::run_file::Evaluation::SAMPLES;
        // A reward that is paid for once is not asked about objects that nobody trains on.
        let unasked = if target.is_some() || self.is_paid_for { 0 } else { usual };
        let samples = *self.samples.get_or_insert(unasked);
        if let Some(target) = target.filter(|_| self.target_samples.is_empty() && samples > 0) {
            let mut stream = Stream::new(self.seed, Purpose::Evaluation, 3, 0);
            self.target_samples = target.samples(&*task.environment, samples, &mut stream)?;
        }
        Ok(())
    }

    /// Estimates; `None` if nothing is asked for.
    pub(super) fn estimate(
        &mut self,
        snapshot: &Snapshot,
        keep_going: &mut dyn FnMut() -> bool,
    ) -> Result<Option<EstimateFigures>, EstimateError> {
        let start = Instant::now();
        let samples = self.samples.unwrap_or_default();
        if self.test_set.is_empty() && self.target_samples.is_empty() && samples == 0 {
            return Ok(None);
        }
        let weights = snapshot.weights();
        let mut figures = EstimateFigures {
            step: weights.version.step,
            generated: weights.generated,
            ..EstimateFigures::default()
        };
        if !self.test_set.is_empty() {
            let found = test_set(&mut self.paths, snapshot, &self.test_set, keep_going)?;
            figures.test_set = Some(found);
        }
        if samples > 0 {
            figures.samples = Some(self.sampler.samples(snapshot, samples, None, keep_going)?);
        }
        if !self.target_samples.is_empty() {
            let found = self.sampler.target_samples(snapshot, &self.target_samples, keep_going)?;
            figures.target_samples = Some(found);
        }
        figures.seconds = start.elapsed().as_secs_f64();
        Ok(Some(figures))
    }
}
