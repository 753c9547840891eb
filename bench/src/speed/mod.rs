//! How fast trajectory balance trains on hypergrids.

mod case;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Serialize;

use self::case::{CASES, Case, Figures};
use crate::machine::Machine;
use crate::run::Tributary;

/// Options of `speed`.
#[derive(Args)]
pub(crate) struct Options {
    /// Seconds of training for each measurement
    #[arg(long, default_value_t = 6)]
    seconds: u64,
    /// Measurements of each case; the medians are printed
    #[arg(long, default_value_t = 3)]
    repeats: usize,
    /// Actors
    #[arg(long, default_value_t = 2)]
    actors: usize,
    /// Seed of the first measurement, counted up with each repeat
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only the cases whose name contains this
    #[arg(long, default_value = "")]
    only: String,
    /// Also write the figures here, as JSON
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Everything that one run of the benchmark measured.
#[derive(Serialize)]
struct Report {
    schema: u32,
    machine: Machine,
    actors: usize,
    seed: u64,
    seconds: u64,
    repeats: usize,
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    case: &'static str,
    batch: usize,
    /// Median over the repeats.
    median: Figures,
    all: Vec<Figures>,
}

/// Measures every case and prints the medians.
pub(crate) fn run(options: &Options) -> Result<()> {
    let tributary = Tributary::find()?;
    let chosen: Vec<&Case> = CASES.iter().filter(|c| c.name.contains(&options.only)).collect();
    ensure!(!chosen.is_empty(), "no case's name contains \"{}\"", options.only);
    let mut measured: Vec<Vec<Figures>> = vec![Vec::new(); chosen.len()];
    for repeat in 0..options.repeats {
        // Each repeat visits every case, so that a slow moment of the machine is shared.
        for (case, figures) in chosen.iter().zip(&mut measured) {
            let seed = options.seed + repeat as u64;
            eprintln!("repeat {}: {} batch {}", repeat + 1, case.name, case.batch);
            figures.push(case.measure(&tributary, options.seconds, options.actors, seed)?);
        }
    }
    let rows = chosen.iter().zip(measured).map(|(case, all)| Row {
        case: case.name,
        batch: case.batch,
        median: Figures::median(&all),
        all,
    });
    let report = Report {
        schema: 1,
        machine: Machine::this(),
        actors: options.actors,
        seed: options.seed,
        seconds: options.seconds,
        repeats: options.repeats,
        rows: rows.collect(),
    };
    print!("{}", table(&report));
    if let Some(path) = &options.json {
        std::fs::write(path, serde_json::to_string_pretty(&report)? + "\n")
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// The report as Markdown.
fn table(report: &Report) -> String {
    let Report { machine, actors, seed, seconds, repeats, rows, .. } = report;
    let mut text = format!(
        "Trajectory balance, MLP 256x2, learned P_B; {actors} actors; median of \
         {repeats} x {seconds} s, seed {seed}; {machine}.\n\n\
         | environment | batch | ms per iteration | trajectories/s | states/s | mean length | lag (updates) |\n\
         |---|---|---|---|---|---|---|\n"
    );
    for Row { case, batch, median, .. } in rows {
        text += &format!(
            "| {case} | {batch} | {:.2} | {:.0} | {:.0} | {:.1} | {:.1} |\n",
            median.ms_per_iteration,
            median.trajectories_per_second,
            median.states_per_second,
            median.mean_length,
            median.lag,
        );
    }
    text
}
