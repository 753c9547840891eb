#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use tributary_common::environment::{Environment, Hypergrid};
use tributary_common::random::{Purpose, Stream};
use tributary_common::run_file::{Architecture, BackwardNetwork};

use super::*;
use crate::adam::{Adam, ScalarAdam, Settings};

const ADAM: Settings =
    Settings { learning_rate: 0.1, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 };
const ADAMW: Settings = Settings { weight_decay: 0.5, ..ADAM };
const VECTORS: [Vector; 5] =
    [Vector::Weights, Vector::Average, Vector::Mean, Vector::Square, Vector::Target];

fn own(network: &Network, values: &[f32]) -> Box<dyn Engine> {
    let passes = Passes::new(network, 1).unwrap();
    Box::new(Own::new(passes, network, values, true))
}

/// Both engines of a network with these weights.
fn both(network: &Network, values: &[f32]) -> [Box<dyn Engine>; 2] {
    let libtorch = Libtorch::new(network, values, true, Device::Cpu).unwrap();
    [own(network, values), Box::new(libtorch)]
}

fn read(engine: &dyn Engine, vector: Vector) -> Vec<f32> {
    let mut values = Vec::new();
    engine.read(vector, &mut values).unwrap();
    values
}

fn assert_close(ours: &[f32], theirs: &[f32], relative: f32) {
    assert_eq!(ours.len(), theirs.len());
    let largest = theirs.iter().fold(0f32, |most, value| most.max(value.abs()));
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert!((ours - theirs).abs() <= relative * largest, "{ours} {theirs} {largest}");
    }
}

/// States of a grid, and a direction for the logits of them.
fn batch(grid: &Hypergrid, width: usize, rows: usize, seed: u64) -> (Ragged, Vec<f32>) {
    let (mut features, mut random) = (Ragged::default(), Stream::new(seed, Purpose::Walk, 0, 0));
    for _ in 0..rows {
        let state: Vec<u32> = (0..4).map(|_| random.below(16) as u32).collect();
        features.push_with(|row| grid.active_features(&state, row));
    }
    let direction = (0..rows * width).map(|_| random.uniform() as f32 - 0.5).collect();
    (features, direction)
}

/// The same logits and gradients by both, of the network that runs have by default and of one for P_B
/// apart; by the target network the same as by the weights where both start.
#[test]
fn both_give_the_same_logits_and_gradients() {
    let grid = Hypergrid::new(4, 16).unwrap();
    for backward in [BackwardNetwork::Shared, BackwardNetwork::Own] {
        let architecture = Architecture { hidden: vec![256, 256], ..Architecture::default() };
        let network = Network::new(&grid, &architecture, true, backward, true);
        let (features, direction) = batch(&grid, network.heads.width(), 600, 3);
        let [ours, theirs] = both(&network, &network.initial_values(3)).map(|mut engine| {
            let (mut logits, mut of_target, mut gradient) = (Vec::new(), Vec::new(), Vec::new());
            engine.forward(&features, 0, &mut logits).unwrap();
            engine.forward_target(&features, &mut of_target).unwrap();
            assert_eq!(of_target, logits);
            let norm = engine.backward(&direction).unwrap();
            engine.gradient(&mut gradient).unwrap();
            let squares = gradient.iter().map(|value| f64::from(*value).powi(2));
            assert!((norm - squares.sum::<f64>().sqrt()).abs() < 1e-5 * norm, "{norm}");
            (logits, gradient)
        });
        assert_close(&ours.0, &theirs.0, 1e-5);
        assert_close(&ours.1, &theirs.1, 1e-5);
    }
}

/// Twenty steps of both, with clipped gradients, steps at no rate and a pause of the target; halfway all
/// vectors go to an engine made anew. The weights are held to Adam of single numbers in float64.
#[test]
fn both_step_as_single_numbers_do() {
    let grid = Hypergrid::new(4, 16).unwrap();
    let network = Network::mlp(&grid, &[8], true, true);
    let values = network.initial_values(5);
    for settings in [ADAM, ADAMW] {
        let [ours, theirs] = both(&network, &values)
            .map(|engine| twenty_steps(engine, &network, &grid, &values, settings));
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_close(ours, theirs, 1e-4);
        }
    }
}

