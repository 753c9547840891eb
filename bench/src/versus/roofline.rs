//! The time that the network's multiply-adds alone would take, at the speed of the best matrix product
//! that is at hand.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use tributary_common::ids::{Incarnation, PolicyVersion};
use tributary_common::network::cpu::{Scratch, Snapshot};
use tributary_common::network::{Layer, LayerKind, Network, Ragged, Weights};
use tributary_common::run_file::Device;
use tributary_learner::torch::{self, TorchNetwork};

use crate::experiment::Experiment;
use crate::tasks::SMALL_HYPERGRID;

/// Layers of 256 x 256 behind each other: next to their products, nothing else takes time.
const LAYERS: usize = 12;
/// Rows of an input; which suits a machine best depends on its caches.
const ROWS: [usize; 3] = [128, 512, 2_048];
const MEASURE_FOR: Duration = Duration::from_millis(100);

/// Multiply-adds of a network that reads one state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Work {
    /// Of dense layers: once forward, twice backward (for the inputs' and for the weights' gradient).
    pub(super) dense: f64,
    /// Sums of rows of the first layer: once forward, once backward.
    pub(super) sums: f64,
}

impl Work {
    /// Of an MLP of which so many inputs are 1.
    pub(super) fn of_mlp(layers: &[Layer], ones: f64) -> Self {
        let mut work = Self { dense: 0.0, sums: 0.0 };
        for layer in layers {
            match layer.kind {
                LayerKind::Embedding => work.sums += ones * layer.outputs as f64,
                LayerKind::Linear => work.dense += (layer.inputs * layer.outputs) as f64,
                LayerKind::Norm => {}
            }
        }
        work
    }

    /// Of a transformer, on average over the states on the way to `tokens` tokens at any position: an
    /// element for the start and one for each token. In the last block only the start asks.
    pub(super) fn of_transformer(
        tokens: usize,
        blocks: usize,
        width: usize,
        feed_forward: usize,
        outputs: usize,
    ) -> Self {
        let (keys, asking) = (2 * width * width, 2 * width * width + 2 * width * feed_forward);
        let mut work = Self { dense: 0.0, sums: 0.0 };
        for elements in 1..=tokens {
            for block in 1..=blocks {
                let asked = if block == blocks { 1 } else { elements };
                let attention = 2 * elements * width;
                work.dense += (elements * keys + asked * (asking + attention)) as f64;
            }
            work.dense += (width * outputs) as f64;
            // A token and its position.
            work.sums += (2 * (elements - 1) * width) as f64;
        }
        let states = tokens as f64;
        Self { dense: work.dense / states, sums: work.sums / states }
    }

    /// Drawn once, trained on once.
    pub(super) fn of_training(self) -> f64 {
        let (drawn, trained) = (self.dense + self.sums, 3.0 * self.dense + 2.0 * self.sums);
        drawn + trained
    }

    /// Milliseconds that so many states take.
    pub(super) fn milliseconds(self, states: f64, gigaflops: f64, cores: usize) -> f64 {
        2.0 * self.of_training() * states / (gigaflops * 1e9 * cores as f64) * 1e3
    }
}

/// 10^9 floating-point operations a second, on one core: of the product's own kernel or of libtorch,
/// whichever is faster.
pub(super) fn gigaflops() -> Result<f64> {
    let hidden = vec!["256"; LAYERS + 1].join(", ");
    let changes = [format!("policy.hidden=[{hidden}]"), "learner.updates=1".to_owned()];
    let experiment = Experiment::read(SMALL_HYPERGRID, &changes, std::path::Path::new("."))?;
    let network = Network::of_run(&experiment.run_file, experiment.task.environment.as_ref());
    let work = Work::of_mlp(network.layers(), 1.0);
    let values: Vec<f32> =
        (0..network.parameter_count()).map(|i| 0.02 * ((i % 7) as f32 - 2.5)).collect();
    torch::set_threads(1);
    let trained = TorchNetwork::new(network.clone(), &values, torch::device(Device::Cpu)?)?;
    let version = PolicyVersion { incarnation: Incarnation(1), step: 0 };
    let weights = Weights { version, log_z: 0.0, generated: 0, values };
    let (snapshot, mut scratch) = (Snapshot::new(Arc::new(network), weights), Scratch::default());
    let mut best: f64 = 0.0;
    for rows in ROWS {
        let mut features = Ragged::default();
        (0..rows).for_each(|row| features.push_with(|ones| ones.push(row as u32 % 16)));
        let own = fastest(|| {
            std::hint::black_box(snapshot.forward(&mut scratch, &features));
            Ok(())
        })?;
        let libtorch = fastest(|| {
            std::hint::black_box(trained.forward(&features)?);
            Ok(())
        })?;
        let operations = 2.0 * (work.dense + work.sums) * rows as f64;
        best = best.max(operations / own.min(libtorch) / 1e9);
    }
    Ok(best)
}

/// Seconds of the fastest of many.
fn fastest(mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    let (start, mut fastest) = (Instant::now(), f64::INFINITY);
    while start.elapsed() < MEASURE_FOR {
        let begun = Instant::now();
        work()?;
        fastest = fastest.min(begun.elapsed().as_secs_f64());
    }
    Ok(fastest)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_first_layer_counts_as_sums_of_rows() {
        let changes = ["policy.hidden=[256, 256]".to_owned(), "learner.updates=1".to_owned()];
        let experiment =
            Experiment::read(SMALL_HYPERGRID, &changes, std::path::Path::new(".")).unwrap();
        let network = Network::of_run(&experiment.run_file, experiment.task.environment.as_ref());
        let work = Work::of_mlp(network.layers(), 2.0);
        // Two coordinates; three forward and two backward logits.
        assert_eq!(work, Work { dense: 256.0 * 256.0 + 256.0 * 5.0, sums: 2.0 * 256.0 });
        assert_eq!(work.of_training(), 4.0 * work.dense + 3.0 * work.sums);
    }

    #[test]
    fn the_last_block_of_a_transformer_asks_for_one_element() {
        // One token, so one state of one element: keys and values 2 * 4, the rest 2 * 4 + 2 * 6, attention
        // 2 * 2; three outputs.
        let work = Work::of_transformer(1, 1, 2, 3, 3);
        assert_eq!(work, Work { dense: 8.0 + 20.0 + 4.0 + 6.0, sums: 0.0 });
        // A second state of two elements, of which the first block asks for both.
        let more = Work::of_transformer(2, 2, 2, 3, 3);
        let first = [2.0 * 8.0 + 2.0 * (20.0 + 8.0), 2.0 * 8.0 + 20.0 + 8.0];
        let both = [2.0 * (8.0 + 20.0 + 4.0) + 6.0, first[0] + first[1] + 6.0];
        assert_eq!(more, Work { dense: (both[0] + both[1]) / 2.0, sums: 4.0 / 2.0 });
    }

    #[test]
    fn two_cores_take_half_the_time() {
        let work = Work { dense: 1e6, sums: 0.0 };
        // 4 * 10^6 multiply-adds of two operations, 100 states: 8 * 10^8 operations.
        assert!((work.milliseconds(100.0, 100.0, 1) - 8.0).abs() < 1e-9);
        assert!((work.milliseconds(100.0, 100.0, 2) - 4.0).abs() < 1e-9);
    }
}
