//! `max_lag`: exact at its bound, and what becomes of those beyond it.

use tributary_common::run_file::Stale;

use super::*;

fn lagging(max_lag: u64, stale: Stale, uses: f64) -> Replay {
    let max_lag = Some(max_lag);
    let config = run_file::Replay { max_lag, stale, ..config(SelectorKind::Fifo, 100, uses) };
    Replay::new(&config, 2).unwrap()
}

/// Whether a path of weights with 7 updates is kept for the update after `step`.
fn is_kept(step: u64) -> bool {
    let mut replay = lagging(3, Stale::Redraw, 1.0);
    (0..2).for_each(|i| _ = replay.insert(&sound(&[i], 0.0, 7)));
    let mut samples = Samples::default();
    assert!(replay.sample(step, &mut stream(1), &mut samples));
    assert_eq!(samples.sources[0], samples.sources[1]);
    samples.sources[0] == Source::Fresh
}

#[test]
fn a_path_is_kept_at_the_bound_and_redrawn_beyond_it() {
    let kept: Vec<u64> = (0..20).filter(|&step| is_kept(step)).collect();
    // Also weights of the future, as after a restart from an older checkpoint.
    assert_eq!(kept, Vec::from_iter(0..=10));
}

#[test]
fn beyond_the_bound_every_further_use_is_redrawn_and_counted_by_the_time_of_its_reward() {
    let mut replay = lagging(3, Stale::Redraw, 3.0);
    for (i, seconds) in (0..4).zip([0.1, 0.2, 5.0, 60.0]) {
        replay.insert(&Sound { seconds, ..sound(&[i], 0.0, if seconds > 1.0 { 0 } else { 2 }) });
    }
    let mut samples = Samples::default();
    let mut sources = Vec::new();
    for step in [3, 3, 4, 4, 5, 6] {
        assert!(replay.sample(step, &mut stream(1), &mut samples));
        sources.push((samples.sources[0], samples.sources[1]));
    }
    use Source::{Fresh, Redrawn, Replayed};
    let (fresh, replayed, redrawn) = ((Fresh, Fresh), (Replayed, Replayed), (Redrawn, Redrawn));
    // At 4 the two slow ones, drawn at 0, are too old; at 6 the others too.
    assert_eq!(sources, [fresh, fresh, replayed, redrawn, replayed, redrawn]);
    let deciles = replay.deciles().unwrap();
    let total = |of: fn(&Decile) -> u64| deciles.iter().map(of).sum::<u64>();
    assert_eq!((total(|row| row.inserted), total(|row| row.redrawn)), (4, 4));
    assert_eq!(replay.counters().redrawn, 4);
    assert_eq!(total(|row| row.rejected), 0);
}

#[test]
fn rejected_are_gone_with_their_uses_and_counted_unless_they_were_trained_on() {
    let mut replay = lagging(3, Stale::Reject, 2.0);
    (0..2).for_each(|i| _ = replay.insert(&sound(&[i], 0.0, 0)));
    let mut samples = Samples::default();
    assert!(replay.sample(3, &mut stream(1), &mut samples), "at the bound");
    (2..5).for_each(|i| _ = replay.insert(&sound(&[i], 0.0, 0)));
    (5..7).for_each(|i| _ = replay.insert(&sound(&[i], 0.0, 4)));
    assert!(replay.sample(4, &mut stream(1), &mut samples));
    assert_eq!(samples.ordinals, [5, 6]);
    let rejected: u64 = replay.deciles().unwrap().iter().map(|row| row.rejected).sum();
    assert_eq!(rejected, 3, "the first two were trained on");
    let Counters { inserted, evicted, sampled, forfeited, .. } = replay.counters();
    assert_eq!((inserted, evicted, replay.resident()), (7, 5, 2));
    assert_eq!((sampled, forfeited), (4, 2 + 6));
    assert_eq!(replay.limiter.due(), 2);
}

#[test]
fn a_replay_of_which_all_is_rejected_takes_more() {
    let mut replay = lagging(0, Stale::Reject, 1.0);
    let mut samples = Samples::default();
    for step in 1..100 {
        while replay.may_insert() {
            replay.insert(&sound(&[1], 0.0, step - 1));
        }
        assert!(!replay.sample(step, &mut stream(1), &mut samples));
        assert!(replay.may_insert() && replay.resident() == 0);
    }
    replay.insert(&sound(&[1], 0.0, 100));
    replay.insert(&sound(&[1], 0.0, 100));
    assert!(replay.sample(100, &mut stream(1), &mut samples));
}

#[test]
fn kept_objects_do_not_grow_old() {
    let config = run_file::Replay {
        keep: Keep::Objects,
        max_lag: Some(2),
        stale: Stale::Reject,
        ..config(SelectorKind::Fifo, 100, 2.0)
    };
    let mut replay = Replay::new(&config, 2).unwrap();
    (0..4).for_each(|i| _ = replay.insert(&sound(&[i], 0.0, 0)));
    let mut samples = Samples::default();
    assert!(replay.sample(2, &mut stream(1), &mut samples));
    assert_eq!(samples.sources, [Source::Fresh; 2]);
    assert!(replay.sample(3, &mut stream(1), &mut samples));
    assert_eq!(
        (&samples.ordinals[..], &samples.sources[..]),
        (&[0, 1][..], &[Source::Redrawn; 2][..])
    );
    assert_eq!(replay.resident(), 2, "the two that were not trained on in time are gone");
}
