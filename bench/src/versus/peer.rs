//! gfnx and torchgfn, each in a process and an environment of its own, with all cores.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::case::{Case, Program};
use super::memory::Watch;
use super::{Look, Measured, Options};
use crate::bitseq::task;
use crate::peers::python;

/// Trains, until it is done or its time is over.
pub(super) fn measure(
    options: &Options,
    case: &Case,
    program: Program,
    seed: u64,
) -> Result<Measured> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("task.json");
    let mut command = Command::new(python(&options.peers, program.name())?);
    let updates = options.updates.unwrap_or(case.updates);
    match case.environment(&options.examples)? {
        Some(environment) => {
            let most_seconds =
                if case.quality.is_some() { options.patience } else { options.seconds };
            let task = json!({
                "environment": environment, "batch": case.batch, "seed": seed, "updates": updates,
                "most_seconds": most_seconds, "quality": case.quality_of_peers(updates),
            });
            std::fs::write(&file, serde_json::to_string(&task)?)?;
            let runner = format!("{}_train.py", program.name());
            command.arg(options.peers.join(runner)).arg(&file);
        }
        None => {
            task::export(&case.experiment(&options.examples)?.task, &file)?;
            command
                .arg(options.peers.join("gfnx_bitseq.py"))
                .arg(&file)
                .args(["--trajectories", &(updates * case.batch).to_string()])
                .args(["--batch", &case.batch.to_string(), "--seed", &seed.to_string()])
                // The correlation is not timed, but it takes long; with 720, log R would be 0 in all.
                .args(["--evaluations", "1", "--every", "75", "--paths", "1"]);
        }
    }
    run(command, case)
}

fn run(mut command: Command, case: &Case) -> Result<Measured> {
    let mut child = command
        .env("JAX_PLATFORMS", "cpu")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {command:?}"))?;
    let memory = Watch::start(child.id());
    let output = child.stdout.take().context("no output of the peer")?;
    let (mut looks, mut last) = (Vec::new(), Value::Null);
    for line in BufReader::new(output).lines() {
        let line: Value = serde_json::from_str(&line?)?;
        if let Ok(look) = serde_json::from_value::<Look>(line.clone()) {
            looks.push(look);
        }
        last = line;
    }
    let peak_memory = memory.end()?;
    ensure!(child.wait()?.success(), "the peer failed");
    totals(&last, case, looks, peak_memory)
}

/// What the last line says, of either form of runner.
fn totals(last: &Value, case: &Case, looks: Vec<Look>, peak_memory: u64) -> Result<Measured> {
    let number = |line: &Value, key: &str| {
        line[key].as_f64().with_context(|| format!("the peer said no {key}"))
    };
    let of_bitseq = last.get("final");
    let versions = &of_bitseq.unwrap_or(last)["versions"];
    let (updates, seconds, mean_length) = match of_bitseq {
        Some(totals) => {
            let updates = number(totals, "trajectories")? / case.batch as f64;
            (updates, number(totals, "training_seconds")?, 15.0)
        }
        None => (number(last, "updates")?, number(last, "seconds")?, number(last, "mean_length")?),
    };
    ensure!(updates > 0.0, "the peer did no update");
    let version = versions.as_object().into_iter().flatten();
    let version =
        version.map(|(name, version)| format!("{name} {}", version.as_str().unwrap_or_default()));
    Ok(Measured {
        version: version.collect::<Vec<_>>().join(", "),
        updates: updates as u64,
        seconds,
        mean_length,
        peak_memory,
        lag: None,
        looks,
    })
}

/// Installs those that are not.
pub(super) fn prepare(peers: &Path, programs: &[Program]) -> Result<()> {
    for program in programs.iter().filter(|program| program.is_peer()) {
        python(peers, program.name())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::case::CASES;
    use super::*;

    #[test]
    fn both_forms_of_totals_are_read() {
        let case = &CASES[0];
        let last = json!({
            "updates": 400, "seconds": 2.0, "mean_length": 7.5, "versions": {"torchgfn": "2.4.1"},
        });
        let read = totals(&last, case, Vec::new(), 1).unwrap();
        assert_eq!((read.updates, read.mean_length), (400, 7.5));
        assert_eq!(read.version, "torchgfn 2.4.1");
        let last = json!({"final": {
            "trajectories": 3200, "training_seconds": 2.0, "versions": {"gfnx": "0.0.1", "jax": "0.7.1"},
        }});
        let read = totals(&last, case, Vec::new(), 1).unwrap();
        assert_eq!((read.updates, read.mean_length), (200, 15.0));
        assert_eq!(read.version, "gfnx 0.0.1, jax 0.7.1");
    }
}
