//! A transformer over the tokens of a sequence, with learned positions and a norm before each part
//! (Xiong et al. 2020, "On Layer Normalization in the Transformer Architecture").
//!
//! A state is read at its start element, which attends to all tokens; where tokens are appended, at
//! its last token, and each element attends to those up to itself only, so that keys and values
//! stay as they are while the sequence grows.

use super::layer::Layers;
use super::sequences::Plan;
use super::{Activation, Backend};
use crate::environment::TokenLayout;

/// What the name of the layer ends with that gives keys and values.
pub(super) const KEY_VALUE: &str = "key_value";

/// The definition of a transformer: its layers by their places.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Transformer {
    embedding: usize,
    blocks: Vec<Block>,
    norm: usize,
    output: usize,
    first_block: usize,
    options: TransformerOptions,
}

/// What can be chosen about a transformer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct TransformerOptions {
    /// Number of blocks.
    pub(super) layers: usize,
    /// Columns of an element between the blocks.
    pub(super) width: usize,
    /// Attention heads of a block; divides the width.
    pub(super) heads: usize,
    /// Columns within the feed-forward layers.
    pub(super) feed_forward: usize,
    /// What follows these.
    pub(super) activation: Activation,
    /// Probability that training leaves out a number of an embedding or of a block's output.
    pub(super) dropout: f64,
}

/// Attention, then a feed-forward layer on each element.
#[derive(Clone, Debug, PartialEq)]
struct Block {
    attention_norm: usize,
    query: usize,
    key_value: usize,
    attention_output: usize,
    feed_forward_norm: usize,
    feed_forward_in: usize,
    feed_forward_out: usize,
}

impl Block {
    fn new(layers: &mut Layers, index: usize, options: &TransformerOptions) -> Self {
        let &TransformerOptions { width, feed_forward, .. } = options;
        let name = |part: &str| format!("blocks.{index}.{part}");
        Self {
            attention_norm: layers.norm(&name("attention_norm"), width),
            query: layers.linear(&name("query"), width, width),
            key_value: layers.linear(&name(KEY_VALUE), width, 2 * width),
            attention_output: layers.linear(&name("attention_output"), width, width),
            feed_forward_norm: layers.norm(&name("feed_forward_norm"), width),
            feed_forward_in: layers.linear(&name("feed_forward_in"), width, feed_forward),
            feed_forward_out: layers.linear(&name("feed_forward_out"), feed_forward, width),
        }
    }
}

impl Transformer {
    /// Over sequences of this layout, with `outputs` columns. `first_block` is the number of its
    /// first block.
    pub(super) fn new(
        layers: &mut Layers,
        layout: TokenLayout,
        options: TransformerOptions,
        outputs: usize,
        first_block: usize,
    ) -> Self {
        let width = options.width;
        let table = layout.vocabulary + layout.positions;
        let embedding = layers.embedding("embedding", table, width, width);
        let blocks = (0..options.layers).map(|i| Block::new(layers, i, &options)).collect();
        let norm = layers.norm("norm", width);
        let output = layers.linear("heads", width, outputs);
        Self { embedding, blocks, norm, output, first_block, options }
    }

    /// Runs it: one output row for each state of the plan.
    pub(super) fn forward<B: Backend>(
        &self,
        backend: &mut B,
        plan: &Plan,
    ) -> Result<B::Tensor, B::Error> {
        let x = backend.embedding_bag(self.embedding, &plan.elements, Activation::Identity)?;
        let mut x = backend.dropout(x, self.options.dropout)?;
        for index in 0..self.blocks.len() {
            x = self.block(backend, index, x, plan)?;
        }
        let normal = backend.layer_norm(self.norm, &x, Activation::Identity)?;
        backend.free(x);
        self.linear(backend, self.output, normal, Activation::Identity)
    }

    /// Of the last block only the elements are computed that states are read from.
    fn block<B: Backend>(
        &self,
        backend: &mut B,
        index: usize,
        mut x: B::Tensor,
        plan: &Plan,
    ) -> Result<B::Tensor, B::Error> {
        let (block, mut queries) = (&self.blocks[index], &plan.all);
        let mut normal = backend.layer_norm(block.attention_norm, &x, Activation::Identity)?;
        let key_value = backend.linear(block.key_value, &normal, Activation::Identity)?;
        if index + 1 == self.blocks.len() {
            queries = &plan.read;
            for tensor in [&mut x, &mut normal] {
                let taken = backend.take_rows(tensor, &plan.rows)?;
                backend.free(std::mem::replace(tensor, taken));
            }
        }
        let query = self.linear(backend, block.query, normal, Activation::Identity)?;
        let (number, heads) = (self.first_block + index, self.options.heads);
        let mixed = backend.attention(number, &query, &key_value, heads, queries)?;
        backend.free(query);
        backend.free(key_value);
        let mixed = self.linear(backend, block.attention_output, mixed, Activation::Identity)?;
        let mixed = backend.dropout(mixed, self.options.dropout)?;
        let x = backend.add(x, mixed)?;
        let normal = backend.layer_norm(block.feed_forward_norm, &x, Activation::Identity)?;
        let wide = self.linear(backend, block.feed_forward_in, normal, self.options.activation)?;
        let fed = self.linear(backend, block.feed_forward_out, wide, Activation::Identity)?;
        let fed = backend.dropout(fed, self.options.dropout)?;
        backend.add(x, fed)
    }

    /// A layer on an input that nobody else needs.
    fn linear<B: Backend>(
        &self,
        backend: &mut B,
        layer: usize,
        input: B::Tensor,
        activation: Activation,
    ) -> Result<B::Tensor, B::Error> {
        let output = backend.linear(layer, &input, activation)?;
        backend.free(input);
        Ok(output)
    }
}
