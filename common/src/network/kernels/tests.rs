//! The kernels of every instruction set of this processor against naive sums.

use super::*;
use crate::random::{Purpose, Stream};

/// Rows, inputs, outputs: empty, single, odd and whole tiles, panels and blocks.
const SHAPES: [(usize, usize, usize); 9] = [
    (0, 3, 5),
    (1, 1, 1),
    (1, 256, 20),
    (2, 1, 16),
    (7, 33, 17),
    (12, 64, 32),
    (13, 5, 48),
    (25, 256, 15),
    (130, 31, 33),
];
const SEED: u64 = 11;

fn stream(index: usize) -> Stream {
    Stream::new(SEED, Purpose::Walk, 0, index as u64)
}

fn values(stream: &mut Stream, count: usize) -> Vec<f32> {
    (0..count).map(|_| (2.0 * stream.uniform() - 1.0) as f32).collect()
}

/// Compares with activation(sum of terms) in f64, to 1e-5 of the terms' sizes.
fn check(got: f32, terms: impl Iterator<Item = f64> + Clone, relu: Activation, context: &str) {
    let sum: f64 = terms.clone().sum();
    let want = if relu == Activation::Relu { sum.max(0.0) } else { sum };
    let size: f64 = terms.map(f64::abs).sum();
    let error = (f64::from(got) - want).abs();
    assert!(error <= 1e-5 * size, "{context}: got {got}, want {want} (seed {SEED})");
}

#[test]
fn linear_matches_the_naive_product() {
    for (index, (rows, inputs, outputs)) in SHAPES.into_iter().enumerate() {
        let stream = &mut stream(index);
        let (weight, bias) = (values(stream, outputs * inputs), values(stream, outputs));
        let input = values(stream, rows * inputs);
        let layer = PackedLinear::new(&weight, &bias, inputs, outputs);
        for set in InstructionSet::supported() {
            for activation in [Activation::Identity, Activation::Relu] {
                let mut output = vec![f32::NAN; rows * outputs];
                layer.forward_with(set, &input, rows, activation, &mut output);
                for (at, &got) in output.iter().enumerate() {
                    let (row, column) = (at / outputs, at % outputs);
                    let row = &input[row * inputs..][..inputs];
                    let pairs = row.iter().zip(&weight[column * inputs..][..inputs]);
                    let terms = pairs.map(|(x, w)| f64::from(*x) * f64::from(*w));
                    let terms = terms.chain([f64::from(bias[column])]);
                    check(got, terms, activation, &format!("{} {rows}x{inputs}", set.name));
                }
            }
        }
    }
}

#[test]
fn products_over_rows_are_added_and_match_the_naive_sum() {
    for (index, (rows, columns, outputs)) in SHAPES.into_iter().enumerate().skip(1) {
        let stream = &mut stream(200 + index);
        let (left, right) = (values(stream, rows * columns), values(stream, rows * outputs));
        let before = values(stream, columns * outputs);
        let mut packed = PackedLinear::default();
        // What was there before is written over.
        packed.pack(&values(stream, 100 * 40), &values(stream, 40), 100, 40);
        packed.pack_matrix(&right, rows, outputs);
        for set in InstructionSet::supported() {
            let mut sum = before.clone();
            packed.add_over_rows_with(set, &left, columns, &mut sum);
            for (at, &got) in sum.iter().enumerate() {
                let (column, output) = (at / outputs, at % outputs);
                let value =
                    |row: usize| (left[row * columns + column], right[row * outputs + output]);
                let terms = (0..rows).map(value).map(|(x, y)| f64::from(x) * f64::from(y));
                let terms = terms.chain([f64::from(before[at])]);
                check(got, terms, Activation::Identity, &format!("{} {rows}x{columns}", set.name));
            }
        }
    }
}