fn twenty_steps(
    mut engine: Box<dyn Engine>,
    network: &Network,
    grid: &Hypergrid,
    values: &[f32],
    settings: Settings,
) -> [Vec<f32>; 5] {
    let mut adam = Adam::new(settings);
    let mut scalars = vec![ScalarAdam::new(settings); values.len()];
    let mut numbers: Vec<f64> = values.iter().map(|&value| f64::from(value)).collect();
    let (mut averages, mut targets) = (numbers.clone(), numbers.clone());
    let (mut logits, mut gradient) = (Vec::new(), Vec::new());
    for step in 0..20 {
        let (features, direction) = batch(grid, network.heads.width(), 20, step);
        engine.forward(&features, 0, &mut logits).unwrap();
        engine.backward(&direction).unwrap();
        engine.gradient(&mut gradient).unwrap();
        let scale = [1.0, 0.25][step as usize % 2];
        let fraction = (step % 4) as f64 / 3.0;
        let rate = adam.rate(fraction);
        let average = if step == 0 { 1.0 } else { 0.3 };
        let target = (step % 3 == 0).then_some(0.75);
        let weights = adam.step(rate);
        assert_eq!(weights.is_none(), fraction == 0.0);
        let shares = adam.shares();
        engine.step(&Step { gradient_scale: scale, shares, weights, average, target }).unwrap();
        for (i, scalar) in scalars.iter_mut().enumerate() {
            scalar.step(&mut numbers[i], scale * f64::from(gradient[i]), fraction);
            averages[i] += average * (numbers[i] - averages[i]);
            targets[i] += target.unwrap_or(0.0) * (numbers[i] - targets[i]);
        }
        if step == 0 {
            assert_eq!(read(&*engine, Vector::Average), read(&*engine, Vector::Weights));
        }
        if step == 10 {
            let mut other = own(network, &vec![0.0; values.len()]);
            for vector in VECTORS {
                other.write(vector, &read(&*engine, vector)).unwrap();
            }
            engine = other;
        }
    }
    let expected = [numbers, averages, targets];
    for (vector, expected) in
        [Vector::Weights, Vector::Average, Vector::Target].iter().zip(expected)
    {
        for (value, number) in read(&*engine, *vector).iter().zip(&expected) {
            let error = (f64::from(*value) - number).abs();
            assert!(error < 1e-4, "{vector:?}: {value} is not {number}");
        }
    }
    VECTORS.map(|vector| read(&*engine, vector))
}

#[test]
fn what_is_not_finite_is_told_of_each_copy() {
    let network = Network::mlp(&Hypergrid::new(2, 4).unwrap(), &[8], true, false);
    let values = network.initial_values(1);
    for mut engine in both(&network, &values) {
        let (mut raw, mut average) = (vec![1.0; 3], Vec::new());
        assert_eq!(engine.copies(&mut raw, &mut average).unwrap(), [true, true]);
        assert_eq!((&raw, &average), (&values, &values));
        let mut broken = values.clone();
        *broken.last_mut().unwrap() = f32::NAN;
        engine.write(Vector::Average, &broken).unwrap();
        assert_eq!(engine.copies(&mut raw, &mut average).unwrap(), [true, false]);
    }
}

#[test]
fn a_feature_that_is_not_there_is_an_error() {
    let network = Network::mlp(&Hypergrid::new(2, 4).unwrap(), &[8], true, false);
    for mut engine in both(&network, &network.initial_values(1)) {
        let mut features = Ragged::default();
        features.push_with(|row| row.push(99));
        assert!(engine.forward(&features, 0, &mut Vec::new()).is_err());
        assert!(engine.forward_target(&features, &mut Vec::new()).is_err());
    }
}
