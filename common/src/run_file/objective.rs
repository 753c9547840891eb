//! `[objective]`: what the policy is trained to balance.

use super::keys::{Config, Keys};
use crate::choices;

choices! {
    /// The balance condition whose residuals the loss is made of.
    pub enum ObjectiveKind {
        /// Of whole trajectories, with log Z.
        TrajectoryBalance = "trajectory_balance",
        /// Of all parts of a trajectory, with log F of the states.
        SubTrajectoryBalance = "sub_trajectory_balance",
        /// Of single transitions, with log F of the states.
        DetailedBalance = "detailed_balance",
        /// Of single transitions, with log R of the states in the place of log F.
        ModifiedDetailedBalance = "modified_detailed_balance",
        /// Of whole trajectories, with the batch's mean in the place of log Z.
        LogPartitionVariance = "log_partition_variance",
        /// Of single states: what flows in, over all edges, and what flows out.
        FlowMatching = "flow_matching",
    }
}

choices! {
    /// Where log F of the later end of a residual comes from, in the objectives that bootstrap.
    pub enum FlowTarget {
        /// The weights in training, which both ends move.
        None = "none",
        /// The weights in training, which only the earlier end moves.
        StopGradient = "stop_gradient",
        /// Weights of its own that follow those in training.
        Network = "network",
    }
}

choices! {
    /// How much each part of a trajectory counts in sub-trajectory balance. A part of `l`
    /// transitions lies in a trajectory of `n`.
    pub enum Weighting {
        /// `lambda^l`, the same sum for each trajectory.
        GeometricWithin = "geometric_within",
        /// `lambda^l` for the mean over all parts of length `l` in the batch.
        Geometric = "geometric",
        /// The same for all parts of a trajectory, the same sum for each trajectory.
        EqualWithin = "equal_within",
        /// The same for all parts in the batch.
        Equal = "equal",
        /// Whole trajectories only.
        TrajectoryBalance = "TB",
        /// Single transitions only, the same for all in the batch.
        DetailedBalance = "DB",
        /// Single transitions only, the same sum for each trajectory.
        ModifiedDetailedBalance = "ModifiedDB",
    }
}

choices! {
    /// The loss of one residual; all are its square near 0.
    pub enum Residual {
        /// Its square.
        Squared = "squared",
        /// Its square up to a threshold, a line beyond.
        Huber = "huber",
        /// Twice the logarithm of its hyperbolic cosine.
        LogCosh = "log_cosh",
    }
}

/// `[objective]`
#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    /// The loss.
    pub kind: ObjectiveKind,
    /// How the parts of a trajectory are weighted; of sub-trajectory balance.
    pub weighting: Weighting,
    /// Of the geometric weightings.
    pub lambda: f64,
    /// Whether log F(s) is learned as log R(s) plus a rest; of the objectives that need log F.
    pub forward_looking: bool,
    /// The loss of one residual.
    pub residual: Residual,
    /// Where `huber` turns from a parabola to a line, in nats.
    pub huber_threshold: f64,
    /// Of flow matching: how much the exits' edges count, which should carry R, beside the states.
    pub alpha: f64,
    /// Where log F of the later end of a residual comes from.
    pub target: FlowTarget,
    /// Updates between two moves of the target network.
    pub target_every: u64,
    /// What a move keeps of the target network; 0 copies the weights.
    pub target_decay: f64,
    /// What a lower log R becomes in training.
    pub log_reward_min: f64,
}

impl Default for Objective {
    fn default() -> Self {
        Self {
            kind: ObjectiveKind::TrajectoryBalance,
            weighting: Weighting::GeometricWithin,
            lambda: 0.9,
            forward_looking: false,
            residual: Residual::Squared,
            huber_threshold: 1.0,
            alpha: 1.0,
            target: FlowTarget::None,
            target_every: 1,
            target_decay: 0.99,
            log_reward_min: -100.0,
        }
    }
}

