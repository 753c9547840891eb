//! Where the weights of a policy are trained: the passes of its network, the steps of its optimizer,
//! the moving average of the weights and the target network.
//!
//! A small perceptron on the CPU is trained by `own`, our kernels on the host's memory: libtorch's
//! operations each cost microseconds and memory of their own. All else, and everything on CUDA, is
//! libtorch's. `docs/adr/0002-own-passes-of-small-perceptrons.md` says why.

mod libtorch;
mod own;
#[cfg(test)]
mod tests;

use tch::{Device, TchError};
use tributary_common::network::cpu::{Passes, with_wide_vectors};
use tributary_common::network::{Network, Ragged};

use self::libtorch::Libtorch;
use self::own::Own;
use crate::threads::side_by_side;

/// Parameters from which a copy takes longer than to start a thread for it.
pub(crate) const LARGE: usize = 1 << 20;

/// A network in training. Its vectors are in the order of [`Network::parameters`].
///
/// # Errors
/// Of every method: libtorch's.
pub trait Engine: Send {
    /// Writes the logits of states by the weights in training, `[features.rows(), heads.width()]`;
    /// dropout draws with this seed.
    ///
    /// # Errors
    /// Also a feature that is none of the network's.
    fn forward(
        &mut self,
        features: &Ragged,
        dropout: u64,
        logits: &mut Vec<f32>,
    ) -> Result<(), TchError>;

    /// As [`forward`](Self::forward), by the weights of the target network, from which there is no
    /// way back.
    fn forward_target(&mut self, features: &Ragged, logits: &mut Vec<f32>) -> Result<(), TchError>;

    /// Computes the gradient of the weights, given that of the logits of the last forward pass in
    /// their shape, and keeps it until the next; returns its Euclidean norm.
    fn backward(&mut self, gradient: &[f32]) -> Result<f64, TchError>;

    /// Copies the last gradient.
    fn gradient(&self, out: &mut Vec<f32>) -> Result<(), TchError>;

    /// Steps against the last gradient; the average and the target network follow.
    fn step(&mut self, step: &Step) -> Result<(), TchError>;

    /// Copies one of its vectors; an empty one if it has none.
    fn read(&self, vector: Vector, out: &mut Vec<f32>) -> Result<(), TchError>;

    /// Copies the weights and their average, large ones side by side; returns of each whether all
    /// of it is finite.
    fn copies(&self, raw: &mut Vec<f32>, average: &mut Vec<f32>) -> Result<[bool; 2], TchError>;

    /// Takes other values for one of its vectors, as many as the network has parameters.
    fn write(&mut self, vector: Vector, values: &[f32]) -> Result<(), TchError>;
}

/// A vector of an engine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Vector {
    /// The weights in training.
    Weights,
    /// Their moving average.
    Average,
    /// The decaying mean of the gradient.
    Mean,
    /// The decaying mean of its square.
    Square,
    /// The weights of the target network.
    Target,
}

/// The numbers of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The gradient is taken times this.
    pub gradient_scale: f64,
    /// How far its mean goes to the gradient, and the mean square to its square.
    pub shares: [f64; 2],
    /// How the weights move; `None` at no rate, where nothing moves but the moments.
    pub weights: Option<Move>,
    /// How far the moving average goes to the new weights.
    pub average: f64,
    /// How far the target network's weights do, if they do.
    pub target: Option<f64>,
}

/// A move of the weights: `w <- keep w + mean / (root sqrt(square) + least)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Move {
    /// What weight decay leaves.
    pub keep: f64,
    /// The rate and the corrections of both means, drawn into the denominator; negative.
    pub root: f64,
    /// The same of Adam's epsilon.
    pub least: f64,
}

/// The engine of a network with these weights, whose moments start at zero, on as many threads as
/// libtorch has.
///
/// # Errors
/// libtorch's.
pub fn engine(
    network: &Network,
    values: &[f32],
    has_target: bool,
    device: Device,
) -> Result<Box<dyn Engine>, TchError> {
    let threads = usize::try_from(tch::get_num_threads()).unwrap_or(1);
    if device == Device::Cpu
        && let Some(passes) = Passes::new(network, threads)
    {
        return Ok(Box::new(Own::new(passes, network, values, has_target)));
    }
    Ok(Box::new(Libtorch::new(network, values, has_target, device)?))
}

/// Fails at a feature that the network's first layer does not have.
pub(crate) fn check_features(features: &Ragged, inputs: usize) -> Result<(), TchError> {
    let mut unknown = features.values.iter().filter(|&&feature| feature as usize >= inputs);
    let Some(feature) = unknown.next() else { return Ok(()) };
    let said = format!("feature {feature} of a state, but the network has {inputs} inputs");
    Err(TchError::Shape(said))
}

/// Does both, side by side if what they copy is large.
fn copy_both<T: Send>(
    parameters: usize,
    first: impl FnOnce() -> T,
    second: impl FnOnce() -> T + Send,
) -> (T, T) {
    if parameters < LARGE { (first(), second()) } else { side_by_side(first, second) }
}

/// In parts without a branch, which the compiler vectorises.
fn are_finite(values: &[f32]) -> bool {
    values.chunks(1_024).all(|part| part.iter().fold(true, |all, value| all & value.is_finite()))
}

/// The inner product, summed in float64 in a few lanes.
pub(crate) fn product(left: &[f32], right: &[f32]) -> f64 {
    const LANES: usize = 16;
    let ((left, left_over), (right, right_over)) =
        (left.as_chunks::<LANES>(), right.as_chunks::<LANES>());
    let sums = with_wide_vectors(
        #[inline(always)]
        || {
            let mut sums = [0.0; LANES];
            for (left, right) in left.iter().zip(right) {
                for i in 0..LANES {
                    sums[i] += f64::from(left[i]) * f64::from(right[i]);
                }
            }
            sums
        },
    );
    let rest = left_over.iter().zip(right_over);
    sums.iter().sum::<f64>() + rest.map(|(l, r)| f64::from(*l) * f64::from(*r)).sum::<f64>()
}
