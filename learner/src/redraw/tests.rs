#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use tributary_common::environment::Hypergrid;
use tributary_common::ids::{Incarnation, PolicyVersion};
use tributary_common::network::Network;
use tributary_common::run_file::RunFile;

use super::*;
use crate::fakes;
use crate::replay::Source;

const GRID: &str = "[environment]\nkind = 'hypergrid'\n[reward]\nkind = 'original'\n[policy]\n\
                    hidden = [8]\n[learner]\nupdates = 1\n";

/// On a grid of side 4, with untrained weights of this step.
fn redraw(step: u64) -> Redraw {
    let environment = Arc::new(Hypergrid::new(2, 4).unwrap());
    let run_file = RunFile::parse(GRID, &[]).unwrap();
    let network = Arc::new(Network::of_run(&run_file, &*environment));
    let version = PolicyVersion { incarnation: Incarnation(1), step };
    let values = network.initial_values(3);
    let mut redraw = Redraw::new(environment, network, 7, 0.1);
    redraw.follow(&Weights { version, log_z: 0.0, generated: 0, values });
    redraw
}

fn end(redraw: &mut Redraw, actions: &[u32]) -> Vec<u32> {
    walk(&*redraw.environment, actions, &mut redraw.state).unwrap();
    redraw.state.clone()
}

#[test]
fn only_the_samples_without_a_path_get_one_and_it_leads_to_their_object() {
    let mut redraw = redraw(5);
    let mut stream = Stream::new(1, Purpose::Walk, 0, 0);
    let mut samples = fakes::random_trajectories(&*redraw.environment, 200, &mut stream);
    for (i, source) in samples.sources.iter_mut().enumerate() {
        *source = Source::ALL[i % Source::ALL.len()];
    }
    let before = samples.clone();
    redraw.draw(1, &mut samples).unwrap();
    let mut other = 0;
    for (i, (old, new)) in before.iter_actions().zip(samples.iter_actions()).enumerate() {
        let is_redrawn = before.sources[i].is_redrawn();
        assert_eq!(samples.policies[i].step, if is_redrawn { 5 } else { 0 });
        assert!(is_redrawn || old == new, "{old:?} became {new:?}");
        assert_eq!(end(&mut redraw, old), end(&mut redraw, new));
        other += u32::from(old != new);
    }
    assert!(other > 10, "{other} of 80 paths are others");
    assert_eq!((&samples.log_rewards, &samples.sources), (&before.log_rewards, &before.sources));
}

#[test]
fn each_use_has_a_path_of_its_own_and_a_batch_is_drawn_as_its_number_says() {
    let mut redraw = redraw(0);
    let mut paths: BTreeMap<u64, BTreeSet<Vec<u32>>> = BTreeMap::new();
    let mut all = BTreeSet::new();
    for round in [1, 2, 1] {
        let mut samples = Samples::default();
        for ordinal in 0..100 {
            let policy = PolicyVersion::default();
            samples.push_from(Source::Redrawn, ordinal, [0, 0, 1, 1], 0.0, policy);
        }
        redraw.draw(round, &mut samples).unwrap();
        let drawn: Vec<Vec<u32>> = samples.iter_actions().map(<[u32]>::to_vec).collect();
        paths.entry(round).or_default().insert(drawn.concat());
        all.extend(drawn);
    }
    assert_eq!(all.len(), 6, "all ways to (2, 2) are taken");
    assert_eq!(paths.values().map(BTreeSet::len).collect::<Vec<_>>(), [1, 1]);
    assert_ne!(paths[&1], paths[&2]);
}

#[test]
fn without_weights_nothing_can_be_drawn() {
    let mut redraw = redraw(0);
    redraw.snapshot = None;
    let mut samples = Samples::default();
    samples.push(0, [0], 0.0, PolicyVersion::default());
    assert!(redraw.draw(1, &mut samples).is_ok(), "it has its path");
    samples.push_from(Source::Initial, 1, [0], 0.0, PolicyVersion::default());
    assert!(matches!(redraw.draw(1, &mut samples), Err(TrainError::Redraw(_))));
}
