//! Networks run by a backend that only counts, so that savings are known without a clock.

use std::convert::Infallible;

use super::*;

/// Counts products (each with its addition), and the elements that enter the layers.
#[derive(Default)]
struct Counter {
    layers: Vec<Layer>,
    /// Of layers and attention.
    products: usize,
    elements: usize,
}

/// `[rows, columns]`
type Shape = [usize; 2];

impl Backend for Counter {
    type Tensor = Shape;
    type Error = Infallible;

    fn embedding_bag(
        &mut self,
        layer: usize,
        rows: &Ragged,
        _: Activation,
    ) -> Result<Shape, Infallible> {
        self.elements += rows.rows();
        Ok([rows.rows(), self.layers[layer].outputs])
    }

    fn linear(&mut self, layer: usize, input: &Shape, _: Activation) -> Result<Shape, Infallible> {
        let Layer { inputs, outputs, .. } = self.layers[layer];
        assert_eq!(input[1], inputs);
        self.products += input[0] * inputs * outputs;
        Ok([input[0], outputs])
    }

    fn layer_norm(
        &mut self,
        layer: usize,
        input: &Shape,
        _: Activation,
    ) -> Result<Shape, Infallible> {
        assert_eq!(input[1], self.layers[layer].outputs);
        Ok(*input)
    }

    fn attention(
        &mut self,
        _: usize,
        query: &Shape,
        key_value: &Shape,
        _: usize,
        sequences: &Sequences,
    ) -> Result<Shape, Infallible> {
        assert_eq!((query[0], key_value[1]), (sequences.queries.len(), 2 * query[1]));
        let seen: u32 = sequences.queries.iter().map(|query| query.visible).sum();
        self.products += 2 * seen as usize * query[1];
        Ok(*query)
    }

    fn take_rows(&mut self, input: &Shape, rows: &[u32]) -> Result<Shape, Infallible> {
        Ok([rows.len(), input[1]])
    }

    fn add(&mut self, left: Shape, right: Shape) -> Result<Shape, Infallible> {
        assert_eq!(left, right);
        Ok(left)
    }

    fn insert_columns(
        &mut self,
        outer: Shape,
        inner: Shape,
        _: usize,
    ) -> Result<Shape, Infallible> {
        Ok([outer[0], outer[1] + inner[1]])
    }
}

/// 15 words of 8 bits, appended; 3 layers of width 64.
fn words_of_bits() -> Network {
    let environment = Sequence::over_bits(8, Length::Length(15)).unwrap();
    transformer(&environment, BackwardNetwork::Shared)
}

/// The states of one trajectory but the last, which must stop.
fn trajectory() -> Vec<Vec<u32>> {
    (0..15).map(|length| (0..length).map(|position| 256 * position).collect()).collect()
}

fn ragged(rows: &[Vec<u32>]) -> Ragged {
    let mut features = Ragged::default();
    rows.iter().for_each(|row| features.push_with(|out| out.extend(row)));
    features
}

#[test]
fn a_cache_computes_each_element_once() {
    let network = words_of_bits();
    let counter = || Counter { layers: network.layers().to_vec(), ..Counter::default() };
    let (mut plain, mut cached) = (counter(), counter());
    for (known, state) in trajectory().into_iter().enumerate() {
        let features = ragged(&[state]);
        let Ok(whole) = network.forward(&mut plain, &features);
        let Ok(continued) = network.forward_continued(&mut cached, &features, &[known]);
        assert_eq!((whole, continued), ([1, 256 + 1 + 1], [1, 256 + 1 + 1]));
    }
    assert_eq!((cached.elements, plain.elements), (15, 15 * 16 / 2));
    // Of an element: query, keys and values, output, feed-forward, in 3 layers; then the heads. Of
    // attention: the scores and the sums over 1 + 2 + ... + 15 elements.
    let layers = 3 * (64 * 64 + 64 * 128 + 64 * 64 + 2 * 64 * 256);
    assert_eq!(cached.products, 15 * (layers + 64 * 258) + 3 * 2 * 64 * 120);
    assert_eq!((cached.products, plain.products), (2_505_600, 13_831_040));
}

#[test]
fn training_reads_a_trajectory_in_one_pass() {
    let network = words_of_bits();
    let mut counter = Counter { layers: network.layers().to_vec(), ..Counter::default() };
    let Ok(rows) = network.forward(&mut counter, &ragged(&trajectory()));
    assert_eq!((rows, counter.elements), ([15, 256 + 1 + 1], 15));
}
