//! Samples per insert, and the shares of a batch, with every selector and whatever else replay does.

use std::collections::{BTreeMap, HashMap};

use tributary_common::run_file::{Priority, Stale};

use super::*;

const BATCH: usize = 16;
const MAX_LAG: u64 = 6;
const INSERTS: u64 = 10_000;

/// What is fresh, by a plain model.
#[derive(Default)]
struct FreshModel {
    /// Step of the weights and object, by ordinal.
    fresh: BTreeMap<u64, (u64, u64)>,
    /// The newest ordinal of each object.
    newest: HashMap<u64, u64>,
}

impl FreshModel {
    fn insert(&mut self, ordinal: u64, sound: &Sound, config: &run_file::Replay) {
        let older = self.newest.insert(sound.object, ordinal);
        if let Some(older) = older.filter(|_| config.duplicates == Duplicates::Merge) {
            self.fresh.remove(&older);
        }
        if sound.kind == TrajectoryKind::Forward {
            self.fresh.insert(ordinal, (sound.policy.step, sound.object));
        }
    }

    /// The newest that may be trained on by the update after this step.
    fn newest(&mut self, step: u64, count: usize, config: &run_file::Replay) -> Vec<u64> {
        if let Some(most) = config.max_lag {
            self.fresh.retain(|_, (drawn, _)| step.saturating_sub(*drawn) <= most);
        }
        self.fresh.keys().rev().take(count).copied().collect()
    }
}

/// Inserts 10,000 trajectories at any pace, some of them with old weights, and one in ten by local
/// search; fails unless the uses are within 1 % of what was asked for, and each batch holds what it
/// should. Returns what was counted.
fn play(seed: u64, config: &run_file::Replay, objects: usize) -> Counters {
    let said = format!("seed {seed}: {config:?}");
    let initial = vec![Known { actions: vec![9], log_reward: LogReward::try_from(1.0).unwrap() }];
    let mut replay = Replay::new(config, BATCH).unwrap().with_initial(initial);
    let Shares { initial, replayed, online } = replay.shares;
    let (mut random, mut samples) = (stream(seed), Samples::default());
    let (mut fresh, mut step) = (FreshModel::default(), 0);
    while replay.counters.inserted < INSERTS {
        assert!(replay.has_ample_room() || replay.may_sample(), "stuck: {said}");
        assert!(replay.may_insert() || !replay.has_ample_room(), "room for none: {said}");
        if random.below(2) == 0 && replay.may_insert() {
            let lag = random.below(10) as u64;
            let object = random.below(objects) as u32;
            let sound = sound(&[object], 8.0 * random.uniform(), u64::saturating_sub(step, lag));
            let kind = [TrajectoryKind::Forward, TrajectoryKind::LocalSearch];
            let sound = Sound { kind: kind[usize::from(random.below(10) == 0)], ..sound };
            let ordinal = replay.insert(&sound);
            fresh.insert(ordinal, &sound, config);
        } else if replay.sample(step, &mut random, &mut samples) {
            assert_eq!(samples.len(), BATCH, "{said}");
            assert_eq!(samples.ordinals[..online], fresh.newest(step, online, config), "{said}");
            let is_initial = |source: &&Source| **source == Source::Initial;
            assert_eq!(samples.sources.iter().filter(is_initial).count(), initial, "{said}");
            assert!(samples.sources[..online].iter().all(|source| *source == Source::Fresh));
            samples.ordinals.iter().for_each(|ordinal| _ = fresh.fresh.remove(ordinal));
            let losses: Vec<f64> =
                samples.ordinals.iter().map(|_| 9.0 * random.uniform()).collect();
            replay.trained(&samples.ordinals, &losses);
            step += 1;
        }
    }
    let counters = replay.counters();
    let Counters { inserted, evicted, merged, sampled, forfeited, .. } = counters;
    assert_eq!(inserted, replay.resident() as u64 + evicted + merged, "{said}");
    assert_eq!(
        (sampled, counters.imported_sampled),
        (step * replayed as u64, step * initial as u64)
    );
    let ratio = (sampled + forfeited) as f64 / (config.samples_per_insert * inserted as f64);
    assert!((0.99..=1.0).contains(&ratio), "{ratio} of the uses: {said}");
    counters
}

/// Each selector with each pace, as `change` makes it.
fn play_all(objects: usize, change: impl Fn(&mut run_file::Replay)) -> Vec<Counters> {
    let mut all = Vec::new();
    let by_loss = (SelectorKind::Prioritized, Priority::Loss);
    let selectors = SELECTORS.into_iter().map(|selector| (selector, Priority::LogReward));
    for (seed, (selector, priority)) in (0..).zip(selectors.chain([by_loss])) {
        for (uses, fraction) in [(0.5, 0.25), (1.0, 0.5), (4.0, 0.0), (4.0, 0.125)] {
            let online_fraction = if selector == SelectorKind::Fifo { 0.0 } else { fraction };
            let mut config =
                run_file::Replay { online_fraction, priority, ..config(selector, 2000, uses) };
            change(&mut config);
            all.push(play(seed, &config, objects));
        }
    }
    all
}

fn offline(config: &mut run_file::Replay) {
    config.initial = Some("data.csv".to_owned());
    config.initial_fraction = 0.25;
}

#[test]
fn uses_stay_within_a_hundredth_and_batches_hold_what_is_new() {
    play_all(1_000_000, |_| {});
}

#[test]
fn uses_stay_within_a_hundredth_when_duplicates_are_merged() {
    let all = play_all(500, |config| config.duplicates = Duplicates::Merge);
    assert!(all.iter().all(|counters| counters.merged > 9_000));
}

#[test]
fn uses_stay_within_a_hundredth_when_old_paths_are_redrawn_or_rejected() {
    let all = play_all(1_000_000, |config| config.max_lag = Some(MAX_LAG));
    assert!(all.iter().all(|counters| counters.redrawn > 100));
    let reject = |config: &mut run_file::Replay| {
        (config.max_lag, config.stale) = (Some(MAX_LAG), Stale::Reject);
    };
    let all = play_all(1_000_000, reject);
    assert!(all.iter().all(|counters| counters.redrawn == 0 && counters.forfeited > 0));
}

#[test]
fn uses_stay_within_a_hundredth_beside_a_data_set_and_with_all_at_once() {
    play_all(1_000_000, offline);
    play_all(500, |config| {
        offline(config);
        config.duplicates = Duplicates::Merge;
        (config.max_lag, config.stale) = (Some(MAX_LAG), Stale::Reject);
        config.keep = Keep::Objects;
        config.online_probability = if config.selector == SelectorKind::Fifo { 0.0 } else { 0.3 };
    });
}
