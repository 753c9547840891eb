//! The Spearman of log p and log R on the 7,200 test strings, ours and gfnx's, in the same run.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Serialize;
use serde_json::Value;
use tributary_learner::torch;

use super::task;
use crate::experiment::correlation::TestSet;
use crate::experiment::{Experiment, Standing, Watch};
use crate::machine::Machine;
use crate::peers::python;
use crate::report::{Outputs, Table, grouped, mean, seeds, with_error};

/// Options of `bitseq compare`.
#[derive(Args, Serialize)]
pub(crate) struct Options {
    /// Trajectories of each run
    #[arg(long, default_value_t = 160_000)]
    trajectories: u64,
    /// Seeds 1 to this
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Correlations on the way, on a tenth of the strings; the last is on all
    #[arg(long, default_value_t = 8)]
    evaluations: u64,
    /// Every so manieth test string at the end
    #[arg(long, default_value_t = 1)]
    every: usize,
    /// The network: "transformer" or "mlp"
    #[arg(long, default_value = "transformer")]
    network: String,
    /// Where our log Z starts, one run for each: a number or "estimate"
    #[arg(long, value_delimiter = ',', default_value = "0,estimate")]
    log_z_initial: Vec<String>,
    /// P_B of both: "learned" or "uniform"
    #[arg(long, default_value = "learned")]
    backward: String,
    /// Where the peer's scripts are
    #[arg(long, default_value = "bench/peers")]
    peers: PathBuf,
    /// Train ours alone
    #[arg(long)]
    without_peer: bool,
    /// Train ours and the peer's one after the other
    #[arg(long)]
    one_at_a_time: bool,
    #[command(flatten)]
    #[serde(skip)]
    outputs: Outputs,
}

/// Trajectories of an update.
const BATCH: u64 = 16;

/// Paths of P_B for each test string.
const PATHS: usize = 10;

/// A run of either.
#[derive(Clone, Serialize)]
struct Row {
    program: String,
    seed: u64,
    trajectories: u64,
    spearman: f64,
    pearson: f64,
    log_z: f64,
    test_strings: usize,
    seconds: f64,
    /// Trajectories and Spearman on the way.
    curve: Vec<(u64, f64)>,
}

/// Trains both and prints the table; an error if ours is below the peer's.
pub(crate) fn run(options: &Options) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("task.json");
    let machine = Machine::this();
    let mut rows = Vec::new();
    for seed in 1..=options.seeds {
        task::export(&read(options, seed, "0")?.task, &file)?;
        let ours = || -> Result<Vec<Row>> {
            options.log_z_initial.iter().map(|log_z| ours(options, seed, log_z)).collect()
        };
        if options.without_peer {
            rows.extend(ours()?);
        } else if options.one_at_a_time {
            rows.extend(ours()?);
            rows.push(peers(options, &file, seed)?);
        } else {
            let (ours, peers) = std::thread::scope(|scope| {
                let peer = scope.spawn(|| peers(options, &file, seed));
                (ours(), peer.join())
            });
            rows.extend(ours?);
            rows.push(peers.map_err(|_| anyhow::anyhow!("the peer's thread panicked"))??);
        }
    }
    options.outputs.json(&machine, options, &rows)?;
    options.outputs.section("bitseq-compare", &text(options, &machine, &rows))?;
    let best = |of_peer: bool| {
        let of = programs(&rows).into_iter().filter(|name| name.starts_with("gfnx") == of_peer);
        of.map(|name| mean(&of_program(&rows, name, |row| row.spearman))).fold(f64::NAN, f64::max)
    };
    let (ours, theirs) = (best(false), best(true));
    ensure!(
        options.without_peer || ours >= theirs,
        "Spearman {ours:.4} is below gfnx's {theirs:.4}"
    );
    Ok(())
}

fn read(options: &Options, seed: u64, log_z_initial: &str) -> Result<Experiment> {
    let network = match options.network.as_str() {
        "transformer" => {
            "policy.network=transformer\npolicy.layers=3\npolicy.width=64\npolicy.heads=8\n\
             policy.feed_forward=64"
        }
        _ => "policy.hidden=[256, 256]",
    };
    let mut changes: Vec<String> = network.lines().map(str::to_owned).collect();
    changes.extend([
        format!("run.seed={seed}"),
        format!("policy.backward={}", options.backward),
        format!("learner.updates={}", options.trajectories / BATCH),
        format!("learner.batch={BATCH}"),
        format!("actor.batch={BATCH}"),
        "learner.optimizer=adamw".to_owned(),
        "learner.weight_decay=1e-5".to_owned(),
        "learner.learning_rate=1e-3".to_owned(),
        "learner.log_z_learning_rate=0.05".to_owned(),
        format!("learner.log_z_initial={log_z_initial}"),
        "learner.publish_every=1".to_owned(),
        "learner.device=cpu".to_owned(),
        "exploration.epsilon=0.001".to_owned(),
    ]);
    Ok(Experiment::read(task::PER_BIT, &changes, Path::new("."))?)
}

