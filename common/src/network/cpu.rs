//! The CPU backend: pure Rust, one thread, weights packed once for each snapshot.
//!
//! A row's result does not depend on the batch that it is in.

mod attention;
mod cache;
mod passes;
mod rows;

use std::convert::Infallible;
use std::ops::Range;
use std::sync::Arc;

pub use super::kernels::with_wide_vectors;
pub use cache::Cache;
pub use passes::Passes;

use self::attention::attend;
use self::rows::{gelu, layer_norm};
use super::kernels::{self, PackedEmbedding, PackedLinear};
use super::{Activation, Backend, Heads, LayerKind, Network, Query, Ragged, Sequences, Weights};

/// A network with one snapshot of weights, ready to run; shared by threads, never changed.
pub struct Snapshot {
    network: Arc<Network>,
    weights: Weights,
    layers: Vec<Packed>,
}

enum Packed {
    Embedding(PackedEmbedding),
    Linear(PackedLinear),
    Norm { weight: Vec<f32>, bias: Vec<f32> },
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
                let [weight, bias] = layer.parameters().map(|parameter| take(parameter.len()));
                match layer.kind {
                    LayerKind::Embedding => Packed::Embedding(PackedEmbedding::new(weight, bias)),
                    LayerKind::Linear => {
                        Packed::Linear(PackedLinear::new(weight, bias, layer.inputs, layer.outputs))
                    }
                    LayerKind::Norm => {
                        Packed::Norm { weight: weight.to_vec(), bias: bias.to_vec() }
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
        let run = &mut Run { snapshot: self, scratch, cached: None };
        let Ok(output) = self.network.forward(run, features);
        scratch.keep(output)
    }

    /// The same rows, to the bit, for states that stay in their slots while they grow, row `i` in
    /// slot `slots[i]`: where tokens are appended and the network attends, only what is new since
    /// the slot's last state is computed.
    pub fn forward_in_slots<'s>(
        &self,
        scratch: &'s mut Scratch,
        cache: &mut Cache,
        slots: &[usize],
        features: &Ragged,
    ) -> &'s [f32] {
        let columns = self.network.cached_columns();
        if columns.is_empty() {
            return self.forward(scratch, features);
        }
        let rows = (0..features.rows()).map(|i| features.row(i));
        let known: Vec<usize> =
            slots.iter().zip(rows).map(|(&slot, row)| cache.prepare(slot, row, &columns)).collect();
        let run = &mut Run { snapshot: self, scratch, cached: Some((cache, slots)) };
        let Ok(output) = self.network.forward_continued(run, features, &known);
        scratch.keep(output)
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
    attention: Vec<f32>,
}

impl Scratch {
    /// Rows that are to be overwritten.
    fn take(&mut self, rows: usize, columns: usize) -> Rows {
        let mut values = self.spare.pop().unwrap_or_default();
        values.resize(rows * columns, 0.0);
        Rows { values, columns }
    }

    fn keep(&mut self, output: Rows) -> &[f32] {
        self.spare.push(output.values);
        self.spare.last().map_or(&[], Vec::as_slice)
    }
}

/// Numbers, `[rows, columns]`.
struct Rows {
    values: Vec<f32>,
    columns: usize,
}

impl Rows {
    fn count(&self) -> usize {
        self.values.len() / self.columns
    }

    fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.columns..(row + 1) * self.columns]
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut [f32]> {
        self.values.chunks_exact_mut(self.columns)
    }
}

struct Run<'a> {
    snapshot: &'a Snapshot,
    scratch: &'a mut Scratch,
    /// The keys and values of elements before those of this run, and the slot of each sequence.
    cached: Option<(&'a mut Cache, &'a [usize])>,
}

impl Run<'_> {
    fn output(&mut self, rows: usize, layer: usize) -> Rows {
        self.scratch.take(rows, self.snapshot.network.layers()[layer].outputs)
    }
}

/// What the kernels do of an activation, and whether a GELU is left to do.
fn split(activation: Activation) -> (Activation, bool) {
    match activation {
        Activation::Gelu => (Activation::Identity, true),
        Activation::Identity | Activation::Relu => (activation, false),
    }
}

