//! A run at full speed for long: memory stays flat once everything is warm.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;

use super::books;
use super::crowd::{Crowd, Task};
use super::slow::slope;
use crate::machine::Machine;
use crate::usage::Usage;

/// In MiB a minute, of the learner and of each actor.
const MOST_SLOPE: f64 = 1.0;
const EVERY: Duration = Duration::from_secs(5);

/// Options of `soak flat`.
#[derive(Args)]
pub(crate) struct Options {
    /// Actors
    #[arg(long, default_value_t = 1)]
    actors: usize,
    /// Minutes to look at
    #[arg(long, default_value_t = 60)]
    minutes: u64,
    /// Minutes of warm-up before
    #[arg(long, default_value_t = 5)]
    warm_up: u64,
    /// Seed of the run
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(super) fn run(options: &Options) -> Result<()> {
    let Options { actors, minutes, warm_up, seed } = *options;
    println!("{actors} actors at full speed, seed {seed}; {}", Machine::this());
    let crowd = Crowd::start(&Task::USUAL, actors, seed)?;
    let learner = ("learner".to_owned(), crowd.learner.id());
    let actors = crowd.actors.iter().enumerate();
    let actors = actors.map(|(i, actor)| (format!("actor {}", i + 1), actor.id()));
    let mut processes: Vec<Seen> =
        std::iter::once(learner).chain(actors).map(|(name, id)| Seen::new(name, id)).collect();
    let minute = Duration::from_secs(60);
    sleep(minute * u32::try_from(warm_up)?);
    let start = Instant::now();
    let mut said = 0;
    while start.elapsed() < minute * u32::try_from(minutes)? {
        for process in &mut processes {
            process.look(start)?;
        }
        let passed = start.elapsed().as_secs() / 600;
        if passed > said {
            said = passed;
            let seen: Vec<String> = processes.iter().map(Seen::text).collect();
            eprintln!("{} of {minutes} minutes: {}", 10 * passed, seen.join("; "));
        }
        sleep(EVERY);
    }
    let (summary, acked, unacked) = crowd.finish()?;
    let trajectories = summary["trajectories"].as_u64().context("no count of trajectories")?;
    let seen: Vec<String> = processes.iter().map(Seen::text).collect();
    println!(
        "{minutes} minutes after {warm_up} of warm-up, {trajectories} trajectories: {}",
        seen.join("; ")
    );
    println!("  {}", books::check(&summary, acked, unacked)?);
    for process in &processes {
        let slope = slope(&process.samples);
        ensure!(slope < MOST_SLOPE, "{} grows by {slope:.2} MiB a minute", process.name);
    }
    Ok(())
}

/// The resident memory of a process.
struct Seen {
    name: String,
    id: u32,
    /// Minutes, MiB.
    samples: Vec<(f64, f64)>,
}

impl Seen {
    fn new(name: String, id: u32) -> Self {
        Self { name, id, samples: Vec::new() }
    }

    fn look(&mut self, start: Instant) -> Result<()> {
        let usage = Usage::of(self.id).with_context(|| self.name.clone())?;
        self.samples.push((start.elapsed().as_secs_f64() / 60.0, usage.mebibytes()));
        Ok(())
    }

    fn text(&self) -> String {
        let (first, last) = (self.samples.first(), self.samples.last());
        let mib = |sample: Option<&(f64, f64)>| sample.map_or(0.0, |(_, mib)| *mib);
        let slope = slope(&self.samples);
        let (name, first, last) = (&self.name, mib(first), mib(last));
        format!("{name} from {first:.1} to {last:.1} MiB, {slope:+.3} MiB a minute")
    }
}
