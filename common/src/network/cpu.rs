//! The CPU backend: pure Rust, one thread, weights packed once for each snapshot.
//!
//! A row's result does not depend on the batch that it is in.

use std::sync::Arc;

use super::kernels::{self, PackedEmbedding, PackedLinear};
use super::{Activation, Backend, Heads, LayerKind, Network, Ragged, Weights};

/// A network with one snapshot of weights, ready to run; shared by threads, never changed.
pub struct Snapshot {
    network: Arc<Network>,
    weights: Weights,
    layers: Vec<Packed>,
}

enum Packed {
    Embedding(PackedEmbedding),
    Linear(PackedLinear),
}

impl Snapshot {
    /// Packs weights that belong to the network (as [`Weights::from_bytes`] guarantees).
    pub fn new(network: Arc<Network>, weights: Weights) -> Self {
        let mut left = weights.values.as_slice();
        let mut take = |count| {
            let (taken, rest) = left.split_at(count);
            left = rest;
            taken
        };
        let layers = network
            .layers()
            .iter()
            .map(|layer| {
                let weight = take(layer.inputs * layer.outputs);
                let bias = take(layer.outputs);
                match layer.kind {
                    LayerKind::Embedding => Packed::Embedding(PackedEmbedding::new(weight, bias)),
                    LayerKind::Linear => {
                        Packed::Linear(PackedLinear::new(weight, bias, layer.inputs, layer.outputs))
                    }
                }
            })
            .collect();
        Self { network, weights, layers }
    }

    /// The weights themselves.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// What the output rows hold.
    pub fn heads(&self) -> Heads {
        self.network.heads
    }

    /// Output rows of states, `[rows, heads.width()]`, in `scratch`'s memory until its next use.
    pub fn forward<'s>(&self, scratch: &'s mut Scratch, features: &Ragged) -> &'s [f32] {
        let output = self.network.forward(&mut Run { snapshot: self, scratch }, features);
        scratch.spare.push(output);
        scratch.spare.last().map_or(&[], Vec::as_slice)
    }
}

/// The instructions that this processor runs networks with: "avx512", "avx2" or "portable".
pub fn instructions() -> &'static str {
    kernels::instructions()
}

/// Memory that is used again from one run to the next; one for each thread.
#[derive(Default)]
pub struct Scratch {
    spare: Vec<Vec<f32>>,
}

struct Run<'a> {
    snapshot: &'a Snapshot,
    scratch: &'a mut Scratch,
}

impl Run<'_> {
    fn output(&mut self, rows: usize, layer: usize) -> Vec<f32> {
        let mut output = self.scratch.spare.pop().unwrap_or_default();
        output.resize(rows * self.snapshot.network.layers()[layer].outputs, 0.0);
        output
    }
}

impl Backend for Run<'_> {
    type Tensor = Vec<f32>;

    fn embedding_bag(&mut self, layer: usize, rows: &Ragged, activation: Activation) -> Vec<f32> {
        let mut output = self.output(rows.rows(), layer);
        if let Packed::Embedding(packed) = &self.snapshot.layers[layer] {
            packed.forward(&rows.values, &rows.offsets, activation, &mut output);
        }
        output
    }

    fn linear(&mut self, layer: usize, input: Vec<f32>, activation: Activation) -> Vec<f32> {
        let rows = input.len() / self.snapshot.network.layers()[layer].inputs;
        let mut output = self.output(rows, layer);
        if let Packed::Linear(packed) = &self.snapshot.layers[layer] {
            packed.forward(&input, rows, activation, &mut output);
        }
        self.scratch.spare.push(input);
        output
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ids::PolicyVersion;
    use crate::network::Heads;
    use crate::network::mlp::Mlp;
    use crate::random::{Purpose, Stream};

    fn network() -> Network {
        let heads = Heads { forward: 3, backward: 2, ..Heads::default() };
        Network { heads, body: Mlp::new(10, &[20, 7], heads.width()) }
    }

    fn snapshot(network: Network) -> Snapshot {
        let values = network.initial_values(5);
        let version = PolicyVersion::default();
        Snapshot::new(Arc::new(network), Weights { version, log_z: 0.0, generated: 0, values })
    }

    /// The same network in float64, layer by layer.
    fn naive(snapshot: &Snapshot, active: &[u32]) -> Vec<f64> {
        let mut left = snapshot.weights.values.iter().map(|v| f64::from(*v));
        let mut x: Vec<f64> = (0..10).map(|i| f64::from(active.contains(&i))).collect();
        for layer in snapshot.network.layers() {
            let weight: Vec<f64> = left.by_ref().take(layer.inputs * layer.outputs).collect();
            let bias: Vec<f64> = left.by_ref().take(layer.outputs).collect();
            let at = |input: usize, output: usize| match layer.kind {
                LayerKind::Embedding => weight[input * layer.outputs + output],
                LayerKind::Linear => weight[output * layer.inputs + input],
            };
            let last = layer.name == "heads";
            x = (0..layer.outputs)
                .map(|o| bias[o] + x.iter().enumerate().map(|(i, v)| v * at(i, o)).sum::<f64>())
                .map(|v| if last { v } else { v.max(0.0) })
                .collect();
        }
        x
    }

    #[test]
    fn rows_are_those_of_the_definition_whatever_the_batch() {
        let snapshot = snapshot(network());
        let mut random = Stream::new(1, Purpose::Walk, 0, 0);
        let rows: Vec<Vec<u32>> =
            (0..37).map(|_| (0..10).filter(|_| random.below(3) == 0).collect()).collect();
        let mut features = Ragged::default();
        rows.iter().for_each(|row| features.push_with(|out| out.extend(row)));
        let mut scratch = Scratch::default();
        let together = snapshot.forward(&mut scratch, &features).to_vec();
        for (row, output) in rows.iter().zip(together.chunks_exact(snapshot.heads().width())) {
            for (ours, exact) in output.iter().zip(naive(&snapshot, row)) {
                assert!((f64::from(*ours) - exact).abs() < 1e-5, "{ours} is not {exact}");
            }
            features.clear();
            features.push_with(|out| out.extend(row));
            assert_eq!(output, snapshot.forward(&mut scratch, &features), "alone or in a batch");
        }
    }

    #[test]
    fn weights_survive_their_bytes_and_fit_no_other_network() {
        let network = network();
        let snapshot = snapshot(network.clone());
        let bytes = snapshot.weights().to_bytes(&network).unwrap();
        assert_eq!(&Weights::from_bytes(&network, &bytes).unwrap(), snapshot.weights());
        let mut other = network.clone();
        other.body = Mlp::new(11, &[20, 7], other.heads.width());
        assert!(Weights::from_bytes(&other, &bytes).is_err());
        for cut in [0, 7, 8, bytes.len() / 2, bytes.len() - 1] {
            assert!(Weights::from_bytes(&network, &bytes[..cut]).is_err(), "cut at {cut}");
        }
        let mut infinite = snapshot.weights().clone();
        infinite.values[3] = f32::INFINITY;
        let bytes = infinite.to_bytes(&network).unwrap();
        assert!(Weights::from_bytes(&network, &bytes).is_err());
    }
}
