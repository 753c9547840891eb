//! The learner is killed and started again on its run directory, with its actors connected.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;

use super::control::Streaming;
use super::crowd::{Crowd, Task};
use crate::machine::Machine;

/// What is promised of a restart.
const PROMISED: Duration = Duration::from_secs(10);

/// Options of `soak restart`.
#[derive(Args)]
pub(crate) struct Options {
    /// Actors
    #[arg(long, default_value_t = 50)]
    actors: usize,
    /// Times that the learner is killed
    #[arg(long, default_value_t = 3)]
    kills: usize,
    /// Seed of the run
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(super) fn run(options: &Options) -> Result<()> {
    let Options { actors, kills, seed } = *options;
    println!("learner killed with {actors} actors connected; {}", Machine::this());
    let mut crowd = Crowd::start(&Task::USUAL, actors, seed)?;
    for kill in 1..=kills {
        let waiting = Instant::now();
        while !crowd.has_checkpoint() {
            ensure!(waiting.elapsed() < Duration::from_secs(60), "no checkpoint came");
            sleep(Duration::from_millis(50));
        }
        sleep(Duration::from_secs(5));
        let start = Instant::now();
        crowd.restart_learner()?;
        let mut first = None;
        let updates = |status: &tributary_proto::v1::StatusReply| {
            let now = status.counters.unwrap_or_default().updates;
            now > *first.get_or_insert(now)
        };
        let updated = crowd.control.until("a new update", Duration::from_secs(60), updates);
        let words = crowd.learner.last_words();
        let (status, _) = updated.map_err(|error| error.context(words))?;
        let update = start.elapsed();
        let mut streaming = Streaming::default();
        let is_it = |status: &_| streaming.all(status, actors);
        crowd.control.until("all actors to send", Duration::from_secs(60), is_it)?;
        let all = start.elapsed();
        println!(
            "kill {kill}: a new update after {:.2} s (incarnation {}), all {actors} streaming after \
             {:.2} s",
            update.as_secs_f64(),
            status.incarnation,
            all.as_secs_f64(),
        );
        ensure!(update <= PROMISED, "the first new update took too long");
        ensure!(all <= PROMISED, "some actors took too long to stream again");
    }
    Ok(())
}
