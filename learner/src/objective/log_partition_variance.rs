//! Log-partition variance, or VarGrad (Zhang, Rainforth, Jeng, Bengio: "Robust scheduling with
//! GFlowNets", 2023; after Richter, Boustati, Nüsken, Ruiz, Akyildiz: "VarGrad", 2020).

use super::{Gradients, Objective, ResidualLoss, Terms};

/// The variance, over the trajectories of a batch, of the score
/// `s = Σ log P_F(s_t+1 | s_t) - Σ log P_B(s_t | s_t+1) - log R(x)`: the mean of `(s - mean s)²`.
///
/// Where every trajectory is balanced all scores are -log Z: trajectory balance with the log Z that
/// is best for the batch. The loss does not depend on the parameter log Z; so that it says what the
/// policy knows, its gradient here is that of `(log Z + mean s)²` with the scores held fixed.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogPartitionVariance {
    /// In the place of the square.
    pub residual: ResidualLoss,
}

impl Objective for LogPartitionVariance {
    fn loss(&self, terms: &Terms, gradients: &mut Gradients) -> f64 {
        gradients.reset(terms);
        let share = 1.0 / terms.log_reward.len() as f64;
        let score = |(transitions, log_reward): (std::ops::Range<usize>, f64)| {
            let log_pf: f64 = terms.log_pf[transitions.clone()].iter().sum();
            let log_pb: f64 = terms.log_pb[transitions].iter().sum();
            log_pf - log_pb - log_reward
        };
        let scores: Vec<f64> = terms.trajectories().map(score).collect();
        let mean = share * scores.iter().sum::<f64>();
        let losses: Vec<(f64, f64)> =
            scores.iter().map(|score| self.residual.at(score - mean)).collect();
        // Each score is in the mean too; for the square this is 0.
        let mean_slope = share * losses.iter().map(|(_, slope)| slope).sum::<f64>();
        for ((transitions, _), (_, slope)) in terms.trajectories().zip(&losses) {
            let slope = share * (slope - mean_slope);
            gradients.log_pf[transitions.clone()].fill(slope);
            gradients.log_pb[transitions].fill(-slope);
        }
        gradients.log_z = 2.0 * (terms.log_z + mean);
        share * losses.iter().map(|(value, _)| value).sum::<f64>()
    }
}
