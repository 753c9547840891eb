#![allow(clippy::unwrap_used)]

mod definition;

use self::definition::Naive;
use super::*;
use crate::environment::sequence::{Construction, Length};
use crate::environment::{Environment, Hypergrid, Sequence};
use crate::ids::PolicyVersion;
use crate::random::{Purpose, Stream};
use crate::run_file::{ActivationKind, Architecture, BackwardNetwork, NetworkKind};

const SEED: u64 = 5;

fn snapshot(network: Network) -> Snapshot {
    let mut values = network.initial_values(SEED);
    // Norms start at 1 and 0: everything is moved, so that nothing is tested in vain.
    let mut random = Stream::new(SEED, Purpose::Walk, 9, 0);
    values.iter_mut().for_each(|value| *value += 0.2 * (random.uniform() as f32 - 0.5));
    let version = PolicyVersion::default();
    Snapshot::new(Arc::new(network), Weights { version, log_z: 0.0, generated: 0, values })
}

fn transformer() -> Architecture {
    let network = NetworkKind::Transformer;
    Architecture { network, layers: 2, width: 12, heads: 3, feed_forward: 20, ..mlp() }
}

fn mlp() -> Architecture {
    Architecture { hidden: vec![20, 7], ..Architecture::default() }
}

fn sequence(construction: Construction) -> Sequence {
    let sequence = Sequence::over_alphabet("ABC", Length::Length(5)).unwrap();
    sequence.built_by(construction).unwrap()
}

/// Networks of every kind with an environment for each.
fn networks() -> Vec<(Box<dyn Environment>, Network)> {
    let gelu = ActivationKind::Gelu;
    let grid = || Box::new(Hypergrid::new(2, 5).unwrap()) as Box<dyn Environment>;
    let built_by = |construction| Box::new(sequence(construction)) as Box<dyn Environment>;
    let single = || {
        let word = Sequence::over_alphabet("A", Length::Length(1)).unwrap();
        Box::new(word) as Box<dyn Environment>
    };
    let (shared, own) = (BackwardNetwork::Shared, BackwardNetwork::Own);
    let cases = [
        (grid(), mlp(), shared),
        (grid(), Architecture { hidden: vec![], ..mlp() }, own),
        (grid(), Architecture { layer_norm: true, ..mlp() }, own),
        (grid(), Architecture { activation: gelu, layer_norm: true, ..mlp() }, shared),
        (built_by(Construction::Append), transformer(), shared),
        (built_by(Construction::Append), transformer(), own),
        (built_by(Construction::AnyPosition), transformer(), own),
        (
            built_by(Construction::Insert),
            Architecture { activation: gelu, ..transformer() },
            shared,
        ),
        (built_by(Construction::Append), Architecture { layers: 1, ..transformer() }, shared),
        // One word of one token.
        (single(), Architecture { width: 1, heads: 1, ..transformer() }, own),
        (single(), mlp(), own),
    ];
    let make = |(environment, architecture, backward): (Box<dyn Environment>, _, _)| {
        let network = Network::new(&*environment, &architecture, true, backward, true);
        (environment, network)
    };
    cases.into_iter().map(make).collect()
}

/// The features of states on random walks; the initial state is among them.
fn states(environment: &dyn Environment, count: usize) -> Vec<Vec<u32>> {
    let mut random = Stream::new(SEED, Purpose::Walk, 0, 0);
    let mut state = vec![0; environment.state_width()];
    let mut states = Vec::new();
    environment.reset(&mut state);
    while states.len() < count {
        let (mut features, mut legal) = (Vec::new(), Vec::new());
        environment.active_features(&state, &mut features);
        states.push(features);
        environment.legal_forward(&state, &mut legal);
        match legal.len() {
            0 => environment.reset(&mut state),
            choices => environment.step(&mut state, legal[random.below(choices)]),
        }
    }
    states
}

fn ragged<'a>(rows: impl IntoIterator<Item = &'a Vec<u32>>) -> Ragged {
    let mut features = Ragged::default();
    rows.into_iter().for_each(|row| features.push_with(|out| out.extend(row)));
    features
}

#[test]
fn rows_are_those_of_the_definition_whatever_the_batch() {
    for (environment, network) in networks() {
        let context = network.architecture().to_owned();
        let snapshot = snapshot(network);
        let naive = Naive::new(&snapshot.network, snapshot.weights());
        let states = states(&*environment, 37);
        let mut scratch = Scratch::default();
        let together = snapshot.forward(&mut scratch, &ragged(&states)).to_vec();
        assert_eq!(together.len(), 37 * snapshot.heads().width());
        for (state, output) in states.iter().zip(together.chunks_exact(snapshot.heads().width())) {
            for (ours, exact) in output.iter().zip(naive.row(state)) {
                let size = exact.abs().max(1.0);
                assert!(
                    (f64::from(*ours) - exact).abs() < 1e-5 * size,
                    "{context}: {ours} {exact}"
                );
            }
            let alone = snapshot.forward(&mut scratch, &ragged([state]));
            assert_eq!(output, alone, "{context}: alone or in a batch (seed {SEED})");
        }
    }
}

