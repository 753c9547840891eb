//! The libtorch backend of the policy network: forward with autograd, backward from a gradient of
//! the logits.

use tch::{Device, Kind, TchError, Tensor};
use tributary_common::network::{Activation, Backend, Network, Ragged};
use tributary_common::run_file;

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
        self.network.forward(&mut TorchBackend(self), features).map(Logits)
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

/// The network's operations in libtorch; an error goes through the rest of the network as it is.
struct TorchBackend<'a>(&'a TorchNetwork);

impl TorchBackend<'_> {
    fn weight_and_bias(&self, layer: usize) -> (&Tensor, &Tensor) {
        (&self.0.leaves[2 * layer], &self.0.leaves[2 * layer + 1])
    }

    /// Indices as libtorch's operators take them, on the network's device.
    fn indices(&self, values: &[u32]) -> Result<Tensor, TchError> {
        let values: Vec<i32> = values.iter().map(|&value| value as i32).collect();
        Tensor::f_from_slice(&values)?.f_to_device(self.0.flat.device())
    }
}

impl Backend for TorchBackend<'_> {
    type Tensor = Result<Tensor, TchError>;

    /// An embedding bag, not a product with a dense one-hot matrix: on the CPU equally fast with 16
    /// inputs, twice as fast with 128, four times with 1,000.
    fn embedding_bag(
        &mut self,
        layer: usize,
        rows: &Ragged,
        activation: Activation,
    ) -> Self::Tensor {
        const SUM: i64 = 0;
        // The operator does not look where its fast path reads.
        let inputs = self.0.network.layers()[layer].inputs;
        if let Some(row) = rows.values.iter().find(|&&row| row as usize >= inputs) {
            let said = format!("feature {row} of a state, but the network has {inputs} inputs");
            return Err(TchError::Shape(said));
        }
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
        input: Self::Tensor,
        activation: Activation,
    ) -> Self::Tensor {
        let (weight, bias) = self.weight_and_bias(layer);
        activate(input?.f_linear(weight, Some(bias))?, activation)
    }
}