fn ours(options: &Options, seed: u64, log_z_initial: &str) -> Result<Row> {
    torch::set_threads(1);
    let experiment = &read(options, seed, log_z_initial)?;
    let updates = experiment.updates()?;
    let evaluations = options.evaluations.max(1);
    let looks: Vec<u64> = (1..=evaluations).map(|i| (updates * i).div_ceil(evaluations)).collect();
    let all = TestSet::of_reward(&experiment.task, options.every, PATHS)?;
    let row = Row {
        program: format!("tributary, {}, log Z from {log_z_initial}", options.network),
        seed,
        trajectories: 0,
        spearman: f64::NAN,
        pearson: f64::NAN,
        log_z: f64::NAN,
        test_strings: all.len(),
        seconds: 0.0,
        curve: Vec::new(),
    };
    let some = TestSet::of_reward(&experiment.task, 10 * options.every, PATHS)?;
    let mut follower = Follower { experiment, updates, all, some, row };
    experiment.run(&looks, &mut follower)?;
    Ok(follower.row)
}

struct Follower<'a> {
    experiment: &'a Experiment,
    updates: u64,
    all: TestSet,
    some: TestSet,
    row: Row,
}

impl Watch for Follower<'_> {
    fn look(&mut self, standing: Standing) -> Result<()> {
        let is_last = standing.updates == self.updates;
        let test_set = if is_last { &self.all } else { &self.some };
        let correlation =
            test_set.correlate(&self.experiment.task, &standing.policy, self.row.seed)?;
        self.row.trajectories = standing.generated;
        self.row.spearman = correlation.spearman;
        self.row.pearson = correlation.pearson;
        self.row.log_z = standing.log_z;
        self.row.seconds = standing.seconds;
        self.row.curve.push((standing.generated, correlation.spearman));
        eprintln!(
            "tributary: {} trajectories, {:.0} s, log Z {:.2}, Spearman {:.3}",
            grouped(standing.generated),
            standing.seconds,
            standing.log_z,
            correlation.spearman
        );
        Ok(())
    }
}

/// gfnx, in a process and an environment of its own, on the second core unless it is alone.
fn peers(options: &Options, task: &Path, seed: u64) -> Result<Row> {
    let mut child = Command::new(python(&options.peers, "gfnx")?)
        .arg(options.peers.join("gfnx_bitseq.py"))
        .arg(task)
        .args(["--trajectories", &options.trajectories.to_string()])
        .args(["--evaluations", &options.evaluations.to_string()])
        .args(["--every", &options.every.to_string()])
        .args(["--backward", &options.backward])
        .args(["--seed", &seed.to_string()])
        .args(["--core", if options.one_at_a_time { "0" } else { "1" }])
        .env("JAX_PLATFORMS", "cpu")
        .stdout(Stdio::piped())
        .spawn()?;
    let output = child.stdout.take().context("no output of the peer")?;
    let (mut curve, mut last) = (Vec::new(), Value::Null);
    for line in BufReader::new(output).lines() {
        let line = line?;
        eprintln!("gfnx: {line}");
        let value: Value = serde_json::from_str(&line)?;
        if let Some(totals) = value.get("final") {
            last = totals.clone();
        } else {
            curve.push((
                value["trajectories"].as_u64().unwrap_or_default(),
                number(&value, "spearman")?,
            ));
        }
    }
    ensure!(child.wait()?.success(), "the peer failed");
    Ok(Row {
        program: "gfnx 0.0.1, transformer, log Z from 0".to_owned(),
        seed,
        trajectories: last["trajectories"].as_u64().context("no trajectories")?,
        spearman: number(&last, "spearman")?,
        pearson: number(&last, "pearson")?,
        log_z: number(&last, "log_z")?,
        test_strings: last["test_strings"].as_u64().unwrap_or_default() as usize,
        seconds: number(&last, "training_seconds")?,
        curve,
    })
}

fn number(value: &Value, key: &str) -> Result<f64> {
    value[key].as_f64().with_context(|| format!("the peer said no {key}"))
}

fn text(options: &Options, machine: &Machine, rows: &[Row]) -> String {
    let header = ["program", "trajectories", "Spearman", "Pearson", "log Z", "seconds of training"];
    let mut table = Table::new(&header);
    for program in programs(rows) {
        let of = |value| of_program(rows, program, value);
        table.row([
            program.to_owned(),
            grouped(mean(&of(|row| row.trajectories as f64)) as u64),
            with_error(&of(|row| row.spearman), 4),
            with_error(&of(|row| row.pearson), 4),
            with_error(&of(|row| row.log_z), 2),
            format!("{:.0}", mean(&of(|row| row.seconds))),
        ]);
    }
    let strings = rows.first().map_or(0, |row| row.test_strings);
    format!(
        "{table}\n{}; trajectory balance, batch {BATCH}, {} P_B, learning rate 1e-3, of log Z 0.05, \
         weight decay 1e-5, epsilon 0.001; log p by {PATHS} paths of P_B on {} test strings. Ours are \
         the averaged weights. One core each, {}. ({machine})",
        seeds(options.seeds),
        options.backward,
        grouped(strings as u64),
        if options.one_at_a_time { "one after the other" } else { "at the same time" },
    )
}

/// The programs, in order.
fn programs(rows: &[Row]) -> Vec<&str> {
    let mut programs = Vec::new();
    for row in rows {
        if !programs.contains(&row.program.as_str()) {
            programs.push(&row.program);
        }
    }
    programs
}

/// A figure of all runs of a program.
fn of_program(rows: &[Row], program: &str, value: fn(&Row) -> f64) -> Vec<f64> {
    rows.iter().filter(|row| row.program == program).map(value).collect()
}
