//! The networks in float64, from the names of their tensors, one state at a time.

use std::collections::HashMap;

use crate::network::{Network, Weights};

/// A network's tensors by name.
pub(super) struct Naive {
    tensors: HashMap<String, Vec<f64>>,
    text: String,
    at: usize,
}

type Vector = Vec<f64>;

impl Naive {
    pub(super) fn new(network: &Network, weights: &Weights) -> Self {
        let mut left = weights.values.iter().map(|v| f64::from(*v));
        let tensors = network.parameters().into_iter().map(|parameter| {
            let values = left.by_ref().take(parameter.len()).collect();
            (parameter.name, values)
        });
        let (tensors, at) = (tensors.collect(), network.heads.backward_column());
        Self { tensors, text: network.architecture().to_owned(), at }
    }

    /// Moves one value of a tensor.
    pub(super) fn shift(&mut self, tensor: &str, index: usize, by: f64) {
        self.tensors.get_mut(tensor).unwrap()[index] += by;
    }

    /// The output row of a state.
    pub(super) fn row(&self, features: &[u32]) -> Vector {
        let mut row = self.body("", features);
        if self.tensors.contains_key("backward.heads.weight") {
            let backward = self.body("backward.", features);
            row.splice(self.at..self.at, backward);
        }
        row
    }

    fn body(&self, prefix: &str, features: &[u32]) -> Vector {
        if self.text.starts_with("mlp") {
            self.mlp(prefix, features)
        } else {
            self.transformer(prefix, features)
        }
    }

    fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(&format!("{name}.bias"))
    }

    /// A sum of rows of a table, plus bias.
    fn table(&self, name: &str, rows: &[u32]) -> Vector {
        let (weight, bias) = self.weight_and_bias(name);
        let width = bias.len();
        let at = |column: usize| rows.iter().map(move |row| weight[*row as usize * width + column]);
        (0..width).map(|column| bias[column] + at(column).sum::<f64>()).collect()
    }

    fn linear(&self, name: &str, x: &[f64]) -> Vector {
        let (weight, bias) = self.weight_and_bias(name);
        bias.iter().zip(weight.chunks_exact(x.len())).map(|(b, row)| b + inner(row, x)).collect()
    }

    fn norm(&self, name: &str, x: &[f64]) -> Vector {
        let (weight, bias) = self.weight_and_bias(name);
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64;
        let scaled = x.iter().map(|x| (x - mean) / (variance + 1e-5).sqrt());
        scaled.zip(weight.iter().zip(bias)).map(|(x, (w, b))| x * w + b).collect()
    }

    fn weight_and_bias(&self, name: &str) -> (&[f64], &[f64]) {
        (&self.tensors[&format!("{name}.weight")], &self.tensors[&format!("{name}.bias")])
    }

    fn activate(&self, x: Vector) -> Vector {
        let gelu = self.text.contains("-gelu");
        x.into_iter().map(|x| if gelu { x * normal(x) } else { x.max(0.0) }).collect()
    }

    fn mlp(&self, prefix: &str, features: &[u32]) -> Vector {
        let first = if self.has(&format!("{prefix}hidden.0")) { "hidden.0" } else { "heads" };
        let mut x = self.table(&format!("{prefix}{first}"), features);
        if first == "heads" {
            return x;
        }
        for i in 0.. {
            let norm = format!("{prefix}norm.{i}");
            x = self.activate(if self.has(&norm) { self.norm(&norm, &x) } else { x });
            let next = format!("{prefix}hidden.{}", i + 1);
            if !self.has(&next) {
                break;
            }
            x = self.linear(&next, &x);
        }
        self.linear(&format!("{prefix}heads"), &x)
    }

    fn number(&self, name: &str) -> usize {
        let (_, rest) = self.text.split_once(&format!("{name}=")).unwrap();
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap()
    }

    fn transformer(&self, prefix: &str, features: &[u32]) -> Vector {
        let vocabulary = self.number("vocabulary") as u32;
        let token = |f: &u32| vec![f % vocabulary, vocabulary + f / vocabulary];
        let elements = std::iter::once(vec![]).chain(features.iter().map(token));
        let mut xs: Vec<Vector> =
            elements.map(|rows| self.table(&format!("{prefix}embedding"), &rows)).collect();
        for block in 0..self.number("layers") {
            let name = |part: &str| format!("{prefix}blocks.{block}.{part}");
            let normal: Vec<_> = xs.iter().map(|x| self.norm(&name("attention_norm"), x)).collect();
            for i in 0..xs.len() {
                let causal = self.text.contains("-causal");
                let seen = &normal[..if causal { i + 1 } else { normal.len() }];
                let query = self.linear(&name("query"), &normal[i]);
                let rows: Vec<_> =
                    seen.iter().map(|x| self.linear(&name("key_value"), x)).collect();
                let mixed = attention(&query, &rows, self.number("heads"));
                let mixed = self.linear(&name("attention_output"), &mixed);
                let x = sum(&xs[i], &mixed);
                let normal = self.norm(&name("feed_forward_norm"), &x);
                let wide = self.activate(self.linear(&name("feed_forward_in"), &normal));
                xs[i] = sum(&x, &self.linear(&name("feed_forward_out"), &wide));
            }
        }
        let read = if self.text.contains("-causal") { xs.len() - 1 } else { 0 };
        let normal = self.norm(&format!("{prefix}norm"), &xs[read]);
        self.linear(&format!("{prefix}heads"), &normal)
    }
}

fn attention(query: &[f64], rows: &[Vector], heads: usize) -> Vector {
    let (width, size) = (query.len(), query.len() / heads);
    let mut mixed = vec![0.0; width];
    for head in 0..heads {
        let columns = head * size..(head + 1) * size;
        let score = |row: &Vector| inner(&query[columns.clone()], &row[columns.clone()]);
        let weights: Vec<f64> =
            rows.iter().map(|row| (score(row) / (size as f64).sqrt()).exp()).collect();
        for column in columns.clone() {
            let values = rows.iter().zip(&weights).map(|(row, w)| w * row[width + column]);
            mixed[column] = values.sum::<f64>() / weights.iter().sum::<f64>();
        }
    }
    mixed
}

fn inner(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn sum(a: &[f64], b: &[f64]) -> Vector {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

/// The normal distribution function: 1/2 plus the integral of the density, by Simpson's rule.
fn normal(x: f64) -> f64 {
    const PIECES: usize = 200;
    let density = |t: f64| (-0.5 * t * t).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let step = x / PIECES as f64;
    let weight = |i| if i == 0 || i == PIECES { 1.0 } else { 2.0 + 2.0 * (i % 2) as f64 };
    let integral: f64 = (0..=PIECES).map(|i| weight(i) * density(i as f64 * step)).sum();
    0.5 + integral * step / 3.0
}
