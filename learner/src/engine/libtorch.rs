//! Training by libtorch, on whatever device.

use tch::{Device, TchError, Tensor};
use tributary_common::network::{Network, Ragged};

use super::{Engine, Move, Step, Vector, are_finite, copy_both};
use crate::torch::{Logits, TorchNetwork, assign, to_host};

/// A network in libtorch, and vectors like its flat one.
pub(super) struct Libtorch {
    network: TorchNetwork,
    target: Option<TorchNetwork>,
    average: Tensor,
    mean: Tensor,
    square: Tensor,
    gradient: Tensor,
    /// Memory for what is between.
    scratch: Tensor,
    forward: Option<Logits>,
}

impl Libtorch {
    pub(super) fn new(
        network: &Network,
        values: &[f32],
        has_target: bool,
        device: Device,
    ) -> Result<Self, TchError> {
        let new = || TorchNetwork::new(network.clone(), values, device);
        let network = new()?;
        let target = has_target.then(new).transpose()?;
        let average = network.flat.f_detach_copy()?;
        let zeros = || average.f_zeros_like();
        let (mean, square, gradient, scratch) = (zeros()?, zeros()?, zeros()?, zeros()?);
        Ok(Self { network, target, average, mean, square, gradient, scratch, forward: None })
    }

    fn vector(&self, vector: Vector) -> Option<&Tensor> {
        Some(match vector {
            Vector::Weights => &self.network.flat,
            Vector::Average => &self.average,
            Vector::Mean => &self.mean,
            Vector::Square => &self.square,
            Vector::Target => return self.target.as_ref().map(|target| &target.flat),
        })
    }
}

impl Engine for Libtorch {
    fn forward(
        &mut self,
        features: &Ragged,
        dropout: u64,
        logits: &mut Vec<f32>,
    ) -> Result<(), TchError> {
        let forward = self.network.forward_in_training(features, dropout)?;
        forward.to_host(logits)?;
        self.forward = Some(forward);
        Ok(())
    }

    fn forward_target(&mut self, features: &Ragged, logits: &mut Vec<f32>) -> Result<(), TchError> {
        let _no_grad = tch::no_grad_guard();
        let Some(target) = &self.target else {
            return Err(TchError::Shape("there is no target network".to_owned()));
        };
        target.forward(features)?.to_host(logits)
    }

    fn backward(&mut self, gradient: &[f32]) -> Result<f64, TchError> {
        let Some(logits) = self.forward.take() else {
            return Err(TchError::Shape("no forward pass is left to go back from".to_owned()));
        };
        self.gradient = self.network.backward(logits, gradient)?;
        self.gradient.f_norm()?.f_double_value(&[])
    }

    fn gradient(&self, out: &mut Vec<f32>) -> Result<(), TchError> {
        to_host(&self.gradient, out)
    }

    fn step(&mut self, step: &Step) -> Result<(), TchError> {
        let _no_grad = tch::no_grad_guard();
        let [mean_share, square_share] = step.shares;
        if step.gradient_scale != 1.0 {
            let _ = self.gradient.f_mul_scalar_(step.gradient_scale)?;
        }
        let _ = self.mean.f_lerp_(&self.gradient, mean_share)?;
        let _ = self.gradient.f_square_out(&self.scratch)?;
        let _ = self.square.f_lerp_(&self.scratch, square_share)?;
        let weights = &mut self.network.flat;
        if let Some(Move { keep, root, least }) = step.weights {
            if keep != 1.0 {
                let _ = weights.f_mul_scalar_(keep)?;
            }
            let _ = self.square.f_sqrt_out(&self.scratch)?;
            let _ = self.scratch.f_mul_scalar_(root)?;
            let _ = self.scratch.f_add_scalar_(least)?;
            let _ = weights.f_addcdiv_(&self.mean, &self.scratch)?;
        }
        let _ = self.average.f_lerp_(weights, step.average)?;
        if let (Some(target), Some(share)) = (&mut self.target, step.target) {
            let _ = target.flat.f_lerp_(weights, share)?;
        }
        Ok(())
    }

    fn read(&self, vector: Vector, out: &mut Vec<f32>) -> Result<(), TchError> {
        out.clear();
        self.vector(vector).map_or(Ok(()), |tensor| to_host(tensor, out))
    }

    fn copies(&self, raw: &mut Vec<f32>, average: &mut Vec<f32>) -> Result<[bool; 2], TchError> {
        let weights = &self.network.flat;
        // A tensor may be sent to another thread, not shared with it.
        let averages = self.average.shallow_clone();
        let first = || to_host_if_finite(weights, raw);
        let second = move || to_host_if_finite(&averages, average);
        let (raw, average) = copy_both(weights.numel(), first, second);
        Ok([raw?, average?])
    }

    fn write(&mut self, vector: Vector, values: &[f32]) -> Result<(), TchError> {
        // Another handle of the same memory.
        match self.vector(vector).map(Tensor::shallow_clone) {
            Some(mut tensor) => assign(&mut tensor, values),
            None => Ok(()),
        }
    }
}

/// As [`to_host`]; returns whether all of them are finite, which is looked at part by part, while a part
/// is in the cache.
fn to_host_if_finite(tensor: &Tensor, out: &mut Vec<f32>) -> Result<bool, TchError> {
    /// Half of a core's second cache, or less.
    const PART: usize = 32 << 10;
    out.resize(tensor.numel(), 0.0);
    let flat = tensor.f_detach()?.f_contiguous()?.f_view(-1)?;
    let parts = out.chunks_mut(PART);
    for (part, values) in flat.f_split(PART as i64, 0)?.iter().zip(parts) {
        part.f_copy_data(values, values.len())?;
        if !are_finite(values) {
            return Ok(false);
        }
    }
    Ok(true)
}
