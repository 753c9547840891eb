//! Whether old weights bend the distribution: the exact distance with an injected lag.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;
use serde::Serialize;
use tributary_common::exact::Target;

use crate::experiment::{Experiment, Standing, Watch, ensure_taken, measure};
use crate::machine::Machine;
use crate::parallel::in_parallel;
use crate::report::{Outputs, Table, grouped, mean, seeds, with_error};
use crate::tasks;

/// How much worse the mean TV may be than without lag.
const MOST_RATIO: f64 = 1.1;

/// Updates between two exact comparisons.
const LOOK_EVERY: u64 = 20;

/// Options of `lag`.
#[derive(Args, Serialize)]
pub(crate) struct Options {
    /// Where the example's table is
    #[arg(long, default_value = "examples")]
    examples: PathBuf,
    /// Seeds 1 to this
    #[arg(long, default_value_t = 5)]
    seeds: u64,
    /// Updates after which the distance is measured, ascending; the last ends the run
    #[arg(long, value_delimiter = ',', default_value = "1000,4000")]
    updates: Vec<u64>,
    /// Published versions that the actors' weights are behind
    #[arg(long, value_delimiter = ',', default_value = "0,4,16")]
    lags: Vec<usize>,
    /// Simulated actors
    #[arg(long, value_delimiter = ',', default_value = "1,4")]
    actors: Vec<usize>,
    /// Updates between two versions
    #[arg(long, default_value_t = 4)]
    publish_every: u64,
    #[command(flatten)]
    #[serde(skip)]
    outputs: Outputs,
}

/// Trajectories of an update.
const BATCH: usize = 16;

const TASKS: [(&str, &str); 2] =
    [("hypergrid 2D H8", tasks::SMALL_HYPERGRID), ("DNA words of 4", tasks::FOUR_LETTERS)];

const OBJECTIVES: [(&str, &str); 2] =
    [("TB", "trajectory_balance"), ("SubTB", "sub_trajectory_balance")];

/// What was run.
struct Run {
    task: usize,
    objective: usize,
    actors: usize,
    lag: usize,
    seed: u64,
}

/// What it gave.
#[derive(Serialize)]
struct Row {
    task: &'static str,
    objective: &'static str,
    actors: usize,
    lag: usize,
    seed: u64,
    updates: Vec<u64>,
    generated: u64,
    /// After every [`LOOK_EVERY`] updates.
    total_variation: Vec<f64>,
    mean_lag: f64,
    seconds: f64,
}

/// Trains everything and prints the table.
pub(crate) fn run(options: &Options) -> Result<()> {
    let are_whole = options.updates.iter().all(|n| *n >= 100 && n.is_multiple_of(LOOK_EVERY));
    ensure!(
        options.updates.is_sorted() && are_whole,
        "`--updates` must be ascending multiples of {LOOK_EVERY} from 100"
    );
    let folder = tempfile::tempdir()?;
    tasks::write_four_letters(&options.examples, folder.path())?;
    let mut runs = Vec::new();
    for task in 0..TASKS.len() {
        for objective in 0..OBJECTIVES.len() {
            for &actors in &options.actors {
                for &lag in &options.lags {
                    runs.extend((1..=options.seeds).map(|seed| Run {
                        task,
                        objective,
                        actors,
                        lag,
                        seed,
                    }));
                }
            }
        }
    }
    let machine = Machine::this();
    let threads = options.outputs.threads;
    let rows = in_parallel(&runs, threads, Run::name, |run| run.measure(options, folder.path()))?;
    options.outputs.json(&machine, options, &rows)?;
    options.outputs.section("lag", &text(options, &machine, &rows))
}

impl Run {
    fn name(&self) -> String {
        let Self { task, objective, actors, lag, seed } = self;
        let (task, objective) = (TASKS[*task].0, OBJECTIVES[*objective].0);
        format!("{task}, {objective}, {actors} actors, lag {lag}, seed {seed}")
    }