fn activate(tensor: Tensor, activation: Activation) -> Result<Tensor, TchError> {
    match activation {
        Activation::Identity => Ok(tensor),
        Activation::Relu => tensor.f_relu(),
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
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::sync::Arc;

    use tributary_common::environment::{Environment, Hypergrid, Sequence, sequence::Length};
    use tributary_common::ids::PolicyVersion;
    use tributary_common::network::Weights;
    use tributary_common::network::cpu::{Scratch, Snapshot};
    use tributary_common::random::{Purpose, Stream};

    use super::*;
    use crate::batch::Batch;
    use crate::fakes;
    use crate::objective::Terms;
    use crate::probabilities::Probabilities;

    /// log P_F and log P_B of the same trajectories with the same weights by both backends.
    #[test]
    fn both_backends_give_the_same_probabilities() {
        let hypergrid = Hypergrid::new(4, 8).unwrap();
        let sequence = Sequence::over_alphabet("ACGT", Length::Length(8)).unwrap();
        let environments: [&dyn Environment; 2] = [&hypergrid, &sequence];
        for (seed, environment) in environments.into_iter().enumerate() {
            for hidden in [&[256, 256][..], &[17][..], &[][..]] {
                let network = Network::mlp(environment, hidden, true, true);
                // Larger than at the start of training, so that probabilities are far from uniform.
                let mut values = network.initial_values(seed as u64);
                values.iter_mut().for_each(|value| *value *= 3.0);
                let torch = TorchNetwork::new(network.clone(), &values, Device::Cpu).unwrap();
                let version = PolicyVersion::default();
                let weights = Weights { version, log_z: 0.0, generated: 0, values };
                let snapshot = Snapshot::new(Arc::new(network.clone()), weights);

                let mut stream = Stream::new(seed as u64, Purpose::Walk, 7, 0);
                let mut batch = Batch::default();
                let samples = fakes::random_trajectories(environment, 64, &mut stream);
                batch.build(environment, &samples).unwrap();
                let mut theirs = Vec::new();
                torch.forward(&batch.states.features).unwrap().to_host(&mut theirs).unwrap();
                let ours =
                    snapshot.forward(&mut Scratch::default(), &batch.states.features).to_vec();
                assert_eq!(ours.len(), theirs.len());

                let mut terms = [Terms::default(), Terms::default()];
                let mut probabilities = Probabilities::new(network.heads);
                probabilities.terms(&batch, &ours, &mut terms[0]);
                probabilities.terms(&batch, &theirs, &mut terms[1]);
                let largest = |row: usize| {
                    let width = network.heads.width();
                    let row = &ours[row * width..(row + 1) * width];
                    row.iter().fold(1f64, |a, &b| a.max(f64::from(b.abs())))
                };
                for t in 0..batch.transitions() {
                    let scale = largest(batch.rows[t] as usize);
                    let forward = (terms[0].log_pf[t] - terms[1].log_pf[t]).abs();
                    let flow = (terms[0].log_flow[t] - terms[1].log_flow[t]).abs();
                    assert!(forward.max(flow) < 1e-5 * scale, "{hidden:?}: {forward}, {flow}");
                    let next = batch.rows.get(t + 1).map_or(1.0, |&row| largest(row as usize));
                    let backward = (terms[0].log_pb[t] - terms[1].log_pb[t]).abs();
                    assert!(backward < 1e-5 * next, "{hidden:?}: {backward}");
                }
            }
        }
    }

    #[test]
    fn the_gradient_of_the_parameters_is_the_finite_difference() {
        let environment = Hypergrid::new(2, 4).unwrap();
        let network = Network::mlp(&environment, &[8], true, false);
        let values = network.initial_values(1);
        let mut features = Ragged::default();
        features.push_with(|row| row.extend([0, 5]));
        features.push_with(|row| row.extend([3, 5]));
        let mut stream = Stream::new(2, Purpose::Walk, 0, 0);
        let size = 2 * network.heads.width();
        let direction: Vec<f32> = (0..size).map(|_| stream.uniform() as f32 - 0.5).collect();
        let along = |values: &[f32]| {
            let torch = TorchNetwork::new(network.clone(), values, Device::Cpu).unwrap();
            let mut logits = Vec::new();
            torch.forward(&features).unwrap().to_host(&mut logits).unwrap();
            logits.iter().zip(&direction).map(|(a, b)| f64::from(a * b)).sum::<f64>()
        };
        let torch = TorchNetwork::new(network.clone(), &values, Device::Cpu).unwrap();
        let logits = torch.forward(&features).unwrap();
        let mut gradient = Vec::new();
        to_host(&torch.backward(logits, &direction).unwrap(), &mut gradient).unwrap();
        assert_eq!(gradient.len(), network.parameter_count());
        for i in 0..gradient.len() {
            let step = 1.0 / 256.0;
            let (mut above, mut below) = (values.clone(), values.clone());
            above[i] += step;
            below[i] -= step;
            let difference = (along(&above) - along(&below)) / f64::from(2.0 * step);
            assert!((difference - f64::from(gradient[i])).abs() < 1e-3, "parameter {i}");
        }
    }

    #[test]
    fn what_an_operator_refuses_is_an_error() {
        let environment = Hypergrid::new(2, 4).unwrap();
        let network = Network::mlp(&environment, &[8], false, false);
        let values = network.initial_values(1);
        let torch = TorchNetwork::new(network, &values, Device::Cpu).unwrap();
        let mut features = Ragged::default();
        features.push_with(|row| row.push(7));
        // An exception in C++: the gradient has one number too many.
        let logits = torch.forward(&features).unwrap();
        assert!(matches!(torch.backward(logits, &[0.0; 4]), Err(TchError::Torch(_))));
        features.push_with(|row| row.push(8));
        let error = torch.forward(&features).err().unwrap();
        assert!(error.to_string().contains("feature 8 of a state"), "{error}");
    }
}
