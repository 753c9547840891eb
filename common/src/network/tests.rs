#![allow(clippy::unwrap_used)]

mod operations;

use super::*;
use crate::environment::sequence::Length;
use crate::environment::{Hypergrid, Sequence};

fn sequence() -> Sequence {
    Sequence::over_alphabet("ACGT", Length::Length(3)).unwrap()
}

fn transformer(environment: &dyn Environment, backward: BackwardNetwork) -> Network {
    let network = NetworkKind::Transformer;
    let architecture = Architecture { network, ..Architecture::default() };
    Network::new(environment, &architecture, true, backward, false)
}

#[test]
fn architectures_are_named_and_stay_named() {
    let grid = Hypergrid::new(2, 4).unwrap();
    let mlp = Network::mlp(&grid, &[32, 16], true, true);
    let text = "mlp-relu[8x32 32x16 16x6] forward=2 backward=2 flow=true";
    assert_eq!(mlp.architecture(), text);
    let names: Vec<_> = mlp.parameters().into_iter().map(|parameter| parameter.name).collect();
    let expected = ["hidden.0.weight", "hidden.0.bias", "hidden.1.weight", "hidden.1.bias"];
    assert_eq!(names[..4], expected);
    assert_eq!(names[4..], ["heads.weight", "heads.bias"]);
    let shared = transformer(&sequence(), BackwardNetwork::Shared);
    let text = "transformer-relu-causal[layers=3 width=64 heads=8 feed_forward=256 positions=3 \
                vocabulary=4] forward=4 backward=1 flow=false";
    assert_eq!(shared.architecture(), text);
    let own = transformer(&sequence(), BackwardNetwork::Own);
    assert_eq!(own.architecture(), format!("{text} backward_network=own"));
}

#[test]
fn initial_values_are_those_of_their_seed() {
    let own = transformer(&sequence(), BackwardNetwork::Own);
    let values = own.initial_values(3);
    assert_eq!(values, own.initial_values(3));
    assert_ne!(values, own.initial_values(4));
    assert_eq!(values.len(), own.parameter_count());
    let mut left = values.as_slice();
    for parameter in own.parameters() {
        let (these, rest) = left.split_at(parameter.len());
        left = rest;
        match parameter.initial {
            Initial::Constant(value) => assert!(these.iter().all(|v| *v == value)),
            Initial::Uniform(bound) => {
                let largest = these.iter().fold(0f32, |a, v| a.max(v.abs()));
                assert!(f64::from(largest) <= bound, "{}", parameter.name);
                assert!(f64::from(largest) > 0.5 * bound, "{}: {largest}", parameter.name);
            }
        }
    }
    // The first values of an mlp, as they were when runs were first trained.
    let mlp = Network::mlp(&sequence(), &[2], false, false).initial_values(1);
    assert_eq!(mlp[..3], FIRST_VALUES);
}

/// `Stream::new(1, Purpose::Weights, 0, 0)` from ±1/sqrt(12).
const FIRST_VALUES: [f32; 3] = [-0.15269321, 0.19036223, -0.004354664];

#[test]
fn a_network_of_its_own_for_p_b_is_a_second_one_of_the_same_size() {
    let (shared, own) = [BackwardNetwork::Shared, BackwardNetwork::Own]
        .map(|backward| transformer(&sequence(), backward))
        .into();
    let of_p_b = |network: &Network| {
        let names = network.parameters().into_iter().map(|parameter| parameter.name);
        names.filter(|name| name.starts_with("backward.")).count()
    };
    assert_eq!((of_p_b(&shared), 2 * of_p_b(&own)), (0, own.parameters().len()));
    assert_eq!(shared.heads, own.heads);
    // Without a learned P_B there is nothing to read from it.
    let uniform =
        Network::new(&sequence(), &Architecture::default(), false, BackwardNetwork::Own, false);
    assert_eq!(of_p_b(&uniform), 0);
}
