//! The policy network: one definition, run by two backends.
//!
//! A network is written once, generic over [`Backend`]; the CPU backend ([`cpu`]) runs it for
//! rollouts and exact evaluation, the learner's libtorch backend trains it; small perceptrons are
//! trained on the CPU, too ([`cpu::Passes`]).

mod backend;
pub mod cpu;
pub mod heads;
pub mod input;
pub(crate) mod kernels;
mod layer;
mod mlp;
mod sequences;
#[cfg(test)]
mod tests;
mod transformer;
pub mod weights;

pub use backend::{Activation, Backend, NORM_EPSILON};
pub use heads::Heads;
pub use input::{Ragged, States};
pub use layer::{Initial, Layer, LayerKind, Parameter};
pub use sequences::{Query, Sequences};
pub use weights::Weights;

use self::layer::Layers;
use self::mlp::{Mlp, MlpOptions};
use self::sequences::Plan;
use self::transformer::{KEY_VALUE, Transformer, TransformerOptions};
use crate::environment::{Environment, TokenLayout};
use crate::random::{Purpose, Stream};
use crate::run_file::{
    ActivationKind, Architecture, Backward, BackwardNetwork, NetworkKind, RunFile,
};

/// A policy network's definition: no weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// What its output rows hold.
    pub heads: Heads,
    layers: Vec<Layer>,
    body: Body,
    architecture: String,
    has_dropout: bool,
}

/// One network, or two of a kind where P_B is read from its own.
#[derive(Clone, Debug, PartialEq)]
enum Body {
    Mlp(Bodies<Mlp>),
    Transformer(Bodies<Transformer>, TokenLayout),
}

#[derive(Clone, Debug, PartialEq)]
struct Bodies<T> {
    main: T,
    backward: Option<T>,
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
        let architecture = Architecture { hidden: hidden.to_vec(), ..Architecture::default() };
        Self::new(environment, &architecture, learned_backward, BackwardNetwork::Shared, flow)
    }

    /// The network that a run file describes; actor and learner both build it with this.
    pub fn of_run(run_file: &RunFile, environment: &dyn Environment) -> Self {
        let RunFile { policy, objective, .. } = run_file;
        let learned_backward = policy.backward.is_learned() && objective.needs_backward();
        let (flow, own) = (objective.needs_flow(), policy.backward_network);
        let architecture = &policy.architecture;
        let mut network = Self::new(environment, architecture, learned_backward, own, flow);
        network.heads.path_counts = policy.backward == Backward::Maxent;
        network
    }

    /// A network of any architecture. `learned_backward` adds backward logits (P_B is uniform
    /// without) in the network that is named, `flow` adds log F.
    pub fn new(
        environment: &dyn Environment,
        architecture: &Architecture,
        learned_backward: bool,
        backward_network: BackwardNetwork,
        flow: bool,
    ) -> Self {
        let backward = if learned_backward { environment.backward_actions() } else { 0 };
        let forward = environment.forward_actions();
        let heads = Heads { forward, backward, flow, ..Heads::default() };
        let own = backward > 0 && backward_network == BackwardNetwork::Own;
        let main = heads.width() - if own { backward } else { 0 };
        let mut layers = Layers::default();
        let features = environment.features();
        let body = match architecture.network {
            NetworkKind::Mlp => {
                let options = mlp_options(architecture);
                let main = Mlp::new(&mut layers, features, options, main);
                layers.prefix = BACKWARD_PREFIX;
                let backward = own.then(|| Mlp::new(&mut layers, features, options, backward));
                Body::Mlp(Bodies { main, backward })
            }
            NetworkKind::Transformer => {
                let layout = environment.tokens();
                let layout = layout.unwrap_or_else(|| TokenLayout::of_features(features));
                let options = transformer_options(architecture);
                let main = Transformer::new(&mut layers, layout, options, main, 0);
                layers.prefix = BACKWARD_PREFIX;
                let backward = own.then(|| {
                    Transformer::new(&mut layers, layout, options, backward, options.layers)
                });
                Body::Transformer(Bodies { main, backward }, layout)
            }
        };
        let layers = layers.layers;
        let has_dropout = architecture.dropout > 0.0;
        let architecture = describe(architecture, &body, &layers, heads);
        Self { heads, layers, body, architecture, has_dropout }
    }

    /// Runs the network on states: one output row of `heads.width()` each.
    ///
    /// # Errors
    /// The backend's.
    pub fn forward<B: Backend>(
        &self,
        backend: &mut B,
        features: &Ragged,
    ) -> Result<B::Tensor, B::Error> {
        let at = self.heads.backward_column();
        match &self.body {
            Body::Mlp(bodies) => {
                bodies.forward(backend, at, |mlp, backend| mlp.forward(backend, features))
            }
            Body::Transformer(bodies, layout) => {
                let plan = Plan::new(*layout, features);
                bodies.forward(backend, at, |body, backend| body.forward(backend, &plan))
            }
        }
    }

    /// Runs the network on states of which the backend's cache holds the first `known` elements.
    fn forward_continued<B: Backend>(
        &self,
        backend: &mut B,
        features: &Ragged,
        known: &[usize],
    ) -> Result<B::Tensor, B::Error> {
        match &self.body {
            Body::Mlp(_) => self.forward(backend, features),
            Body::Transformer(bodies, layout) => {
                let plan = Plan::continued(*layout, features, known);
                let at = self.heads.backward_column();
                bodies.forward(backend, at, |body, backend| body.forward(backend, &plan))
            }
        }
    }

    /// The columns of the keys and values of each block of attention, where they stay as they are
    /// while a sequence grows; empty where they do not.
    fn cached_columns(&self) -> Vec<usize> {
        let is_cached = |layer: &&Layer| match &self.body {
            Body::Transformer(_, layout) => layout.appended && layer.name.ends_with(KEY_VALUE),
            Body::Mlp(_) => false,
        };
        self.layers.iter().filter(is_cached).map(|layer| layer.outputs).collect()
    }

    /// The layers of the perceptron, or of both, first to last; none if it is more than layers with
    /// ReLU between them.
    fn chains(&self) -> Option<Vec<Vec<usize>>> {
        let Body::Mlp(Bodies { main, backward }) = &self.body else { return None };
        [Some(main), backward.as_ref()].into_iter().flatten().map(Mlp::chain).collect()
    }

    /// Whether training leaves out numbers at random.
    pub fn has_dropout(&self) -> bool {
        self.has_dropout
    }

    /// Its layers, in the order in which a [`Backend`] names them.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Its tensors, in the order of [`Weights::values`]: weight and bias of each layer.
    pub fn parameters(&self) -> Vec<Parameter> {
        self.layers.iter().flat_map(Layer::parameters).collect()
    }

    /// Number of values of all tensors.
    pub fn parameter_count(&self) -> usize {
        self.parameters().iter().map(Parameter::len).sum()
    }

    /// A text that two programs share only if their weights fit each other.
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// The hash of [`architecture`](Self::architecture), as actor and learner compare it.
    pub fn fingerprint(&self) -> [u8; 32] {
        *blake3::hash(self.architecture.as_bytes()).as_bytes()
    }

    /// Initial values: those of norms 1 and 0, the others uniform in ±1/sqrt(fan-in), as in PyTorch's
    /// linear layer.
    pub fn initial_values(&self, seed: u64) -> Vec<f32> {
        let mut values = Vec::with_capacity(self.parameter_count());
        for (i, parameter) in self.parameters().iter().enumerate() {
            let mut stream = Stream::new(seed, Purpose::Weights, 0, i as u64);
            let value = || match parameter.initial {
                Initial::Uniform(bound) => (bound * (2.0 * stream.uniform() - 1.0)) as f32,
                Initial::Constant(value) => value,
            };
            values.extend(std::iter::repeat_with(value).take(parameter.len()));
        }
        values
    }
}

