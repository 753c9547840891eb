//! A multi-layer perceptron over one-hot inputs: hidden layers with ReLU, one linear output that
//! holds all heads.

use super::{Activation, Backend, Layer, LayerKind, Ragged};

/// The definition of a multi-layer perceptron.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mlp {
    layers: Vec<Layer>,
}

impl Mlp {
    /// `features` one-hot inputs, the widths of the hidden layers, `outputs` columns.
    pub fn new(features: usize, hidden: &[usize], outputs: usize) -> Self {
        let mut layers = Vec::new();
        let mut inputs = features;
        for (i, width) in hidden.iter().chain([&outputs]).enumerate() {
            let name = if i < hidden.len() { format!("hidden.{i}") } else { "heads".to_string() };
            let kind = if i == 0 { LayerKind::Embedding } else { LayerKind::Linear };
            layers.push(Layer { name, kind, inputs, outputs: *width });
            inputs = *width;
        }
        Self { layers }
    }

    /// Its layers, first to last.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Runs it: one output row for each row of active features.
    pub fn forward<B: Backend>(&self, backend: &mut B, features: &Ragged) -> B::Tensor {
        let last = self.layers.len() - 1;
        let activation = |i| if i == last { Activation::Identity } else { Activation::Relu };
        let mut x = backend.embedding_bag(0, features, activation(0));
        for i in 1..=last {
            x = backend.linear(i, x, activation(i));
        }
        x
    }
}
