//! The libtorch backend of the policy network: forward with autograd, backward from a gradient of
//! the logits.

mod attention;

use std::sync::Mutex;

use tch::{Device, Kind, TchError, Tensor};
use tributary_common::network::{Activation, Backend, NORM_EPSILON, Network, Ragged, Sequences};
use tributary_common::run_file;

use crate::engine::check_features;
use crate::locks::lock;
use crate::training::TrainError;

/// Where to compute, from the run file.
pub fn device(choice: run_file::Device) -> Result<Device, TrainError> {
    match choice {
        run_file::Device::Cpu => Ok(Device::Cpu),
        run_file::Device::Auto => Ok(Device::cuda_if_available()),
        run_file::Device::Cuda if tch::Cuda::is_available() => Ok(Device::Cuda(0)),
        run_file::Device::Cuda => Err(TrainError::NoCuda),
    }
}

/// Sets how many threads libtorch computes with inside an operation, in this thread and later ones.
pub fn set_threads(threads: usize) {
    tch::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX));
}

/// A network and its parameters in libtorch.
///
/// All parameters are views of one flat tensor, in the order of `Network::parameters`, so that an
/// optimizer's step, an average or a snapshot is an operation on one vector. Every operation is the
/// fallible one of its kind: an exception in C++ becomes an error.
pub struct TorchNetwork {
    network: Network,
    /// All parameters, f32 `[parameter_count]`.
    pub flat: Tensor,
    /// The weight and bias of each layer: leaves of autograd that share `flat`'s memory.
    leaves: Vec<Tensor>,
}

/// Held by who draws from libtorch's generator of random numbers: the process has only one.
static GENERATOR: Mutex<()> = Mutex::new(());

/// The logits of one forward pass, with the graph that they came from.
pub struct Logits(Tensor);

impl TorchNetwork {
    /// A network with these parameter values.
    pub fn new(network: Network, values: &[f32], device: Device) -> Result<Self, TchError> {
        let flat = Tensor::f_from_slice(values)?.f_to_device(device)?;
        let mut leaves = Vec::new();
        let mut start = 0;
        for parameter in network.parameters() {
            let shape: Vec<i64> = parameter.shape.iter().map(|&n| n as i64).collect();
            let length = parameter.len() as i64;
            let view = flat.f_narrow(0, start, length)?.f_view(shape.as_slice())?;
            leaves.push(view.f_detach()?.f_set_requires_grad(true)?);
            start += length;
        }
        Ok(Self { network, flat, leaves })
    }

    /// The definition.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Runs the network; `[features.rows(), heads.width()]`.
    pub fn forward(&self, features: &Ragged) -> Result<Logits, TchError> {
        self.network
            .forward(&mut TorchBackend { network: self, training: false }, features)
            .map(Logits)
    }

    /// Runs the network as it is trained: with dropout, whose draws are those of the seed.
    pub fn forward_in_training(&self, features: &Ragged, seed: u64) -> Result<Logits, TchError> {
        let backend = &mut TorchBackend { network: self, training: true };
        if !self.network.has_dropout() {
            return self.network.forward(backend, features).map(Logits);
        }
        let _generator = lock(&GENERATOR);
        tch::manual_seed(seed as i64);
        self.network.forward(backend, features).map(Logits)
    }

    /// The gradient of the parameters, flat, given that of the logits in their shape.
    pub fn backward(&self, logits: Logits, gradient: &[f32]) -> Result<Tensor, TchError> {
        let gradient = Tensor::f_from_slice(gradient)?
            .f_view_as(&logits.0)?
            .f_to_device(self.flat.device())?;
        let product = logits.0.f_mul(&gradient)?.f_sum(Kind::Float)?;
        let gradients = Tensor::f_run_backward(&[product], &self.leaves, false, false)?;
        let flat: Result<Vec<_>, _> = gradients.iter().map(|g| g.f_reshape([-1])).collect();
        Tensor::f_cat(&flat?, 0)
    }
}

impl Logits {
    /// Copies them to the host, row after row.
    pub fn to_host(&self, out: &mut Vec<f32>) -> Result<(), TchError> {
        to_host(&self.0, out)
    }
}

/// The network's operations in libtorch.
struct TorchBackend<'a> {
    network: &'a TorchNetwork,
    training: bool,
}

