//! How many evaluations of a slow reward are under way at a time: rewards that sleep, measured by more
//! and more actors, and by more and more workers of one actor.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Serialize;
use serde_json::Value;

use crate::figure::Scale;
use crate::figure::lines::{self, Panel, Series};
use crate::machine::Machine;
use crate::report::{Outputs, Table, write};
use crate::run::{Tributary, end_well};

/// Options of `rewards`.
#[derive(Args, Serialize)]
pub(crate) struct Options {
    /// The largest number of actors and of workers; 1, 2, 4 and so on up to it
    #[arg(long, default_value_t = 64)]
    most: u32,
    /// Milliseconds that the reward of an object takes
    #[arg(long, default_value_t = 100)]
    delay: u32,
    /// Seconds of each run that count, behind those in which everything starts
    #[arg(long, default_value_t = 20)]
    seconds: u32,
    /// Also draw the figure here, as SVG
    #[arg(long)]
    #[serde(skip)]
    figure: Option<PathBuf>,
    #[command(flatten)]
    #[serde(skip)]
    outputs: Outputs,
}

/// Seconds until all actors and workers are at work, and as many for each actor.
const START: f64 = 10.0;
const START_EACH: f64 = 0.5;

/// A worker that sleeps.
const WORKER: &str = "import json, sys, time
for line in sys.stdin:
    request = json.loads(line)
    time.sleep(float(sys.argv[1]) * len(request['objects']))
    rewards = [1 + x.count('A') for x in request['objects']]
    print(json.dumps({'id': request['id'], 'rewards': rewards}), flush=True)
";

/// What was measured.
#[derive(Serialize)]
struct Row {
    actors: u32,
    workers_each: u32,
    /// Different objects paid for and accepted, each second.
    rate: f64,
    /// Of what so many sleepers could bring.
    efficiency: f64,
}

impl Row {
    fn workers(&self) -> u32 {
        self.actors * self.workers_each
    }
}

/// Runs all, prints the table and draws the figure.
pub(crate) fn run(options: &Options) -> Result<()> {
    let tributary = Tributary::find()?;
    let counts: Vec<u32> = std::iter::successors(Some(1), |n| Some(2 * n))
        .take_while(|n| *n <= options.most)
        .collect();
    let mut rows = Vec::new();
    for (actors, workers) in counts.iter().map(|&n| (n, 1)).chain(counts.iter().map(|&n| (1, n))) {
        eprintln!("{actors} actors with {workers} workers each");
        rows.push(measure(options, &tributary, actors, workers)?);
    }
    let machine = Machine::this();
    options.outputs.json(&machine, options, &rows)?;
    if let Some(path) = &options.figure {
        write(path, &figure(&rows))?;
    }
    options.outputs.section("rewards", &text(options, &machine, &rows))
}

fn measure(options: &Options, tributary: &Tributary, actors: u32, workers: u32) -> Result<Row> {
    let folder = tempfile::tempdir()?;
    let start = START + START_EACH * f64::from(actors);
    let total = start + f64::from(options.seconds);
    fs::write(folder.path().join("worker.py"), WORKER)?;
    fs::write(folder.path().join("run.toml"), run_file(options, workers, total))?;
    let mut train = Command::new(tributary.path());
    train
        .args(["train", "run.toml", "--run-dir", "run", "--actors", &actors.to_string()])
        .current_dir(&folder);
    end_well(&mut train)?;
    let rate = rate(&folder.path().join("run/metrics.jsonl"), start)?;
    let most = f64::from(actors * workers) * 1e3 / f64::from(options.delay);
    Ok(Row { actors, workers_each: workers, rate, efficiency: rate / most })
}

fn run_file(options: &Options, workers: u32, total: f64) -> String {
    let delay = f64::from(options.delay) * 1e-3;
    format!(
        "[run]\nname = 'sleepers'\nseed = 1\n\
         [environment]\nkind = 'sequence'\nalphabet = 'ACGT'\nlength = 24\n\
         [reward]\nkind = 'command'\naudit = 0.0\ncommand = ['python3', 'worker.py', '{delay}']\n\
         workers = {workers}\n\
         [policy]\nhidden = [32]\n\
         [learner]\ntime = '{}s'\nbatch = 16\npublish_every = 50\n\
         [actor]\nbatch = 16\n",
        total.ceil()
    )
}

/// Objects paid for each second, from `start` to the last record.
fn rate(metrics: &Path, start: f64) -> Result<f64> {
    let text = fs::read_to_string(metrics)?;
    let lines: Result<Vec<Value>, _> = text.lines().map(serde_json::from_str).collect();
    let point = |line: &Value| Some((line["seconds"].as_f64()?, line["paid"].as_f64()?));
    let points: Vec<(f64, f64)> = lines?.iter().filter_map(point).collect();
    let first = points.iter().find(|(seconds, _)| *seconds >= start);
    // The last record is written when all actors have left.
    let last = points.iter().rev().nth(1);
    let ((t0, n0), (t1, n1)) = first.zip(last).context("the run was too short")?;
    ensure!(t1 > t0, "the run was too short");
    Ok((n1 - n0) / (t1 - t0))
}

fn text(options: &Options, machine: &Machine, rows: &[Row]) -> String {
    let mut table = Table::new(&["actors", "workers each", "objects/s", "of what they can bring"]);
    for row in rows {
        table.row([
            row.actors.to_string(),
            row.workers_each.to_string(),
            format!("{:.1}", row.rate),
            format!("{:.1} %", 100.0 * row.efficiency),
        ]);
    }
    format!(
        "Different objects paid for and accepted each second, with a reward that sleeps {} ms for each \
         object ({machine}; `make bench-rewards`).\n\n{table}",
        options.delay
    )
}

fn figure(rows: &[Row]) -> String {
    let series = |name: &str, is_of: &dyn Fn(&&Row) -> bool| Series {
        name: name.to_owned(),
        points: rows
            .iter()
            .filter(is_of)
            .map(|row| (f64::from(row.workers()), vec![row.rate]))
            .collect(),
    };
    lines::draw(&[Panel {
        title: "A reward that sleeps".to_owned(),
        x_label: "workers in all".to_owned(),
        y_label: "objects paid for each second".to_owned(),
        x_scale: Scale::Logarithmic,
        y_scale: Scale::Logarithmic,
        series: vec![
            series("actors with one worker", &|row| row.workers_each == 1),
            series("workers of one actor", &|row| row.actors == 1),
        ],
    }])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_start_and_the_end_do_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let line = |(s, n): (u32, u32)| format!("{{\"seconds\": {s}, \"paid\": {n}}}\n");
        let points = [(0, 0), (5, 3), (10, 20), (11, 30), (20, 120), (25, 120)];
        fs::write(&path, points.map(line).concat()).unwrap();
        assert_eq!(rate(&path, 9.5).unwrap(), 10.0);
        assert!(rate(&path, 24.0).is_err());
    }

    #[test]
    fn the_run_file_is_one() {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            options: Options,
        }
        let options = <Line as clap::Parser>::parse_from(["rewards"]).options;
        let text = run_file(&options, 3, 30.2);
        let registry = tributary_common::registry::Registry::builtin();
        let (run_file, _) = registry.read(&text, &[], Path::new("/")).unwrap();
        assert_eq!(run_file.learner.time.unwrap().as_secs(), 31);
    }
}
