//! Training passes on the CPU: forward, keeping what each layer gave, and back from the gradient of the
//! output rows to that of the weights.
//!
//! For perceptrons whose layers fit into a core's cache, where they are faster than a general library
//! of tensors: nothing is allocated, the bias and the activation cost nothing, and a step is a few
//! products. Rows go in parts to whichever thread is free: one that the system keeps waiting holds up
//! no more than a part. With one thread the gradient is the same to the bit each time; with more it
//! depends by rounding on who took which part.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::super::kernels::{PackedEmbedding, PackedLinear, with_wide_vectors};
use super::super::{Activation, LayerKind, Network, Ragged};

/// Weights of a layer up to which it is computed here: a megabyte.
const LARGEST: usize = 1 << 18;
/// Rows of a product over rows: what is packed of them stays in a core's cache.
const CHUNK: usize = 256;
/// The fewest rows of a part, of which there are several for each thread: whole tiles of rows, whatever
/// the instructions. A thread is worth its start from twice as many rows on.
const PART: usize = 60;
/// Parts for each of several threads.
const PARTS: usize = 4;

/// A network with weights in training.
#[derive(Clone)]
pub struct Passes {
    definition: Definition,
    workers: Vec<Worker>,
    parts: Vec<Part>,
    /// Parts that the last forward pass used.
    used: usize,
}

/// What all threads read.
#[derive(Clone)]
struct Definition {
    layers: Vec<Layer>,
    /// The layers of each body, first to last: of the one network, or also of P_B's own.
    chains: Vec<Vec<usize>>,
    /// The output column before which those of P_B's own network go.
    at: usize,
    width: usize,
    /// Parameters.
    count: usize,
}

#[derive(Clone)]
struct Layer {
    inputs: usize,
    outputs: usize,
    /// Where its weight and its bias are among all parameters.
    weight: Range<usize>,
    bias: Range<usize>,
    packed: Packed,
}

#[derive(Clone)]
enum Packed {
    Embedding(PackedEmbedding),
    /// Also packed for the way back.
    Linear(PackedLinear, PackedLinear),
}

/// Some of the rows.
#[derive(Clone, Default)]
struct Part {
    features: Ragged,
    /// Of each chain, what each layer gave, `[rows, outputs]`.
    values: Vec<Vec<Vec<f32>>>,
    /// Output rows.
    output: Vec<f32>,
}

/// What one thread needs.
#[derive(Clone, Default)]
struct Worker {
    /// Of the weights, by the rows that it had; empty if it had none.
    gradient: Vec<f32>,
    /// Of what a layer gave, and of what the one before did.
    of_output: Vec<f32>,
    of_input: Vec<f32>,
    scratch: PackedLinear,
}

impl Passes {
    /// On so many threads; none if the network is better computed otherwise: it is no perceptron of
    /// ReLU layers of at most a megabyte, or training leaves out numbers.
    pub fn new(network: &Network, threads: usize) -> Option<Self> {
        let chains = network.chains()?;
        let mut start = 0;
        let mut layers = Vec::new();
        for layer in network.layers() {
            let [weight, bias] = layer.parameters().map(|parameter| {
                start += parameter.len();
                start - parameter.len()..start
            });
            if weight.len() > LARGEST {
                return None;
            }
            let packed = match layer.kind {
                LayerKind::Embedding => Packed::Embedding(PackedEmbedding::default()),
                LayerKind::Linear => {
                    Packed::Linear(PackedLinear::default(), PackedLinear::default())
                }
                LayerKind::Norm => return None,
            };
            let (inputs, outputs) = (layer.inputs, layer.outputs);
            layers.push(Layer { inputs, outputs, weight, bias, packed });
        }
        let (at, width) = (network.heads.backward_column(), network.heads.width());
        let definition = Definition { layers, chains, at, width, count: start };
        let workers = vec![Worker::default(); threads.max(1)];
        Some(Self { definition, workers, parts: Vec::new(), used: 0 })
    }