impl TorchBackend<'_> {
    fn weight_and_bias(&self, layer: usize) -> (&Tensor, &Tensor) {
        (&self.network.leaves[2 * layer], &self.network.leaves[2 * layer + 1])
    }

    /// Indices as libtorch's operators take them, on the network's device.
    fn indices(&self, values: &[u32]) -> Result<Tensor, TchError> {
        let values: Vec<i32> = values.iter().map(|&value| value as i32).collect();
        Tensor::f_from_slice(&values)?.f_to_device(self.network.flat.device())
    }
}

impl Backend for TorchBackend<'_> {
    type Tensor = Tensor;
    type Error = TchError;

    /// An embedding bag, not a product with a dense one-hot matrix: on the CPU equally fast with 16
    /// inputs, twice as fast with 128, four times with 1,000.
    fn embedding_bag(
        &mut self,
        layer: usize,
        rows: &Ragged,
        activation: Activation,
    ) -> Result<Tensor, TchError> {
        const SUM: i64 = 0;
        // The operator does not look where its fast path reads.
        check_features(rows, self.network.network.layers()[layer].inputs)?;
        let (weight, bias) = self.weight_and_bias(layer);
        let (values, offsets) = (self.indices(&rows.values)?, self.indices(&rows.offsets)?);
        let no_weights = None::<&Tensor>;
        let (sums, ..) = Tensor::f_embedding_bag(
            weight, &values, &offsets, false, SUM, false, no_weights, true,
        )?;
        activate(sums.f_add(bias)?, activation)
    }

    fn linear(
        &mut self,
        layer: usize,
        input: &Tensor,
        activation: Activation,
    ) -> Result<Tensor, TchError> {
        let (weight, bias) = self.weight_and_bias(layer);
        activate(input.f_linear(weight, Some(bias))?, activation)
    }

    fn layer_norm(
        &mut self,
        layer: usize,
        input: &Tensor,
        activation: Activation,
    ) -> Result<Tensor, TchError> {
        let (weight, bias) = self.weight_and_bias(layer);
        let (shape, epsilon) = (weight.size(), f64::from(NORM_EPSILON));
        activate(input.f_layer_norm(shape, Some(weight), Some(bias), epsilon, false)?, activation)
    }

    fn attention(
        &mut self,
        _: usize,
        query: &Tensor,
        key_value: &Tensor,
        heads: usize,
        sequences: &Sequences,
    ) -> Result<Tensor, TchError> {
        attention::attention(query, key_value, heads as i64, sequences)
    }

    fn take_rows(&mut self, input: &Tensor, rows: &[u32]) -> Result<Tensor, TchError> {
        input.f_index_select(0, &self.indices(rows)?)
    }

    fn add(&mut self, left: Tensor, right: Tensor) -> Result<Tensor, TchError> {
        left.f_add(&right)
    }

    fn insert_columns(
        &mut self,
        outer: Tensor,
        inner: Tensor,
        at: usize,
    ) -> Result<Tensor, TchError> {
        let (at, (_, columns)) = (at as i64, outer.size2()?);
        let (before, after) = (outer.f_narrow(1, 0, at)?, outer.f_narrow(1, at, columns - at)?);
        Tensor::f_cat(&[before, inner, after], 1)
    }

    fn dropout(&mut self, input: Tensor, probability: f64) -> Result<Tensor, TchError> {
        if self.training && probability > 0.0 {
            input.f_dropout(probability, true)
        } else {
            Ok(input)
        }
    }
}

fn activate(tensor: Tensor, activation: Activation) -> Result<Tensor, TchError> {
    match activation {
        Activation::Identity => Ok(tensor),
        Activation::Relu => tensor.f_relu(),
        Activation::Gelu => tensor.f_gelu("none"),
    }
}

/// Copies a tensor of f32 to the host.
pub fn to_host(tensor: &Tensor, out: &mut Vec<f32>) -> Result<(), TchError> {
    out.resize(tensor.numel(), 0.0);
    tensor.f_detach()?.f_contiguous()?.f_copy_data(out, tensor.numel())
}

/// Copies values from the host into a tensor of f32, in place.
pub fn assign(tensor: &mut Tensor, values: &[f32]) -> Result<(), TchError> {
    let _no_grad = tch::no_grad_guard();
    tensor.f_copy_(&Tensor::f_from_slice(values)?)
}

#[cfg(test)]
mod tests;
