//! How soon a run and an actor are at work, and what an actor costs a machine.

use std::fs;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;

use super::control::Control;
use super::crowd::{Crowd, Task, listening};
use super::process::Process;
use crate::machine::Machine;
use crate::report::{Outputs, median};
use crate::run::Tributary;
use crate::usage::{Usage, mib};

const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(2);

/// Options of `start`.
#[derive(Args)]
pub(crate) struct Options {
    /// Starts of each; the medians are printed
    #[arg(long, default_value_t = 5)]
    repeats: usize,
    #[command(flatten)]
    outputs: Outputs,
}

/// Starts runs and actors, and prints how long they took.
pub(crate) fn run(options: &Options) -> Result<()> {
    let tributary = Tributary::find()?;
    let mut updates = Vec::new();
    for _ in 0..options.repeats {
        updates.push(first_update(&tributary)?.as_secs_f64());
    }
    let (mut arrivals, mut memory) = (Vec::new(), Vec::new());
    let mut crowd = Crowd::start(&Task::USUAL, 1, 1)?;
    for _ in 0..options.repeats {
        arrivals.push(first_trajectory(&mut crowd)?.as_secs_f64());
        // It is at work.
        sleep(Duration::from_secs(2));
        let newest = crowd.actors.last().context("no actor")?;
        memory.push(Usage::of(newest.id())?.mebibytes());
    }
    crowd.finish()?;
    let size = mib(fs::metadata(tributary.path())?.len());
    let text = format!(
        "| | measured | bar |\n|---|---|---|\n\
         | `tributary train` to the first update | {:.2} s | 2 s |\n\
         | an actor to its first trajectory at the learner | {:.0} ms | 300 ms |\n\
         | `tributary`, the actor's program | {size:.1} MiB | 15 MiB |\n\
         | resident memory of an actor at work | {:.1} MiB | 50 MiB and the weights |\n\n\
         Medians of {} starts, seed 1; two more processes work when an actor starts. ({})",
        median(updates),
        1e3 * median(arrivals),
        median(memory),
        options.repeats,
        Machine::this()
    );
    options.outputs.section("start", &text)
}

/// From the start of `tributary train` to its first update.
fn first_update(tributary: &Tributary) -> Result<Duration> {
    let folder = tempfile::tempdir()?;
    let run = folder.path().join("run");
    fs::write(folder.path().join("run.toml"), Task::USUAL.run_file(1))?;
    let mut command = Command::new(tributary.path());
    command.arg("train").arg(folder.path().join("run.toml")).arg("--run-dir").arg(&run);
    command.env("TRIBUTARY_CACHE", folder.path());
    let start = Instant::now();
    let mut train = Process::start(command, &folder.path().join("log"))?;
    let address = listening(&mut train, folder.path())?;
    let control = Control::new(&address, &run)?;
    let updated = || control.status().ok().filter(|status| status.loss.is_some());
    until(&mut train, "an update", start, updated)?;
    let passed = start.elapsed();
    train.signal(nix::sys::signal::Signal::SIGTERM)?;
    train.end(PATIENCE)?;
    Ok(passed)
}

/// From the start of an actor to the first trajectory that the learner has of it.
fn first_trajectory(crowd: &mut Crowd) -> Result<Duration> {
    let known: Vec<u64> = crowd.control.status()?.actors.iter().map(|row| row.id).collect();
    let start = Instant::now();
    let mut actor = crowd.actor()?;
    let arrived = || {
        let status = crowd.control.status().ok()?;
        status.actors.into_iter().find(|row| !known.contains(&row.id) && row.received > 0)
    };
    until(&mut actor, "a trajectory", start, arrived)?;
    crowd.actors.push(actor);
    Ok(start.elapsed())
}

fn until<T>(
    process: &mut Process,
    what: &str,
    start: Instant,
    mut found: impl FnMut() -> Option<T>,
) -> Result<T> {
    loop {
        if let Some(found) = found() {
            return Ok(found);
        }
        if start.elapsed() > PATIENCE || process.ended()?.is_some() {
            bail!("waited for {what}:\n{}", process.last_words());
        }
        sleep(PAUSE);
    }
}
