//! `make bench`: how fast trajectory balance trains on hypergrids, with the product as a user runs
//! it: `tributary train`, one learner and its actors over gRPC on this machine's cores.
//!
//! Absolute times on a shared machine mean little; compare figures of one run only.

mod case;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use case::{CASES, Case, Figures};
use clap::Parser;
use serde::Serialize;

/// Times `tributary train` with trajectory balance on hypergrids (MLP 256x2, learned P_B).
#[derive(Parser)]
struct Options {
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
    commit: String,
    processor: String,
    cores: usize,
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

fn main() -> Result<()> {
    let options = Options::parse();
    let programs = programs()?;
    let chosen: Vec<&Case> = CASES.iter().filter(|c| c.name.contains(&options.only)).collect();
    ensure!(!chosen.is_empty(), "no case's name contains \"{}\"", options.only);
    let mut measured: Vec<Vec<Figures>> = vec![Vec::new(); chosen.len()];
    for repeat in 0..options.repeats {
        // Each repeat visits every case, so that a slow moment of the machine is shared.
        for (case, figures) in chosen.iter().zip(&mut measured) {
            let seed = options.seed + repeat as u64;
            eprintln!("repeat {}: {} batch {}", repeat + 1, case.name, case.batch);
            figures.push(case.measure(&programs, options.seconds, options.actors, seed)?);
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
        commit: output_of("git", &["rev-parse", "--short", "HEAD"]),
        processor: processor(),
        cores: std::thread::available_parallelism()?.get(),
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
    let Report { commit, processor, cores, actors, seed, seconds, repeats, rows, .. } = report;
    let mut text = format!(
        "Trajectory balance, MLP 256x2, learned P_B; {processor}, {cores} cores, {actors} actors; \
         median of {repeats} x {seconds} s, seed {seed}, commit {commit}.\n\n\
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

/// Where `tributary` was built: beside this program.
fn programs() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.parent().context("this program lies in no folder")?;
    for name in ["tributary", "tributary-learner"] {
        ensure!(
            folder.join(name).exists(),
            "there is no {name} beside {}; run `make bench`, which builds it",
            own.display()
        );
    }
    Ok(folder.to_path_buf())
}

fn output_of(program: &str, arguments: &[&str]) -> String {
    let output = std::process::Command::new(program).args(arguments).output();
    let text = output.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_string());
    text.ok().filter(|t| !t.is_empty()).unwrap_or_else(|| "unknown".to_string())
}

fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix("model name")?.split_once(": "));
    line.map_or_else(|| "unknown processor".to_string(), |(_, name)| name.trim().to_string())
}
