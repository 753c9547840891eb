//! `tributary evaluate`: the exact distance between a trained policy and its target.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use tributary_common::exact::{Comparison, SnapshotPolicy, Target, terminating_distribution};
use tributary_common::registry::Registry;
use tributary_common::run_file::Weights;

use crate::display::{Table, grouped, short};
use crate::error::CommandError;
use crate::output;
use crate::run_directory::{Trained, WeightSet};

/// Compares a run's newest checkpoint with the target, exactly
///
/// The probability of every object is computed by walking all states of the environment; possible
/// where it has at most evaluation.max_states states. Works beside a running training, too.
#[derive(Args)]
pub(crate) struct Options {
    /// The run directory
    #[arg(value_name = "RUN_DIR")]
    directory: PathBuf,
    /// Which of the two sets of weights
    #[arg(long, value_enum, default_value_t = WeightSet::Ema)]
    weights: WeightSet,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What is printed as JSON.
#[derive(Serialize)]
struct Report {
    schema: u32,
    step: u64,
    generated: u64,
    weights: &'static str,
    log_z: f64,
    #[serde(flatten)]
    comparison: Comparison,
}

/// Compares, and prints the figures.
pub(crate) fn run(options: &Options, registry: &Registry) -> Result<(), CommandError> {
    let trained = Trained::open(&options.directory, options.weights, registry)?;
    let (environment, weights) = (trained.task.environment.as_ref(), trained.snapshot.weights());
    let most = trained.run_file.evaluation.max_states;
    let target = Target::new(environment, trained.task.undelayed.as_ref(), most, &mut || true)?;
    let mut policy = SnapshotPolicy::new(&trained.snapshot);
    let probabilities = terminating_distribution(environment, &mut policy, &mut || true)?;
    let report = Report {
        schema: 1,
        step: weights.version.step,
        generated: weights.generated,
        weights: Weights::from(options.weights).name(),
        log_z: weights.log_z,
        comparison: Comparison::new(&target, &probabilities),
    };
    if options.json {
        let text = serde_json::to_string(&report).map_err(std::io::Error::from);
        output::print(&(text.map_err(CommandError::system("write JSON"))? + "\n"))
    } else {
        output::print(&page(&report))
    }
}

fn page(report: &Report) -> String {
    let Comparison { states, objects, .. } = report.comparison;
    let mut table = Table::default();
    table.section(&format!(
        "{} weights of update {}, after {} trajectories: {} states, {} objects",
        report.weights,
        grouped(report.step),
        grouped(report.generated),
        grouped(states),
        grouped(objects)
    ));
    comparison(&mut table, &report.comparison);
    let exact = report.comparison.log_z_target;
    table.row("log Z", format!("{:.4} learned, {exact:.4} exact", report.log_z));
    table.text().trim_start().to_owned()
}

fn comparison(table: &mut Table, comparison: &Comparison) {
    let optional = |value: Option<f64>, none: &str| value.map_or(none.to_owned(), short);
    table.row("total variation", format!("{:.4}", comparison.total_variation));
    table.row("Jensen-Shannon", short(comparison.jensen_shannon));
    table.row("KL(target, policy)", optional(comparison.kl_target_policy, "infinite"));
    table.row("KL(policy, target)", optional(comparison.kl_policy_target, "infinite"));
    table.row("Pearson (log p, log R)", optional(comparison.pearson, "undefined"));
    table.row("Spearman", optional(comparison.spearman, "undefined"));
}
