//! Micro-benchmarks of the hot parts, each on one thread: `cargo bench -p tributary-bench`.
//!
//! What is measured is the product's own code with no process or network around it. A name given
//! after `--` chooses: `cargo bench -p tributary-bench -- learner`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../src/scene.rs"]
mod scene;

use divan::Bencher;
use divan::counter::ItemsCount;
use tributary_common::run_file::Selector;

use crate::scene::{Drawing, Receiving, Replaying, Scene, Shape, Training};

fn main() {
    tributary_learner::torch::set_threads(1);
    divan::main();
}

/// Hypergrids, and trajectories at a time: rollouts, updates.
const GRIDS: [Shape; 4] = [
    Shape::grid(2, 8, 16),
    Shape::grid(2, 8, 128),
    Shape::grid(4, 16, 16),
    Shape::grid(4, 16, 128),
];

/// Trajectories drawn by the policy, an MLP 256x2; items are states that the network was asked for.
#[divan::bench(args = GRIDS)]
fn rollouts(bencher: Bencher, shape: Shape) {
    let mut drawing = Drawing::new(&Scene::new(shape));
    let states = drawing.draw();
    bencher.counter(ItemsCount::new(states)).bench_local(|| drawing.draw());
}

/// The same network alone, asked for as many states at a time: what rollouts cannot be faster than.
#[divan::bench(args = [16, 128])]
fn network(bencher: Bencher, rows: usize) {
    let mut forward = scene::Forward::new(rows, 2);
    bencher.counter(ItemsCount::new(rows)).bench_local(|| forward.run());
}

/// Ten products with 256x256 weights more than `network`: the difference is the time of ten.
#[divan::bench(args = [16, 128])]
fn network_of_twelve_layers(bencher: Bencher, rows: usize) {
    let mut forward = scene::Forward::new(rows, 12);
    bencher.counter(ItemsCount::new(rows)).bench_local(|| forward.run());
}

/// The learner's part of training, from a replay that has everything.
mod learner {
    use super::*;

    /// One update of trajectory balance; items are trajectories.
    #[divan::bench(args = GRIDS)]
    fn update(bencher: Bencher, shape: Shape) {
        let mut training = Training::new(&Scene::new(shape));
        bencher.counter(ItemsCount::new(shape.batch)).bench_local(|| training.update());
    }

    /// Of it, building the batch from actions.
    #[divan::bench(args = GRIDS)]
    fn batch(bencher: Bencher, shape: Shape) {
        let mut training = Training::new(&Scene::new(shape));
        bencher.counter(ItemsCount::new(shape.batch)).bench_local(|| training.build());
    }

    /// Of it, what the network takes.
    #[divan::bench(args = GRIDS)]
    fn compute(bencher: Bencher, shape: Shape) {
        let mut training = Training::new(&Scene::new(shape));
        training.build();
        bencher.counter(ItemsCount::new(shape.batch)).bench_local(|| training.compute());
    }

    /// Publishing the weights, as far as training waits for it.
    #[divan::bench(args = [GRIDS[2], Shape::LARGE])]
    fn publish(bencher: Bencher, shape: Shape) {
        let mut training = Training::new(&Scene::new(shape));
        bencher.bench_local(|| training.publish());
    }

    /// Trajectories of 64 steps by both objectives.
    #[divan::bench(args = [Shape::bits("trajectory_balance"), Shape::bits("sub_trajectory_balance")])]
    fn long_trajectories(bencher: Bencher, shape: Shape) {
        let mut training = Training::new(&Scene::new(shape));
        bencher.counter(ItemsCount::new(shape.batch)).bench_local(|| training.update());
    }
}

/// Messages of trajectories of 32 steps, validated, deduplicated, put into replay and acked; items
/// are trajectories.
mod ingest {
    use super::*;

    #[divan::bench]
    fn take(bencher: Bencher) {
        let mut receiving = Receiving::new(&Scene::new(Shape::tokens()));
        bencher.counter(ItemsCount::new(receiving.batch())).bench_local(|| receiving.take());
    }

    /// Of it, the examination.
    #[divan::bench]
    fn examine(bencher: Bencher) {
        let mut receiving = Receiving::new(&Scene::new(Shape::tokens()));
        bencher.counter(ItemsCount::new(receiving.batch())).bench_local(|| receiving.examine());
    }
}

/// Draws from a full replay of a million trajectories, a batch of 128 at a time.
#[divan::bench(args = [Selector::Fifo, Selector::Uniform, Selector::Prioritized, Selector::TopFraction])]
fn draws(bencher: Bencher, selector: Selector) {
    let mut replaying = Replaying::new(selector, 1_000_000);
    bencher.counter(ItemsCount::new(replaying.batch())).bench_local(|| replaying.draw());
}
