//! Modified detailed balance (Deleu, Góis, Emezue, Rankawat, Lacoste-Julien, Bauer, Bengio:
//! "Bayesian structure learning with generative flow networks", 2022).

use super::{Gradients, Objective, ResidualLoss, Terms};

/// The mean over the transitions s → s' of a batch, without the exits, of
/// `(log R(s) + log P_F(s' | s) + log P_F(exit | s')
///   - log R(s') - log P_B(s | s') - log P_F(exit | s))²`.
///
/// Where every state can end, F(s) P_F(exit | s) = R(s) gives log F without a network for it;
/// P_F(exit | s') is the target's where there is one. No
/// log Z: it is log R(s_0) - log P_F(exit | s_0), and the parameter's gradient here is that of the
/// square of its distance to that, averaged over the batch and held fixed.
#[derive(Clone, Copy, Debug, Default)]
pub struct ModifiedDetailedBalance {
    /// In the place of the square.
    pub residual: ResidualLoss,
}

impl Objective for ModifiedDetailedBalance {
    fn loss(&self, terms: &Terms, gradients: &mut Gradients) -> f64 {
        gradients.reset(terms);
        let log_flow = |t: usize| terms.state_log_reward[t] - terms.log_stop[t];
        let has_target = !terms.target_log_stop.is_empty();
        let log_stops = if has_target { &terms.target_log_stop } else { &terms.log_stop };
        let next_log_flow = |t: usize| terms.state_log_reward[t] - log_stops[t];
        let trajectories = terms.log_reward.len();
        // Without this a batch of empty trajectories, which have nothing to balance, gives 0 / 0.
        let share = 1.0 / (terms.log_pf.len() - trajectories).max(1) as f64;
        let mut loss = 0.0;
        for (transitions, _) in terms.trajectories() {
            gradients.log_z +=
                2.0 * (terms.log_z - log_flow(transitions.start)) / trajectories as f64;
            for t in transitions.start..transitions.end - 1 {
                let (value, slope) = self
                    .residual
                    .at(log_flow(t) + terms.log_pf[t] - terms.log_pb[t] - next_log_flow(t + 1));
                loss += share * value;
                gradients.log_pf[t] += share * slope;
                gradients.log_pb[t] -= share * slope;
                gradients.log_stop[t] -= share * slope;
                gradients.log_stop[t + 1] += if has_target { 0.0 } else { share * slope };
            }
        }
        loss
    }
}
