#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{HashMap, HashSet};

use tributary_common::ids::PolicyVersion;
use tributary_common::log_space::LogReward;
use tributary_common::random::Purpose;

use super::*;
use crate::fakes;

mod composition;
mod duplicates;
mod lag;
mod preferences;
mod rate;

const SELECTORS: [SelectorKind; 4] = [
    SelectorKind::Fifo,
    SelectorKind::Uniform,
    SelectorKind::Prioritized,
    SelectorKind::TopFraction,
];

fn config(selector: SelectorKind, capacity: usize, uses: f64) -> run_file::Replay {
    run_file::Replay { selector, capacity, samples_per_insert: uses, ..Default::default() }
}

fn replay(selector: SelectorKind, capacity: usize, uses: f64, batch: usize) -> Replay {
    Replay::new(&config(selector, capacity, uses), batch).unwrap()
}

fn stream(seed: u64) -> Stream {
    Stream::new(seed, Purpose::Replay, 0, 0)
}

/// A forward trajectory drawn with the weights of this step.
fn sound(actions: &[u32], log_reward: f64, step: u64) -> Sound {
    let policy = PolicyVersion { step, ..PolicyVersion::default() };
    fakes::sound(actions, LogReward::try_from(log_reward).unwrap(), policy)
}

/// The trajectory inserted as number `i`: `i % 5` actions that are all `i`.
fn insert(replay: &mut Replay, i: u64) {
    let actions = vec![i as u32; (i % 5) as usize];
    assert_eq!(replay.insert(&sound(&actions, i as f64, 0)), i);
}

#[test]
fn samples_are_the_trajectories_that_were_inserted() {
    for selector in SELECTORS {
        let mut replay = replay(selector, 10, 2.0, 4);
        let mut samples = Samples::default();
        let (mut random, mut batches) = (stream(1), 0);
        for i in 0..1000 {
            insert(&mut replay, i);
            while replay.sample(0, &mut random, &mut samples) {
                batches += 1;
                assert_eq!(samples.len(), 4);
                for (place, actions) in samples.iter_actions().enumerate() {
                    let ordinal = samples.ordinals[place];
                    assert!(ordinal + 10 > i && ordinal <= i, "{ordinal} is gone at {i}");
                    assert_eq!(actions, vec![ordinal as u32; (ordinal % 5) as usize]);
                    assert_eq!(samples.log_rewards[place], ordinal as f64);
                }
            }
            assert!(replay.resident() <= 10);
        }
        let Counters { inserted, evicted, sampled, forfeited, .. } = replay.counters();
        assert_eq!((inserted, evicted, sampled, forfeited), (1000, 990, 2000, 0));
        assert_eq!(batches, 500);
    }
}

#[test]
fn fifo_uses_each_in_order_of_arrival_and_so_often() {
    let mut replay = replay(SelectorKind::Fifo, 100, 2.5, 4);
    for i in 0..8 {
        insert(&mut replay, i);
    }
    let mut samples = Samples::default();
    assert!(replay.sample(0, &mut stream(1), &mut samples));
    assert_eq!(samples.ordinals, [0, 1, 2, 3]);
    assert!(replay.sample(0, &mut stream(1), &mut samples));
    assert_eq!(samples.ordinals, [4, 5, 6, 7]);
    let mut uses = HashMap::<u64, u32>::new();
    while replay.sample(0, &mut stream(1), &mut samples) {
        samples.ordinals.iter().for_each(|&o| *uses.entry(o).or_default() += 1);
    }
    // Of 2.5 uses the even ones have two and the odd ones three; one of each is gone by now.
    for i in 0..8 {
        assert_eq!(uses[&i], 1 + i as u32 % 2, "trajectory {i}");
    }
}

#[test]
fn what_is_owed_when_no_more_come_is_drawn_also_of_few() {
    let (mut replay, mut samples) = (replay(SelectorKind::Fifo, 100, 3.0, 2), Samples::default());
    let mut draw = |replay: &mut Replay| {
        replay.sample(0, &mut stream(1), &mut samples).then(|| samples.ordinals.clone())
    };
    (0..2).for_each(|i| insert(&mut replay, i));
    assert_eq!([draw(&mut replay), draw(&mut replay)], [Some(vec![0, 1]), Some(vec![0, 1])]);
    insert(&mut replay, 2);
    assert_eq!(
        [draw(&mut replay), draw(&mut replay)],
        [Some(vec![0, 1]), None],
        "waits for others"
    );
    replay.close();
    assert_eq!([draw(&mut replay), draw(&mut replay)], [Some(vec![2, 2]), None]);
}

