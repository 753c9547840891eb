//! The figures of an evaluation without a list of all objects.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::log_probability::log_mean_exp;
use super::{EstimateError, PathEstimator, Row, measure};
use crate::environment::Environment;
use crate::network::cpu::Snapshot;
use crate::random::{Purpose, Stream};
use crate::reward::{Known, Reward};
use crate::rollout::{BackwardRollouts, Exploration, Rollouts, Scorer};
use crate::statistics::{bootstrap, mean, pearson, spearman, standard_error};

/// Trajectories drawn at a time.
const BATCH: usize = 256;

/// How log p and log R of a test set belong together: the measure of "Evaluating Generalization in
/// GFlowNets for Molecule Design" (Nica et al. 2022). Each `_low` and `_high` is the percentile
/// bootstrap's 95 % interval over the test set's objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TestSetFigures {
    /// Objects with R > 0 that were looked at.
    pub objects: u64,
    /// Those of which log p is exact; of the others it is estimated from paths.
    pub exact_objects: u64,
    /// Spearman's correlation of log p and log R; none where one does not vary.
    pub spearman: Option<f64>,
    /// The interval's lower end.
    pub spearman_low: Option<f64>,
    /// Its upper end.
    pub spearman_high: Option<f64>,
    /// Pearson's correlation, likewise.
    pub pearson: Option<f64>,
    /// The interval's lower end.
    pub pearson_low: Option<f64>,
    /// Its upper end.
    pub pearson_high: Option<f64>,
    /// The mean of log p over the test set, in nats.
    pub mean_log_p: Option<f64>,
    /// The interval's lower end.
    pub mean_log_p_low: Option<f64>,
    /// Its upper end.
    pub mean_log_p_high: Option<f64>,
}

/// Correlates a policy's log p with log R over a test set; objects with R = 0 are left out.
///
/// # Errors
/// As for [`PathEstimator::log_probabilities`].
pub fn test_set(
    estimator: &mut PathEstimator,
    snapshot: &Snapshot,
    test_set: &[Known],
    keep_going: &mut dyn FnMut() -> bool,
) -> Result<TestSetFigures, EstimateError> {
    let rewarded: Vec<&Known> = test_set.iter().filter(|k| k.log_reward.is_finite()).collect();
    let states: Vec<&[u32]> = rewarded.iter().map(|known| known.state.as_slice()).collect();
    let found = estimator.log_probabilities(snapshot, &states, keep_going)?;
    let log_r: Vec<f64> = rewarded.iter().map(|known| known.log_reward).collect();
    let log_p = found.values;
    let mut stream = Stream::new(0, Purpose::Evaluation, 2, 0);
    let mut resampled = |statistic: fn(&[f64], &[f64]) -> Option<f64>| {
        bootstrap(log_p.len(), &mut stream, |places| {
            let of = |values: &[f64]| places.iter().map(|&i| values[i]).collect::<Vec<f64>>();
            statistic(&of(&log_p), &of(&log_r))
        })
    };
    let of_spearman = resampled(spearman);
    let of_pearson = resampled(pearson);
    let of_mean = resampled(|log_p, _| mean(log_p));
    Ok(TestSetFigures {
        objects: log_p.len() as u64,
        exact_objects: found.exact as u64,
        spearman: spearman(&log_p, &log_r),
        spearman_low: of_spearman.map(|interval| interval.low),
        spearman_high: of_spearman.map(|interval| interval.high),
        pearson: pearson(&log_p, &log_r),
        pearson_low: of_pearson.map(|interval| interval.low),
        pearson_high: of_pearson.map(|interval| interval.high),
        mean_log_p: mean(&log_p),
        mean_log_p_low: of_mean.map(|interval| interval.low),
        mean_log_p_high: of_mean.map(|interval| interval.high),
    })
}

/// What a policy's own samples say, with w = R(x) P_B(path | x) / P_F(path) for each. All three of
/// the first are log Z of a policy without error; they are lower else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SampleFigures {
    /// Trajectories drawn, without exploration.
    pub count: u64,
    /// The evidence lower bound: the mean of log w, at most log Z. None if an object has R = 0.
    pub elbo: Option<f64>,
    /// Its standard error.
    pub elbo_error: Option<f64>,
    /// The effective log Z: log of the mean of w. The mean has no bias, so the log is too low on
    /// average. None if all objects have R = 0.
    pub effective_log_z: Option<f64>,
    /// The mean log R. None if an object has R = 0.
    pub mean_log_reward: Option<f64>,
    /// The policy's entropy, estimated as the mean of -log p(x) over some of the samples, in nats;
    /// none where it was not asked for. As high as log p is low: see [`PathEstimator`].
    pub entropy: Option<f64>,
    /// Its standard error.
    pub entropy_error: Option<f64>,
}

/// What samples of the target say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TargetSampleFigures {
    /// Objects of the target, each with one path drawn with P_B.
    pub count: u64,
    /// The evidence upper bound: the mean of log w, at least log Z.
    pub eubo: Option<f64>,
    /// Its standard error.
    pub eubo_error: Option<f64>,
}

