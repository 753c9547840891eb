//! `tributary evaluate`: how far a trained policy is from its target, exactly or by estimates.

mod flow;
mod page;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use tributary_common::estimate::{
    EvaluationData, PathEstimator, SampleFigures, Sampler, TargetSampleFigures, TestSetFigures,
    spread, test_set,
};
use tributary_common::exact::{
    Comparison, ExactError, Marginals, SnapshotPolicy, Target, marginals,
};
use tributary_common::random::{Purpose, Stream};
use tributary_common::registry::Registry;
use tributary_common::run_file::{RunFileError, Weights};

use crate::error::CommandError;
use crate::output;
use crate::run_directory::{Trained, WeightSet};
use flow::Flow;

/// Compares a run's newest checkpoint with the target, exactly or by estimates
///
/// Where the environment has at most evaluation.max_states states the probability of every object is
/// computed by walking all of them. Elsewhere log p is estimated from paths drawn backward, on the
/// test set of the run file or of the reward, and log Z is bounded by samples. docs/evaluation.md
/// defines every figure. Works beside a running training, too.
#[derive(Args)]
pub(crate) struct Options {
    /// The run directory
    #[arg(value_name = "RUN_DIR")]
    directory: PathBuf,
    /// Which of the two sets of weights
    #[arg(long, value_enum, default_value_t = WeightSet::Ema)]
    weights: WeightSet,
    /// Use at most so many objects of the test set, spread evenly over it, not all
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    test_objects: Option<u32>,
    /// Draw so many paths for each object, not evaluation.paths
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    paths: Option<u32>,
    /// Draw so many trajectories for the bounds of log Z, not evaluation.samples; each is measured
    #[arg(long, value_name = "COUNT")]
    samples: Option<u32>,
    /// Also print log F of a state, such as [3, 0] or the beginning of a sequence; may be repeated
    #[arg(long, value_name = "STATE")]
    flow: Vec<String>,
    /// Also print log p of an object, with its interval; may be repeated
    #[arg(long, value_name = "OBJECT")]
    log_p: Vec<String>,
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
    comparison: Option<Comparison>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_z_error: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    test_set: Option<TestSetFigures>,
    #[serde(skip_serializing_if = "Option::is_none")]
    samples: Option<SampleFigures>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_samples: Option<TargetSampleFigures>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    flows: Vec<Flow>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    log_p: Vec<LogP>,
}

/// log p of one object.
#[derive(Serialize)]
struct LogP {
    object: String,
    /// Estimated from paths, with the bootstrap's interval over them.
    estimate: f64,
    low: Option<f64>,
    high: Option<f64>,
    /// By dynamic programming; none where it has too many ancestors.
    exact: Option<f64>,
}

