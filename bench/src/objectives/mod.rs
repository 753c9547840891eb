//! Every objective on every environment, in one table.

mod cases;

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use clap::Args;
use serde::Serialize;
use tributary_common::exact::Target;

use self::cases::{CASES, Case, OBJECTIVES, Quality};
use crate::experiment::modes::Modes;
use crate::experiment::{Drawn, Experiment, Standing, Watch, correlation::TestSet, measure};
use crate::machine::Machine;
use crate::parallel::in_parallel;
use crate::report::{Outputs, Table, grouped, mean, seeds, with_error};

/// Options of `objectives`.
#[derive(Args, Serialize)]
pub(crate) struct Options {
    /// Where the example's table is
    #[arg(long, default_value = "examples")]
    examples: PathBuf,
    /// Seeds 1 to this
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Only the environments whose name contains this
    #[arg(long, default_value = "")]
    environment: String,
    /// Only the objectives whose name contains this
    #[arg(long, default_value = "")]
    objective: String,
    /// Multiplies the trajectories of every run
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    #[command(flatten)]
    #[serde(skip)]
    outputs: Outputs,
}

/// What was run.
struct Run<'a> {
    case: &'a Case,
    objective: &'static str,
    changes: &'static str,
    seed: u64,
}

/// What it gave.
#[derive(Serialize)]
struct Row {
    environment: &'static str,
    objective: &'static str,
    seed: u64,
    /// Why the product does not take this pair, if it does not.
    refused: Option<String>,
    trajectories: u64,
    updates: u64,
    total_variation: Option<f64>,
    spearman: Option<f64>,
    modes: usize,
    modes_of: usize,
    seconds: f64,
}

/// Trains everything and prints the table.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut runs = Vec::new();
    for case in CASES.iter().filter(|case| case.name.contains(&options.environment)) {
        let wanted = |(name, _): &&(&str, &str)| name.contains(&options.objective);
        for &(objective, changes) in OBJECTIVES.iter().filter(wanted) {
            runs.extend((1..=options.seeds).map(|seed| Run { case, objective, changes, seed }));
        }
    }
    ensure!(!runs.is_empty(), "no environment and objective have such names");
    let machine = Machine::this();
    let threads = options.outputs.threads;
    let rows = in_parallel(&runs, threads, Run::name, |run| run.measure(options))?;
    options.outputs.json(&machine, options, &rows)?;
    options.outputs.section("objectives", &text(options, &machine, &rows))
}

impl Run<'_> {
    fn name(&self) -> String {
        format!("{}, {}, seed {}", self.case.name, self.objective, self.seed)
    }

    fn measure(&self, options: &Options) -> Result<Row> {
        let trajectories = (self.case.trajectories as f64 * options.scale) as u64;
        let mut row = Row {
            environment: self.case.name,
            objective: self.objective,
            seed: self.seed,
            refused: None,
            trajectories,
            updates: 0,
            total_variation: None,
            spearman: None,
            modes: 0,
            modes_of: 0,
            seconds: 0.0,
        };
        let experiment = match self.read(trajectories, &options.examples) {
            Ok(experiment) => experiment,
            Err(refused) => {
                row.refused = Some(refused);
                return Ok(row);
            }
        };
        let mut follower = Follower::new(&experiment, self.case, &mut row)?;
        let updates = experiment.updates()?;
        experiment.run(&[updates], &mut follower)?;
        ensure!(row.updates == updates, "the run ended early");
        Ok(row)
    }

    fn read(&self, trajectories: u64, examples: &Path) -> Result<Experiment, String> {
        let changes = self.changes.lines().chain(self.case.changes.lines()).map(str::to_owned);
        let mut changes: Vec<String> = changes.filter(|change| !change.is_empty()).collect();
        changes.push(format!("run.seed={}", self.seed));
        changes.push(format!("learner.generated={trajectories}"));
        changes.push("learner.log_z_initial=estimate".to_owned());
        changes.push("learner.device=cpu".to_owned());
        let read = Experiment::read(self.case.text, &changes, examples);
        read.map_err(|error| error.to_string())
    }
}

/// Measures a run at its end.
struct Follower<'a> {
    experiment: &'a Experiment,
    target: Option<Target>,
    test_set: Option<TestSet>,
    modes: Modes,
    row: &'a mut Row,
}

impl<'a> Follower<'a> {
    fn new(experiment: &'a Experiment, case: &Case, row: &'a mut Row) -> Result<Self> {
        let (mut target, mut test_set) = (None, None);
        let modes = match case.quality {
            Quality::Exact { best } => {
                let exact = measure::target(&experiment.task)?;
                let modes = Modes::best(&exact, best);
                target = Some(exact);
                modes
            }
            Quality::TestSet { every, paths, radius } => {
                test_set = Some(TestSet::of_reward(&experiment.task, every, paths)?);
                Modes::balls(&experiment.task, radius)
            }
        };
        Ok(Self { experiment, target, test_set, modes, row })
    }
}

impl Watch for Follower<'_> {
    fn drawn(&mut self, drawn: &Drawn<'_>) {
        self.modes.drawn(drawn);
    }

    fn look(&mut self, standing: Standing) -> Result<()> {
        let task = &self.experiment.task;
        if let Some(target) = &self.target {
            let comparison = measure::exact(task, target, &standing.policy)?;
            self.row.total_variation = Some(comparison.total_variation);
            self.row.spearman = comparison.spearman;
        }
        if let Some(test_set) = &self.test_set {
            let seed = self.experiment.run_file.run.seed;
            let correlation = test_set.correlate(task, &standing.policy, seed)?;
            self.row.spearman = Some(correlation.spearman);
        }
        self.row.trajectories = standing.generated;
        self.row.updates = standing.updates;
        self.row.modes = self.modes.found();
        self.row.modes_of = self.modes.of();
        self.row.seconds = standing.seconds;
        Ok(())
    }
}

fn text(options: &Options, machine: &Machine, rows: &[Row]) -> String {
    let mut table = Table::new(&[
        "environment",
        "objective",
        "trajectories",
        "exact TV",
        "Spearman",
        "modes found",
        "seconds",
    ]);
    for group in rows.chunks(options.seeds as usize) {
        let Row { environment, objective, trajectories, modes_of, .. } = &group[0];
        let mut cells = vec![(*environment).to_owned(), (*objective).to_owned()];
        if group[0].refused.is_some() {
            cells.extend(["refused", "", "", "", ""].map(str::to_owned));
            table.row(cells);
            continue;
        }
        let values = |value: fn(&Row) -> Option<f64>| -> Vec<f64> {
            group.iter().filter_map(value).collect()
        };
        let shown = |values: &[f64], digits| {
            if values.is_empty() { "-".to_owned() } else { with_error(values, digits) }
        };
        let modes = mean(&values(|row| Some(row.modes as f64)));
        cells.push(grouped(*trajectories));
        cells.push(shown(&values(|row| row.total_variation), 4));
        cells.push(shown(&values(|row| row.spearman), 3));
        cells.push(format!("{modes:.0} of {modes_of}"));
        cells.push(format!("{:.0}", mean(&values(|row| Some(row.seconds)))));
        table.row(cells);
    }
    format!(
        "{table}\n{}; {machine}; one thread for each run, {} at a time.\n\n{}",
        seeds(options.seeds),
        options.outputs.threads,
        cases::notes()
    )
}
