#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use std::sync::Arc;

use tributary_common::environment::sequence::{Construction, Length};
use tributary_common::environment::{Environment, Hypergrid, Sequence};
use tributary_common::ids::PolicyVersion;
use tributary_common::network::Weights;
use tributary_common::network::cpu::{Scratch, Snapshot};
use tributary_common::random::{Purpose, Stream};
use tributary_common::run_file::{ActivationKind, Architecture, BackwardNetwork, NetworkKind};

use super::*;
use crate::batch::Batch;
use crate::fakes;
use crate::objective::Terms;
use crate::probabilities::Probabilities;

/// An environment, and networks that read it.
struct Case {
    environment: Box<dyn Environment>,
    architectures: Vec<Architecture>,
}

fn mlp(hidden: &[usize]) -> Architecture {
    Architecture { hidden: hidden.to_vec(), ..Architecture::default() }
}

fn transformer(layers: usize, width: usize, heads: usize) -> Architecture {
    let network = NetworkKind::Transformer;
    Architecture { network, layers, width, heads, feed_forward: 2 * width, ..mlp(&[]) }
}

fn words(construction: Construction, length: Length) -> Box<dyn Environment> {
    let sequence = Sequence::over_alphabet("ACGT", length).unwrap();
    Box::new(sequence.built_by(construction).unwrap())
}

fn cases() -> Vec<Case> {
    let gelu = ActivationKind::Gelu;
    let normed = Architecture { layer_norm: true, activation: gelu, ..mlp(&[32, 16]) };
    let mlps = vec![mlp(&[256, 256]), mlp(&[17]), mlp(&[]), normed];
    let transformers = vec![
        transformer(3, 64, 8),
        transformer(1, 5, 1),
        Architecture { activation: gelu, ..transformer(2, 12, 4) },
    ];
    let case = |environment, architectures: &Vec<_>| Case {
        environment,
        architectures: architectures.clone(),
    };
    let (eight, few) = (Length::Length(8), Length::MaxLength(6));
    vec![
        case(Box::new(Hypergrid::new(4, 8).unwrap()), &mlps),
        case(words(Construction::Append, eight), &mlps),
        case(words(Construction::Append, eight), &transformers),
        case(words(Construction::Append, few), &transformers),
        case(words(Construction::PrependAppend, few), &transformers),
        case(words(Construction::Insert, few), &transformers),
        case(words(Construction::AnyPosition, eight), &transformers),
        case(words(Construction::AnyPosition, Length::Length(1)), &transformers),
    ]
}

/// log P_F, log P_B and log F of the same trajectories with the same weights by both backends.
#[test]
fn both_backends_give_the_same_probabilities() {
    for (seed, case) in cases().iter().enumerate() {
        for (i, architecture) in case.architectures.iter().enumerate() {
            let own = if i % 2 == 0 { BackwardNetwork::Shared } else { BackwardNetwork::Own };
            let environment = &*case.environment;
            let network = Network::new(environment, architecture, true, own, true);
            same_probabilities(environment, network, seed as u64);
        }
    }
}

fn same_probabilities(environment: &dyn Environment, network: Network, seed: u64) {
    let mut stream = Stream::new(seed, Purpose::Walk, 7, 0);
    // Larger than at the start of training, so that probabilities are far from uniform; norms that
    // are not 1 and 0.
    let mut values = network.initial_values(seed);
    let is_mlp = network.architecture().starts_with("mlp-relu[");
    for value in &mut values {
        *value = if is_mlp { 3.0 * *value } else { 1.5 * *value + 0.1 * stream.uniform() as f32 };
    }
    let torch = TorchNetwork::new(network.clone(), &values, Device::Cpu).unwrap();
    let version = PolicyVersion::default();
    let weights = Weights { version, log_z: 0.0, generated: 0, values };
    let snapshot = Snapshot::new(Arc::new(network.clone()), weights);
    let context = format!("{} (seed {seed})", network.architecture());

    let mut batch = Batch::default();
    let samples = fakes::random_trajectories(environment, 32, &mut stream);
    batch.build(environment, &samples).unwrap();
    let mut theirs = Vec::new();
    torch.forward(&batch.states.features).unwrap().to_host(&mut theirs).unwrap();
    let ours = snapshot.forward(&mut Scratch::default(), &batch.states.features).to_vec();
    assert_eq!(ours.len(), theirs.len());

    let mut terms = [Terms::default(), Terms::default()];
    let mut probabilities = Probabilities::new(network.heads);
    probabilities.terms(&batch, &ours, &mut terms[0]);
    probabilities.terms(&batch, &theirs, &mut terms[1]);
    let largest = |row: usize| {
        let width = network.heads.width();
        let row = &ours[row * width..(row + 1) * width];
        row.iter().fold(1f64, |a, &b| a.max(f64::from(b.abs())))
    };
    for t in 0..batch.transitions() {
        let scale = largest(batch.rows[t] as usize);
        let forward = (terms[0].log_pf[t] - terms[1].log_pf[t]).abs();
        let flow = (terms[0].log_flow[t] - terms[1].log_flow[t]).abs();
        assert!(forward.max(flow) < 1e-5 * scale, "{context}: {forward}, {flow}");
        let next = batch.rows.get(t + 1).map_or(1.0, |&row| largest(row as usize));
        let backward = (terms[0].log_pb[t] - terms[1].log_pb[t]).abs();
        assert!(backward < 1e-5 * next, "{context}: {backward}");
    }
}

