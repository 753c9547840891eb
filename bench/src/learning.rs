//! How well the examples learn: the exact distance to the target against its bar.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Serialize;

use crate::machine::Machine;
use crate::run::Tributary;

/// Options of `learning`.
#[derive(Args)]
pub(crate) struct Options {
    /// Where the run files are
    #[arg(long, default_value = "examples")]
    examples: PathBuf,
    /// Seeds 1 to this
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// Actors
    #[arg(long, default_value_t = 2)]
    actors: usize,
    /// Only the cases whose name contains this
    #[arg(long, default_value = "")]
    only: String,
    /// Also write the figures here, as JSON
    #[arg(long)]
    json: Option<PathBuf>,
}

/// An example, changed, and the exact TV that its averaged weights must reach.
struct Case {
    name: &'static str,
    run_file: &'static str,
    changes: &'static [&'static str],
    most_total_variation: f64,
    /// |mean of log Z over the last 1,000 updates - target|, where it has a bar.
    most_log_z_error: Option<f64>,
}

const CASES: [Case; 4] = [
    Case {
        name: "hypergrid, 64,000 trajectories",
        run_file: "hypergrid.toml",
        changes: &["learner.generated=64_000"],
        most_total_variation: 0.03,
        most_log_z_error: None,
    },
    Case {
        name: "hypergrid, 128,000 trajectories",
        run_file: "hypergrid.toml",
        changes: &[],
        most_total_variation: 0.02,
        most_log_z_error: None,
    },
    Case {
        name: "TFBind8, 450,000 trajectories, each used once",
        run_file: "tfbind8.toml",
        changes: &[],
        most_total_variation: 0.165,
        most_log_z_error: Some(0.2),
    },
    Case {
        name: "TFBind8, 20,000 trajectories, each used 64 times",
        run_file: "tfbind8.toml",
        changes: &[
            "learner.generated=20_000",
            "replay.selector=uniform",
            "replay.samples_per_insert=64",
        ],
        most_total_variation: 0.21,
        most_log_z_error: None,
    },
];

#[derive(Serialize)]
struct Row {
    case: &'static str,
    seed: u64,
    total_variation: f64,
    most_total_variation: f64,
    log_z_error: f64,
    most_log_z_error: Option<f64>,
    lag_mean: f64,
    seconds: f64,
    reached: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    schema: u32,
    machine: &'a Machine,
    actors: usize,
    rows: &'a [Row],
}

/// Trains every case with every seed; an error if a bar was missed.
pub(crate) fn run(options: &Options) -> Result<()> {
    let tributary = Tributary::find()?;
    let machine = Machine::this();
    println!("Exact evaluation of the averaged weights; {} actors; {machine}.\n", options.actors);
    println!("| case | seed | TV | bar | log Z error | bar | mean lag (updates) | seconds |");
    println!("|---|---|---|---|---|---|---|---|");
    let mut rows = Vec::new();
    for case in CASES.iter().filter(|case| case.name.contains(&options.only)) {
        for seed in 1..=options.seeds {
            let row = case.measure(&tributary, &options.examples, options.actors, seed)?;
            println!("{}", row.line());
            rows.push(row);
        }
    }
    ensure!(!rows.is_empty(), "no case's name contains \"{}\"", options.only);
    if let Some(path) = &options.json {
        let report = Report { schema: 1, machine: &machine, actors: options.actors, rows: &rows };
        std::fs::write(path, serde_json::to_string_pretty(&report)? + "\n")
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let missed = rows.iter().filter(|row| !row.reached).count();
    ensure!(missed == 0, "{missed} of {} runs missed a bar", rows.len());
    Ok(())
}

impl Case {
    fn measure(
        &self,
        tributary: &Tributary,
        examples: &Path,
        actors: usize,
        seed: u64,
    ) -> Result<Row> {
        let Self { name, run_file, changes, most_total_variation, most_log_z_error } = *self;
        let summary = tributary.train(&examples.join(run_file), actors, seed, changes)?;
        let total_variation = summary.number("total_variation")?;
        let log_z_error =
            (summary.number("log_z_mean_1000")? - summary.number("log_z_target")?).abs();
        Ok(Row {
            case: name,
            seed,
            total_variation,
            most_total_variation,
            log_z_error,
            most_log_z_error,
            lag_mean: summary.number("lag_mean")?,
            seconds: summary.number("seconds")?,
            reached: total_variation <= most_total_variation
                && most_log_z_error.is_none_or(|most| log_z_error <= most),
        })
    }
}

impl Row {
    fn line(&self) -> String {
        let Self { case, seed, total_variation, most_total_variation, .. } = self;
        let Self { log_z_error, lag_mean, seconds, .. } = self;
        let bar = self.most_log_z_error.map_or_else(|| "-".to_string(), |bar| bar.to_string());
        let mark = if self.reached { "" } else { " MISSED" };
        format!(
            "| {case} | {seed} | {total_variation:.4}{mark} | {most_total_variation} | \
             {log_z_error:.3} | {bar} | {lag_mean:.0} | {seconds:.0} |"
        )
    }
}
