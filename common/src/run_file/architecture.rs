//! The keys of `[policy]` that say what the network is.

use super::keys::{Config, Keys};
use crate::choices;

choices! {
    /// The kind of network.
    pub enum NetworkKind {
        /// A multi-layer perceptron over the one-hot inputs.
        Mlp = "mlp",
        /// A transformer over the tokens of a sequence.
        Transformer = "transformer",
    }
}

choices! {
    /// What follows the hidden layers.
    pub enum ActivationKind {
        /// max(0, x).
        Relu = "relu",
        /// x times the normal distribution function of x.
        Gelu = "gelu",
    }
}

/// The network that the policy is read from.
#[derive(Clone, Debug, PartialEq)]
pub struct Architecture {
    /// Its kind.
    pub network: NetworkKind,
    /// Of the mlp: width of each hidden layer, first to last; none for a linear policy.
    pub hidden: Vec<usize>,
    /// Of the mlp: whether each hidden layer is normalized before its activation.
    pub layer_norm: bool,
    /// Of the transformer: attention layers, each followed by a feed-forward layer.
    pub layers: usize,
    /// Of the transformer: numbers for each token between the layers.
    pub width: usize,
    /// Of the transformer: attention heads of each layer; 8, or what divides the width.
    pub heads: usize,
    /// Of the transformer: width of the feed-forward layers; 4 times `width` unless it is given.
    pub feed_forward: usize,
    /// What follows the hidden layers.
    pub activation: ActivationKind,
    /// Probability that training leaves out a hidden number.
    pub dropout: f64,
}

impl Default for Architecture {
    fn default() -> Self {
        Self {
            network: NetworkKind::Mlp,
            hidden: vec![256, 256],
            layer_norm: false,
            layers: 3,
            width: 64,
            heads: 8,
            feed_forward: 256,
            activation: ActivationKind::Relu,
            dropout: 0.0,
        }
    }
}

impl Config for Architecture {
    fn declare(&mut self, keys: &mut Keys<'_>) {
        keys.key("network", &mut self.network, "the architecture of the policy network");
        let (mlp, with_mlp) = (self.network == NetworkKind::Mlp, "with network = \"mlp\"");
        keys.key("hidden", &mut self.hidden, "widths of the hidden layers")
            .only(mlp, with_mlp)
            .must("have widths from 1 to 65536", |widths| {
                widths.iter().all(|width| (1..=65_536).contains(width))
            })
            .must("have at most 64 layers", |widths| widths.len() <= 64);
        let layer_norm = "whether each hidden layer is normalized before its activation";
        keys.key("layer_norm", &mut self.layer_norm, layer_norm).only(mlp, with_mlp);
        self.declare_transformer(keys);
        keys.key("activation", &mut self.activation, "what follows the hidden layers");
        let dropout = "probability that training leaves out a hidden number";
        keys.key("dropout", &mut self.dropout, dropout).at_least(0.0).below(1.0);
    }
}

impl Architecture {
    fn declare_transformer(&mut self, keys: &mut Keys<'_>) {
        let (applies, where_it_does) =
            (self.network == NetworkKind::Transformer, "with network = \"transformer\"");
        keys.key("layers", &mut self.layers, "attention layers, each with a feed-forward layer")
            .only(applies, where_it_does)
            .at_least(1)
            .at_most(64);
        keys.key("width", &mut self.width, "numbers for each token between the layers")
            .only(applies, where_it_does)
            .at_least(1)
            .at_most(8_192);
        let width = self.width;
        let usual = [8, 4, 2].into_iter().find(|heads| width.is_multiple_of(*heads)).unwrap_or(1);
        keys.key("heads", &mut self.heads, "attention heads of each layer")
            .or(usual)
            .only(applies, where_it_does)
            .at_least(1)
            .must("divide `width`", |&heads| heads > 0 && width.is_multiple_of(heads));
        keys.key("feed_forward", &mut self.feed_forward, "width of the feed-forward layers")
            .or(4 * width)
            .only(applies, where_it_does)
            .at_least(1)
            .at_most(65_536);
    }
}