/// Compares, and prints the figures.
pub(crate) fn run(options: &Options, registry: &Registry) -> Result<(), CommandError> {
    let trained = Trained::open(&options.directory, options.weights, registry)?;
    let data = data(&trained, &options.directory)?;
    let exact = match exact(&trained) {
        Ok(exact) => Some(exact),
        Err(ExactError::NotListed { .. } | ExactError::TooMany { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let report = report(options, &trained, &data, exact.as_ref())?;
    if options.json {
        let text = serde_json::to_string(&report).map_err(std::io::Error::from);
        output::print(&(text.map_err(CommandError::system("write JSON"))? + "\n"))
    } else {
        output::print(&page::page(&report))
    }
}

fn data(trained: &Trained, directory: &Path) -> Result<EvaluationData, CommandError> {
    EvaluationData::load(&trained.run_file, &trained.task, directory).map_err(|problems| {
        RunFileError::from(problems).in_file(&directory.join("run.toml")).into()
    })
}

/// The target and where the policy passes, where they can be known.
fn exact(trained: &Trained) -> Result<(Target, Marginals), ExactError> {
    let environment = trained.task.environment.as_ref();
    let most = trained.run_file.evaluation.max_states;
    let target = Target::new(environment, trained.task.undelayed.as_ref(), most, &mut || true)?;
    let mut policy = SnapshotPolicy::new(&trained.snapshot);
    Ok((target, marginals(environment, &mut policy, &mut || true)?))
}

fn report(
    options: &Options,
    trained: &Trained,
    data: &EvaluationData,
    exact: Option<&(Target, Marginals)>,
) -> Result<Report, CommandError> {
    let (snapshot, task) = (&trained.snapshot, &trained.task);
    let (weights, config) = (snapshot.weights(), &trained.run_file.evaluation);
    let comparison =
        exact.map(|(target, marginals)| Comparison::new(target, &marginals.terminating));
    let seed = trained.run_file.run.seed;
    let paths = options.paths.map_or(config.paths, |paths| paths as usize);
    let mut estimator = PathEstimator::new(Arc::clone(&task.environment), paths, seed);
    let most = options.test_objects.map_or(usize::MAX, |most| most as usize);
    let chosen = spread(&data.test_set, most);
    let of_test_set = (!chosen.is_empty())
        .then(|| test_set(&mut estimator, snapshot, &chosen, &mut || true))
        .transpose()?;
    let is_durable = trained.run_file.reward.durable == Some(true);
    let usual = if is_durable { 0 } else { config.samples_or(exact.is_some()) };
    let count = options.samples.map_or(config.samples.unwrap_or(usual), |count| count as usize);
    let reward = Arc::clone(&task.undelayed);
    let mut sampler = Sampler::new(Arc::clone(&task.environment), reward, seed);
    let samples = (count > 0)
        .then(|| {
            let of_entropy = Some((&mut estimator, count));
            sampler.samples(snapshot, count, of_entropy, &mut || true)
        })
        .transpose()?;
    let mut stream = Stream::new(seed, Purpose::Evaluation, 3, 0);
    let of_target = match exact {
        Some((target, _)) if data.target_samples.is_empty() => {
            target.samples(&*task.environment, count, &mut stream)?
        }
        _ => data.target_samples.clone(),
    };
    let target_samples = (!of_target.is_empty())
        .then(|| sampler.target_samples(snapshot, &of_target, &mut || true))
        .transpose()?;
    Ok(Report {
        schema: 1,
        step: weights.version.step,
        generated: weights.generated,
        weights: Weights::from(options.weights).name(),
        log_z: weights.log_z,
        log_z_error: comparison.map(|comparison| comparison.log_z_error(weights.log_z)),
        comparison,
        test_set: of_test_set,
        samples,
        target_samples,
        flows: flow::flows(&options.flow, trained, exact)?,
        log_p: options
            .log_p
            .iter()
            .map(|object| log_p(object, trained, &mut estimator))
            .collect::<Result<_, _>>()?,
    })
}

fn log_p(
    text: &str,
    trained: &Trained,
    estimator: &mut PathEstimator,
) -> Result<LogP, CommandError> {
    let (environment, snapshot) = (&trained.task.environment, &trained.snapshot);
    let state = environment.parse_object(text).and_then(|object| environment.state_of(&object));
    let state = state.map_err(|error| CommandError::NoSuchState {
        option: "--log-p",
        text: text.to_owned(),
        reason: error.reason,
    })?;
    let (estimate, interval) = estimator.with_interval(snapshot, &state)?;
    let mut exact = PathEstimator::new(Arc::clone(environment), 1, 0)
        .exact_up_to(tributary_common::estimate::MOST_ANCESTORS);
    let found = exact.log_probabilities(snapshot, &[&state], &mut || true)?;
    Ok(LogP {
        object: text.to_owned(),
        estimate,
        low: interval.map(|interval| interval.low),
        high: interval.map(|interval| interval.high),
        exact: (found.exact == 1).then(|| found.values[0]),
    })
}
