//! Sub-trajectory balance against trajectory balance where trajectories are long.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use clap::Args;
use serde::Serialize;
use tributary_common::exact::Target;

use crate::experiment::correlation::TestSet;
use crate::experiment::{Experiment, Standing, Watch, ensure_taken, measure};
use crate::figure::Scale;
use crate::figure::lines::{self, Panel, Series};
use crate::machine::Machine;
use crate::parallel::in_parallel;
use crate::report::{Outputs, Table, grouped, mean, seeds, with_error, write};
use crate::tasks;

/// Options of `curves`.
#[derive(Args, Serialize)]
pub(crate) struct Options {
    /// Seeds 1 to this
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// Only the environments whose name contains this
    #[arg(long, default_value = "")]
    environment: String,
    /// Multiplies the trajectories of every run
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Points of a curve
    #[arg(long, default_value_t = 12)]
    points: u32,
    /// Also draw the figure here, as SVG
    #[arg(long)]
    #[serde(skip)]
    figure: Option<PathBuf>,
    #[command(flatten)]
    #[serde(skip)]
    outputs: Outputs,
}

/// Trajectories of an update.
const BATCH: u64 = 16;

/// The first point of a curve lies at this fraction of its end.
const FIRST: f64 = 1.0 / 32.0;

struct Case {
    name: &'static str,
    text: &'static str,
    /// Changes to the run file, one a line.
    changes: &'static str,
    trajectories: u64,
    /// Every so manieth test string, where the environment cannot be listed.
    test_set: Option<usize>,
}

const CASES: [Case; 3] = [
    Case {
        name: "hypergrid 4D H16",
        text: tasks::HYPERGRID_4D_H16,
        changes: "exploration.epsilon=0.01",
        trajectories: 256_000,
        test_set: None,
    },
    Case {
        name: "64 bits",
        text: tasks::BITS_64_APPENDED,
        changes: "exploration.epsilon=0.001\nlearner.log_z_initial=estimate",
        trajectories: 64_000,
        test_set: Some(5),
    },
    Case {
        name: "256 bits",
        text: tasks::BITS_256_APPENDED,
        changes: "exploration.epsilon=0.001\nlearner.log_z_initial=estimate",
        trajectories: 12_800,
        test_set: Some(32),
    },
];

const OBJECTIVES: [(&str, &str); 3] = [
    ("TB", "objective.kind=trajectory_balance"),
    ("SubTB 0.9", "objective.kind=sub_trajectory_balance\nobjective.lambda=0.9"),
    ("SubTB 0.99", "objective.kind=sub_trajectory_balance\nobjective.lambda=0.99"),
];

struct Run<'a> {
    case: &'a Case,
    objective: (&'static str, &'static str),
    seed: u64,
}

/// A curve.
#[derive(Serialize)]
struct Row {
    environment: &'static str,
    objective: &'static str,
    seed: u64,
    trajectories: Vec<u64>,
    /// Exact TV, or Spearman on the test set.
    values: Vec<f64>,
    seconds: f64,
}

/// Trains everything, prints the table and draws the figure.
pub(crate) fn run(options: &Options) -> Result<()> {
    let cases: Vec<&Case> =
        CASES.iter().filter(|case| case.name.contains(&options.environment)).collect();
    ensure!(!cases.is_empty(), "no environment's name contains \"{}\"", options.environment);
    let mut runs = Vec::new();
    for &case in &cases {
        for objective in OBJECTIVES {
            runs.extend((1..=options.seeds).map(|seed| Run { case, objective, seed }));
        }
    }
    let machine = Machine::this();
    let threads = options.outputs.threads;
    let rows = in_parallel(&runs, threads, Run::name, |run| run.measure(options))?;
    options.outputs.json(&machine, options, &rows)?;
    if let Some(path) = &options.figure {
        write(path, &figure(&cases, &rows))?;
    }
    options.outputs.section("curves", &text(options, &machine, &rows))
}

impl Run<'_> {
    fn name(&self) -> String {
        format!("{}, {}, seed {}", self.case.name, self.objective.0, self.seed)
    }

    fn measure(&self, options: &Options) -> Result<Row> {
        let updates = (self.case.trajectories as f64 * options.scale) as u64 / BATCH;
        let changes = self.objective.1.lines().chain(self.case.changes.lines());
        let mut changes: Vec<String> = changes.map(str::to_owned).collect();
        changes.push(format!("run.seed={}", self.seed));
        changes.push(format!("learner.updates={updates}"));
        changes.push(format!("learner.batch={BATCH}"));
        changes.push(format!("actor.batch={BATCH}"));
        changes.push("learner.device=cpu".to_owned());
        let read = Experiment::read(self.case.text, &changes, Path::new("."));
        ensure_taken(&read)?;
        let experiment = read?;
        let (mut target, mut test_set) = (None, None);
        match self.case.test_set {
            // Every string has one path: it is built in one order only.
            Some(every) => test_set = Some(TestSet::of_reward(&experiment.task, every, 1)?),
            None => target = Some(measure::target(&experiment.task)?),
        }
        let row = Row {
            environment: self.case.name,
            objective: self.objective.0,
            seed: self.seed,
            trajectories: Vec::new(),
            values: Vec::new(),
            seconds: 0.0,
        };
        let mut follower = Follower { experiment: &experiment, target, test_set, row };
        experiment.run(&spread(options.points, updates), &mut follower)?;
        Ok(follower.row)
    }
}

