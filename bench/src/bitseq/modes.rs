//! Modes found against trajectories, with the raw scale and coefficient 2.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use super::task;
use crate::experiment::modes::Modes;
use crate::experiment::{Drawn, Experiment, Standing, Watch};
use crate::figure::Scale;
use crate::figure::lines::{self, Panel, Series};
use crate::machine::Machine;
use crate::parallel::in_parallel;
use crate::report::{Outputs, Table, grouped, mean, seeds, with_error, write};

/// Options of `bitseq modes`.
#[derive(Args, Serialize)]
pub(crate) struct Options {
    /// Trajectories of each run, those of local search included
    #[arg(long, default_value_t = 48_000)]
    trajectories: u64,
    /// Seeds 1 to this
    #[arg(long, default_value_t = 2)]
    seeds: u64,
    /// Points of a curve
    #[arg(long, default_value_t = 16)]
    points: u64,
    /// Only the ways of training whose name contains this
    #[arg(long, default_value = "")]
    only: String,
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

/// Bits within which a mode is found.
const RADIUS: f64 = 30.0;

/// Names and changes of the run file, one a line.
const WAYS: [(&str, &str); 4] = [
    ("TB", "objective.kind=trajectory_balance"),
    ("SubTB 0.9", "objective.kind=sub_trajectory_balance"),
    (
        "TB, prioritized replay",
        "objective.kind=trajectory_balance\nreplay.selector=prioritized\nreplay.exponent=0.1",
    ),
    (
        "TB, local search",
        "objective.kind=trajectory_balance\nexploration.local_search.rounds=3\n\
         exploration.local_search.steps=4",
    ),
];

struct Run {
    way: (&'static str, &'static str),
    seed: u64,
}

#[derive(Serialize)]
struct Row {
    way: &'static str,
    seed: u64,
    trajectories: Vec<u64>,
    modes: Vec<usize>,
    of: usize,
    seconds: f64,
}

/// Trains everything, prints the table and draws the figure.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut runs = Vec::new();
    for way in WAYS.into_iter().filter(|way| way.0.contains(&options.only)) {
        runs.extend((1..=options.seeds).map(|seed| Run { way, seed }));
    }
    let machine = Machine::this();
    let name = |run: &Run| format!("{}, seed {}", run.way.0, run.seed);
    let rows = in_parallel(&runs, options.outputs.threads, name, |run| run.measure(options))?;
    options.outputs.json(&machine, options, &rows)?;
    if let Some(path) = &options.figure {
        write(path, &figure(options, &rows))?;
    }
    options.outputs.section("bitseq-modes", &text(options, &machine, &rows))
}

impl Run {
    fn measure(&self, options: &Options) -> Result<Row> {
        let mut changes: Vec<String> = self.way.1.lines().map(str::to_owned).collect();
        changes.extend([
            format!("run.seed={}", self.seed),
            format!("learner.updates={}", options.trajectories / BATCH),
            format!("learner.batch={BATCH}"),
            format!("actor.batch={BATCH}"),
            "learner.log_z_initial=estimate".to_owned(),
            "learner.device=cpu".to_owned(),
            "exploration.epsilon=0.001".to_owned(),
        ]);
        let experiment = Experiment::read(task::RAW, &changes, Path::new("."))?;
        let updates = experiment.updates()?;
        let looks: Vec<u64> =
            (1..=options.points).map(|i| (updates * i).div_ceil(options.points)).collect();
        let modes = Modes::balls(&experiment.task, RADIUS);
        let row = Row {
            way: self.way.0,
            seed: self.seed,
            trajectories: Vec::new(),
            modes: Vec::new(),
            of: modes.of(),
            seconds: 0.0,
        };
        let mut follower = Follower { modes, row };
        experiment.run(&looks, &mut follower)?;
        Ok(follower.row)
    }
}

struct Follower {
    modes: Modes,
    row: Row,
}

impl Watch for Follower {
    fn drawn(&mut self, drawn: &Drawn<'_>) {
        self.modes.drawn(drawn);
    }

    fn look(&mut self, standing: Standing) -> Result<()> {
        self.row.trajectories.push(standing.generated);
        self.row.modes.push(self.modes.found());
        self.row.seconds = standing.seconds;
        Ok(())
    }
}

fn figure(options: &Options, rows: &[Row]) -> String {
    let series = rows.chunks(options.seeds as usize).map(|group| {
        let at = |i: usize| {
            let values = group.iter().map(|row| row.modes[i] as f64).collect();
            (group[0].trajectories[i] as f64, values)
        };
        Series {
            name: group[0].way.to_owned(),
            points: (0..group[0].trajectories.len()).map(at).collect(),
        }
    });
    lines::draw(&[Panel {
        title: "120 bits in words of 8, log R = -2 bits".to_owned(),
        x_label: "trajectories (rewards paid for)".to_owned(),
        y_label: format!("modes found within {RADIUS} bits, of 60"),
        x_scale: Scale::Linear,
        y_scale: Scale::Linear,
        series: series.collect(),
    }])
}

fn text(options: &Options, machine: &Machine, rows: &[Row]) -> String {
    let mut table = Table::new(&[
        "training",
        "trajectories",
        "modes at a quarter",
        "modes at the end",
        "seconds",
    ]);
    for group in rows.chunks(options.seeds as usize) {
        let last = group[0].trajectories.len() - 1;
        let found = |i: usize| group.iter().map(|row| row.modes[i] as f64).collect::<Vec<_>>();
        let seconds: Vec<f64> = group.iter().map(|row| row.seconds).collect();
        table.row([
            group[0].way.to_owned(),
            grouped(group[0].trajectories[last]),
            with_error(&found(last / 4), 1),
            format!("{} of {}", with_error(&found(last), 1), group[0].of),
            format!("{:.0}", mean(&seconds)),
        ]);
    }
    format!(
        "{table}\n{}; log R = -2 (bits to the nearest of 60 modes), words at any position, batch \
         {BATCH}, MLP 256x2, learned P_B, log Z from the first batch, epsilon 0.001. A mode is found \
         when an object within {RADIUS} bits of it was drawn in training. ({machine})",
        seeds(options.seeds)
    )
}
