//! The example of RNA design against sequences that are drawn at random: its best designs, and how many
//! that differ are better than the best of them.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};
use tributary_common::random::{Purpose, Stream};
use tributary_common::registry::Registry;
use tributary_common::reward::Outside;

use crate::machine::Machine;
use crate::parallel::in_parallel;
use crate::report::{Outputs, Table, grouped};
use crate::run::Tributary;

/// Options of `rna`.
#[derive(Args, Serialize)]
pub(crate) struct Options {
    /// The run file: sequences over ACGU, measured by a program whose last argument is the target
    #[arg(long, default_value = "examples/rna.toml")]
    run_file: PathBuf,
    /// Of the run and of the random sequences
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Sequences that are drawn at random and measured
    #[arg(long, default_value_t = 100_000)]
    random: usize,
    /// Letters at which designs that count differ at least
    #[arg(long, default_value_t = 5)]
    min_distance: u32,
    /// How many such designs have to be better than the best random sequence
    #[arg(long, default_value_t = 20)]
    bar: usize,
    /// Trains here, or looks only, if a run is there
    #[arg(long, default_value = "runs/bench-rna")]
    run_dir: PathBuf,
    #[command(flatten)]
    #[serde(skip)]
    outputs: Outputs,
}

/// Objects of a request to the program.
const BATCH: usize = 100;
/// Designs that are looked at.
const TOP: &str = "1000";

/// What was found.
#[derive(Serialize)]
struct Found {
    paid: u64,
    seconds: f64,
    random: usize,
    best_random: f64,
    best_random_sequence: String,
    /// Designs, the best first.
    values: Vec<f64>,
    designs: Vec<String>,
    better: usize,
}

/// Trains, draws, measures and compares; an error where the bar is missed.
pub(crate) fn run(options: &Options) -> Result<()> {
    let tributary = Tributary::find()?;
    if !options.run_dir.join("summary.json").exists() {
        train(&tributary, options)?;
    }
    let summary = std::fs::read_to_string(options.run_dir.join("summary.json"))?;
    let summary: Value = serde_json::from_str(&summary)?;
    let report = candidates(&tributary, options)?;
    let (best_random_sequence, best_random) = best_of_random(options)?;
    let list = report["candidates"].as_array().context("no candidates")?;
    let value = |line: &Value| line["raw"][0].as_f64().context("a candidate without a value");
    let values: Vec<f64> = list.iter().map(value).collect::<Result<_>>()?;
    let word = |line: &Value| line["object"].as_str().unwrap_or_default().to_owned();
    let found = Found {
        paid: summary["paid"].as_u64().context("summary.json does not say what was paid")?,
        seconds: summary["seconds"].as_f64().context("summary.json has no seconds")?,
        random: options.random,
        best_random,
        best_random_sequence,
        better: values.iter().filter(|value| **value > best_random).count(),
        designs: list.iter().map(word).collect(),
        values,
    };
    let machine = Machine::this();
    options.outputs.json(&machine, options, &[&found])?;
    options.outputs.section("rna", &text(options, &machine, &found))?;
    ensure!(
        found.better >= options.bar,
        "{} designs are better than the best random sequence, {} are wanted",
        found.better,
        options.bar
    );
    Ok(())
}