/// What the names of layers start with that only P_B uses.
const BACKWARD_PREFIX: &str = "backward.";

impl<T> Bodies<T> {
    /// Runs both; the backward logits go before column `at`.
    fn forward<B: Backend>(
        &self,
        backend: &mut B,
        at: usize,
        run: impl Fn(&T, &mut B) -> Result<B::Tensor, B::Error>,
    ) -> Result<B::Tensor, B::Error> {
        let main = run(&self.main, backend)?;
        let Some(backward) = &self.backward else { return Ok(main) };
        let backward = run(backward, backend)?;
        backend.insert_columns(main, backward, at)
    }
}

fn activation(architecture: &Architecture) -> Activation {
    match architecture.activation {
        ActivationKind::Relu => Activation::Relu,
        ActivationKind::Gelu => Activation::Gelu,
    }
}

fn mlp_options(architecture: &Architecture) -> MlpOptions<'_> {
    let Architecture { hidden, layer_norm, dropout, .. } = architecture;
    let (layer_norm, dropout, activation) = (*layer_norm, *dropout, activation(architecture));
    MlpOptions { hidden, layer_norm, activation, dropout }
}

fn transformer_options(architecture: &Architecture) -> TransformerOptions {
    let &Architecture { layers, width, heads, feed_forward, dropout, .. } = architecture;
    let activation = activation(architecture);
    TransformerOptions { layers, width, heads, feed_forward, activation, dropout }
}

/// The text of [`Network::architecture`].
fn describe(architecture: &Architecture, body: &Body, layers: &[Layer], heads: Heads) -> String {
    let Architecture { activation, layer_norm, width, heads: attention_heads, .. } = architecture;
    let of_p_b = |layer: &&Layer| layer.name.starts_with(BACKWARD_PREFIX);
    let own = if layers.iter().any(|layer| of_p_b(&layer)) { " backward_network=own" } else { "" };
    let activation = activation.name();
    let text = match body {
        Body::Mlp(_) => {
            let is_sized = |l: &&Layer| l.kind != LayerKind::Norm && !of_p_b(l);
            let sizes = layers.iter().filter(is_sized);
            let sizes: Vec<_> = sizes.map(|l| format!("{}x{}", l.inputs, l.outputs)).collect();
            let norm = if *layer_norm { "-norm" } else { "" };
            format!("mlp-{activation}{norm}[{}]", sizes.join(" "))
        }
        Body::Transformer(_, TokenLayout { positions, vocabulary, appended }) => {
            let Architecture { layers, feed_forward, .. } = architecture;
            let causal = if *appended { "-causal" } else { "" };
            format!(
                "transformer-{activation}{causal}[layers={layers} width={width} \
                 heads={attention_heads} feed_forward={feed_forward} positions={positions} \
                 vocabulary={vocabulary}]"
            )
        }
    };
    let Heads { forward, backward, flow, .. } = heads;
    format!("{text} forward={forward} backward={backward} flow={flow}{own}")
}
