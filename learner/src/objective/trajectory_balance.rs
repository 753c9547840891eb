//! Trajectory balance (Malkin, Jain, Bengio, Sun, Bengio: "Trajectory balance: improved credit
//! assignment in GFlowNets", 2022).

use super::{Gradients, Objective, Terms};

/// The mean over trajectories of
/// `(log Z + Σ log P_F(s_t+1 | s_t) - Σ log P_B(s_t | s_t+1) - log R(x))²`.
#[derive(Clone, Copy, Debug)]
pub struct TrajectoryBalance;

impl Objective for TrajectoryBalance {
    fn needs_flow(&self) -> bool {
        false
    }

    fn loss(&self, terms: &Terms, gradients: &mut Gradients) -> f64 {
        gradients.reset(terms);
        let trajectories = terms.log_reward.len() as f64;
        let mut loss = 0.0;
        for (bounds, log_reward) in terms.offsets.windows(2).zip(&terms.log_reward) {
            let transitions = bounds[0] as usize..bounds[1] as usize;
            let log_pf: f64 = terms.log_pf[transitions.clone()].iter().sum();
            let log_pb: f64 = terms.log_pb[transitions.clone()].iter().sum();
            let residual = terms.log_z + log_pf - log_pb - log_reward;
            loss += residual * residual / trajectories;
            let gradient = 2.0 * residual / trajectories;
            gradients.log_pf[transitions.clone()].fill(gradient);
            gradients.log_pb[transitions].fill(-gradient);
            gradients.log_z += gradient;
        }
        loss
    }
}