#[test]
fn the_gradient_of_the_parameters_is_the_finite_difference() {
    let grid = Hypergrid::new(2, 4).unwrap();
    gradient_is_the_finite_difference(&Network::mlp(&grid, &[8], true, false), &[&[0, 5], &[3, 5]]);
    for (construction, layers, own) in [
        (Construction::Append, 1, BackwardNetwork::Own),
        (Construction::AnyPosition, 2, BackwardNetwork::Shared),
    ] {
        let environment = words(construction, Length::Length(2));
        let activation = ActivationKind::Gelu;
        let architecture = Architecture { activation, ..transformer(layers, 4, 2) };
        let network = Network::new(&*environment, &architecture, true, own, true);
        gradient_is_the_finite_difference(&network, &[&[], &[0], &[1, 6], &[0, 7]]);
    }
}

fn gradient_is_the_finite_difference(network: &Network, states: &[&[u32]]) {
    let values = network.initial_values(1);
    let mut features = Ragged::default();
    states.iter().for_each(|state| features.push_with(|row| row.extend_from_slice(state)));
    let mut stream = Stream::new(2, Purpose::Walk, 0, 0);
    let size = states.len() * network.heads.width();
    let direction: Vec<f32> = (0..size).map(|_| stream.uniform() as f32 - 0.5).collect();
    let along = |values: &[f32]| {
        let torch = TorchNetwork::new(network.clone(), values, Device::Cpu).unwrap();
        let mut logits = Vec::new();
        torch.forward(&features).unwrap().to_host(&mut logits).unwrap();
        logits.iter().zip(&direction).map(|(a, b)| f64::from(a * b)).sum::<f64>()
    };
    let torch = TorchNetwork::new(network.clone(), &values, Device::Cpu).unwrap();
    let logits = torch.forward(&features).unwrap();
    let mut gradient = Vec::new();
    to_host(&torch.backward(logits, &direction).unwrap(), &mut gradient).unwrap();
    assert_eq!(gradient.len(), network.parameter_count());
    // Every third, as each takes four passes.
    for i in (0..gradient.len()).step_by(3) {
        let step = 1.0 / 256.0;
        let at = |steps: f32| {
            let mut moved = values.clone();
            moved[i] += steps * step;
            along(&moved)
        };
        // Of five points: the norms of short rows bend much.
        let difference = (8.0 * (at(1.0) - at(-1.0)) - at(2.0) + at(-2.0)) / f64::from(12.0 * step);
        let error = (difference - f64::from(gradient[i])).abs();
        let context = network.architecture();
        assert!(error < 1e-3, "{context}: parameter {i}: {difference} {}", gradient[i]);
    }
}

#[test]
fn dropout_is_for_training_alone_and_follows_its_seed() {
    let environment = words(Construction::Append, Length::Length(4));
    let mut features = Ragged::default();
    features.push_with(|row| row.extend([1, 6]));
    for architecture in [mlp(&[64]), transformer(2, 16, 2)] {
        let rows = |dropout: f64, run: &dyn Fn(&TorchNetwork) -> Logits| {
            let architecture = Architecture { dropout, ..architecture.clone() };
            let own = BackwardNetwork::Shared;
            let network = Network::new(&*environment, &architecture, true, own, false);
            let values = network.initial_values(1);
            let network = TorchNetwork::new(network, &values, Device::Cpu).unwrap();
            let mut out = Vec::new();
            run(&network).to_host(&mut out).unwrap();
            out
        };
        let plain = rows(0.0, &|network| network.forward(&features).unwrap());
        let training = |seed: u64| {
            let features = &features;
            move |network: &TorchNetwork| network.forward_in_training(features, seed).unwrap()
        };
        assert_eq!(plain, rows(0.0, &training(1)));
        assert_eq!(plain, rows(0.5, &|network| network.forward(&features).unwrap()));
        let dropped = rows(0.5, &training(1));
        assert_ne!(plain, dropped);
        assert_eq!(dropped, rows(0.5, &training(1)));
        assert_ne!(dropped, rows(0.5, &training(2)));
    }
}

#[test]
fn what_an_operator_refuses_is_an_error() {
    let environment = Hypergrid::new(2, 4).unwrap();
    let network = Network::mlp(&environment, &[8], false, false);
    let values = network.initial_values(1);
    let torch = TorchNetwork::new(network, &values, Device::Cpu).unwrap();
    let mut features = Ragged::default();
    features.push_with(|row| row.push(7));
    // An exception in C++: the gradient has one number too many.
    let logits = torch.forward(&features).unwrap();
    assert!(matches!(torch.backward(logits, &[0.0; 4]), Err(TchError::Torch(_))));
    features.push_with(|row| row.push(8));
    let error = torch.forward(&features).err().unwrap();
    assert!(error.to_string().contains("feature 8 of a state"), "{error}");
}
