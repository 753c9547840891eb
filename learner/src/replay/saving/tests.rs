#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use tributary_common::environment::{Environment, Hypergrid};
use tributary_common::log_space::LogReward;
use tributary_common::random::{Purpose, Stream};
use tributary_common::run_file::{self, Duplicates, Keep, Priority, Selector, Stale};

use super::*;
use crate::examine::Sound;
use crate::fakes;
use crate::replay::Samples;

const BATCH: usize = 5;

/// Run files whose replays keep different things.
fn configs() -> Vec<run_file::Replay> {
    let of = |selector| run_file::Replay { selector, capacity: 40, ..Default::default() };
    let mut configs = Vec::new();
    for selector in
        [Selector::Fifo, Selector::Uniform, Selector::Prioritized, Selector::TopFraction]
    {
        configs.push(run_file::Replay { samples_per_insert: 2.5, ..of(selector) });
        configs.push(run_file::Replay { duplicates: Duplicates::Merge, ..of(selector) });
    }
    let loss = run_file::Replay { priority: Priority::Loss, ..of(Selector::Prioritized) };
    configs.push(run_file::Replay { samples_per_insert: 3.0, ..loss });
    let diverse = run_file::Replay { diversity_distance: Some(3.0), ..of(Selector::TopFraction) };
    configs.push(run_file::Replay { samples_per_insert: 2.0, ..diverse });
    let lagging =
        run_file::Replay { max_lag: Some(20), keep: Keep::Objects, ..of(Selector::Uniform) };
    configs.push(run_file::Replay { samples_per_insert: 4.0, ..lagging.clone() });
    configs.push(run_file::Replay { stale: Stale::Reject, keep: Keep::Trajectories, ..lagging });
    let online = run_file::Replay { online_fraction: 0.3, ..of(Selector::Uniform) };
    configs.push(run_file::Replay { online_probability: 0.2, samples_per_insert: 2.0, ..online });
    configs
}

struct Twin {
    environment: Arc<dyn Environment>,
    replay: Replay,
    step: u64,
}

impl Twin {
    fn new(config: &run_file::Replay) -> Self {
        let environment: Arc<dyn Environment> = Arc::new(Hypergrid::new(2, 9).unwrap());
        let replay = Replay::new(config, BATCH).unwrap();
        let replay = replay.with_distance_of(Arc::clone(&environment), config);
        Self { environment, replay, step: 0 }
    }

    /// What a life is like: trajectories come while they are welcome, else a batch is trained on.
    fn live(&mut self, turns: u64, of: u64, samples: &mut Samples) -> Vec<Samples> {
        let mut drawn = Vec::new();
        for turn in 0..turns {
            let mut stream = Stream::new(7, Purpose::Walk, of, turn);
            if self.replay.may_insert() {
                let sound = self.sound(&mut stream);
                self.replay.insert(&sound);
            }
            if self.replay.sample(self.step, &mut stream, samples) {
                let losses: Vec<f64> = samples.ordinals.iter().map(|_| stream.uniform()).collect();
                self.replay.trained(&samples.ordinals, &losses);
                self.step += 1;
                drawn.push(samples.clone());
            }
        }
        drawn
    }

    fn sound(&self, stream: &mut Stream) -> Sound {
        let path = fakes::random_trajectories(&*self.environment, 1, stream);
        let policy = PolicyVersion { step: self.step.saturating_sub(9), ..Default::default() };
        let log_reward = LogReward::try_from(path.log_rewards[0]).unwrap();
        let mut sound = fakes::sound(&path.actions, log_reward, policy);
        sound.built = object(&*self.environment, &path.actions).unwrap();
        let name = blake3::hash(sound.built.to_string().as_bytes());
        sound.object = u64::from(name.as_bytes()[0]);
        sound.seconds = stream.uniform() as f32;
        sound
    }
}

#[test]
fn a_replay_that_comes_back_draws_what_it_would_have_drawn() {
    for (number, config) in configs().into_iter().enumerate() {
        let mut samples = Samples::default();
        let mut live = Twin::new(&config);
        for life in 0..6 {
            live.live(97, life, &mut samples);
            let bytes = live.replay.save().to_bytes().unwrap();
            let mut restored = Twin { step: live.step, ..Twin::new(&config) };
            let columns = Columns::from_bytes(&bytes).unwrap();
            restored.replay.restore(&columns, &*restored.environment).unwrap();
            assert_eq!(restored.replay.counters(), live.replay.counters(), "config {number}");
            assert_eq!(restored.replay.save().to_bytes().unwrap(), bytes, "config {number}");

            let expected = live.live(150, 100 + life, &mut samples);
            let drawn = restored.live(150, 100 + life, &mut samples);
            assert!(expected.len() > 5, "config {number}: {} batches", expected.len());
            assert_eq!(drawn, expected, "config {number}, life {life}");
            assert_eq!(restored.replay.deciles(), live.replay.deciles(), "config {number}");
        }
    }
}

#[test]
fn columns_that_do_not_fit_are_refused() {
    let config = &configs()[0];
    let mut live = Twin::new(config);
    live.live(80, 0, &mut Samples::default());
    let saved = live.replay.save();
    let restore = |columns: &Columns| {
        let columns = Columns::from_bytes(&columns.to_bytes().unwrap()).unwrap();
        let mut twin = Twin::new(config);
        let environment = Arc::clone(&twin.environment);
        twin.replay.restore(&columns, &*environment)
    };
    restore(&saved).unwrap();
    for name in ["slots", "resident.slot", "resident.kind", "actions", "limiter", "counters"] {
        for values in [vec![], vec![u64::MAX], vec![9; 41]] {
            let mut columns = saved.clone();
            columns.put(name, values.clone());
            assert!(restore(&columns).is_err(), "{name} = {values:?}");
        }
    }
    assert!(Columns::from_bytes(b"no columns").is_err());
}
