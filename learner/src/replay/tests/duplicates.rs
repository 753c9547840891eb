//! Merged duplicates: one resident for each object, the newest path, and all the uses.

use super::*;

fn merging(selector: SelectorKind, uses: f64, batch: usize) -> Replay {
    let duplicates = Duplicates::Merge;
    Replay::new(&run_file::Replay { duplicates, ..config(selector, 8, uses) }, batch).unwrap()
}

/// A path of this length to an object.
fn to(object: u64, length: usize) -> Sound {
    Sound { object, ..sound(&vec![object as u32; length], 0.0, 0) }
}

#[test]
fn the_newest_path_stays_and_inherits_the_uses() {
    let mut replay = merging(SelectorKind::Fifo, 2.0, 1);
    replay.insert(&to(1, 1));
    let mut samples = Samples::default();
    assert!(replay.sample(0, &mut stream(1), &mut samples));
    replay.insert(&to(2, 1));
    replay.insert(&to(1, 3));
    assert_eq!((replay.resident(), replay.counters().merged), (2, 1));
    let mut uses = Vec::new();
    while replay.sample(0, &mut stream(1), &mut samples) {
        uses.push((samples.ordinals[0], samples.actions.len()));
    }
    // One use of the older path to 1 was left: three with the new one.
    assert_eq!(uses, [(1, 1), (2, 3), (1, 1), (2, 3), (2, 3)]);
    let Counters { inserted, sampled, forfeited, .. } = replay.counters();
    assert_eq!((inserted, sampled, forfeited), (3, 6, 0));
}

#[test]
fn who_is_found_again_stays_longer() {
    let mut replay = merging(SelectorKind::Uniform, 1.0, 1);
    (1..=8).for_each(|object| _ = replay.insert(&to(object, 1)));
    replay.insert(&to(1, 1));
    (9..=15).for_each(|object| _ = replay.insert(&to(object, 1)));
    let Counters { inserted, evicted, merged, .. } = replay.counters();
    assert_eq!((inserted, evicted, merged), (16, 7, 1));
    assert!(replay.residents.with_object(1).is_some(), "2 to 8 were older");
}

#[test]
fn kept_duplicates_are_all_there() {
    let mut replay = replay(SelectorKind::Uniform, 8, 1.0, 1);
    (0..5).for_each(|_| _ = replay.insert(&to(1, 1)));
    assert_eq!((replay.resident(), replay.counters().merged), (5, 0));
}

/// Where there are fewer objects than a batch has places, training goes on with what there is.
#[test]
fn few_objects_do_not_starve_training() {
    for selector in SELECTORS {
        for online_fraction in [0.0, 0.25] {
            if selector == SelectorKind::Fifo && online_fraction > 0.0 {
                continue;
            }
            let config = run_file::Replay {
                duplicates: Duplicates::Merge,
                online_fraction,
                ..config(selector, 100, 1.0)
            };
            let mut replay = Replay::new(&config, 16).unwrap();
            let (mut random, mut samples, mut batches) = (stream(2), Samples::default(), 0);
            while replay.counters.inserted < 1_000 {
                if replay.may_insert() {
                    replay.insert(&to(random.below(3) as u64, 1));
                } else {
                    assert!(replay.sample(0, &mut random, &mut samples));
                    assert_eq!(samples.len(), 16);
                    batches += 1;
                }
            }
            assert!(batches >= 55, "{batches} with {config:?}");
        }
    }
}
