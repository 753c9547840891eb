//! The residuals of single transitions, of which detailed and sub-trajectory balance are made.

use super::{Gradients, Terms};

/// log F of the states, as these objectives read it: log Z in the initial state, log R after the
/// exit, and on the way what the network says; with log R(s) added to it where the flow is
/// forward-looking (Pan, Malkin, Zhang, Bengio: "Better training of GFlowNets with local credit and
/// incomplete trajectories", 2023).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// Whether log R(s) is added.
    pub forward_looking: bool,
}

impl Flow {
    /// The residual of each transition,
    /// `δ_t = log F(s_t) + log P_F(s_t+1 | s_t) - log P_B(s_t | s_t+1) - log F(s_t+1)`;
    /// that of the part of a trajectory from s_i to s_j is the sum of the δ_t between.
    pub fn residuals(self, terms: &Terms) -> Vec<f64> {
        let mut residuals = Vec::with_capacity(terms.log_pf.len());
        for (transitions, log_reward) in terms.trajectories() {
            let last = transitions.end - 1;
            let mut flow = terms.log_z;
            for t in transitions {
                let next = if t == last { log_reward } else { self.log_flow(terms, t + 1) };
                residuals.push(flow + terms.log_pf[t] - terms.log_pb[t] - next);
                flow = next;
            }
        }
        residuals
    }

    /// Adds to the gradient with respect to the terms, from the gradient with respect to the
    /// residuals.
    pub fn take_back(self, slopes: &[f64], terms: &Terms, gradients: &mut Gradients) {
        for (transitions, _) in terms.trajectories() {
            gradients.log_z += slopes[transitions.start];
            for t in transitions.clone() {
                gradients.log_pf[t] += slopes[t];
                gradients.log_pb[t] -= slopes[t];
                if let Some(flow) = gradients.log_flow.get_mut(t)
                    && t > transitions.start
                {
                    *flow += slopes[t] - slopes[t - 1];
                }
            }
        }
    }

    /// log F of the state in which a transition starts; 0 where no network gives it, which only
    /// whole trajectories can do without.
    fn log_flow(self, terms: &Terms, t: usize) -> f64 {
        let learned = terms.log_flow.get(t).copied().unwrap_or(0.0);
        if self.forward_looking { learned + terms.state_log_reward[t] } else { learned }
    }
}
