//! The operations that networks are written in.

use super::Ragged;
use super::sequences::Sequences;

/// Runs the operations of a network on one kind of tensor. Layers are named by their place in
/// [`Network::layers`](super::Network::layers).
pub trait Backend {
    /// Rows of numbers, `[rows, columns]`.
    type Tensor;
    /// Why an operation failed.
    type Error;

    /// The sum of the weight's rows that each ragged row names, plus bias; then the activation.
    ///
    /// # Errors
    /// The backend's own, as for all operations.
    fn embedding_bag(
        &mut self,
        layer: usize,
        rows: &Ragged,
        activation: Activation,
    ) -> Result<Self::Tensor, Self::Error>;

    /// `input · weightᵀ + bias`, then the activation.
    ///
    /// # Errors
    /// The backend's own.
    fn linear(
        &mut self,
        layer: usize,
        input: &Self::Tensor,
        activation: Activation,
    ) -> Result<Self::Tensor, Self::Error>;

    /// Each row less its mean, over its standard deviation, times weight plus bias; then the
    /// activation. [`NORM_EPSILON`] is added to the variance.
    ///
    /// # Errors
    /// The backend's own.
    fn layer_norm(
        &mut self,
        layer: usize,
        input: &Self::Tensor,
        activation: Activation,
    ) -> Result<Self::Tensor, Self::Error>;

    /// Attention within sequences, for each head on its part of the columns. `query` has a row of
    /// `width` numbers for each of `sequences.queries`; `key_value` a row for each element of the
    /// sequences, its keys in the first `width` columns and its values in the others. Each query
    /// gives the mean of the values that it sees, weighted by the softmax of
    /// `query · key / sqrt(width / heads)`. Blocks of a network are numbered from 0.
    ///
    /// # Errors
    /// The backend's own.
    fn attention(
        &mut self,
        block: usize,
        query: &Self::Tensor,
        key_value: &Self::Tensor,
        heads: usize,
        sequences: &Sequences,
    ) -> Result<Self::Tensor, Self::Error>;

    /// Some of the rows, in this order.
    ///
    /// # Errors
    /// The backend's own.
    fn take_rows(
        &mut self,
        input: &Self::Tensor,
        rows: &[u32],
    ) -> Result<Self::Tensor, Self::Error>;

    /// The sum of two tensors of one shape.
    ///
    /// # Errors
    /// The backend's own.
    fn add(&mut self, left: Self::Tensor, right: Self::Tensor)
    -> Result<Self::Tensor, Self::Error>;

    /// `outer` with the columns of `inner` put before its column `at`.
    ///
    /// # Errors
    /// The backend's own.
    fn insert_columns(
        &mut self,
        outer: Self::Tensor,
        inner: Self::Tensor,
        at: usize,
    ) -> Result<Self::Tensor, Self::Error>;

    /// In training each number becomes 0 with this probability, and the others grow so that the mean
    /// stays; elsewhere nothing happens.
    ///
    /// # Errors
    /// The backend's own.
    fn dropout(
        &mut self,
        input: Self::Tensor,
        _probability: f64,
    ) -> Result<Self::Tensor, Self::Error> {
        Ok(input)
    }

    /// Takes the memory of a tensor that is no longer needed.
    fn free(&mut self, _tensor: Self::Tensor) {}
}

/// What a layer norm adds to the variance.
pub const NORM_EPSILON: f32 = 1e-5;

/// What follows a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    Identity,
    /// max(0, x).
    Relu,
    /// x times the normal distribution function of x.
    Gelu,
}
