#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{HashMap, HashSet};

use tributary_common::random::Purpose;

use super::*;

mod preferences;

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

/// The trajectory inserted as number `i`: `i % 5` actions that are all `i`.
fn insert(replay: &mut Replay, i: u64) {
    let actions = vec![i as u32; (i % 5) as usize];
    let log_reward = LogReward::try_from(i as f64).unwrap();
    assert_eq!(replay.insert(&actions, log_reward, PolicyVersion::default()), i);
}

#[test]
fn samples_are_the_trajectories_that_were_inserted() {
    for selector in SELECTORS {
        let mut replay = replay(selector, 10, 2.0, 4);
        let mut samples = Samples::default();
        let (mut random, mut batches) = (stream(1), 0);
        for i in 0..1000 {
            insert(&mut replay, i);
            while replay.sample(&mut random, &mut samples) {
                batches += 1;
                assert_eq!(samples.len(), 4);
                for (place, actions) in samples.iter_actions().enumerate() {
                    let ordinal = samples.ordinals[place];
                    assert!(ordinal + 10 > i && ordinal <= i, "{ordinal} is gone at {i}");
                    assert_eq!(actions, vec![ordinal as u32; (ordinal % 5) as usize]);
                    assert_eq!(samples.log_rewards[place], ordinal as f64);
                }
            }
            assert!(replay.resident() <= 10 && replay.actions.len() <= 40);
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
    assert!(replay.sample(&mut stream(1), &mut samples));
    assert_eq!(samples.ordinals, [0, 1, 2, 3]);
    assert!(replay.sample(&mut stream(1), &mut samples));
    assert_eq!(samples.ordinals, [4, 5, 6, 7]);
    let mut uses = HashMap::<u64, u32>::new();
    while replay.sample(&mut stream(1), &mut samples) {
        samples.ordinals.iter().for_each(|&o| *uses.entry(o).or_default() += 1);
    }
    // Of 2.5 uses the even ones have two and the odd ones three; one of each is gone by now.
    for i in 0..8 {
        assert_eq!(uses[&i], 1 + i as u32 % 2, "trajectory {i}");
    }
}

#[test]
fn uniform_draws_any_resident_alike() {
    let mut replay = replay(SelectorKind::Uniform, 8, 1000.0, 4);
    (0..20).for_each(|i| insert(&mut replay, i));
    let (mut samples, mut random) = (Samples::default(), stream(3));
    let mut counts = [0u32; 20];
    for _ in 0..4000 {
        assert!(replay.sample(&mut random, &mut samples));
        samples.ordinals.iter().for_each(|&o| counts[o as usize] += 1);
    }
    assert!(counts[..12].iter().all(|&c| c == 0));
    assert!(counts[12..].iter().all(|&c| c.abs_diff(2000) < 250), "{counts:?}");
}

#[test]
fn zero_rewards_become_finite_and_are_counted() {
    let mut replay = replay(SelectorKind::Fifo, 4, 1.0, 1);
    replay.insert(&[1], LogReward::from_reward(0.0).unwrap(), PolicyVersion::default());
    let mut samples = Samples::default();
    assert!(replay.sample(&mut stream(1), &mut samples));
    assert_eq!(samples.log_rewards, [-100.0]);
    let Counters { zero_rewards, clipped_rewards, .. } = replay.counters();
    assert_eq!((zero_rewards, clipped_rewards), (1, 1));
}

#[test]
fn low_rewards_are_clipped_and_counted() {
    let mut replay = replay(SelectorKind::Fifo, 4, 1.0, 1).with_log_reward_min(-2.0);
    let (mut samples, mut trained) = (Samples::default(), Vec::<f64>::new());
    for log_reward in [f64::NEG_INFINITY, -2.5, -2.0, 1.0] {
        let log_reward = LogReward::try_from(log_reward).unwrap();
        replay.insert(&[1], log_reward, PolicyVersion::default());
        assert!(replay.sample(&mut stream(1), &mut samples));
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
                assert!(replay.sample(&mut random, &mut samples), "{said}");
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

/// With every selector, at any pace: uses within 1 % of what was asked for over 10,000 insertions,
/// and in each batch its share of the newest that were not trained on.
#[test]
fn uses_stay_within_a_hundredth_and_batches_hold_what_is_new() {
    const BATCH: usize = 16;
    for (seed, selector) in (0..).zip(SELECTORS) {
        for (uses, fraction) in [(0.5, 0.25), (1.0, 0.25), (1.0, 1.0), (4.0, 0.0), (4.0, 0.25)] {
            let online_fraction = if selector == SelectorKind::Fifo { 0.0 } else { fraction };
            let online = (fraction * BATCH as f64) as usize;
            for priority in [run_file::Priority::LogReward, run_file::Priority::Loss] {
                let config =
                    run_file::Replay { online_fraction, priority, ..config(selector, 2000, uses) };
                let said = format!("seed {seed}: {config:?}");
                let mut replay = Replay::new(&config, BATCH).unwrap();
                let (mut random, mut samples) = (stream(seed), Samples::default());
                let mut fresh = std::collections::BTreeSet::new();
                while replay.counters.inserted < 10_000 {
                    assert!(replay.may_insert() || replay.may_sample(), "stuck: {said}");
                    if random.below(2) == 0 && replay.may_insert() {
                        let log_reward = LogReward::try_from(8.0 * random.uniform()).unwrap();
                        let version = PolicyVersion::default();
                        fresh.insert(replay.insert(&[], log_reward, version));
                    } else if replay.sample(&mut random, &mut samples) {
                        if online_fraction > 0.0 {
                            let newest: Vec<_> = fresh.iter().rev().take(online).copied().collect();
                            assert_eq!(samples.ordinals[..online], newest, "{said}");
                        }
                        samples.ordinals.iter().for_each(|ordinal| _ = fresh.remove(ordinal));
                        let losses: Vec<f64> =
                            samples.ordinals.iter().map(|_| 9.0 * random.uniform()).collect();
                        replay.trained(&samples.ordinals, &losses);
                    }
                }
                let Counters { inserted, sampled, forfeited, .. } = replay.counters();
                let ratio = (sampled + forfeited) as f64 / (uses * inserted as f64);
                assert!((0.99..=1.0).contains(&ratio), "{ratio} of the uses: {said}");
            }
        }
    }
}