    fn measure(&self, options: &Options, files: &std::path::Path) -> Result<Row> {
        let text = TASKS[self.task].1;
        let changes = [
            format!("run.seed={}", self.seed),
            format!("objective.kind={}", OBJECTIVES[self.objective].1),
            "policy.hidden=[64, 64]".to_owned(),
            // Each actor has its own setting.
            "exploration.epsilon=[0.0, 0.01, 0.03, 0.1]".to_owned(),
            format!("learner.batch={BATCH}"),
            format!("actor.batch={}", BATCH / self.actors),
            format!("learner.updates={}", options.updates[options.updates.len() - 1]),
            format!("learner.publish_every={}", options.publish_every),
            "learner.device=cpu".to_owned(),
        ];
        let read = Experiment::read(text, &changes, files);
        ensure_taken(&read)?;
        let experiment = Experiment { actors: self.actors, lag: self.lag, ..read? };
        let target = measure::target(&experiment.task)?;
        let looks: Vec<u64> =
            (1..=experiment.updates()? / LOOK_EVERY).map(|i| i * LOOK_EVERY).collect();
        let mut follower =
            Follower { experiment: &experiment, target, distances: Vec::new(), last: None };
        experiment.run(&looks, &mut follower)?;
        ensure!(follower.distances.len() == looks.len(), "the run ended early");
        let (generated, mean_lag, seconds) = follower.last.unwrap_or_default();
        Ok(Row {
            task: TASKS[self.task].0,
            objective: OBJECTIVES[self.objective].0,
            actors: self.actors,
            lag: self.lag,
            seed: self.seed,
            updates: options.updates.clone(),
            generated,
            total_variation: follower.distances,
            mean_lag,
            seconds,
        })
    }
}

/// The mean TV over the fifth of the updates before this number of comparisons: one alone is noise.
fn smoothed(distances: &[f64], looks: usize) -> f64 {
    mean(&distances[looks - looks.div_ceil(5)..looks])
}

struct Follower<'a> {
    experiment: &'a Experiment,
    target: Target,
    distances: Vec<f64>,
    last: Option<(u64, f64, f64)>,
}

impl Watch for Follower<'_> {
    fn look(&mut self, standing: Standing) -> Result<()> {
        let comparison = measure::exact(&self.experiment.task, &self.target, &standing.policy)?;
        self.distances.push(comparison.total_variation);
        self.last = Some((standing.generated, standing.mean_lag, standing.seconds));
        Ok(())
    }
}

fn text(options: &Options, machine: &Machine, rows: &[Row]) -> String {
    let mut text = String::new();
    for (budget, updates) in options.updates.iter().enumerate() {
        let (table, worst) = table(options, budget, rows);
        let updates = grouped(*updates);
        text += &format!(
            "After {updates} updates, {} trajectories (largest ratio {worst:.2}):\n\n{table}\n",
            grouped(options.updates[budget] * BATCH as u64),
        );
    }
    text += &format!(
        "{}; {BATCH} trajectories an update, a version every {} updates, learned P_B, MLP 64x2. TV is \
         exact, of the averaged weights: the mean of all comparisons (one in {LOOK_EVERY} updates) over the \
         fifth of the updates before, ± its standard error over the seeds. Behind: how many updates \
         before the runs without lag were as far from the target.\n\n({machine})",
        seeds(options.seeds),
        options.publish_every,
    );
    text
}

/// The table of one number of updates, and the largest ratio in it.
fn table(options: &Options, budget: usize, rows: &[Row]) -> (Table, f64) {
    let mut table = Table::new(&[
        "environment",
        "objective",
        "actors",
        "lag (versions)",
        "mean lag (updates)",
        "mean TV",
        "ratio to no lag",
        "at most 10 % worse",
        "behind (updates)",
    ]);
    let looks = (options.updates[budget] / LOOK_EVERY) as usize;
    let (mut without_lag, mut worst) = (rows, f64::NEG_INFINITY);
    for group in rows.chunks(options.seeds as usize) {
        let Row { task, objective, actors, lag, .. } = group[0];
        if lag == options.lags[0] {
            without_lag = group;
        }
        let after = |group: &[Row], looks: usize| -> Vec<f64> {
            group.iter().map(|row| smoothed(&row.total_variation, looks)).collect()
        };
        let distances = after(group, looks);
        let reached = mean(&distances);
        let ratio = reached / mean(&after(without_lag, looks));
        worst = worst.max(ratio);
        // Without lag it was as far from the target so many comparisons before.
        let behind =
            (1..looks).take_while(|&back| mean(&after(without_lag, looks - back)) < reached);
        let behind = (ratio > 1.0).then(|| (behind.count() + 1) as u64 * LOOK_EVERY);
        let lags: Vec<f64> = group.iter().map(|row| row.mean_lag).collect();
        table.row([
            task.to_owned(),
            objective.to_owned(),
            actors.to_string(),
            lag.to_string(),
            format!("{:.1}", mean(&lags)),
            with_error(&distances, 4),
            format!("{ratio:.2}"),
            if ratio <= MOST_RATIO { "yes" } else { "**no**" }.to_owned(),
            behind.map_or_else(|| "-".to_owned(), |behind| format!("≤ {behind}")),
        ]);
    }
    (table, worst)
}
