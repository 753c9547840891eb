//! What it costs to be watched: one run at full speed, in turn alone and with everything open that shows
//! it; and the processor time of two runs side by side whose reward takes its time, one of them watched.

mod observers;
mod paced;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use nix::sys::signal::Signal;
use serde::Serialize;

use crate::machine::Machine;
use crate::report::{Outputs, Table, grouped, median};
use crate::run::Tributary;
use crate::soak::control::Control;
use crate::soak::crowd::listening;
use crate::soak::process::Process;
use observers::Observers;
use paced::Paced;

/// The share of the throughput that it may cost.
const MOST: f64 = 0.01;
/// The run is under way, and what was switched has come into effect.
const STARTS: Duration = Duration::from_secs(10);
const SETTLES: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(60);

const RUN_FILE: &str = r#"[run]
name = "overhead"
seed = 1
[environment]
kind = "hypergrid"
dimensions = 4
side = 16
[reward]
kind = "original"
r0 = 0.1
[policy]
hidden = [256, 256]
[learner]
time = "10h"
batch = 128
learning_rate = 1e-3
checkpoint_every = "1h"
[evaluation]
every = "1h"
max_states = 1
"#;

#[derive(Args, Serialize)]
pub(crate) struct Options {
    /// Pairs of windows, one alone and one watched
    #[arg(long, default_value_t = 12)]
    pairs: usize,
    /// Seconds of each window
    #[arg(long, default_value_t = 6.0)]
    seconds: f64,
    /// Pairs of runs, one of them watched, whose reward takes its time
    #[arg(long, default_value_t = 2)]
    runs: usize,
    /// Windows of each pair
    #[arg(long, default_value_t = 6)]
    windows: usize,
    /// Seconds of each of these windows
    #[arg(long, default_value_t = 20.0)]
    watch: f64,
    /// Actors
    #[arg(long, default_value_t = 2)]
    actors: usize,
    #[command(flatten)]
    #[serde(skip)]
    outputs: Outputs,
}

/// Trajectories trained on per second, alone and watched, one after the other.
#[derive(Clone, Copy, Debug, Serialize)]
struct Pair {
    alone: f64,
    watched: f64,
}

/// Measures and prints the table.
pub(crate) fn run(options: &Options) -> Result<()> {
    let machine = Machine::this();
    let paced = paced::measure(options)?;
    let share = paced::share(&paced, machine.cores);
    let (pairs, heard) = measure(options)?;
    options.outputs.json(&machine, options, &[(&paced, &pairs)])?;
    options.outputs.section("overhead", &text(options, &machine, (&paced, &pairs), &heard))?;
    let (ratio, error) = ratio(&pairs);
    ensure!(ratio + 2.0 * error >= 1.0 - MOST, "being watched costs more than {MOST} of the speed");
    ensure!(share <= MOST, "watching takes {share} of the processors");
    Ok(())
}

/// A run that goes on until it is told to end.
struct Run {
    train: Process,
    control: Control,
    directory: PathBuf,
}

impl Run {
    /// Starts one in `folder`, with changes of the run file, and waits until it trains.
    fn start(folder: &Path, actors: usize, changes: &[&str]) -> Result<Self> {
        let directory = folder.join("run");
        fs::write(folder.join("run.toml"), RUN_FILE)?;
        let mut command = Command::new(Tributary::find()?.path());
        command.arg("train").arg(folder.join("run.toml")).arg("--run-dir").arg(&directory);
        command.args(["--actors", &actors.to_string()]);
        for change in changes {
            command.args(["--set", change]);
        }
        let mut train = Process::start(command, &folder.join("train.log"))?;
        let address = listening(&mut train, folder)?;
        let control = Control::new(&address, &directory)?;
        let begun = |status: &tributary_proto::v1::StatusReply| {
            status.counters.is_some_and(|counters| counters.updates > 10)
        };
        control.until("training", PATIENCE, begun)?;
        Ok(Self { train, control, directory })
    }

    /// Trajectories trained on so far, and when.
    fn samples(&self) -> Result<(u64, Instant)> {
        let counters = self.control.status()?.counters.context("a status without counters")?;
        Ok((counters.samples, Instant::now()))
    }

    fn end(mut self) -> Result<()> {
        self.train.signal(Signal::SIGTERM)?;
        self.train.end(PATIENCE)?;
        Ok(())
    }
}

fn measure(options: &Options) -> Result<(Vec<Pair>, String)> {
    let folder = tempfile::tempdir()?;
    let run = Run::start(folder.path(), options.actors, &[])?;
    sleep(STARTS);
    let observers = Observers::new(&run.directory)?;
    let rate = || -> Result<f64> {
        sleep(SETTLES);
        let (before, start) = run.samples()?;
        sleep(Duration::from_secs_f64(options.seconds));
        let (after, end) = run.samples()?;
        Ok((after - before) as f64 / end.duration_since(start).as_secs_f64())
    };
    let watched = || -> Result<f64> {
        let _watching = observers.watch();
        rate()
    };
    let mut pairs = Vec::new();
    for number in 0..options.pairs {
        // What is measured first changes, so that a drift of the run favours nobody.
        let pair = if number % 2 == 0 {
            let alone = rate()?;
            Pair { alone, watched: watched()? }
        } else {
            let watched = watched()?;
            Pair { alone: rate()?, watched }
        };
        eprintln!("{}: {:.4}", number + 1, pair.watched / pair.alone);
        pairs.push(pair);
    }
    run.end()?;
    Ok((pairs, observers.heard()?))
}

/// The median of watched / alone, and the standard error of a median of so many values that are spread
/// like these.
fn ratio(pairs: &[Pair]) -> (f64, f64) {
    let mut ratios: Vec<f64> = pairs.iter().map(|pair| pair.watched / pair.alone).collect();
    ratios.sort_by(f64::total_cmp);
    let at = |share: f64| ratios[((ratios.len() - 1) as f64 * share).round() as usize];
    // Of a normal distribution: its quartiles are 1.349 standard deviations apart, and the median's
    // error is 1.253 times that of the mean.
    let deviation = (at(0.75) - at(0.25)) / 1.349;
    (at(0.5), 1.253 * deviation / (ratios.len() as f64).sqrt())
}

fn text(
    options: &Options,
    machine: &Machine,
    (paced, pairs): (&[Paced], &[Pair]),
    heard: &str,
) -> String {
    let mut table = Table::new(&["", "trajectories/s, median"]);
    let alone = median(pairs.iter().map(|pair| pair.alone).collect());
    let watched = median(pairs.iter().map(|pair| pair.watched).collect());
    for (name, rate) in [("alone", alone), ("watched", watched)] {
        table.row([name.to_owned(), grouped(rate as u64)]);
    }
    let (ratio, error) = ratio(pairs);
    let processor_time = paced::text(options, machine, paced);
    format!(
        "{processor_time}\n\n{table}\nAt full speed, watched over alone: {ratio:.4} ± {error:.4}, the median of {} pairs of windows of {} s in one run. \
         Watching: {heard}. {} actors, 4D hypergrid of side 16, batch 128; who watches is on the same {} cores. \
         ({machine}; `make bench-overhead`)",
        pairs.len(),
        options.seconds,
        options.actors,
        machine.cores,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_not_moved_by_one_bad_window() {
        let pair = |watched| Pair { alone: 100.0, watched };
        let pairs = [pair(99.0), pair(99.5), pair(100.0), pair(100.5), pair(20.0)];
        let (ratio, error) = ratio(&pairs);
        assert!((ratio - 0.995).abs() < 1e-9, "{ratio}");
        assert!(error > 0.001 && error < 0.01, "{error}");
    }
}