impl Backend for Run<'_> {
    type Tensor = Rows;
    type Error = Infallible;

    fn embedding_bag(
        &mut self,
        layer: usize,
        rows: &Ragged,
        activation: Activation,
    ) -> Result<Rows, Infallible> {
        let mut output = self.output(rows.rows(), layer);
        let (fused, is_gelu) = split(activation);
        if let Packed::Embedding(packed) = &self.snapshot.layers[layer] {
            packed.forward(&rows.values, &rows.offsets, fused, &mut output.values);
        }
        if is_gelu {
            gelu(&mut output.values);
        }
        Ok(output)
    }

    fn linear(
        &mut self,
        layer: usize,
        input: &Rows,
        activation: Activation,
    ) -> Result<Rows, Infallible> {
        let rows = input.count();
        let mut output = self.output(rows, layer);
        let (fused, is_gelu) = split(activation);
        if let Packed::Linear(packed) = &self.snapshot.layers[layer] {
            packed.forward(&input.values, rows, fused, &mut output.values);
        }
        if is_gelu {
            gelu(&mut output.values);
        }
        Ok(output)
    }

    fn layer_norm(
        &mut self,
        layer: usize,
        input: &Rows,
        activation: Activation,
    ) -> Result<Rows, Infallible> {
        let mut output = self.output(input.count(), layer);
        if let Packed::Norm { weight, bias } = &self.snapshot.layers[layer] {
            for (row, output) in output.iter_mut().enumerate() {
                layer_norm(input.row(row), (weight, bias), activation, output);
            }
        }
        Ok(output)
    }

    fn attention(
        &mut self,
        block: usize,
        query: &Rows,
        key_value: &Rows,
        heads: usize,
        sequences: &Sequences,
    ) -> Result<Rows, Infallible> {
        let columns = key_value.columns;
        let values = |elements: Range<usize>| {
            &key_value.values[elements.start * columns..elements.end * columns]
        };
        if let Some((cache, slots)) = &mut self.cached {
            for (sequence, &slot) in slots.iter().enumerate() {
                cache.extend(slot, block, values(sequences.elements(sequence)));
            }
        }
        let mut output = self.scratch.take(query.count(), query.columns);
        for (row, output) in output.iter_mut().enumerate() {
            let Query { sequence, visible } = sequences.queries[row];
            let (sequence, visible) = (sequence as usize, visible as usize);
            let seen = match &self.cached {
                Some((cache, slots)) => &cache.get(slots[sequence], block)[..visible * columns],
                None => {
                    let start = sequences.offsets[sequence] as usize;
                    values(start..start + visible)
                }
            };
            attend(query.row(row), seen, heads, &mut self.scratch.attention, output);
        }
        Ok(output)
    }

    fn take_rows(&mut self, input: &Rows, rows: &[u32]) -> Result<Rows, Infallible> {
        let mut output = self.scratch.take(rows.len(), input.columns);
        for (output, &row) in output.iter_mut().zip(rows) {
            output.copy_from_slice(input.row(row as usize));
        }
        Ok(output)
    }

    fn add(&mut self, mut left: Rows, right: Rows) -> Result<Rows, Infallible> {
        left.values.iter_mut().zip(&right.values).for_each(|(left, right)| *left += right);
        self.free(right);
        Ok(left)
    }

    fn insert_columns(&mut self, outer: Rows, inner: Rows, at: usize) -> Result<Rows, Infallible> {
        let mut output = self.scratch.take(outer.count(), outer.columns + inner.columns);
        for (row, output) in output.iter_mut().enumerate() {
            let (before, rest) = output.split_at_mut(at);
            let (between, after) = rest.split_at_mut(inner.columns);
            before.copy_from_slice(&outer.row(row)[..at]);
            between.copy_from_slice(inner.row(row));
            after.copy_from_slice(&outer.row(row)[at..]);
        }
        self.free(outer);
        self.free(inner);
        Ok(output)
    }

    fn free(&mut self, tensor: Rows) {
        self.scratch.spare.push(tensor.values);
    }
}

#[cfg(test)]
mod tests;
