//! What a training begins with: a run file, or a run that goes on.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tributary_common::registry::Registry;
use tributary_common::run_file::RunFile;

use super::Options;
use crate::display::{clock, grouped, short};
use crate::error::CommandError;
use crate::run_file::{self, Described};

/// Where to begin.
pub(super) struct Start {
    /// The run file, or the one of the run that goes on.
    pub(super) path: PathBuf,
    /// The directory of the run that goes on.
    pub(super) resumed: Option<PathBuf>,
    /// Of the run file.
    pub(super) overrides: Vec<(String, String)>,
    /// What is to be trained.
    pub(super) described: Described,
}

impl Start {
    /// Reads what the options name.
    ///
    /// # Errors
    /// All that is wrong with a run file; a directory without a run, a run that is complete, keys that
    /// may not change.
    pub(super) fn read(options: &Options, registry: &Registry) -> Result<Self, CommandError> {
        let mut overrides = options.overrides.clone();
        if let Some(seed) = options.seed {
            overrides.push(("run.seed".to_owned(), seed.to_string()));
        }
        match (&options.resume, &options.run_file) {
            (Some(directory), _) => Self::of_run(directory, overrides, registry),
            (None, path) => {
                let path = path.clone().unwrap_or_default();
                let described = run_file::read(&path, &overrides, registry)?;
                Ok(Self { path, resumed: None, overrides, described })
            }
        }
    }

    fn of_run(
        directory: &Path,
        overrides: Vec<(String, String)>,
        registry: &Registry,
    ) -> Result<Self, CommandError> {
        let refused =
            |reason: String| Err(CommandError::RunDirectory { path: directory.to_owned(), reason });
        let path = directory.join("run.toml");
        if !path.is_file() || !directory.join("run.json").is_file() {
            return refused("holds no run that could go on: give the run file of a new one".into());
        }
        let kept = run_file::read(&path, &[], registry)?.run_file;
        let described = run_file::read(&path, &overrides, registry)?;
        for change in kept.resumed_with(&described.run_file)? {
            eprintln!("the run file changes: {change}");
        }
        if let Some((key, reached)) = reached(directory, &described.run_file) {
            return refused(format!(
                "holds a run that is complete: it has reached {key}, {reached}; to go on, raise it, as in\n  \
                 tributary train --resume {} --set {key}=...",
                directory.display()
            ));
        }
        Ok(Self { path, resumed: Some(directory.to_owned()), overrides, described })
    }
}

/// The goal that a run reached when it was completed, and how far it came.
fn reached(directory: &Path, run_file: &RunFile) -> Option<(&'static str, String)> {
    let text = fs::read(directory.join("summary.json")).ok()?;
    let summary: Value = serde_json::from_slice(&text).ok()?;
    if summary["interrupted"].as_bool() != Some(false) {
        return None;
    }
    let learner = &run_file.learner;
    let counted = |key, name: &str, goal: Option<u64>| {
        let count = summary["counters"][name].as_u64()?;
        (count >= goal?).then(|| (key, grouped(count)))
    };
    let (spent, cost) = (&summary["spending"], summary["spending"]["cost"].as_f64());
    let evaluations = run_file.most_evaluations().zip(spent["evaluations"].as_u64());
    let evaluations = evaluations.filter(|(goal, now)| now >= goal).map(|(_, now)| now);
    let key = match evaluations.zip(learner.max_evaluations).is_some_and(|(now, goal)| now >= goal)
    {
        true => "learner.max_evaluations",
        false => "learner.max_cost",
    };
    let cost = learner.max_cost.zip(cost).filter(|(goal, now)| now >= goal);
    let seconds = summary["seconds"].as_f64();
    let timed = learner.time.zip(seconds).filter(|(goal, now)| *now >= goal.as_secs_f64());
    counted("learner.generated", "generated", learner.generated)
        .or_else(|| counted("learner.paid", "paid", learner.paid))
        .or_else(|| counted("learner.updates", "updates", learner.updates))
        .or_else(|| evaluations.map(|now| (key, format!("{} evaluations", grouped(now)))))
        .or_else(|| cost.map(|(_, now)| ("learner.max_cost", short(now))))
        .or_else(|| timed.map(|(_, seconds)| ("learner.time", clock(seconds))))
}