#[test]
fn a_matrix_is_a_layer_whose_weight_is_transposed() {
    for (index, (rows, inputs, outputs)) in SHAPES.into_iter().enumerate() {
        let stream = &mut stream(300 + index);
        let (input, matrix) = (values(stream, rows * inputs), values(stream, inputs * outputs));
        let weight: Vec<f32> =
            (0..inputs * outputs).map(|at| matrix[at % inputs * outputs + at / inputs]).collect();
        let layer = PackedLinear::new(&weight, &vec![0.0; outputs], inputs, outputs);
        let mut packed = PackedLinear::default();
        packed.pack_matrix(&matrix, inputs, outputs);
        let run = |layer: &PackedLinear| {
            let mut output = vec![f32::NAN; rows * outputs];
            layer.forward(&input, rows, Activation::Identity, &mut output);
            output
        };
        assert_eq!(run(&packed), run(&layer));
    }
}

#[test]
fn embedding_matches_the_naive_sum() {
    for (index, (rows, features, outputs)) in SHAPES.into_iter().enumerate() {
        let stream = &mut stream(index);
        let (weight, bias) = (values(stream, features * outputs), values(stream, outputs));
        let (mut indices, mut offsets) = (Vec::new(), vec![0]);
        for row in 0..rows {
            indices.extend((0..row % 9).map(|_| stream.below(features) as u32));
            offsets.push(indices.len() as u32);
        }
        let layer = PackedEmbedding::new(&weight, &bias);
        for set in InstructionSet::supported() {
            let mut output = vec![f32::NAN; rows * outputs];
            layer.forward_with(set, &indices, &offsets, Activation::Relu, &mut output);
            for (at, &got) in output.iter().enumerate() {
                let (row, column) = (at / outputs, at % outputs);
                let chosen = &indices[offsets[row] as usize..offsets[row + 1] as usize];
                let terms = chosen.iter().map(|f| weight[*f as usize * outputs + column]);
                let terms = terms.chain([bias[column]]).map(f64::from);
                check(got, terms, Activation::Relu, &format!("{} {rows} rows", set.name));
            }
        }
    }
}

#[test]
fn a_row_does_not_depend_on_its_batch() {
    let (rows, inputs, outputs) = (50, 70, 40);
    let stream = &mut stream(100);
    let (weight, bias) = (values(stream, outputs * inputs), values(stream, outputs));
    let input = values(stream, rows * inputs);
    let layer = PackedLinear::new(&weight, &bias, inputs, outputs);
    let run = |set, from: usize, to: usize| {
        let mut output = vec![f32::NAN; (to - from) * outputs];
        let input = &input[from * inputs..to * inputs];
        layer.forward_with(set, input, to - from, Activation::Identity, &mut output);
        output.into_iter().map(f32::to_bits).collect::<Vec<_>>()
    };
    let all = |set| run(set, 0, rows);
    for set in InstructionSet::supported() {
        let whole = all(set);
        for from in 0..rows {
            for to in from..=rows {
                let part = &whole[from * outputs..to * outputs];
                assert_eq!(run(set, from, to), part, "{}: rows {from}..{to}", set.name);
            }
        }
        if set.name != PORTABLE.name {
            assert_eq!(whole, all(InstructionSet::fastest()), "{} (seed {SEED})", set.name);
        }
    }
}

#[test]
fn relu_keeps_nan_and_clears_negatives() {
    let outputs = 19;
    let mut bias = vec![-1.0; outputs];
    (bias[3], bias[18]) = (f32::NAN, f32::NAN);
    let linear = PackedLinear::new(&vec![0.0; outputs], &bias, 1, outputs);
    let embedding = PackedEmbedding::new(&vec![0.0; outputs], &bias);
    for set in InstructionSet::supported() {
        let mut dense = vec![7.0; 2 * outputs];
        linear.forward_with(set, &[1.0, 2.0], 2, Activation::Relu, &mut dense);
        let mut sparse = vec![7.0; 2 * outputs];
        embedding.forward_with(set, &[0], &[0, 0, 1], Activation::Relu, &mut sparse);
        for output in [dense, sparse] {
            for (at, value) in output.iter().enumerate() {
                let ok = if bias[at % outputs].is_nan() { value.is_nan() } else { *value == 0.0 };
                assert!(ok, "{}: value {at} is {value}", set.name);
            }
        }
    }
}
