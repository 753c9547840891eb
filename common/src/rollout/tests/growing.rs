//! Rollouts that compute only what is new of a state, against scores of whole states.

use super::*;
use crate::network::Network;
use crate::run_file::{Architecture, BackwardNetwork, NetworkKind};

fn words_of_any_length() -> Arc<dyn Environment> {
    Arc::new(Sequence::over_alphabet("ABC", Length::MaxLength(6)).unwrap())
}

/// A transformer with a learned P_B.
fn transformer(environment: &dyn Environment, seed: u64) -> Snapshot {
    let (network, layers, width) = (NetworkKind::Transformer, 2, 12);
    let architecture = Architecture { network, layers, width, heads: 3, ..Architecture::default() };
    let own = BackwardNetwork::Own;
    let network = Network::new(environment, &architecture, true, own, false);
    let values = network.initial_values(seed);
    let version = PolicyVersion::default();
    Snapshot::new(Arc::new(network), Weights { version, log_z: 0.0, generated: 0, values })
}

#[test]
fn log_mu_is_log_pf_of_the_whole_states_with_one_snapshot_after_another() {
    let environment = words_of_any_length();
    let mut rollouts = Rollouts::new(environment.clone());
    for seed in [1, 2] {
        let snapshot = transformer(&*environment, seed);
        let mut drawn = Vec::new();
        rollouts.draw(&snapshot, Exploration::NONE, &mut streams(200), &mut drawn).unwrap();
        let paths = drawn.iter().map(|trajectory| trajectory.actions.as_slice());
        let scores = Scorer::new(environment.clone()).score(&snapshot, paths).unwrap();
        for (trajectory, score) in drawn.iter().zip(&scores) {
            let error = (trajectory.log_mu - score.log_pf_from(0)).abs();
            assert!(error < 1e-9, "{trajectory:?}: {error} (seed {SEED})");
        }
        let lengths = drawn.iter().map(|trajectory| trajectory.actions.len());
        assert!(lengths.clone().min() < lengths.max(), "some end before others");
    }
}

#[test]
fn paths_back_are_scored_as_whole_states() {
    let environment = words_of_any_length();
    let mut rollouts = BackwardRollouts::new(environment.clone());
    for seed in [1, 2] {
        let snapshot = transformer(&*environment, seed);
        let objects = ["ABCABC", "AB", "C", "ABCCBA"]
            .map(|text| environment.state_of(&environment.parse_object(text).unwrap()).unwrap());
        let paths = rollouts.draw(&snapshot, 0.0, usize::MAX, &objects, &mut streams(4)).unwrap();
        let actions = paths.iter().map(|path| path.actions.as_slice());
        let scores = Scorer::new(environment.clone()).score(&snapshot, actions).unwrap();
        for (path, score) in paths.iter().zip(&scores) {
            assert!((path.log_pf - score.log_pf_from(0)).abs() < 1e-9, "{path:?}");
            assert!((path.log_pb - score.log_pb_from(0)).abs() < 1e-9, "{path:?}");
        }
    }
}
