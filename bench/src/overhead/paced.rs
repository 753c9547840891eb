//! The processor time of runs whose reward takes its time: trajectories come at the same pace whoever
//! watches, and there is so much of the machine left that what watching takes is seen to a thousandth.

use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use serde::Serialize;

use super::observers::Observers;
use super::{Options, Run};
use crate::machine::Machine;
use crate::report::{Table, grouped, median};

/// For each object; so that there are some hundred trajectories a second.
const DELAY: &str = "reward.delay=\"5ms\"";

/// One run, and one that is watched and writes TensorBoard's files.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Paced {
    alone: Usage,
    watched: Usage,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Usage {
    /// Seconds of the processors, in a second of the run.
    processor: f64,
    /// Trajectories trained on in a second.
    trajectories: f64,
}

pub(super) fn measure(options: &Options) -> Result<Vec<Paced>> {
    let mut pairs = Vec::new();
    for number in 0..options.runs {
        let pair = if number % 2 == 0 {
            let alone = usage(options, false)?;
            Paced { alone, watched: usage(options, true)? }
        } else {
            let watched = usage(options, true)?;
            Paced { alone: usage(options, false)?, watched }
        };
        eprintln!("{pair:?}");
        pairs.push(pair);
    }
    Ok(pairs)
}

/// Of a run from its start to its end, and of who watches it in this process.
fn usage(options: &Options, is_watched: bool) -> Result<Usage> {
    let before = processor_time()?;
    let folder = tempfile::tempdir()?;
    let events = format!("run.tensorboard={is_watched}");
    let run = Run::start(folder.path(), options.actors, &[DELAY, &events])?;
    let observers = Observers::new(&run.directory)?;
    let watching = is_watched.then(|| observers.watch());
    let (first, start) = run.samples()?;
    sleep(Duration::from_secs_f64(options.watch));
    let (last, end) = run.samples()?;
    drop(watching);
    run.end()?;
    if is_watched {
        observers.heard()?;
    }
    let trajectories = (last - first) as f64 / end.duration_since(start).as_secs_f64();
    // What start and end take is the same in both.
    let processor = (processor_time()? - before).as_secs_f64() / options.watch;
    Ok(Usage { processor, trajectories })
}

/// Of this process and of all that it has waited for.
fn processor_time() -> Result<Duration> {
    let mut time = Duration::ZERO;
    for who in [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN] {
        let usage = getrusage(who)?;
        for part in [usage.user_time(), usage.system_time()] {
            time += Duration::from_micros(u64::try_from(part.num_microseconds())?);
        }
    }
    Ok(time)
}

/// What watching takes of all processors.
pub(super) fn share(pairs: &[Paced], cores: usize) -> f64 {
    let more = pairs.iter().map(|pair| pair.watched.processor - pair.alone.processor).collect();
    median(more) / cores as f64
}

pub(super) fn text(options: &Options, machine: &Machine, pairs: &[Paced]) -> String {
    let mut table = Table::new(&["", "processor time, ms per second", "trajectories/s"]);
    let medians = |of: fn(&Paced) -> Usage| {
        let of_all =
            |value: fn(Usage) -> f64| median(pairs.iter().map(|pair| value(of(pair))).collect());
        (of_all(|usage| usage.processor), of_all(|usage| usage.trajectories))
    };
    for (name, (processor, trajectories)) in
        [("alone", medians(|pair| pair.alone)), ("watched", medians(|pair| pair.watched))]
    {
        let milliseconds = format!("{:.1}", 1e3 * processor);
        table.row([name.to_owned(), milliseconds, grouped(trajectories as u64)]);
    }
    format!(
        "{table}\nWatching takes {:.2} % of the {} cores: medians of {} pairs of runs of {} s whose reward takes 5 ms for an \
         object, with starting and stopping, and TensorBoard's files written by those that are watched. Who watches is \
         counted with them.",
        1e2 * share(pairs, machine.cores),
        machine.cores,
        pairs.len(),
        options.watch,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_watching_takes_is_the_difference_over_all_cores() {
        let usage = |processor| Usage { processor, trajectories: 400.0 };
        let pair = |alone, watched| Paced { alone: usage(alone), watched: usage(watched) };
        let pairs = [pair(0.2, 0.21), pair(0.3, 0.33), pair(0.2, 0.22)];
        assert!((share(&pairs, 2) - 0.01).abs() < 1e-12);
    }
}