impl Objective {
    /// Whether the network has a head for log F.
    pub fn needs_flow(&self) -> bool {
        match self.kind {
            ObjectiveKind::SubTrajectoryBalance => self.weighting != Weighting::TrajectoryBalance,
            ObjectiveKind::DetailedBalance => true,
            ObjectiveKind::TrajectoryBalance
            | ObjectiveKind::ModifiedDetailedBalance
            | ObjectiveKind::LogPartitionVariance
            | ObjectiveKind::FlowMatching => false,
        }
    }

    /// Whether the forward logits are log F of the edges, so that those into each state are needed
    /// too.
    pub fn needs_edge_flows(&self) -> bool {
        self.kind == ObjectiveKind::FlowMatching
    }

    /// Whether P_B is in its loss, so that it can be learned.
    pub fn needs_backward(&self) -> bool {
        self.kind != ObjectiveKind::FlowMatching
    }

    /// Whether the later end of its residuals is learned, so that it can be a target.
    pub fn bootstraps(&self) -> bool {
        self.needs_flow()
            || matches!(
                self.kind,
                ObjectiveKind::ModifiedDetailedBalance | ObjectiveKind::FlowMatching
            )
    }

    /// Whether it needs log R of every state on the way, not only of the finished objects.
    pub fn needs_state_rewards(&self) -> bool {
        self.forward_looking || self.kind == ObjectiveKind::ModifiedDetailedBalance
    }
}

impl Config for Objective {
    fn declare(&mut self, keys: &mut Keys<'_>) {
        keys.key("kind", &mut self.kind, "the loss");
        let parts = self.kind == ObjectiveKind::SubTrajectoryBalance;
        keys.key("weighting", &mut self.weighting, "how the parts of a trajectory are weighted")
            .only(parts, "with kind = \"sub_trajectory_balance\"");
        let geometric = matches!(self.weighting, Weighting::GeometricWithin | Weighting::Geometric);
        let lambda = "weight of a part of a trajectory over that of one a transition shorter";
        keys.key("lambda", &mut self.lambda, lambda)
            .only(parts && geometric, "with weighting = \"geometric_within\" or \"geometric\"")
            .above(0.0);
        let flow = self.needs_flow();
        let forward_looking = "whether log F(s) is learned as log R(s) plus a rest";
        keys.key("forward_looking", &mut self.forward_looking, forward_looking).only(
            flow,
            "with kind = \"sub_trajectory_balance\" (not its weighting = \"TB\") or \
             \"detailed_balance\"",
        );
        keys.key("residual", &mut self.residual, "the loss of one residual");
        let threshold = "where huber turns from a parabola to a line, in nats";
        keys.key("huber_threshold", &mut self.huber_threshold, threshold)
            .only(self.residual == Residual::Huber, "with residual = \"huber\"")
            .above(0.0);
        let edges = self.needs_edge_flows();
        let alpha = "weight of the exits' edges, which should carry R, beside that of the states";
        keys.key("alpha", &mut self.alpha, alpha)
            .only(edges, "with kind = \"flow_matching\"")
            .above(0.0);
        self.declare_target(keys);
        let least = "what a lower log R becomes in training, that of R = 0 among them";
        keys.key("log_reward_min", &mut self.log_reward_min, least);
    }
}

impl Objective {
    fn declare_target(&mut self, keys: &mut Keys<'_>) {
        let bootstraps = self.bootstraps();
        let target = "where log F of the later end of a residual comes from";
        keys.key("target", &mut self.target, target).only(
            bootstraps,
            "with kind = \"sub_trajectory_balance\" (not its weighting = \"TB\"), \
             \"detailed_balance\", \"modified_detailed_balance\" or \"flow_matching\": the others \
             do not bootstrap",
        );
        let network = self.target == FlowTarget::Network;
        let with_network = "with target = \"network\"";
        let every = "updates between two moves of the target network";
        keys.key("target_every", &mut self.target_every, every)
            .only(network, with_network)
            .at_least(1);
        let decay = "what a move keeps of the target network; 0 copies the weights";
        keys.key("target_decay", &mut self.target_decay, decay)
            .only(network, with_network)
            .at_least(0.0)
            .below(1.0);
    }
}
