//! The target of the objectives that bootstrap: where log F of the later end of a residual comes from,
//! without a gradient.

use tch::{TchError, Tensor};
use tributary_common::network::Network;
use tributary_common::run_file::{self, FlowTarget};

use crate::batch::Batch;
use crate::objective::Terms;
use crate::probabilities::Probabilities;
use crate::torch::{TorchNetwork, assign, to_host};

/// Where log F of the later end comes from.
pub enum Target {
    /// The weights in training, with their gradient.
    None,
    /// The weights in training, as if they did not change.
    StopGradient,
    /// Weights that follow those in training.
    Network(Box<TargetNetwork>),
}

/// Weights that follow those in training: after every `every`-th update they move by `1 - decay` of
/// the way.
pub struct TargetNetwork {
    network: TorchNetwork,
    every: u64,
    decay: f64,
    logits: Vec<f32>,
}

impl Target {
    /// The one that a run file asks for, of a network with these initial weights.
    pub fn of_run(
        objective: &run_file::Objective,
        network: &Network,
        values: &[f32],
        device: tch::Device,
    ) -> Result<Self, TchError> {
        Ok(match objective.target {
            FlowTarget::None => Self::None,
            FlowTarget::StopGradient => Self::StopGradient,
            FlowTarget::Network => Self::Network(Box::new(TargetNetwork {
                network: TorchNetwork::new(network.clone(), values, device)?,
                every: objective.target_every,
                decay: objective.target_decay,
                logits: Vec::new(),
            })),
        })
    }

    /// Writes the targets of a batch's terms; `logits` are those of the weights in training.
    pub fn write(
        &mut self,
        batch: &Batch,
        logits: &[f32],
        probabilities: &mut Probabilities,
        terms: &mut Terms,
    ) -> Result<(), TchError> {
        match self {
            Self::None => {}
            Self::StopGradient => probabilities.targets(batch, logits, terms),
            Self::Network(target) => {
                let _no_grad = tch::no_grad_guard();
                let logits = target.network.forward(&batch.states.features)?;
                logits.to_host(&mut target.logits)?;
                probabilities.targets(batch, &target.logits, terms);
            }
        }
        Ok(())
    }

    /// Follows the weights after an update.
    pub fn follow(&mut self, updates: u64, weights: &Tensor) -> Result<(), TchError> {
        if let Self::Network(target) = self
            && updates.is_multiple_of(target.every)
        {
            let _no_grad = tch::no_grad_guard();
            let _ = target.network.flat.f_lerp_(weights, 1.0 - target.decay)?;
        }
        Ok(())
    }

    /// Its weights, on the host; empty where it has none of its own.
    pub fn weights(&self) -> Result<Vec<f32>, TchError> {
        let mut weights = Vec::new();
        if let Self::Network(target) = self {
            to_host(&target.network.flat, &mut weights)?;
        }
        Ok(weights)
    }

    /// Goes on from these weights.
    pub fn restore(&mut self, weights: &[f32]) -> Result<(), TchError> {
        match self {
            Self::Network(target) => assign(&mut target.network.flat, weights),
            Self::None | Self::StopGradient => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use tch::Device;
    use tributary_common::environment::Hypergrid;

    use super::*;

    fn target(every: u64, decay: f64) -> (Target, usize) {
        let environment = Hypergrid::new(2, 4).unwrap();
        let network = Network::mlp(&environment, &[3], false, true);
        let values = vec![0.0; network.parameter_count()];
        let objective = run_file::Objective {
            target: FlowTarget::Network,
            target_every: every,
            target_decay: decay,
            ..run_file::Objective::default()
        };
        let count = values.len();
        (Target::of_run(&objective, &network, &values, Device::Cpu).unwrap(), count)
    }

    /// The target's weights after each of so many updates after which all weights are their number.
    fn followed(every: u64, decay: f64, updates: u64) -> Vec<f32> {
        let (mut target, count) = target(every, decay);
        (1..=updates)
            .map(|update| {
                target.follow(update, &Tensor::from_slice(&vec![update as f32; count])).unwrap();
                let weights = target.weights().unwrap();
                assert!(weights.iter().all(|weight| *weight == weights[0]));
                weights[0]
            })
            .collect()
    }

    #[test]
    fn it_is_copied_every_few_updates_or_follows_them_all() {
        assert_eq!(followed(3, 0.0, 7), [0.0, 0.0, 3.0, 3.0, 3.0, 6.0, 6.0]);
        assert_eq!(followed(1, 0.5, 3), [0.5, 1.25, 2.125]);
        assert_eq!(followed(2, 0.5, 4), [0.0, 1.0, 1.0, 2.5]);
    }

    #[test]
    fn its_weights_survive_their_way_through_a_state() {
        let (mut target, count) = target(1, 0.5);
        let weights: Vec<f32> = (0..count).map(|i| i as f32).collect();
        target.restore(&weights).unwrap();
        assert_eq!(target.weights().unwrap(), weights);
        assert!(Target::StopGradient.weights().unwrap().is_empty());
    }
}