/// Numbers of updates up to the last, in equal ratios from [`FIRST`] of it.
fn spread(points: u32, updates: u64) -> Vec<u64> {
    let at = |i: u32| {
        let share = f64::from(i) / f64::from(points.max(2) - 1);
        (updates as f64 * FIRST.powf(1.0 - share)).round().max(1.0) as u64
    };
    (0..points.max(2)).map(at).collect()
}

struct Follower<'a> {
    experiment: &'a Experiment,
    target: Option<Target>,
    test_set: Option<TestSet>,
    row: Row,
}

impl Watch for Follower<'_> {
    fn look(&mut self, standing: Standing) -> Result<()> {
        let task = &self.experiment.task;
        let mut value = f64::NAN;
        if let Some(target) = &self.target {
            value = measure::exact(task, target, &standing.policy)?.total_variation;
        }
        if let Some(test_set) = &self.test_set {
            value = test_set.correlate(task, &standing.policy, 0)?.spearman;
        }
        self.row.trajectories.push(standing.generated);
        self.row.values.push(value);
        self.row.seconds = standing.seconds;
        Ok(())
    }
}

fn figure(cases: &[&Case], rows: &[Row]) -> String {
    let panel = |case: &&Case| {
        let series = OBJECTIVES.map(|(objective, _)| {
            let mut series = Series { name: objective.to_owned(), points: Vec::new() };
            for row in rows {
                if row.environment != case.name || row.objective != objective {
                    continue;
                }
                for (i, (&x, &value)) in row.trajectories.iter().zip(&row.values).enumerate() {
                    if i == series.points.len() {
                        series.points.push((x as f64, Vec::new()));
                    }
                    series.points[i].1.push(value);
                }
            }
            series
        });
        let exact = case.test_set.is_none();
        Panel {
            title: case.name.to_owned(),
            x_label: "trajectories".to_owned(),
            y_label: if exact { "exact TV" } else { "Spearman of log p and log R" }.to_owned(),
            x_scale: Scale::Logarithmic,
            y_scale: if exact { Scale::Logarithmic } else { Scale::Linear },
            series: series.into(),
        }
    };
    lines::draw(&cases.iter().map(panel).collect::<Vec<_>>())
}

fn text(options: &Options, machine: &Machine, rows: &[Row]) -> String {
    let mut table = Table::new(&[
        "environment",
        "objective",
        "trajectories",
        "measure",
        "a quarter of the way",
        "at the end",
        "seconds",
    ]);
    for group in rows.chunks(options.seeds as usize) {
        let Row { environment, objective, trajectories, values, .. } = &group[0];
        let case = CASES.iter().find(|case| case.name == *environment);
        let exact = case.is_some_and(|case| case.test_set.is_none());
        let last = values.len() - 1;
        let quarter = trajectories.partition_point(|&t| t < trajectories[last] / 4).min(last);
        let at = |i: usize| group.iter().map(|row| row.values[i]).collect::<Vec<_>>();
        let seconds: Vec<f64> = group.iter().map(|row| row.seconds).collect();
        let digits = if exact { 4 } else { 3 };
        table.row([
            (*environment).to_owned(),
            (*objective).to_owned(),
            grouped(trajectories[last]),
            if exact { "exact TV" } else { "Spearman" }.to_owned(),
            format!("{} (at {})", with_error(&at(quarter), digits), grouped(trajectories[quarter])),
            with_error(&at(last), digits),
            format!("{:.0}", mean(&seconds)),
        ]);
    }
    format!(
        "{table}\n{}, ± the standard error over them; {BATCH} trajectories an update, SubTB with its lambda, MLP 256x2, Adam at \
         1e-3 (log Z 0.1), averaged weights; log Z of bits starts at the first batch's estimate. Bits are appended one by one, log R = -(bits to the \
         nearest of 60 modes), and log p of a test string is exact, as there is one path to it.\n\n\
         ({machine}; one thread for each run, {} at a time)",
        seeds(options.seeds),
        options.outputs.threads,
    )
}
