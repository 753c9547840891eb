//! The policy network in training: its parameters in libtorch, and its passes by whoever is faster.
//!
//! A small perceptron on the CPU is computed by our own kernels
//! ([`Passes`]): libtorch's operations each cost microseconds and memory of their own. All else, and
//! everything on CUDA, is libtorch's. `docs/adr/0002-own-passes-of-small-perceptrons.md` says why.

use std::sync::Arc;

use tch::{Device, TchError, Tensor};
use tributary_common::network::cpu::Passes;
use tributary_common::network::{Network, Ragged};

use crate::torch::{Logits, TorchNetwork, to_host};

/// A network that is trained.
pub struct TrainedNetwork {
    /// Its parameters.
    pub torch: TorchNetwork,
    own: Option<Own>,
}

struct Own {
    passes: Passes,
    weights: Vec<f32>,
    gradient: Vec<f32>,
}

/// A forward pass from which there is a way back.
pub struct Forward(Option<Logits>);

impl TrainedNetwork {
    /// With these parameters, on as many threads as libtorch has.
    ///
    /// # Errors
    /// libtorch's.
    pub fn new(network: Network, values: &[f32], device: Device) -> Result<Self, TchError> {
        let threads = usize::try_from(tch::get_num_threads()).unwrap_or(1);
        let on_cpu = device == Device::Cpu;
        let passes = on_cpu.then(|| Passes::new(Arc::new(network.clone()), threads)).flatten();
        let own = |passes| Own { passes, weights: Vec::new(), gradient: Vec::new() };
        Ok(Self { torch: TorchNetwork::new(network, values, device)?, own: passes.map(own) })
    }

    /// Writes the logits of states, `[features.rows(), heads.width()]`; dropout draws with this seed.
    ///
    /// # Errors
    /// libtorch's, or a feature that is none of the network's.
    pub fn forward(
        &mut self,
        features: &Ragged,
        dropout: u64,
        logits: &mut Vec<f32>,
    ) -> Result<Forward, TchError> {
        let Some(Own { passes, weights, .. }) = &mut self.own else {
            let forward = self.torch.forward_in_training(features, dropout)?;
            forward.to_host(logits)?;
            return Ok(Forward(Some(forward)));
        };
        self.torch.check(features)?;
        to_host(&self.torch.flat, weights)?;
        passes.set_weights(weights);
        passes.forward(features, logits);
        Ok(Forward(None))
    }

    /// The gradient of the parameters, flat, given that of the logits of the last forward pass in
    /// their shape.
    ///
    /// # Errors
    /// libtorch's.
    pub fn backward(&mut self, forward: Forward, gradient: &[f32]) -> Result<Tensor, TchError> {
        match (forward.0, &mut self.own) {
            (None, Some(own)) => {
                own.passes.backward(gradient, &mut own.gradient);
                Tensor::f_from_slice(&own.gradient)
            }
            (Some(logits), _) => self.torch.backward(logits, gradient),
            (None, None) => Err(TchError::Shape("a forward pass of another network".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tributary_common::environment::{Environment, Hypergrid};
    use tributary_common::random::{Purpose, Stream};
    use tributary_common::run_file::{Architecture, BackwardNetwork};

    use super::*;

    /// The same logits and gradients by both, of the network that runs have by default and of one
    /// for P_B apart.
    #[test]
    fn both_ways_are_the_same() {
        let grid = Hypergrid::new(4, 16).unwrap();
        for own in [BackwardNetwork::Shared, BackwardNetwork::Own] {
            let architecture = Architecture { hidden: vec![256, 256], ..Architecture::default() };
            let network = Network::new(&grid, &architecture, true, own, true);
            let values = network.initial_values(3);
            let mut ours = TrainedNetwork::new(network.clone(), &values, Device::Cpu).unwrap();
            assert!(ours.own.is_some());
            let (mut features, mut random) =
                (Ragged::default(), Stream::new(3, Purpose::Walk, 0, 0));
            for _ in 0..600 {
                let state: Vec<u32> = (0..4).map(|_| random.below(16) as u32).collect();
                features.push_with(|row| grid.active_features(&state, row));
            }
            let size = 600 * network.heads.width();
            let direction: Vec<f32> = (0..size).map(|_| random.uniform() as f32 - 0.5).collect();
            let (mut logits, mut expected) = (Vec::new(), Vec::new());
            let forward = ours.forward(&features, 0, &mut logits).unwrap();
            let theirs = ours.torch.forward(&features).unwrap();
            theirs.to_host(&mut expected).unwrap();
            for (ours, theirs) in logits.iter().zip(&expected) {
                assert!((ours - theirs).abs() < 1e-5, "{ours} {theirs}");
            }
            let mut gradients = [Vec::new(), Vec::new()];
            to_host(&ours.backward(forward, &direction).unwrap(), &mut gradients[0]).unwrap();
            to_host(&ours.torch.backward(theirs, &direction).unwrap(), &mut gradients[1]).unwrap();
            let [ours, theirs] = gradients;
            assert_eq!(ours.len(), theirs.len());
            let largest = theirs.iter().fold(0f32, |most, value| most.max(value.abs()));
            for (ours, theirs) in ours.iter().zip(&theirs) {
                assert!((ours - theirs).abs() < 1e-5 * largest, "{ours} {theirs} {largest}");
            }
        }
    }

    #[test]
    fn a_feature_that_is_not_there_is_an_error() {
        let network = Network::mlp(&Hypergrid::new(2, 4).unwrap(), &[8], true, false);
        let values = network.initial_values(1);
        let mut ours = TrainedNetwork::new(network, &values, Device::Cpu).unwrap();
        let mut features = Ragged::default();
        features.push_with(|row| row.push(99));
        assert!(ours.forward(&features, 0, &mut Vec::new()).is_err());
    }
}