fn train(tributary: &Tributary, options: &Options) -> Result<()> {
    let status = Command::new(tributary.path())
        .arg("train")
        .arg(&options.run_file)
        .arg("--run-dir")
        .arg(&options.run_dir)
        .args(["--seed", &options.seed.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::from(std::io::stderr()))
        .status()?;
    ensure!(status.success(), "tributary train ended with {status}");
    Ok(())
}

fn candidates(tributary: &Tributary, options: &Options) -> Result<Value> {
    let distance = options.min_distance.to_string();
    let output = Command::new(tributary.path())
        .arg("candidates")
        .arg(&options.run_dir)
        .args(["--top", TOP, "--min-distance", &distance, "--json"])
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "tributary candidates ended with {}", output.status);
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The best of so many random sequences, measured by the run's own program.
fn best_of_random(options: &Options) -> Result<(String, f64)> {
    let text = std::fs::read_to_string(&options.run_file)?;
    let folder = std::path::absolute(options.run_file.parent().unwrap_or(Path::new(".")))?;
    let (_, task) = Registry::builtin().read(&text, &[], &folder)?;
    let Some(Outside::Command(program)) = task.undelayed.outside() else {
        anyhow::bail!("the reward of {} is no command", options.run_file.display());
    };
    let length = program.command.last().context("a command without a target")?.len();
    let threads = options.outputs.threads.max(1);
    let ranges: Vec<(usize, usize)> = (0..threads)
        .map(|i| (options.random * i / threads, options.random * (i + 1) / threads))
        .collect();
    let name = |range: &(usize, usize)| format!("random sequences {} to {}", range.0, range.1);
    let bests = in_parallel(&ranges, threads, name, |&(from, to)| {
        let draw = |index| drawn(options.seed, index, length);
        best_of(&program.command, &program.folder, (from..to).map(draw).collect())
    })?;
    bests.into_iter().max_by(|a, b| a.1.total_cmp(&b.1)).context("no random sequences")
}

fn drawn(seed: u64, index: usize, length: usize) -> String {
    let mut stream = Stream::new(seed, Purpose::Sample, 0, index as u64);
    (0..length).map(|_| ["A", "C", "G", "U"][stream.below(4)]).collect()
}

/// The best of these sequences, as a program of its own says.
fn best_of(words: &[String], folder: &Path, sequences: Vec<String>) -> Result<(String, f64)> {
    let (program, arguments) = words.split_first().context("an empty command")?;
    // As actors do: a path with a folder in it starts in the run file's folder.
    let in_folder = folder.join(program);
    let program = if program.contains('/') { in_folder } else { PathBuf::from(program) };
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = child.stdin.take().context("no standard input")?;
    let mut output = BufReader::new(child.stdout.take().context("no standard output")?);
    let mut best = (String::new(), f64::NEG_INFINITY);
    for (id, batch) in sequences.chunks(BATCH).enumerate() {
        writeln!(input, "{}", json!({ "id": id, "objects": batch }))?;
        let mut line = String::new();
        output.read_line(&mut line)?;
        let answer: Value = serde_json::from_str(&line).context("the program's answer")?;
        let rewards = answer["rewards"].as_array().context("an answer without rewards")?;
        for (sequence, reward) in batch.iter().zip(rewards) {
            let reward = reward.as_f64().context("a random sequence without a value")?;
            if reward > best.1 {
                best = (sequence.clone(), reward);
            }
        }
    }
    drop(input);
    child.wait()?;
    Ok(best)
}

fn text(options: &Options, machine: &Machine, found: &Found) -> String {
    let Found { paid, seconds, random, best_random, better, values, designs, .. } = found;
    let mut table = Table::new(&["", "value", "sequence"]);
    let random_row = format!("best of {} random sequences", grouped(*random as u64));
    table.row([random_row, format!("{best_random:.4}"), found.best_random_sequence.clone()]);
    for place in [1, 5, 10, 20, 50, 100] {
        if let (Some(value), Some(design)) = (values.get(place - 1), designs.get(place - 1)) {
            table.row([format!("design {place}"), format!("{value:.4}"), design.clone()]);
        }
    }
    format!(
        "{table}\n{better} designs, each at least {} letters from the others, are better than the best random \
         sequence; {} sequences were paid for in {:.0} s of training. Seed {} (`make bench-rna`; {machine})",
        options.min_distance,
        grouped(*paid),
        seconds,
        options.seed
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_best_is_what_the_program_says() {
        let script = "import json, sys\nfor line in sys.stdin:\n r = json.loads(line)\n \
                      print(json.dumps({'id': r['id'], 'rewards': [x.count('G') for x in r['objects']]}), \
                      flush=True)";
        let words = ["python3", "-c", script].map(str::to_owned);
        let sequences: Vec<String> = (0..250).map(|index| drawn(1, index, 6)).collect();
        let most = sequences.iter().map(|word| word.matches('G').count()).max().unwrap();
        let (word, value) = best_of(&words, Path::new("."), sequences.clone()).unwrap();
        assert_eq!(value, most as f64);
        assert_eq!(word.matches('G').count(), most);
        assert!(sequences.contains(&word) && word.len() == 6);
    }
}
