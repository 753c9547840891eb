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
    /// that of the part of a trajectory from s_i to s_j is the sum of the δ_t between, and the
    /// [gap](Self::gaps) of the last.
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

    /// For each transition, by how much log F of the state that it leads to is above its target:
    /// what a residual that ends there has beside the δ_t. 0 where there is no target, and at exits.
    pub fn gaps(self, terms: &Terms) -> Vec<f64> {
        let mut gaps = vec![0.0; terms.log_pf.len()];
        if terms.target_log_flow.is_empty() {
            return gaps;
        }
        for (transitions, _) in terms.trajectories() {
            for t in transitions.start + 1..transitions.end {
                gaps[t - 1] = terms.log_flow[t] - terms.target_log_flow[t];
            }
        }
        gaps
    }

    /// Adds to the gradient with respect to the terms, from the sums of the slopes of the residuals
    /// that contain each transition and of those that start with it.
    pub fn take_back(self, slopes: &Slopes, terms: &Terms, gradients: &mut Gradients) {
        let Slopes { around, starting } = slopes;
        let has_target = !terms.target_log_flow.is_empty();
        for (transitions, _) in terms.trajectories() {
            gradients.log_z += around[transitions.start];
            for t in transitions.clone() {
                gradients.log_pf[t] += around[t];
                gradients.log_pb[t] -= around[t];
                if let Some(flow) = gradients.log_flow.get_mut(t)
                    && t > transitions.start
                {
                    *flow += if has_target { starting[t] } else { around[t] - around[t - 1] };
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

/// Sums of the derivatives of the loss with respect to residuals, for each transition.
#[derive(Clone, Debug)]
pub struct Slopes {
    /// Over the parts of its trajectory that contain the transition.
    pub around: Vec<f64>,
    /// Over those that start with it: where the later end is a target, all that moves log F.
    pub starting: Vec<f64>,
}

impl Slopes {
    /// Zeros for so many transitions.
    pub fn new(transitions: usize) -> Self {
        Self { around: vec![0.0; transitions], starting: vec![0.0; transitions] }
    }
}