#[test]
fn passes_are_the_definition_and_its_gradient() {
    let mut done = 0;
    for (environment, network) in networks() {
        let Some(mut one) = Passes::new(&network, 1) else {
            assert!(!network.architecture().starts_with("mlp-relu["));
            continue;
        };
        done += 1;
        let snapshot = snapshot(network.clone());
        let values = &snapshot.weights().values;
        // More rows than a product over rows takes at once.
        let states = states(&*environment, 300);
        let features = ragged(&states);
        let rows = snapshot.forward(&mut Scratch::default(), &features).to_vec();
        let mut random = Stream::new(SEED, Purpose::Walk, 3, 0);
        let direction: Vec<f32> = rows.iter().map(|_| random.uniform() as f32 - 0.5).collect();
        let (mut output, mut gradient) = (Vec::new(), Vec::new());
        one.set_weights(&vec![7.0; values.len()]);
        // What was there before, larger or smaller, leaves no trace.
        for states in [&states[..], &states[..10], &states[..0], &states[..]] {
            one.set_weights(values);
            one.forward(&ragged(states), &mut output);
            assert_eq!(output, rows[..output.len()], "{}", network.architecture());
            one.backward(&direction[..output.len()], &mut gradient);
        }
        let mut naive = Naive::new(&network, snapshot.weights());
        let mut along = |tensor: &str, index: usize, by: f64| {
            naive.shift(tensor, index, by);
            let outputs = states.iter().flat_map(|state| naive.row(state));
            let sum = outputs.zip(&direction).map(|(x, d)| x * f64::from(*d)).sum::<f64>();
            naive.shift(tensor, index, -by);
            sum
        };
        let mut start = 0;
        for parameter in network.parameters() {
            for index in (0..parameter.len()).step_by(5) {
                // So small that no unit turns on or off.
                let step = 1e-7;
                let name = &parameter.name;
                let exact = (along(name, index, step) - along(name, index, -step)) / (2.0 * step);
                let ours = f64::from(gradient[start + index]);
                assert!(
                    (ours - exact).abs() < 1e-4 * exact.abs().max(1.0),
                    "{}, {name} {index}: {ours} is not {exact} (seed {SEED})",
                    network.architecture()
                );
            }
            start += parameter.len();
        }
        let mut three = Passes::new(&network, 3).unwrap();
        let mut by_three = Vec::new();
        three.set_weights(values);
        for states in [&states[..], &states[..10], &states[..0], &states[..]] {
            three.forward(&ragged(states), &mut output);
            assert_eq!(output, rows[..output.len()]);
            three.backward(&direction[..output.len()], &mut by_three);
        }
        for (one, three) in gradient.iter().zip(&by_three) {
            assert!((one - three).abs() < 1e-4 * one.abs().max(1.0), "{one} {three}");
        }
    }
    assert_eq!(done, 3);
}

#[test]
fn states_that_grow_in_slots_give_the_same_rows() {
    for (environment, network) in networks() {
        let context = network.architecture().to_owned();
        let snapshot = snapshot(network);
        let (mut scratch, mut cache) = (Scratch::default(), Cache::default());
        // Walks side by side, in slots that also lose a state and take up another.
        let walks = states(&*environment, 60);
        for round in 0..2 {
            for step in 0..20 {
                let slots: Vec<usize> = (0..3).filter(|slot| (slot + step) % 5 != 0).collect();
                let features = ragged(slots.iter().map(|slot| &walks[20 * slot + step]));
                let plain = snapshot.forward(&mut Scratch::default(), &features).to_vec();
                let cached = snapshot.forward_in_slots(&mut scratch, &mut cache, &slots, &features);
                assert_eq!(plain, cached, "{context}: step {step} of round {round}");
            }
            cache.clear();
        }
    }
}

#[test]
fn a_row_does_not_depend_on_the_batch_it_is_in() {
    for (environment, network) in networks() {
        let context = network.architecture().to_owned();
        let snapshot = snapshot(network);
        let states = states(&*environment, 60);
        let rows = |size: usize| -> Vec<f32> {
            let mut scratch = Scratch::default();
            let batches = states.chunks(size).map(|batch| ragged(batch.iter()));
            batches.flat_map(|of| snapshot.forward(&mut scratch, &of).to_vec()).collect()
        };
        let together = rows(60);
        for size in [1, 2, 7, 16, 33] {
            assert_eq!(rows(size), together, "{context}: batches of {size}");
        }
    }
}

#[test]
fn nothing_to_ask_is_no_row() {
    for (_, network) in networks() {
        let snapshot = snapshot(network);
        let (mut scratch, mut cache) = (Scratch::default(), Cache::default());
        assert!(snapshot.forward(&mut scratch, &Ragged::default()).is_empty());
        let features = Ragged::default();
        assert!(snapshot.forward_in_slots(&mut scratch, &mut cache, &[], &features).is_empty());
    }
}

#[test]
fn weights_survive_their_bytes_and_fit_no_other_network() {
    let all = networks();
    for (i, (_, network)) in all.iter().enumerate() {
        let snapshot = snapshot(network.clone());
        let bytes = snapshot.weights().to_bytes(network).unwrap();
        for (j, (_, other)) in all.iter().enumerate() {
            let read = Weights::from_bytes(other, &bytes);
            assert_eq!(read.is_ok(), i == j, "{}", other.architecture());
            assert_eq!(network.fingerprint() == other.fingerprint(), i == j);
            assert!(read.is_err() || &read.unwrap() == snapshot.weights());
        }
        for cut in [0, 7, 8, bytes.len() / 2, bytes.len() - 1] {
            assert!(Weights::from_bytes(network, &bytes[..cut]).is_err(), "cut at {cut}");
        }
        let mut infinite = snapshot.weights().clone();
        infinite.values[3] = f32::INFINITY;
        let bytes = infinite.to_bytes(network).unwrap();
        assert!(Weights::from_bytes(network, &bytes).is_err());
    }
}
