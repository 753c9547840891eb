//! What a batch is made of: objects of a data set, redrawn ones, the newest, the diverse.

use tributary_common::environment::Hypergrid;
use tributary_common::object::Object;

use super::*;

fn known(i: u32) -> Known {
    Known { actions: vec![i], log_reward: LogReward::try_from(f64::from(i)).unwrap() }
}

fn offline(selector: SelectorKind, initial_fraction: f64, online_fraction: f64) -> Replay {
    let config = run_file::Replay {
        initial: Some("data.csv".to_owned()),
        initial_fraction,
        online_fraction,
        ..config(selector, 100, 1.0)
    };
    Replay::new(&config, 8).unwrap().with_initial((100..104).map(known).collect())
}

#[test]
fn objects_of_a_data_set_have_their_share_and_stay() {
    let mut replay = offline(SelectorKind::Fifo, 0.25, 0.0);
    let (mut random, mut samples) = (stream(1), Samples::default());
    let mut counts = HashMap::<u32, u32>::new();
    for i in 0..1_000 {
        insert(&mut replay, i);
        if replay.sample(0, &mut random, &mut samples) {
            assert_eq!(samples.sources[..6], [Source::Fresh; 6]);
            assert_eq!(samples.sources[6..], [Source::Initial; 2]);
            for (i, actions) in samples.iter_actions().enumerate().skip(6) {
                assert_eq!(samples.log_rewards[i], f64::from(actions[0]));
                assert_eq!(samples.ordinals[i], Samples::NEVER_INSERTED);
                *counts.entry(actions[0]).or_default() += 1;
            }
        }
    }
    assert_eq!(counts.len(), 4, "all of them, to the end");
    let Counters { inserted, sampled, imported, imported_sampled, .. } = replay.counters();
    assert_eq!((inserted, sampled), (1_000, 996));
    assert_eq!((imported, imported_sampled), (4, 332), "apart from the books of the others");
}

#[test]
fn a_batch_of_objects_of_a_data_set_alone_waits_for_nobody() {
    let mut replay = offline(SelectorKind::Uniform, 1.0, 0.0);
    let mut samples = Samples::default();
    for i in 0..1_000 {
        assert!(replay.sample(i, &mut stream(i), &mut samples));
        assert_eq!(samples.sources, [Source::Initial; 8]);
        assert!(replay.may_insert());
        insert(&mut replay, i);
    }
    assert!(!replay.trains_on_inserted());
}

#[test]
fn both_kinds_have_one_place_at_least() {
    for (initial_fraction, initial) in [(0.01, 1), (0.5, 4), (0.99, 7)] {
        assert_eq!(offline(SelectorKind::Uniform, initial_fraction, 0.0).shares.initial, initial);
    }
    let Shares { replayed, online, .. } = offline(SelectorKind::Uniform, 0.5, 0.25).shares;
    assert_eq!((replayed, online), (4, 2));
}

#[test]
fn where_objects_are_kept_a_path_is_used_once() {
    let keep = Keep::Objects;
    let config = run_file::Replay { keep, ..config(SelectorKind::Fifo, 100, 3.0) };
    let mut replay = Replay::new(&config, 4).unwrap();
    (0..4).for_each(|i| insert(&mut replay, i));
    let mut samples = Samples::default();
    for source in [Source::Fresh, Source::Redrawn, Source::Redrawn] {
        assert!(replay.sample(0, &mut stream(1), &mut samples));
        assert_eq!(samples.sources, [source; 4]);
        assert_eq!(samples.ordinals, [0, 1, 2, 3]);
    }
    assert_eq!(replay.counters().redrawn, 8);
}

#[test]
fn with_its_probability_a_draw_is_one_of_the_newest() {
    const PROBABILITY: f64 = 0.5;
    let online_probability = PROBABILITY;
    let config = run_file::Replay { online_probability, ..config(SelectorKind::Uniform, 40, 1e6) };
    let mut replay = Replay::new(&config, 4).unwrap();
    (0..40).for_each(|i| insert(&mut replay, i));
    let (mut random, mut samples) = (stream(3), Samples::default());
    let (mut newest, mut all) = (0, 0);
    for _ in 0..10_000 {
        assert!(replay.sample(0, &mut random, &mut samples));
        all += samples.len();
        newest += samples.ordinals.iter().filter(|&&ordinal| ordinal >= 36).count();
    }
    // The newest four of forty: half of the draws, and a tenth of the other half.
    let share = newest as f64 / all as f64;
    let expected = PROBABILITY + (1.0 - PROBABILITY) / 10.0;
    assert!((share - expected).abs() < 0.01, "seed 3: {share} instead of {expected}");
}

#[test]
fn only_forward_trajectories_are_new() {
    let online_fraction = 0.5;
    let config = run_file::Replay { online_fraction, ..config(SelectorKind::Uniform, 100, 1.0) };
    let mut replay = Replay::new(&config, 4).unwrap();
    for i in 0..20 {
        let kind = [TrajectoryKind::Forward, TrajectoryKind::LocalSearch][usize::from(i >= 10)];
        replay.insert(&Sound { kind, ..sound(&[i], 0.0, 0) });
    }
    let mut samples = Samples::default();
    assert!(replay.sample(0, &mut stream(1), &mut samples));
    assert_eq!(samples.ordinals[..2], [9, 8]);
}

#[test]
fn the_best_are_diverse_where_that_is_asked_for() {
    let environment = Arc::new(Hypergrid::new(2, 9).unwrap());
    let config = run_file::Replay {
        diversity_distance: Some(3.0),
        top_fraction: 0.5,
        top_share: 1.0,
        ..config(SelectorKind::TopFraction, 100, 1e6)
    };
    // Rewards fall with the distance from (8, 8), but for one good cell far away.
    let cells = [(8, 8), (8, 7), (7, 8), (7, 7), (8, 6), (0, 0), (1, 0), (4, 4)];
    let drawn = |config: &run_file::Replay| {
        let mut replay =
            Replay::new(config, 2).unwrap().with_distance_of(environment.clone(), config);
        for (i, (x, y)) in cells.into_iter().enumerate() {
            let path = [vec![0; x], vec![1; y]].concat();
            let built = Object::Integers(vec![x as i64, y as i64]);
            replay.insert(&Sound { built, ..sound(&path, -(i as f64), 0) });
        }
        let (mut random, mut samples) = (stream(4), Samples::default());
        let mut drawn = std::collections::BTreeSet::new();
        for _ in 0..100 {
            assert!(replay.sample(0, &mut random, &mut samples));
            drawn.extend(samples.ordinals.iter().copied());
        }
        Vec::from_iter(drawn)
    };
    assert_eq!(drawn(&config), [0, 5, 7]);
    let any = run_file::Replay { diversity_distance: None, ..config };
    assert_eq!(drawn(&any), [0, 1, 2, 3]);
}
