//! The product as a user runs it: the programs of a release, a learner and its actors over gRPC.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::case::{Case, Program};
use super::memory::Watch;
use super::{Look, Measured, Options};
use crate::run::Tributary;

/// Trains to the end in a folder of its own.
pub(super) fn measure(
    options: &Options,
    case: &Case,
    program: Program,
    seed: u64,
) -> Result<Measured> {
    let folder = tempfile::tempdir()?;
    let updates = options.updates.unwrap_or(case.updates);
    fs::write(folder.path().join("run.toml"), case.run_file(updates, &options.examples)?)?;
    let said = folder.path().join("said");
    let mut train = Command::new(Tributary::find()?.path());
    train.args(["train", "run.toml", "--run-dir", "run", "--seed", &seed.to_string()]);
    if program == Program::Lockstep {
        train.args(["--set", "run.lockstep=true"]);
    }
    let mut child = train
        .current_dir(&folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&said)?)
        .spawn()?;
    let memory = Watch::start(child.id());
    let status = child.wait()?;
    let peak_memory = memory.end()?;
    ensure!(status.success(), "tributary ended with {status}:\n{}", fs::read_to_string(&said)?);
    let run = folder.path().join("run");
    let summary: Value = serde_json::from_str(&fs::read_to_string(run.join("summary.json"))?)?;
    let number = |key: &str| {
        summary[key].as_f64().with_context(|| format!("summary.json has no number \"{key}\""))
    };
    Ok(Measured {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        updates: number("steps")? as u64,
        seconds: number("seconds")?,
        mean_length: number("mean_length")?,
        peak_memory,
        lag: Some(number("lag_mean")?),
        looks: if case.quality.is_some() { looks(&run.join("metrics.jsonl"))? } else { Vec::new() },
    })
}

/// The exact comparisons of a run, each at the time when its weights were made: seconds since the
/// learner's start.
fn looks(metrics: &Path) -> Result<Vec<Look>> {
    let text = fs::read_to_string(metrics)?;
    let lines: Result<Vec<Value>, _> = text.lines().map(serde_json::from_str).collect();
    let lines = lines.with_context(|| format!("{} is damaged", metrics.display()))?;
    let pair = |line: &Value, first: &str, second: &str| {
        Some((line[first].as_f64()?, line[second].as_f64()?))
    };
    let times: Vec<(f64, f64)> =
        lines.iter().filter_map(|line| pair(line, "step", "seconds")).collect();
    let mut looks: Vec<Look> = Vec::new();
    for (step, total_variation) in
        lines.iter().filter_map(|line| pair(line, "exact_step", "total_variation"))
    {
        let updates = step as u64;
        if looks.last().is_none_or(|last| last.updates < updates) {
            looks.push(Look { updates, seconds: at(&times, step), total_variation });
        }
    }
    Ok(looks)
}

/// When the run was at this update: between two records, on the line from one to the other.
fn at(times: &[(f64, f64)], step: f64) -> f64 {
    let after = times.partition_point(|(done, _)| *done < step);
    let (before, after) = (times.get(after.wrapping_sub(1)), times.get(after));
    match (before, after) {
        (Some((from, start)), Some((to, end))) => {
            start + (end - start) * (step - from) / (to - from)
        }
        (None, Some((_, seconds))) | (Some((_, seconds)), None) => *seconds,
        (None, None) => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_is_timed_between_two_records() {
        let times = [(0.0, 0.5), (100.0, 1.5), (300.0, 2.5)];
        assert_eq!(at(&times, 50.0), 1.0);
        assert_eq!(at(&times, 100.0), 1.5);
        assert_eq!(at(&times, 200.0), 2.0);
        // The record of the last update may be missing.
        assert_eq!(at(&times, 301.0), 2.5);
    }
}
