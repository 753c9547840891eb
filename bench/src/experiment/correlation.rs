//! log p(x) by paths drawn backward, and its correlation with log R, on a test set.

use std::sync::Arc;

use anyhow::Result;
use serde::Serialize;
use tributary_common::log_space::log_sum_exp;
use tributary_common::network::cpu::Snapshot;
use tributary_common::object::Object;
use tributary_common::random::{Purpose, Stream};
use tributary_common::registry::Task;
use tributary_common::reward::Reward;
use tributary_common::rollout::BackwardRollouts;

use super::Experiment;
use super::modes::bit_sequence;

/// Objects that the network walks back from at a time.
const BLOCK: usize = 256;

/// Objects with their log-reward.
pub(crate) struct TestSet {
    states: Vec<Vec<u32>>,
    log_rewards: Vec<f64>,
    /// Paths of P_B for each.
    paths: usize,
}

/// Of log p and log R.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Correlation {
    pub(crate) spearman: f64,
    pub(crate) pearson: f64,
}

impl TestSet {
    /// Every so manieth string of the test set of a bit sequence.
    pub(crate) fn of_bits(experiment: &Experiment, every: usize, paths: usize) -> Result<Self> {
        let strings = bit_sequence(experiment)?.test_set();
        let objects: Vec<Object> = strings.into_iter().step_by(every).collect();
        let Task { environment, undelayed, .. } = &experiment.task;
        let states: Result<Vec<_>, _> = objects.iter().map(|o| environment.state_of(o)).collect();
        let mut raw = Vec::new();
        undelayed.evaluate(&objects, &mut raw)?;
        let log_rewards: Result<Vec<f64>, _> = raw
            .chunks(undelayed.outputs().len())
            .map(|raw| undelayed.transform(raw).map(|log_reward| log_reward.get()))
            .collect();
        Ok(Self { states: states?, log_rewards: log_rewards?, paths })
    }

    /// Objects in it.
    pub(crate) fn len(&self) -> usize {
        self.states.len()
    }

    /// log p(x) is estimated as the log of the mean over the paths of P_F / P_B.
    pub(crate) fn correlate(
        &self,
        task: &Task,
        policy: &Snapshot,
        seed: u64,
    ) -> Result<Correlation> {
        let mut rollouts = BackwardRollouts::new(Arc::clone(&task.environment));
        let most_steps = task.environment.max_steps();
        let mut log_p = Vec::with_capacity(self.states.len());
        for (block, states) in self.states.chunks(BLOCK).enumerate() {
            let mut ratios = vec![Vec::with_capacity(self.paths); states.len()];
            for path in 0..self.paths {
                let first = (block * BLOCK) as u64;
                let stream = |i| Stream::new(seed, Purpose::Sample, path as u64 + 1, first + i);
                let mut streams: Vec<Stream> = (0..states.len() as u64).map(stream).collect();
                let drawn = rollouts.draw(policy, 0.0, most_steps, states, &mut streams)?;
                for (ratios, path) in ratios.iter_mut().zip(drawn) {
                    ratios.push(path.log_pf - path.log_pb);
                }
            }
            let mean =
                |ratios: &Vec<f64>| log_sum_exp(ratios.iter().copied()) - (self.paths as f64).ln();
            log_p.extend(ratios.iter().map(mean));
        }
        Ok(Correlation {
            spearman: pearson(&ranks(&log_p), &ranks(&self.log_rewards)),
            pearson: pearson(&log_p, &self.log_rewards),
        })
    }
}

fn pearson(x: &[f64], y: &[f64]) -> f64 {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (mean_x, mean_y) = (mean(x), mean(y));
    let sum = |f: &dyn Fn(f64, f64) -> f64| {
        x.iter().zip(y).map(|(x, y)| f(x - mean_x, y - mean_y)).sum::<f64>()
    };
    sum(&|dx, dy| dx * dy) / (sum(&|dx, _| dx * dx) * sum(&|_, dy| dy * dy)).sqrt()
}

/// The rank of each value, ties sharing their mean.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    for tied in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = first as f64 + (tied.len() - 1) as f64 / 2.0;
        tied.iter().for_each(|&i| ranks[i] = rank);
        first += tied.len();
    }
    ranks
}
