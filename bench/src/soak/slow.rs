//! Many actors, one trainer that is slower than they are: memory stays flat, nobody drops anything.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;
use tributary_proto::v1::ActorState;

use super::books;
use super::crowd::{Crowd, Task};
use crate::machine::Machine;
use crate::usage::{Usage, mib};

/// Each trajectory is trained on twenty times, by a network that is large for one thread. Replay is
/// full when the warm-up is over, so that its own growth is not taken for another.
const SLOW: Task =
    Task { hidden: "[256, 256]", batch: 64, samples_per_insert: 20.0, capacity: 2_000 };
/// In MiB a minute; a learner that keeps what it cannot train on grows faster.
const MOST_SLOPE: f64 = 1.0;

/// Options of `soak slow`.
#[derive(Args)]
pub(crate) struct Options {
    /// Actors
    #[arg(long, default_value_t = 30)]
    actors: usize,
    /// Seconds to look at, after a warm-up of 20
    #[arg(long, default_value_t = 180)]
    seconds: u64,
    /// Seed of the run
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(super) fn run(options: &Options) -> Result<()> {
    let Options { actors, seconds, seed } = *options;
    println!("a trainer slower than its {actors} actors; {}", Machine::this());
    let crowd = Crowd::start(&SLOW, actors, seed)?;
    sleep(Duration::from_secs(20));
    let (start, mut samples) = (Instant::now(), Vec::new());
    let mut held = 0;
    let metrics = crowd.metrics_bytes()?;
    while start.elapsed() < Duration::from_secs(seconds) {
        let usage = Usage::of(crowd.learner.id())?;
        samples.push((start.elapsed().as_secs_f64() / 60.0, usage.mebibytes()));
        let rows = crowd.control.status()?.actors;
        let held_back = |row: &&_| state(row) == ActorState::Backpressured;
        held += rows.iter().filter(held_back).count();
        sleep(Duration::from_secs(1));
    }
    let slope = slope(&samples);
    let metrics = (crowd.metrics_bytes()? - metrics) as f64 / start.elapsed().as_secs_f64();
    let most = samples.iter().map(|(_, mib)| *mib).fold(0.0, f64::max);
    let share = 100.0 * held as f64 / (samples.len() * actors) as f64;
    let bound = mib(crowd.bare + crowd.stated_bound()?);
    let (summary, acked, unacked) = crowd.finish()?;
    println!(
        "{seconds} s: learner at most {most:.0} MiB resident (bound {bound:.0} MiB), slope {slope:.2} MiB a minute; actors \
         held back {share:.0} % of the time; metrics.jsonl grows by {metrics:.0} bytes a second"
    );
    println!("  {}", books::check(&summary, acked, unacked)?);
    ensure!(most <= bound, "the learner took more memory than it stated");
    ensure!(slope <= MOST_SLOPE, "the learner grows by {slope:.2} MiB a minute");
    ensure!(share > 50.0, "the actors were not held back");
    Ok(())
}

fn state(row: &tributary_proto::v1::ActorRow) -> ActorState {
    row.state()
}

/// Of the line through these points with the least squares.
pub(super) fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let together: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let alone: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    if alone > 0.0 { together / alone } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_is_that_of_the_line() {
        let line: Vec<(f64, f64)> =
            (0..9).map(|x| (f64::from(x), 7.0 - 2.5 * f64::from(x))).collect();
        assert!((slope(&line) + 2.5).abs() < 1e-12);
        assert_eq!(slope(&[(1.0, 3.0)]), 0.0);
    }
}