    /// Takes other weights, in the order of [`Network::parameters`].
    ///
    /// # Panics
    /// If they are not as many as the network has.
    pub fn set_weights(&mut self, values: &[f32]) {
        assert_eq!(values.len(), self.definition.count, "weights of another network");
        for Layer { inputs, outputs, weight, bias, packed } in &mut self.definition.layers {
            let (weight, bias) = (&values[weight.clone()], &values[bias.clone()]);
            match packed {
                Packed::Embedding(packed) => packed.pack(weight, bias),
                Packed::Linear(packed, back) => {
                    packed.pack(weight, bias, *inputs, *outputs);
                    back.pack_matrix(weight, *outputs, *inputs);
                }
            }
        }
    }

    /// Writes the output rows of states, `[features.rows(), heads.width()]`.
    ///
    /// # Panics
    /// If a feature is none of the network's, or there are no weights yet.
    pub fn forward(&mut self, features: &Ragged, output: &mut Vec<f32>) {
        let rows = features.rows();
        let parts = if self.workers.len() > 1 { PARTS * self.workers.len() } else { 1 };
        let each = rows.div_ceil(parts).next_multiple_of(PART).max(1);
        self.used = rows.div_ceil(each).max(1);
        let chains = &self.definition.chains;
        let empty = || Part {
            values: chains.iter().map(|chain| vec![Vec::new(); chain.len()]).collect(),
            ..Part::default()
        };
        if self.parts.len() < self.used {
            self.parts.resize_with(self.used, empty);
        }
        for (i, part) in self.parts[..self.used].iter_mut().enumerate() {
            part.features.clear();
            for row in (i * each).min(rows)..((i + 1) * each).min(rows) {
                part.features.push_with(|values| values.extend(features.row(row)));
            }
        }
        let definition = &self.definition;
        let parts = &mut self.parts[..self.used];
        in_parallel(parts, &mut self.workers, |part, _| definition.forward(part));
        output.clear();
        self.parts[..self.used].iter().for_each(|part| output.extend(&part.output));
    }

    /// Writes the gradient of the weights, in their order, given that of the last output rows in
    /// their shape.
    ///
    /// # Panics
    /// If the shape is another.
    pub fn backward(&mut self, of_output: &[f32], gradient: &mut Vec<f32>) {
        let mut left = of_output;
        for part in &mut self.parts[..self.used] {
            let (own, rest) = left.split_at(part.output.len());
            part.output.copy_from_slice(own);
            left = rest;
        }
        assert!(left.is_empty(), "a gradient of other rows");
        let definition = &self.definition;
        self.workers.iter_mut().for_each(|worker| worker.gradient.clear());
        let parts = &mut self.parts[..self.used];
        in_parallel(parts, &mut self.workers, |part, worker| {
            worker.gradient.resize(definition.count, 0.0);
            definition.backward(part, worker);
        });
        let mut busy = self.workers.iter_mut().filter(|worker| !worker.gradient.is_empty());
        if let Some(first) = busy.next() {
            std::mem::swap(gradient, &mut first.gradient);
        }
        busy.for_each(|other| add(gradient, &other.gradient));
    }
}

/// Does it to each part, one after the other by whoever is free; this thread is the first worker.
fn in_parallel(
    parts: &mut [Part],
    workers: &mut [Worker],
    work: impl Fn(&mut Part, &mut Worker) + Sync,
) {
    let helpers = parts.len() - 1;
    let parts = Mutex::new(parts.iter_mut());
    let next = || parts.lock().unwrap_or_else(PoisonError::into_inner).next();
    let run = |worker: &mut Worker| {
        while let Some(part) = next() {
            work(part, worker);
        }
    };
    let Some((first, others)) = workers.split_first_mut() else { return };
    thread::scope(|scope| {
        for worker in others.iter_mut().take(helpers) {
            scope.spawn(|| run(worker));
        }
        run(first);
    });
}

fn add(sum: &mut [f32], values: &[f32]) {
    with_wide_vectors(
        #[inline(always)]
        || sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value),
    );
}

/// Times ReLU's own derivative, from what it gave; NaN stays NaN.
fn times_derivative(slopes: &mut [f32], values: &[f32]) {
    with_wide_vectors(
        #[inline(always)]
        || {
            for (slope, value) in slopes.iter_mut().zip(values) {
                // Written in any case: some processors are slow to store under a mask.
                *slope *= if *value == 0.0 { 0.0 } else { 1.0 };
            }
        },
    );
}

