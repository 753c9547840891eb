//! Training objectives: pure functions of per-step log probabilities, in float64.
//!
//! An objective returns its loss and the gradient with respect to its terms; the trainer takes that
//! gradient on through the network. A new objective is one file and one line in [`objective`].

mod detailed_balance;
mod flow_matching;
mod log_partition_variance;
mod modified_detailed_balance;
mod residual;
mod sub_trajectory_balance;
mod trajectory_balance;
mod transitions;

use std::ops::Range;

use tributary_common::run_file::{self, ObjectiveKind};

pub use detailed_balance::DetailedBalance;
pub use flow_matching::{EdgeFlows, FlowMatching};
pub use log_partition_variance::LogPartitionVariance;
pub use modified_detailed_balance::ModifiedDetailedBalance;
pub use residual::ResidualLoss;
pub use sub_trajectory_balance::SubTrajectoryBalance;
pub use trajectory_balance::TrajectoryBalance;
pub use transitions::{Flow, Slopes};

/// What an objective sees of a batch of trajectories. Trajectory `i` has the transitions
/// `offsets[i]..offsets[i + 1]`: its actions, then its exit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Terms {
    /// Where the transitions of each trajectory start, and the end of the last.
    pub offsets: Vec<u32>,
    /// log P_F of each transition.
    pub log_pf: Vec<f64>,
    /// log P_B of undoing each transition; 0 for the exit.
    pub log_pb: Vec<f64>,
    /// log F of the state in which each transition starts; empty unless the objective
    /// [needs flows](run_file::Objective::needs_flow). Not read in the initial state, where it is
    /// log Z.
    pub log_flow: Vec<f64>,
    /// log P_F of the exit in the state in which each transition starts; empty unless the objective
    /// [needs states' rewards](run_file::Objective::needs_state_rewards).
    pub log_stop: Vec<f64>,
    /// log R of the state in which each transition starts; empty where `log_stop` is.
    pub state_log_reward: Vec<f64>,
    /// log R of each trajectory's object.
    pub log_reward: Vec<f64>,
    /// log Z.
    pub log_z: f64,
    /// `log_flow` where it is the later end of a residual, and without a gradient; empty where the
    /// later end is `log_flow` itself.
    pub target_log_flow: Vec<f64>,
    /// The same of `log_stop`.
    pub target_log_stop: Vec<f64>,
    /// log F of edges; empty unless the objective
    /// [needs them](run_file::Objective::needs_edge_flows).
    pub edges: EdgeFlows,
}

impl Terms {
    /// The transitions of each trajectory, and its log R.
    pub fn trajectories(&self) -> impl Iterator<Item = (Range<usize>, f64)> {
        let transitions = self.offsets.windows(2).map(|w| w[0] as usize..w[1] as usize);
        transitions.zip(self.log_reward.iter().copied())
    }
}

/// The gradient of the loss with respect to [`Terms`], in the same shape; none with respect to the
/// rewards and the targets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gradients {
    /// With respect to `log_pf`.
    pub log_pf: Vec<f64>,
    /// With respect to `log_pb`.
    pub log_pb: Vec<f64>,
    /// With respect to `log_flow`; empty if that is.
    pub log_flow: Vec<f64>,
    /// With respect to `log_stop`; empty if that is.
    pub log_stop: Vec<f64>,
    /// With respect to `log_z`.
    pub log_z: f64,
    /// With respect to `edges.log_flow`; empty if that is.
    pub edges: Vec<f64>,
}

impl Gradients {
    /// Zeros in the shape of the terms.
    pub fn reset(&mut self, terms: &Terms) {
        for (gradient, term) in [
            (&mut self.log_pf, &terms.log_pf),
            (&mut self.log_pb, &terms.log_pb),
            (&mut self.log_flow, &terms.log_flow),
            (&mut self.log_stop, &terms.log_stop),
            (&mut self.edges, &terms.edges.log_flow),
        ] {
            gradient.clear();
            gradient.resize(term.len(), 0.0);
        }
        self.log_z = 0.0;
    }
}

/// A training objective.
pub trait Objective: Send {
    /// The loss, a weighted mean of the losses of residuals; writes its gradient.
    fn loss(&self, terms: &Terms, gradients: &mut Gradients) -> f64;
}

/// The objective that a run file asks for.
pub fn objective(wanted: &run_file::Objective) -> Box<dyn Objective> {
    let residual = ResidualLoss::of_run(wanted);
    let flow = Flow { forward_looking: wanted.forward_looking };
    match wanted.kind {
        ObjectiveKind::TrajectoryBalance => Box::new(TrajectoryBalance { residual }),
        ObjectiveKind::SubTrajectoryBalance => Box::new(SubTrajectoryBalance::of_run(wanted)),
        ObjectiveKind::DetailedBalance => Box::new(DetailedBalance { residual, flow }),
        ObjectiveKind::ModifiedDetailedBalance => Box::new(ModifiedDetailedBalance { residual }),
        ObjectiveKind::LogPartitionVariance => Box::new(LogPartitionVariance { residual }),
        ObjectiveKind::FlowMatching => Box::new(FlowMatching { residual, alpha: wanted.alpha }),
    }
}

#[cfg(test)]
mod tests;
