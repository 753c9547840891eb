#![allow(clippy::unwrap_used, clippy::panic)]

mod backward;
mod forward;
mod growing;
mod local_search;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::environment::{Hypergrid, Sequence, sequence::Construction, sequence::Length};
use crate::ids::PolicyVersion;
use crate::network::{Network, Weights};
use crate::random::Purpose;

const SEED: u64 = 20_261_124;

fn grid(side: usize) -> Arc<dyn Environment> {
    Arc::new(Hypergrid::new(2, side).unwrap())
}

/// Words of two letters over "AB": a multigraph with two edges from the empty word to each letter.
fn words() -> Arc<dyn Environment> {
    let words = Sequence::over_alphabet("AB", Length::Length(2)).unwrap();
    Arc::new(words.built_by(Construction::PrependAppend).unwrap())
}

/// Initial values of the seed, larger than at the start of training; uniform logits without one.
fn policy(environment: &dyn Environment, seed: Option<u64>, learned_backward: bool) -> Snapshot {
    snapshot(Network::mlp(environment, &[8], learned_backward, false), seed)
}

fn snapshot(network: Network, seed: Option<u64>) -> Snapshot {
    let values = match seed {
        Some(seed) => network.initial_values(seed).iter().map(|value| 3.0 * value).collect(),
        None => vec![0.0; network.parameter_count()],
    };
    let version = PolicyVersion::default();
    Snapshot::new(Arc::new(network), Weights { version, log_z: 0.0, generated: 0, values })
}

fn streams(count: u64) -> Vec<Stream> {
    (0..count).map(|i| Stream::new(SEED, Purpose::Rollout, 0, i)).collect()
}

/// Every path of an environment, by its end.
fn all_paths(environment: &dyn Environment) -> BTreeMap<Vec<u32>, Vec<Vec<u32>>> {
    let mut initial = vec![0; environment.state_width()];
    environment.reset(&mut initial);
    let mut open = vec![(initial, Vec::new())];
    let mut paths: BTreeMap<Vec<u32>, Vec<Vec<u32>>> = BTreeMap::new();
    while let Some((state, actions)) = open.pop() {
        let mut legal = Vec::new();
        environment.legal_forward(&state, &mut legal);
        for action in legal {
            let mut next = state.clone();
            environment.step(&mut next, action);
            let longer: Vec<u32> = actions.iter().copied().chain([action]).collect();
            open.push((next, longer));
        }
        if environment.can_stop(&state) {
            paths.entry(state).or_default().push(actions);
        }
    }
    paths
}
