#![allow(clippy::unwrap_used)]

use tributary_common::soak;

use super::*;
use crate::lockstep::learner::End;

fn train(sets: &[&str], actors: &[usize], death_every: Option<u64>) -> End {
    let sets: Vec<String> = sets.iter().map(ToString::to_string).collect();
    let end = Run { run_file: GRID, sets: &sets, actors, death_every }.train().unwrap();
    let of = |name: &str| end.summary["books"][name].as_u64().unwrap();
    let decided = of("accepted") + of("duplicate") + of("rejected") + of("pending");
    assert_eq!(of("received"), decided, "{:#}", end.summary["books"]);
    let kept = of("resident") + of("evicted") + of("merged") + of("lost_in_restart");
    assert_eq!(of("accepted"), kept + of("waiting"), "{:#}", end.summary["books"]);
    end
}

fn weights(sets: &[&str], actors: &[usize]) -> String {
    train(sets, actors, None).weights().unwrap()
}

#[test]
fn the_weights_do_not_depend_on_who_draws() {
    let first = weights(&[], &[1]);
    for (actors, batch) in CREWS.into_iter().skip(1) {
        let batch = format!("actor.batch={batch}");
        assert_eq!(weights(&[&batch], actors), first, "{actors:?}, {batch}");
    }
    assert_ne!(weights(&["run.seed=8"], &[1]), first, "another seed");
}

#[test]
fn reruns_are_the_same_bit_by_bit() {
    let reruns = soak::count(3, 10) as usize;
    let sets = ["replay.selector=uniform", "replay.samples_per_insert=3", "replay.capacity=100"];
    let first = weights(&sets, &[1, 1]);
    let same = (1..reruns).filter(|_| weights(&sets, &[1, 1]) == first).count() + 1;
    println!("{same} of {reruns} reruns are bit-identical, seed 7");
    assert_eq!(same, reruns);
}

#[test]
fn actors_that_die_in_the_middle_change_nothing() {
    let first = weights(&[], &[1]);
    let end = train(&["actor.batch=4"], &[1, 1], Some(150));
    println!("all actors died {} times, seed 7", end.deaths);
    assert!(end.deaths > 2, "{}", end.deaths);
    assert_eq!(end.weights().unwrap(), first);
}

#[test]
fn every_kind_of_run_can_be_one_in_lockstep() {
    for sets in [
        &["replay.keep=objects", "replay.samples_per_insert=2", "replay.selector=uniform"][..],
        &["objective.kind=sub_trajectory_balance", "actor.weights=ema", "learner.publish_every=3"],
        &["learner.updates=1000000", "learner.generated=333", "replay.selector=prioritized"],
    ] {
        assert_eq!(weights(sets, &[1]), weights(sets, &[2, 1]), "{sets:?}");
    }
}
