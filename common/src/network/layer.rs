//! What a network's weights are: layers, and their named tensors.

/// A layer with a weight and a bias.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Its parameters are `name.weight` and `name.bias`.
    pub name: String,
    /// How it uses its weight.
    pub kind: LayerKind,
    /// Columns of its input.
    pub inputs: usize,
    /// Columns of its output.
    pub outputs: usize,
    /// The scale of its initial values: uniform in ±1/sqrt(`fan_in`); of a norm they are 1 and 0.
    pub fan_in: usize,
}

/// How a layer uses its weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerKind {
    /// Sums rows of a table `[inputs, outputs]`.
    Embedding,
    /// Multiplies by a matrix `[outputs, inputs]`.
    Linear,
    /// Scales each column by a vector `[outputs]`.
    Norm,
}

/// One named tensor of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// For example "hidden.0.weight".
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Where its values start.
    pub initial: Initial,
}

/// The initial values of a tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Initial {
    /// Drawn uniformly from ± this.
    Uniform(f64),
    /// All the same.
    Constant(f32),
}

impl Parameter {
    /// Number of values.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }
}

impl Layer {
    /// Its weight and its bias.
    pub fn parameters(&self) -> [Parameter; 2] {
        let Self { name, kind, inputs, outputs, fan_in } = self;
        let shape = match kind {
            LayerKind::Embedding => vec![*inputs, *outputs],
            LayerKind::Linear => vec![*outputs, *inputs],
            LayerKind::Norm => vec![*outputs],
        };
        let uniform = Initial::Uniform(1.0 / (*fan_in as f64).sqrt());
        let (weight, bias) = match kind {
            LayerKind::Norm => (Initial::Constant(1.0), Initial::Constant(0.0)),
            LayerKind::Embedding | LayerKind::Linear => (uniform, uniform),
        };
        [
            Parameter { name: format!("{name}.weight"), shape, initial: weight },
            Parameter { name: format!("{name}.bias"), shape: vec![*outputs], initial: bias },
        ]
    }
}

/// The layers of a network while it is defined.
#[derive(Debug, Default)]
pub(super) struct Layers {
    /// So far.
    pub(super) layers: Vec<Layer>,
    /// What names start with.
    pub(super) prefix: &'static str,
}

impl Layers {
    fn add(&mut self, name: &str, kind: LayerKind, size: [usize; 2], fan_in: usize) -> usize {
        let ([inputs, outputs], name) = (size, format!("{}{name}", self.prefix));
        self.layers.push(Layer { name, kind, inputs, outputs, fan_in });
        self.layers.len() - 1
    }

    /// Adds a table of rows and gives its place.
    pub(super) fn embedding(
        &mut self,
        name: &str,
        inputs: usize,
        outputs: usize,
        fan_in: usize,
    ) -> usize {
        self.add(name, LayerKind::Embedding, [inputs, outputs], fan_in)
    }

    /// Adds a matrix and gives its place.
    pub(super) fn linear(&mut self, name: &str, inputs: usize, outputs: usize) -> usize {
        self.add(name, LayerKind::Linear, [inputs, outputs], inputs)
    }

    /// Adds a layer norm and gives its place.
    pub(super) fn norm(&mut self, name: &str, width: usize) -> usize {
        self.add(name, LayerKind::Norm, [width, width], width)
    }
}
