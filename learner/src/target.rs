//! The target of the objectives that bootstrap: where log F of the later end of a residual comes from,
//! without a gradient.

use tch::TchError;
use tributary_common::run_file::{self, FlowTarget};

use crate::batch::Batch;
use crate::engine::Engine;
use crate::objective::Terms;
use crate::probabilities::Probabilities;

/// Where log F of the later end comes from.
pub enum Target {
    /// The weights in training, with their gradient.
    None,
    /// The weights in training, as if they did not change.
    StopGradient,
    /// Weights that follow those in training: after every `every`-th update they move by `1 - decay` of
    /// the way.
    Network {
        /// Updates.
        every: u64,
        /// What is left of the distance.
        decay: f64,
        /// Memory for their logits.
        logits: Vec<f32>,
    },
}

impl Target {
    /// The one that a run file asks for.
    pub fn of_run(objective: &run_file::Objective) -> Self {
        match objective.target {
            FlowTarget::None => Self::None,
            FlowTarget::StopGradient => Self::StopGradient,
            FlowTarget::Network => Self::Network {
                every: objective.target_every,
                decay: objective.target_decay,
                logits: Vec::new(),
            },
        }
    }

    /// Whether it has weights of its own.
    pub fn is_network(&self) -> bool {
        matches!(self, Self::Network { .. })
    }

    /// Writes the targets of a batch's terms; `logits` are those of the weights in training.
    pub fn write(
        &mut self,
        engine: &mut dyn Engine,
        batch: &Batch,
        logits: &[f32],
        probabilities: &mut Probabilities,
        terms: &mut Terms,
    ) -> Result<(), TchError> {
        match self {
            Self::None => {}
            Self::StopGradient => probabilities.targets(batch, logits, terms),
            Self::Network { logits, .. } => {
                engine.forward_target(&batch.states.features, logits)?;
                probabilities.targets(batch, logits, terms);
            }
        }
        Ok(())
    }

    /// How far its weights go to those in training after so many updates, if they move.
    pub fn follow(&self, updates: u64) -> Option<f64> {
        match self {
            Self::Network { every, decay, .. } => {
                updates.is_multiple_of(*every).then_some(1.0 - decay)
            }
            Self::None | Self::StopGradient => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The target's weight after each of so many updates after which the weight is their number.
    fn followed(every: u64, decay: f64, updates: u64) -> Vec<f64> {
        let target = Target::of_run(&run_file::Objective {
            target: FlowTarget::Network,
            target_every: every,
            target_decay: decay,
            ..run_file::Objective::default()
        });
        let mut weight = 0.0;
        let follow = |update: u64| {
            weight += target.follow(update).unwrap_or(0.0) * (update as f64 - weight);
            weight
        };
        (1..=updates).map(follow).collect()
    }

    #[test]
    fn it_is_copied_every_few_updates_or_follows_them_all() {
        assert_eq!(followed(3, 0.0, 7), [0.0, 0.0, 3.0, 3.0, 3.0, 6.0, 6.0]);
        assert_eq!(followed(1, 0.5, 3), [0.5, 1.25, 2.125]);
        assert_eq!(followed(2, 0.5, 4), [0.0, 1.0, 1.0, 2.5]);
        assert_eq!(Target::StopGradient.follow(1), None);
    }
}
