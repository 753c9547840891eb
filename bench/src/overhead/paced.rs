//! The processor time of two runs side by side whose reward takes its time, one of them watched: trajectories
//! come at the same pace whoever watches, and whatever else the machine does, it does to both.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;

use super::observers::Observers;
use super::{Options, Run, SETTLES, STARTS};
use crate::machine::Machine;
use crate::report::{Table, grouped, median};
use crate::usage::Usage;

/// For each object; so that there are some hundred trajectories a second.
const DELAY: &str = "reward.delay=\"5ms\"";

/// Both runs in the same window.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Paced {
    alone: Spent,
    /// Who watches and TensorBoard's files included.
    watched: Spent,
}

impl Paced {
    /// Seconds of the processors that watching took, in a second.
    fn more(&self) -> f64 {
        self.watched.processor - self.alone.processor
    }
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Spent {
    /// Seconds of the processors, in a second.
    processor: f64,
    /// Trajectories trained on in a second.
    trajectories: f64,
}

/// What was spent until now.
#[derive(Clone, Copy)]
struct Moment {
    processor: f64,
    samples: u64,
    at: Instant,
}

impl Moment {
    /// Of a run, and of this process if it watches.
    fn of(run: &Run, is_watched: bool) -> Result<Self> {
        let watching = if is_watched { Usage::of(std::process::id())?.processor } else { 0.0 };
        let processor = Usage::of_tree(run.train.id()).processor + watching;
        let (samples, at) = run.samples()?;
        Ok(Self { processor, samples, at })
    }

    fn until(self, end: Self) -> Spent {
        let seconds = end.at.duration_since(self.at).as_secs_f64();
        Spent {
            processor: (end.processor - self.processor) / seconds,
            trajectories: (end.samples - self.samples) as f64 / seconds,
        }
    }
}

pub(super) fn measure(options: &Options) -> Result<Vec<Paced>> {
    let mut windows = Vec::new();
    for _ in 0..options.runs {
        windows.extend(side_by_side(options)?);
    }
    Ok(windows)
}

fn side_by_side(options: &Options) -> Result<Vec<Paced>> {
    let start = |is_watched: bool| -> Result<(tempfile::TempDir, Run)> {
        let folder = tempfile::tempdir()?;
        let events = format!("run.tensorboard={is_watched}");
        let run = Run::start(folder.path(), options.actors, &[DELAY, &events])?;
        Ok((folder, run))
    };
    let (_alone, alone) = start(false)?;
    let (_watched, watched) = start(true)?;
    let observers = Observers::new(&watched.directory)?;
    let watching = observers.watch();
    sleep(STARTS);
    let moments =
        || -> Result<[Moment; 2]> { Ok([Moment::of(&alone, false)?, Moment::of(&watched, true)?]) };
    let mut windows = Vec::new();
    let mut before = moments()?;
    for _ in 0..options.windows {
        sleep(Duration::from_secs_f64(options.watch));
        let after = moments()?;
        let window = Paced { alone: before[0].until(after[0]), watched: before[1].until(after[1]) };
        eprintln!("{window:?}");
        windows.push(window);
        before = after;
    }
    drop(watching);
    sleep(SETTLES);
    alone.end()?;
    watched.end()?;
    observers.heard()?;
    Ok(windows)
}

/// What watching takes of all processors.
pub(super) fn share(windows: &[Paced], cores: usize) -> f64 {
    median(windows.iter().map(Paced::more).collect()) / cores as f64
}

pub(super) fn text(options: &Options, machine: &Machine, windows: &[Paced]) -> String {
    let mut table = Table::new(&["", "processor time, ms per second", "trajectories/s"]);
    let medians = |of: fn(&Paced) -> Spent| {
        let of_all = |value: fn(Spent) -> f64| {
            median(windows.iter().map(|window| value(of(window))).collect())
        };
        (of_all(|spent| spent.processor), of_all(|spent| spent.trajectories))
    };
    for (name, (processor, trajectories)) in
        [("alone", medians(|window| window.alone)), ("watched", medians(|window| window.watched))]
    {
        let milliseconds = format!("{:.1}", 1e3 * processor);
        table.row([name.to_owned(), milliseconds, grouped(trajectories as u64)]);
    }
    let mut more: Vec<f64> = windows.iter().map(|window| 1e3 * window.more()).collect();
    more.sort_by(f64::total_cmp);
    let (least, most) = (more.first().unwrap_or(&f64::NAN), more.last().unwrap_or(&f64::NAN));
    format!(
        "{table}\nWatching takes {:.2} % of the {} cores: the median over {} windows of {} s ({least:+.1} to {most:+.1} ms \
         per second), of {} pairs of runs side by side whose reward takes 5 ms for an object. Who watches is counted with \
         the run that is watched, and so are TensorBoard's files.",
        1e2 * share(windows, machine.cores),
        machine.cores,
        windows.len(),
        options.watch,
        options.runs,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_watching_takes_is_the_difference_over_all_cores() {
        let spent = |processor| Spent { processor, trajectories: 400.0 };
        let window = |alone, watched| Paced { alone: spent(alone), watched: spent(watched) };
        let windows = [window(0.2, 0.21), window(0.3, 0.33), window(0.2, 0.22)];
        assert!((share(&windows, 2) - 0.01).abs() < 1e-12);
    }
}
