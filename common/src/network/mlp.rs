//! A multi-layer perceptron over one-hot inputs: hidden layers, one linear output that holds all
//! heads.

use super::layer::Layers;
use super::{Activation, Backend, Ragged};

/// The definition of a multi-layer perceptron.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mlp {
    hidden: Vec<Hidden>,
    output: usize,
    activation: Activation,
    dropout: f64,
}

/// A hidden layer and its norm, if there is one, by their places.
#[derive(Clone, Debug, PartialEq)]
struct Hidden {
    layer: usize,
    norm: Option<usize>,
}

/// What can be chosen about a multi-layer perceptron.
#[derive(Clone, Copy, Debug)]
pub(super) struct MlpOptions<'a> {
    /// Widths of the hidden layers, first to last.
    pub(super) hidden: &'a [usize],
    /// Whether hidden layers are normalized before their activation.
    pub(super) layer_norm: bool,
    /// What follows them.
    pub(super) activation: Activation,
    /// Probability that training leaves out a hidden number.
    pub(super) dropout: f64,
}

impl Mlp {
    /// `features` one-hot inputs, `outputs` columns.
    pub(super) fn new(
        layers: &mut Layers,
        features: usize,
        options: MlpOptions<'_>,
        outputs: usize,
    ) -> Self {
        let MlpOptions { activation, dropout, .. } = options;
        let mut inputs = features;
        let mut place = |name: &str, inputs: usize, outputs: usize, is_first: bool| {
            if is_first {
                layers.embedding(name, inputs, outputs, inputs)
            } else {
                layers.linear(name, inputs, outputs)
            }
        };
        let mut hidden = Vec::new();
        for (i, &width) in options.hidden.iter().enumerate() {
            let layer = place(&format!("hidden.{i}"), inputs, width, i == 0);
            hidden.push(Hidden { layer, norm: None });
            inputs = width;
        }
        let output = place("heads", inputs, outputs, hidden.is_empty());
        if options.layer_norm {
            for (i, (hidden, &width)) in hidden.iter_mut().zip(options.hidden).enumerate() {
                hidden.norm = Some(layers.norm(&format!("norm.{i}"), width));
            }
        }
        Self { hidden, output, activation, dropout }
    }

    /// Runs it: one output row for each row of active features.
    pub(super) fn forward<B: Backend>(
        &self,
        backend: &mut B,
        features: &Ragged,
    ) -> Result<B::Tensor, B::Error> {
        let mut x = None;
        for Hidden { layer, norm } in &self.hidden {
            let activation = if norm.is_some() { Activation::Identity } else { self.activation };
            let mut next = Self::layer(backend, *layer, x.take(), features, activation)?;
            if let Some(norm) = norm {
                let normal = backend.layer_norm(*norm, &next, self.activation)?;
                backend.free(std::mem::replace(&mut next, normal));
            }
            x = Some(backend.dropout(next, self.dropout)?);
        }
        Self::layer(backend, self.output, x, features, Activation::Identity)
    }

    /// Its layers, first to last; none if there is more to it than they and ReLU between them.
    pub(super) fn chain(&self) -> Option<Vec<usize>> {
        let is_plain = self.hidden.iter().all(|hidden| hidden.norm.is_none())
            && self.dropout == 0.0
            && self.activation == Activation::Relu;
        let hidden = self.hidden.iter().map(|hidden| hidden.layer);
        is_plain.then(|| hidden.chain([self.output]).collect())
    }

    /// A layer on the output of the one before, or the first on the features.
    fn layer<B: Backend>(
        backend: &mut B,
        layer: usize,
        input: Option<B::Tensor>,
        features: &Ragged,
        activation: Activation,
    ) -> Result<B::Tensor, B::Error> {
        let Some(input) = input else {
            return backend.embedding_bag(layer, features, activation);
        };
        let output = backend.linear(layer, &input, activation)?;
        backend.free(input);
        Ok(output)
    }
}
