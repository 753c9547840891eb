//! Training objectives: pure functions of per-step log probabilities, in float64.
//!
//! An objective returns its loss and the gradient with respect to its terms; the trainer takes that
//! gradient on through the network. A new objective is one file and one line in [`objective`].

mod trajectory_balance;

pub use trajectory_balance::TrajectoryBalance;

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
    /// log F of the state in which each transition starts; empty unless
    /// [`Objective::needs_flow`].
    pub log_flow: Vec<f64>,
    /// log R of each trajectory's object.
    pub log_reward: Vec<f64>,
    /// log Z.
    pub log_z: f64,
}

/// The gradient of the loss with respect to [`Terms`], in the same shape.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gradients {
    /// With respect to `log_pf`.
    pub log_pf: Vec<f64>,
    /// With respect to `log_pb`.
    pub log_pb: Vec<f64>,
    /// With respect to `log_flow`; empty if that is.
    pub log_flow: Vec<f64>,
    /// With respect to `log_z`.
    pub log_z: f64,
}

impl Gradients {
    /// Zeros in the shape of the terms.
    pub fn reset(&mut self, terms: &Terms) {
        for (gradient, term) in [
            (&mut self.log_pf, &terms.log_pf),
            (&mut self.log_pb, &terms.log_pb),
            (&mut self.log_flow, &terms.log_flow),
        ] {
            gradient.clear();
            gradient.resize(term.len(), 0.0);
        }
        self.log_z = 0.0;
    }
}

/// A training objective.
pub trait Objective: Send {
    /// Whether it needs log F of the states on the way.
    fn needs_flow(&self) -> bool;

    /// The loss, a mean over the trajectories; writes its gradient.
    fn loss(&self, terms: &Terms, gradients: &mut Gradients) -> f64;
}

/// A name that no objective has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("objective.kind = \"{0}\" is not known; known: \"trajectory_balance\"")]
pub struct UnknownObjective(String);

/// The objective of this name in the run file.
pub fn objective(kind: &str) -> Result<Box<dyn Objective>, UnknownObjective> {
    match kind {
        "trajectory_balance" => Ok(Box::new(TrajectoryBalance)),
        _ => Err(UnknownObjective(kind.to_owned())),
    }
}

#[cfg(test)]
mod tests;
