//! Whether more actors buy speed with waste: the time to a quality, and how many objects were paid for
//! until then, with rewards whose times are heavy-tailed and longer for better objects.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;
use serde_json::Value;

use crate::machine::Machine;
use crate::parallel::in_parallel;
use crate::report::{Outputs, Table, grouped, mean, seeds, with_error};
use crate::run::end_well;
use crate::tasks;

/// Options of `crowd`.
#[derive(Args, Serialize)]
pub(crate) struct Options {
    /// The largest number of actors; 1, 4, 16 and so on up to it
    #[arg(long, default_value_t = 64)]
    most: u32,
    /// Seeds 1 to this
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// Mean milliseconds that an object takes
    #[arg(long, default_value_t = 50)]
    mean: u32,
    /// Trajectories of a run
    #[arg(long, default_value_t = 6_000)]
    generated: u64,
    /// The exact total variation to which the time is taken
    #[arg(long, default_value_t = 0.3)]
    quality: f64,
    /// Where the measured table is
    #[arg(long, default_value = "examples")]
    #[serde(skip)]
    examples: PathBuf,
    #[command(flatten)]
    #[serde(skip)]
    outputs: Outputs,
}

struct Run {
    actors: u32,
    seed: u64,
}

/// What a run came to.
#[derive(Serialize)]
struct Row {
    actors: u32,
    seed: u64,
    /// From the first object that was paid for to the quality.
    seconds: f64,
    /// Objects paid for until then.
    paid: f64,
    /// Objects paid for in the whole run, and its distance at the end.
    paid_at_end: f64,
    distance_at_end: f64,
}

/// Runs all and prints the table.
pub(crate) fn run(options: &Options) -> Result<()> {
    let counts: Vec<u32> = std::iter::successors(Some(1), |n| Some(4 * n))
        .take_while(|n| *n <= options.most)
        .collect();
    let runs: Vec<Run> = counts
        .iter()
        .flat_map(|&actors| (1..=options.seeds).map(move |seed| Run { actors, seed }))
        .collect();
    let machine = Machine::this();
    let name = |run: &Run| format!("{} actors, seed {}", run.actors, run.seed);
    let rows = in_parallel(&runs, options.outputs.threads, name, |run| run.measure(options))?;
    options.outputs.json(&machine, options, &rows)?;
    options.outputs.section("crowd", &text(options, &machine, &rows))
}

impl Run {
    fn measure(&self, options: &Options) -> Result<Row> {
        let own = std::env::current_exe()?;
        let programs = own.parent().context("this program lies in no folder")?;
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("run.toml"), run_file(options, self.seed)?)?;
        let mut train = Command::new(programs.join("counted-tributary"));
        train
            .args(["train", "run.toml", "--run-dir", "run", "--actors", &self.actors.to_string()])
            .current_dir(&folder)
            .env("TRIBUTARY_CACHE", folder.path())
            .env("TRIBUTARY_TAILED_MS", options.mean.to_string());
        end_well(&mut train)?;
        let curve = curve(&folder.path().join("run/metrics.jsonl"))?;
        let start = curve.iter().find(|point| point.paid > 0.0).context("nothing was paid for")?;
        let last = curve.last().context("the run was not evaluated")?;
        let first = curve.iter().find(|point| point.distance <= options.quality);
        let first = first.with_context(|| {
            format!("the run ended at a total variation of {:.3}", last.distance)
        })?;
        Ok(Row {
            actors: self.actors,
            seed: self.seed,
            seconds: first.seconds - start.seconds,
            paid: first.paid,
            paid_at_end: last.paid,
            distance_at_end: last.distance,
        })
    }
}

fn run_file(options: &Options, seed: u64) -> Result<String> {
    let table = std::path::absolute(options.examples.join("tfbind8.tsv"))?;
    let task = tasks::TFBIND8
        .replace("kind = \"table\"", "kind = \"tailed\"\ndurable = true\nshared = true")
        .replace("\"tfbind8.tsv\"", &format!("{:?}", table.display().to_string()));
    Ok(format!(
        "{task}[run]\nname = 'crowd'\nseed = {seed}\n\
         [policy]\nhidden = [256, 256]\n\
         [exploration]\nepsilon = 0.1\n\
         [replay]\nselector = 'uniform'\nsamples_per_insert = 4\n\
         [learner]\ngenerated = {}\nbatch = 64\npublish_every = 4\nlog_z_initial = 'estimate'\n\
         ema = 0.998\ndevice = 'cpu'\n\
         [actor]\nbatch = 16\nthreads = 1\n\
         [evaluation]\nevery = '500ms'\n",
        options.generated
    ))
}

/// Where a run was when it was compared with the target.
struct Look {
    seconds: f64,
    paid: f64,
    distance: f64,
}

/// The records in which it was.
fn curve(metrics: &Path) -> Result<Vec<Look>> {
    let text = fs::read_to_string(metrics)?;
    let mut curve = Vec::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line)?;
        let number = |key: &str| line[key].as_f64();
        if let (Some(seconds), Some(paid), Some(distance)) =
            (number("seconds"), number("paid"), number("total_variation"))
        {
            curve.push(Look { seconds, paid, distance });
        }
    }
    Ok(curve)
}

fn text(options: &Options, machine: &Machine, rows: &[Row]) -> String {
    let mut table = Table::new(&[
        "actors",
        "seconds to the quality",
        "times as fast",
        "objects paid for until then",
        "paid for in all",
        "TV at the end",
    ]);
    let groups: Vec<&[Row]> = rows.chunks(options.seeds as usize).collect();
    let of = |group: &[Row], value: fn(&Row) -> f64| group.iter().map(value).collect::<Vec<_>>();
    let alone = groups.first().map_or(f64::NAN, |group| mean(&of(group, |row| row.seconds)));
    for group in groups {
        let seconds = of(group, |row| row.seconds);
        table.row([
            group[0].actors.to_string(),
            with_error(&seconds, 1),
            format!("{:.1}", alone / mean(&seconds)),
            with_error(&of(group, |row| row.paid), 0),
            with_error(&of(group, |row| row.paid_at_end), 0),
            with_error(&of(group, |row| row.distance_at_end), 3),
        ]);
    }
    format!(
        "{table}\n{}; TFBind8, exponent 3, until the exact total variation is {}, {} trajectories in all, each used \
         4 times. An object takes {} ms on average, log-normal with sigma 1; half of the variance is the \
         value's, so that one a standard deviation better takes twice as long. ({machine}; `make bench-crowd`)",
        seeds(options.seeds),
        options.quality,
        grouped(options.generated),
        options.mean,
    )
}
