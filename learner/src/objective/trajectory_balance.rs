//! Trajectory balance (Malkin, Jain, Bengio, Sun, Bengio: "Trajectory balance: improved credit
//! assignment in GFlowNets", 2022).

use super::{Gradients, Objective, ResidualLoss, Terms};

/// The mean over trajectories of
/// `(log Z + Σ log P_F(s_t+1 | s_t) - Σ log P_B(s_t | s_t+1) - log R(x))²`.
#[derive(Clone, Copy, Debug, Default)]
pub struct TrajectoryBalance {
    /// In the place of the square.
    pub residual: ResidualLoss,
}

impl Objective for TrajectoryBalance {
    fn loss(&self, terms: &Terms, gradients: &mut Gradients) -> f64 {
        gradients.reset(terms);
        let share = 1.0 / terms.log_reward.len() as f64;
        let mut loss = 0.0;
        for (transitions, log_reward) in terms.trajectories() {
            let log_pf: f64 = terms.log_pf[transitions.clone()].iter().sum();
            let log_pb: f64 = terms.log_pb[transitions.clone()].iter().sum();
            let (value, slope) = self.residual.at(terms.log_z + log_pf - log_pb - log_reward);
            loss += share * value;
            gradients.log_pf[transitions.clone()].fill(share * slope);
            gradients.log_pb[transitions].fill(-share * slope);
            gradients.log_z += share * slope;
        }
        loss
    }
}