/// Draws from a policy, or from the target with the policy's P_B.
pub struct Sampler {
    environment: Arc<dyn Environment>,
    reward: Arc<dyn Reward>,
    seed: u64,
    rollouts: Rollouts,
    scorer: Scorer,
    backward: BackwardRollouts,
}

impl Sampler {
    /// Of this environment and reward, which is asked about every sample.
    #[must_use]
    pub fn new(environment: Arc<dyn Environment>, reward: Arc<dyn Reward>, seed: u64) -> Self {
        Self {
            rollouts: Rollouts::new(Arc::clone(&environment)),
            scorer: Scorer::new(Arc::clone(&environment)),
            backward: BackwardRollouts::new(Arc::clone(&environment)),
            environment,
            reward,
            seed,
        }
    }

    /// Draws so many trajectories from the policy. The entropy is estimated over the first
    /// `of_entropy` of them, with the estimator's paths for each.
    ///
    /// # Errors
    /// A reward that fails, an environment that breaks its laws, and [`EstimateError::Stopped`].
    pub fn samples(
        &mut self,
        snapshot: &Snapshot,
        count: usize,
        of_entropy: Option<(&mut PathEstimator, usize)>,
        keep_going: &mut dyn FnMut() -> bool,
    ) -> Result<SampleFigures, EstimateError> {
        let (mut log_weights, mut drawn) = (Vec::with_capacity(count), Vec::new());
        let mut known = Vec::with_capacity(count);
        for start in (0..count).step_by(BATCH) {
            if !keep_going() {
                return Err(EstimateError::Stopped);
            }
            let mut streams = self.streams(4, start..count.min(start + BATCH));
            drawn.clear();
            self.rollouts.draw(snapshot, Exploration::NONE, &mut streams, &mut drawn)?;
            let actions = drawn.iter().map(|trajectory| trajectory.actions.as_slice());
            let scores = self.scorer.score(snapshot, actions)?;
            let rows =
                drawn.drain(..).map(|trajectory| Row { object: trajectory.object, raw: None });
            let measured = measure(&*self.environment, &*self.reward, rows.collect())?;
            for (score, known) in scores.iter().zip(&measured) {
                let log_p = score.log_pf_from(0) - score.log_pb_from(0);
                log_weights.push(known.log_reward - log_p);
            }
            known.extend(measured);
        }
        let log_rewards: Vec<f64> = known.iter().map(|known| known.log_reward).collect();
        let finite = |value: Option<f64>| value.filter(|value| value.is_finite());
        let mut figures = SampleFigures {
            count: count as u64,
            elbo: finite(mean(&log_weights)),
            elbo_error: finite(standard_error(&log_weights)),
            effective_log_z: finite(Some(log_mean_exp(&log_weights))),
            mean_log_reward: finite(mean(&log_rewards)),
            ..SampleFigures::default()
        };
        if let Some((estimator, most)) = of_entropy {
            known.truncate(most);
            let states: Vec<&[u32]> = known.iter().map(|known| known.state.as_slice()).collect();
            let mut surprise = estimator.log_probabilities(snapshot, &states, keep_going)?.values;
            surprise.iter_mut().for_each(|log_p| *log_p = -*log_p);
            figures.entropy = mean(&surprise);
            figures.entropy_error = standard_error(&surprise);
        }
        Ok(figures)
    }

    /// Draws one path with P_B to each of these samples of the target.
    ///
    /// # Errors
    /// An environment that breaks its laws, and [`EstimateError::Stopped`].
    pub fn target_samples(
        &mut self,
        snapshot: &Snapshot,
        samples: &[Known],
        keep_going: &mut dyn FnMut() -> bool,
    ) -> Result<TargetSampleFigures, EstimateError> {
        let mut log_weights = Vec::with_capacity(samples.len());
        for (i, chunk) in samples.chunks(BATCH).enumerate() {
            if !keep_going() {
                return Err(EstimateError::Stopped);
            }
            let mut streams = self.streams(5, i * BATCH..i * BATCH + chunk.len());
            let ends: Vec<_> = chunk.iter().map(|known| known.state.clone()).collect();
            let paths = self.backward.draw(snapshot, 0.0, usize::MAX, &ends, &mut streams)?;
            let pairs = chunk.iter().zip(&paths);
            log_weights.extend(pairs.map(|(x, path)| x.log_reward + path.log_pb - path.log_pf));
        }
        Ok(TargetSampleFigures {
            count: samples.len() as u64,
            eubo: mean(&log_weights),
            eubo_error: standard_error(&log_weights),
        })
    }

    fn streams(&self, round: u64, indices: std::ops::Range<usize>) -> Vec<Stream> {
        let stream = |index| Stream::new(self.seed, Purpose::Evaluation, round, index as u64);
        indices.map(stream).collect()
    }
}
