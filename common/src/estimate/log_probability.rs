//! log p(x) of given objects.

use std::sync::Arc;

use super::{Ancestors, EstimateError};
use crate::environment::Environment;
use crate::exact::SnapshotPolicy;
use crate::log_space::log_sum_exp;
use crate::network::cpu::Snapshot;
use crate::random::{Purpose, Stream};
use crate::rollout::BackwardRollouts;
use crate::statistics::{Interval, bootstrap};

/// No object with more ancestors is computed exactly.
pub const MOST_ANCESTORS: usize = 50_000;

/// Paths drawn at a time.
const PATHS: usize = 1_024;

/// Ancestors computed at a time, about.
const STATES: usize = 4_096;

/// log p of some objects.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogProbabilities {
    /// Of each object, in nats.
    pub values: Vec<f64>,
    /// How many of them are exact.
    pub exact: usize,
}

/// Estimates log p(x) as log of the mean of P_F(path) / P_B(path | x) over K paths drawn backward
/// from x with P_B:
///
/// log p(x) ~ logsumexp_k(log P_F(path_k) - log P_B(path_k | x)) - log K
///
/// The mean has no bias, so its log is too low on average (Jensen), the less the more paths. An object
/// that has few enough ancestors is computed exactly instead.
pub struct PathEstimator {
    environment: Arc<dyn Environment>,
    paths: usize,
    most_ancestors: usize,
    seed: u64,
    rollouts: BackwardRollouts,
}

impl PathEstimator {
    /// With so many paths for each object, at least 1. Objects are computed exactly where that costs
    /// the network no more: where they have no more ancestors than the paths have states.
    #[must_use]
    pub fn new(environment: Arc<dyn Environment>, paths: usize, seed: u64) -> Self {
        let states = paths.saturating_mul(environment.max_steps() + 1);
        let most_ancestors = states.min(MOST_ANCESTORS);
        let rollouts = BackwardRollouts::new(Arc::clone(&environment));
        Self { environment, paths: paths.max(1), most_ancestors, seed, rollouts }
    }

    /// Computes objects of at most so many ancestors exactly; 0: none.
    #[must_use]
    pub fn exact_up_to(self, most_ancestors: usize) -> Self {
        Self { most_ancestors: most_ancestors.min(MOST_ANCESTORS), ..self }
    }

    /// log p of these objects, given by their states; the same for the same weights and seed.
    /// `keep_going` is asked between blocks of work.
    ///
    /// # Errors
    /// An environment that breaks its laws, and [`EstimateError::Stopped`].
    pub fn log_probabilities(
        &mut self,
        snapshot: &Snapshot,
        states: &[&[u32]],
        keep_going: &mut dyn FnMut() -> bool,
    ) -> Result<LogProbabilities, EstimateError> {
        let mut found = LogProbabilities { values: vec![0.0; states.len()], exact: 0 };
        let (mut ancestors, mut exact, mut others) = (Ancestors::default(), Vec::new(), Vec::new());
        for (i, state) in states.iter().enumerate() {
            if !ancestors.add(&*self.environment, state, self.most_ancestors) {
                others.push(i);
                continue;
            }
            exact.push(i);
            if ancestors.states() >= STATES {
                self.settle(snapshot, &mut ancestors, &mut exact, &mut found, keep_going)?;
            }
        }
        self.settle(snapshot, &mut ancestors, &mut exact, &mut found, keep_going)?;
        for chunk in others.chunks(PATHS.div_ceil(self.paths)) {
            if !keep_going() {
                return Err(EstimateError::Stopped);
            }
            let ends: Vec<_> = chunk.iter().map(|&i| (i as u64, states[i])).collect();
            let weights = self.log_weights(snapshot, &ends)?;
            for (&i, weights) in chunk.iter().zip(weights.chunks_exact(self.paths)) {
                found.values[i] = log_mean_exp(weights);
            }
        }
        Ok(found)
    }

    /// log p of one object by its paths alone, with the interval of a bootstrap over them.
    ///
    /// # Errors
    /// An environment that breaks its laws.
    pub fn with_interval(
        &mut self,
        snapshot: &Snapshot,
        state: &[u32],
    ) -> Result<(f64, Option<Interval>), EstimateError> {
        let weights = self.log_weights(snapshot, &[(0, state)])?;
        let mut stream = Stream::new(self.seed, Purpose::Evaluation, 1, 0);
        let of = |places: &[usize]| {
            let drawn: Vec<f64> = places.iter().map(|&i| weights[i]).collect();
            Some(log_mean_exp(&drawn))
        };
        Ok((log_mean_exp(&weights), bootstrap(weights.len(), &mut stream, of)))
    }

    /// Computes what has been gathered, and empties it.
    fn settle(
        &self,
        snapshot: &Snapshot,
        ancestors: &mut Ancestors,
        exact: &mut Vec<usize>,
        found: &mut LogProbabilities,
        keep_going: &mut dyn FnMut() -> bool,
    ) -> Result<(), EstimateError> {
        if !keep_going() {
            return Err(EstimateError::Stopped);
        }
        let mut policy = SnapshotPolicy::new(snapshot);
        let values = std::mem::take(ancestors).log_probabilities(&*self.environment, &mut policy);
        found.exact += exact.len();
        exact.drain(..).zip(values).for_each(|(i, value)| found.values[i] = value);
        Ok(())
    }

    /// log P_F - log P_B of each path, `paths` for each of these numbered objects.
    fn log_weights(
        &mut self,
        snapshot: &Snapshot,
        objects: &[(u64, &[u32])],
    ) -> Result<Vec<f64>, EstimateError> {
        let (mut ends, mut streams) = (Vec::new(), Vec::new());
        for &(number, state) in objects {
            for path in 0..self.paths as u64 {
                ends.push(state.to_vec());
                let index = number * self.paths as u64 + path;
                streams.push(Stream::new(self.seed, Purpose::Evaluation, 0, index));
            }
        }
        let paths = self.rollouts.draw(snapshot, 0.0, usize::MAX, &ends, &mut streams)?;
        Ok(paths.iter().map(|path| path.log_pf - path.log_pb).collect())
    }
}

/// log of the mean of the exponentials.
pub(super) fn log_mean_exp(values: &[f64]) -> f64 {
    log_sum_exp(values.iter().copied()) - (values.len() as f64).ln()
}
