//! The policy network: one definition, run by two backends.
//!
//! A network is written once, generic over [`Backend`]; the CPU backend ([`cpu`]) runs it for
//! rollouts and exact evaluation, the learner's libtorch backend trains it.

pub mod cpu;
pub mod heads;
pub mod input;
pub(crate) mod kernels;
mod mlp;
pub mod weights;

pub use heads::Heads;
pub use input::{Ragged, States};
pub use mlp::Mlp;
pub use weights::Weights;

use crate::environment::Environment;
use crate::random::{Purpose, Stream};
use crate::run_file::{Backward, RunFile};

/// The operations that a network is written in. Layers are named by their place in
/// [`Network::layers`].
pub trait Backend {
    /// Rows of numbers, `[rows, columns]`.
    type Tensor;

    /// The sum of the weight's rows that each ragged row names, plus bias; then the activation.
    fn embedding_bag(
        &mut self,
        layer: usize,
        rows: &Ragged,
        activation: Activation,
    ) -> Self::Tensor;

    /// `input · weightᵀ + bias`, then the activation.
    fn linear(&mut self, layer: usize, input: Self::Tensor, activation: Activation)
    -> Self::Tensor;
}

/// What follows a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    Identity,
    /// max(0, x).
    Relu,
}

/// A layer with a weight and a bias.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Its parameters are `name.weight` and `name.bias`.
    pub name: String,
    /// Whether the weight is a table of rows `[inputs, outputs]` to be summed, or a matrix
    /// `[outputs, inputs]`.
    pub kind: LayerKind,
    /// Columns of its input.
    pub inputs: usize,
    /// Columns of its output.
    pub outputs: usize,
}

/// How a layer uses its weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerKind {
    /// Sums rows of a table `[inputs, outputs]`.
    Embedding,
    /// Multiplies by a matrix `[outputs, inputs]`.
    Linear,
}

/// One named tensor of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// For example "hidden.0.weight".
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Inputs that each output sums: the scale of the initial values.
    pub fan_in: usize,
}

impl Parameter {
    /// Number of values.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }
}

/// A policy network's definition: no weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// What its output rows hold.
    pub heads: Heads,
    body: Mlp,
}

impl Network {
    /// A multi-layer perceptron with these hidden widths over the environment's one-hot inputs.
    /// `learned_backward` adds backward logits (P_B is uniform without), `flow` adds log F.
    pub fn mlp(
        environment: &dyn Environment,
        hidden: &[usize],
        learned_backward: bool,
        flow: bool,
    ) -> Self {
        let backward = if learned_backward { environment.backward_actions() } else { 0 };
        let forward = environment.forward_actions();
        let heads = Heads { forward, backward, flow, ..Heads::default() };
        Self { heads, body: Mlp::new(environment.features(), hidden, heads.width()) }
    }

    /// The network that a run file describes; actor and learner both build it with this.
    pub fn of_run(run_file: &RunFile, environment: &dyn Environment) -> Self {
        let RunFile { policy, objective, .. } = run_file;
        let learned_backward = policy.backward.is_learned() && objective.needs_backward();
        let flow = objective.needs_flow();
        let mut network = Self::mlp(environment, &policy.hidden, learned_backward, flow);
        network.heads.path_counts = policy.backward == Backward::Maxent;
        network
    }

    /// Runs the network on states: one output row of `heads.width()` each.
    pub fn forward<B: Backend>(&self, backend: &mut B, features: &Ragged) -> B::Tensor {
        self.body.forward(backend, features)
    }

    /// Its layers, in the order in which a [`Backend`] names them.
    pub fn layers(&self) -> &[Layer] {
        self.body.layers()
    }

    /// Its tensors, in the order of [`Weights::values`]: weight and bias of each layer.
    pub fn parameters(&self) -> Vec<Parameter> {
        let mut parameters = Vec::new();
        for Layer { name, kind, inputs, outputs } in self.layers() {
            let shape = match kind {
                LayerKind::Embedding => vec![*inputs, *outputs],
                LayerKind::Linear => vec![*outputs, *inputs],
            };
            parameters.push(Parameter { name: format!("{name}.weight"), shape, fan_in: *inputs });
            let shape = vec![*outputs];
            parameters.push(Parameter { name: format!("{name}.bias"), shape, fan_in: *inputs });
        }
        parameters
    }

    /// Number of values of all tensors.
    pub fn parameter_count(&self) -> usize {
        self.parameters().iter().map(Parameter::len).sum()
    }

    /// A text that two programs share only if their weights fit each other.
    pub fn architecture(&self) -> String {
        let layers: Vec<_> =
            self.layers().iter().map(|l| format!("{}x{}", l.inputs, l.outputs)).collect();
        let Heads { forward, backward, flow, .. } = self.heads;
        format!("mlp-relu[{}] forward={forward} backward={backward} flow={flow}", layers.join(" "))
    }

    /// The hash of [`architecture`](Self::architecture), as actor and learner compare it.
    pub fn fingerprint(&self) -> [u8; 32] {
        *blake3::hash(self.architecture().as_bytes()).as_bytes()
    }

    /// Initial values: uniform in ±1/sqrt(fan-in), as in PyTorch's linear layer.
    pub fn initial_values(&self, seed: u64) -> Vec<f32> {
        let mut values = Vec::with_capacity(self.parameter_count());
        for (i, parameter) in self.parameters().iter().enumerate() {
            let mut stream = Stream::new(seed, Purpose::Weights, 0, i as u64);
            let bound = 1.0 / (parameter.fan_in as f64).sqrt();
            values.extend(
                (0..parameter.len()).map(|_| (bound * (2.0 * stream.uniform() - 1.0)) as f32),
            );
        }
        values
    }
}