#[test]
fn uniform_draws_any_resident_alike() {
    let mut replay = replay(SelectorKind::Uniform, 8, 1000.0, 4);
    (0..20).for_each(|i| insert(&mut replay, i));
    let (mut samples, mut random) = (Samples::default(), stream(3));
    let mut counts = [0u32; 20];
    for _ in 0..4000 {
        assert!(replay.sample(0, &mut random, &mut samples));
        samples.ordinals.iter().for_each(|&o| counts[o as usize] += 1);
    }
    assert!(counts[..12].iter().all(|&c| c == 0));
    assert!(counts[12..].iter().all(|&c| c.abs_diff(2000) < 250), "{counts:?}");
}

#[test]
fn zero_rewards_become_finite_and_are_counted() {
    let mut replay = replay(SelectorKind::Fifo, 4, 1.0, 1);
    replay.insert(&sound(&[1], f64::NEG_INFINITY, 0));
    let mut samples = Samples::default();
    assert!(replay.sample(0, &mut stream(1), &mut samples));
    assert_eq!(samples.log_rewards, [-100.0]);
    let Counters { zero_rewards, clipped_rewards, .. } = replay.counters();
    assert_eq!((zero_rewards, clipped_rewards), (1, 1));
}

#[test]
fn low_rewards_are_clipped_and_counted() {
    let mut replay = replay(SelectorKind::Fifo, 4, 1.0, 1).with_log_reward_min(-2.0);
    let (mut samples, mut trained) = (Samples::default(), Vec::<f64>::new());
    for log_reward in [f64::NEG_INFINITY, -2.5, -2.0, 1.0] {
        replay.insert(&sound(&[1], log_reward, 0));
        assert!(replay.sample(0, &mut stream(1), &mut samples));
        trained.extend(&samples.log_rewards);
    }
    assert_eq!(trained, [-2.0, -2.0, -2.0, 1.0]);
    let Counters { zero_rewards, clipped_rewards, .. } = replay.counters();
    assert_eq!((zero_rewards, clipped_rewards), (1, 2));
}

#[test]
fn a_capacity_that_never_gives_a_batch_is_refused() {
    let refused = |capacity, samples_per_insert, batch| {
        let config = config(SelectorKind::Fifo, capacity, samples_per_insert);
        Replay::new(&config, batch).map(|_| ()).map_err(|error| error.to_string())
    };
    let error = refused(63, 1.0, 64).unwrap_err();
    assert!(error.contains("replay.capacity = 63 is too small"), "{error}");
    assert!(refused(64, 0.5, 64).unwrap_err().ends_with("make it at least 128"));
    assert_eq!(refused(128, 0.5, 64), Ok(()));
}

/// Whatever order trajectories come and go in: inserting or sampling is allowed, a batch that is
/// allowed is there, and the uses stay within their bound.
#[test]
fn never_stuck_and_never_over_its_rate() {
    for seed in 0..200 {
        let mut random = Stream::new(seed, Purpose::Walk, 0, 0);
        let uses = [0.1, 0.5, 1.0, 1.7, 3.0, 64.0][random.below(6)];
        let batch = 1 + random.below(9);
        let needed = (batch as f64 / f64::min(uses, 1.0)).ceil() as usize;
        let capacity = needed + random.below(3 * needed);
        let selector = SELECTORS[random.below(4)];
        let share = [0.0, 0.25, 1.0][random.below(3)] / f64::max(uses, 1.0);
        let online_fraction = if selector == SelectorKind::Fifo { 0.0 } else { share };
        let config = run_file::Replay { online_fraction, ..config(selector, capacity, uses) };
        let mut replay = Replay::new(&config, batch).unwrap();
        let mut samples = Samples::default();
        let said =
            format!("seed {seed}: {selector:?}, capacity {capacity}, uses {uses}, batch {batch}");
        for _ in 0..2000 {
            assert!(replay.may_insert() || replay.may_sample(), "stuck: {said}");
            // Now and then a trajectory comes uninvited.
            let uninvited = random.below(20) == 0;
            if random.below(2) == 0 && replay.may_insert() || uninvited {
                let next = replay.counters.inserted;
                insert(&mut replay, next);
            } else if replay.may_sample() {
                assert!(replay.sample(0, &mut random, &mut samples), "{said}");
                assert_eq!(samples.len(), batch, "{said}");
                if selector == SelectorKind::Fifo {
                    let distinct: HashSet<_> = samples.ordinals.iter().collect();
                    assert_eq!(distinct.len(), batch, "twice in a batch: {said}");
                }
            }
            let Counters { inserted, evicted, sampled, forfeited, .. } = replay.counters();
            assert_eq!(inserted - evicted, replay.resident() as u64, "{said}");
            assert!((sampled + forfeited) as f64 <= uses * inserted as f64, "{said}");
        }
    }
}