impl Definition {
    /// Where the columns of a chain begin and end that go before and behind those of another.
    fn columns(&self, chain: usize) -> [Range<usize>; 2] {
        let outputs =
            |chain: usize| self.chains[chain].last().map_or(0, |&l| self.layers[l].outputs);
        match (chain, self.chains.len()) {
            (0, 1) => [0..self.width, 0..0],
            (0, _) => [0..self.at, self.at + outputs(1)..self.width],
            _ => [self.at..self.at + outputs(chain), 0..0],
        }
    }

    fn forward(&self, part: &mut Part) {
        let rows = part.features.rows();
        part.output.resize(rows * self.width, 0.0);
        for (chain, layers) in self.chains.iter().enumerate() {
            for (place, &layer) in layers.iter().enumerate() {
                let is_last = place + 1 == layers.len();
                let activation = if is_last { Activation::Identity } else { Activation::Relu };
                let (before, of_layer) = part.values[chain].split_at_mut(place);
                let output = &mut of_layer[0];
                let Layer { outputs, packed, .. } = &self.layers[layer];
                output.resize(rows * outputs, 0.0);
                match (packed, before.last()) {
                    (Packed::Embedding(packed), _) => {
                        let Ragged { values, offsets } = &part.features;
                        packed.forward(values, offsets, activation, output);
                    }
                    (Packed::Linear(packed, _), Some(input)) => {
                        packed.forward(input, rows, activation, output);
                    }
                    (Packed::Linear(..), None) => {}
                }
            }
            let Some(values) = part.values[chain].last() else { continue };
            let [first, second] = self.columns(chain);
            let outputs = first.len() + second.len();
            let from = values.chunks_exact(outputs.max(1));
            for (to, from) in part.output.chunks_exact_mut(self.width).zip(from) {
                to[first.clone()].copy_from_slice(&from[..first.len()]);
                to[second.clone()].copy_from_slice(&from[first.len()..]);
            }
        }
    }

    /// The gradient of the output rows is where they were.
    fn backward(&self, part: &Part, worker: &mut Worker) {
        let Worker { gradient, of_output, of_input, scratch } = worker;
        for (chain, layers) in self.chains.iter().enumerate() {
            let [first, second] = self.columns(chain);
            of_output.clear();
            for row in part.output.chunks_exact(self.width) {
                of_output.extend(&row[first.clone()]);
                of_output.extend(&row[second.clone()]);
            }
            for (place, &layer) in layers.iter().enumerate().rev() {
                let layer = &self.layers[layer];
                let sum = &mut gradient[layer.bias.clone()];
                of_output.chunks_exact(layer.outputs).for_each(|row| add(sum, row));
                let sum = &mut gradient[layer.weight.clone()];
                match (&layer.packed, place.checked_sub(1)) {
                    (Packed::Linear(_, back), Some(before)) => {
                        let input = &part.values[chain][before];
                        let inputs = input.chunks(CHUNK * layer.inputs);
                        let lefts = of_output.chunks(CHUNK * layer.outputs);
                        for (input, left) in inputs.zip(lefts) {
                            let rows = input.len() / layer.inputs;
                            scratch.pack_matrix(input, rows, layer.inputs);
                            scratch.add_over_rows(left, layer.outputs, sum);
                        }
                        let rows = part.features.rows();
                        of_input.resize(rows * layer.inputs, 0.0);
                        let slopes = of_input.chunks_mut(PART * layer.inputs);
                        let lefts = of_output.chunks(PART * layer.outputs);
                        let inputs = input.chunks(PART * layer.inputs);
                        for ((slopes, left), input) in slopes.zip(lefts).zip(inputs) {
                            let rows = input.len() / layer.inputs;
                            back.forward(left, rows, Activation::Identity, slopes);
                            times_derivative(slopes, input);
                        }
                        std::mem::swap(of_output, of_input);
                    }
                    _ => {
                        let rows = of_output.chunks_exact(layer.outputs).enumerate();
                        for (row, of_row) in rows {
                            for &feature in part.features.row(row) {
                                let at = feature as usize * layer.outputs;
                                add(&mut sum[at..at + layer.outputs], of_row);
                            }
                        }
                    }
                }
            }
        }
    }
}
