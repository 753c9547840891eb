//! `tributary check`: everything that can be known about a run before it is trained.

#[cfg(test)]
mod degenerate_tests;
mod effective;

use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;
use tributary_common::environment::laws::check_laws;
use tributary_common::estimate::EvaluationData;
use tributary_common::network::Network;
use tributary_common::object::Object;
use tributary_common::registry::{Registry, Task};
use tributary_common::reward::Outside;
use tributary_common::run_file::{RunFile, RunFileError};
use tributary_common::session::record_bytes;

use crate::display::{Table, bytes, count as count_of, grouped, short};
use crate::error::CommandError;
use crate::output;
use crate::run_file::{Described, KEYS, RunFileOptions};
use crate::snapshot::{Drawing, Worth, indifferent, measure, untrained};

/// For how long rollouts are timed.
const TIMING: Duration = Duration::from_millis(300);

/// Checks a run file and its environment and reward, without training
///
/// All that is wrong with the run file is named at once. Then the environment's laws are checked on
/// random walks and the reward is asked about a few objects; printed are the values in effect (with
/// the default where it is another), sizes, and how fast this machine draws trajectories.
#[derive(Args)]
#[command(after_help = KEYS)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) run_file: RunFileOptions,
    /// Prints every value in effect, as a run file, instead of what is chosen or not the default
    #[arg(long)]
    pub(crate) all: bool,
}

/// How much to look at.
#[derive(Clone, Copy)]
pub(crate) enum Thoroughness {
    /// Within milliseconds; expensive rewards are not asked.
    Quick,
    /// As a user asks.
    Full,
}

/// Checks, and prints what was found.
pub(crate) fn run(options: &Options, registry: &Registry) -> Result<(), CommandError> {
    let described = options.run_file.read(registry)?;
    let initial = described.initial(&options.run_file.path)?;
    let examples = examine(&described.task, Thoroughness::Full)?;
    let Described { run_file, task } = &described;
    let data = evaluation_data(&options.run_file, run_file, task)?;
    let mut table = Table::default();
    if !options.all {
        effective::effective(&mut table, run_file, registry);
    }
    sizes(&mut table, run_file, task);
    rewards(&mut table, task, &examples);
    replay(&mut table, run_file, initial);
    evaluation(&mut table, run_file, &data);
    speed(&mut table, run_file, task)?;
    let path = options.run_file.path.display();
    let all = if options.all { run_file.to_toml() } else { String::new() };
    output::print(&format!("{all}{}\n{path}: all is well\n", table.text()))
}

/// Objects with what they are worth, and what each took.
pub(crate) struct Examples {
    objects: Vec<(Object, Worth)>,
    each: Duration,
}

/// Checks the environment's laws and asks the reward about a few objects.
///
/// # Errors
/// A broken law, a reward that fails.
pub(crate) fn examine(task: &Task, how: Thoroughness) -> Result<Examples, CommandError> {
    let (walks, asked, reward) = match how {
        Thoroughness::Quick => (10, 2, &task.undelayed),
        Thoroughness::Full => (200, 3, &task.reward),
    };
    let environment = &task.environment;
    check_laws(environment.as_ref(), walks, 0).map_err(|law| CommandError::Environment {
        kind: environment.identity().kind,
        reason: format!("it breaks a law that training relies on: {law}"),
    })?;
    let policy = indifferent(environment.as_ref());
    let drawn = Drawing::new(environment, &policy, 0).next(asked)?;
    let mut objects: Vec<Object> = drawn.into_iter().map(|(object, _)| object).collect();
    if let Some(outside) = reward.outside() {
        match how {
            Thoroughness::Quick => objects.clear(),
            Thoroughness::Full => eprintln!("{}", asked_here(outside)),
        }
    }
    let start = Instant::now();
    let worth = measure(reward.as_ref(), &objects)?;
    let each = start.elapsed() / objects.len().max(1) as u32;
    Ok(Examples { objects: objects.into_iter().zip(worth).collect(), each })
}

/// Says whose programs are asked.
fn asked_here(outside: &Outside) -> String {
    match outside {
        Outside::Command(command) => {
            let (words, folder) = (command.command.join(" "), command.folder.display());
            format!("running `{words}` in {folder} on this machine")
        }
        Outside::Services(services) => format!("asking the services for {:?}", services.service),
    }
}

fn sizes(table: &mut Table, run_file: &RunFile, task: &Task) {
    let environment = &task.environment;
    table.section("environment");
    table.row(
        "states",
        match environment.enumeration() {
            Some(list) if !task.is_free(run_file) => {
                format!("{}, not compared: that would be paid for", grouped(list.states()))
            }
            Some(list) if list.states() <= run_file.evaluation.max_states => {
                format!("{}, compared exactly with the target", grouped(list.states()))
            }
            Some(list) => {
                format!(
                    "{}, more than evaluation.max_states: no exact comparison",
                    grouped(list.states())
                )
            }
            None => "too many to be listed: no exact comparison".to_owned(),
        },
    );
    let (forward, backward) = (environment.forward_actions(), environment.backward_actions());
    table.row("actions", format!("{forward} forward and the exit, {backward} backward"));
    table.row("longest trajectory", format!("{} actions", environment.max_steps()));
    table.section("network");
    let network = Network::of_run(run_file, environment.as_ref());
    table.row("architecture", network.architecture());
    table.row("inputs", format!("{}, 0 or 1", grouped(environment.features() as u64)));
    table.row("parameters", grouped(network.parameter_count() as u64));
}

/// Reads the files of `[evaluation]`.
fn evaluation_data(
    options: &RunFileOptions,
    run_file: &RunFile,
    task: &Task,
) -> Result<EvaluationData, CommandError> {
    let folder = options.path.parent().unwrap_or(Path::new(""));
    EvaluationData::load(run_file, task, folder)
        .map_err(|problems| RunFileError::from(problems).in_file(&options.path).into())
}

fn evaluation(table: &mut Table, run_file: &RunFile, data: &EvaluationData) {
    table.section("evaluation");
    let mut row = |name: &str, count: usize| {
        if count > 0 {
            table.row(name, count_of(count as u64, "object"));
        }
    };
    let used = data.test_set.len().min(run_file.evaluation.test_objects);
    row("test set", data.test_set.len());
    row("of it in each evaluation", used);
    row("modes", data.modes.len());
    row("samples of the target", data.target_samples.len());
    row("reference", data.reference.len());
}

fn rewards(table: &mut Table, task: &Task, examples: &Examples) {
    table.section("reward");
    let outputs: Vec<String> =
        task.reward.outputs().into_iter().map(|output| output.name).collect();
    table.row("raw values", outputs.join(", "));
    for (object, worth) in &examples.objects {
        let raw: Vec<String> = worth.raw.iter().map(|value| short(*value)).collect();
        let log_reward = worth.log_reward;
        table.row("for example", format!("{object}: {}, log R {log_reward:.4}", raw.join(" ")));
    }
    table.row("time per object", format!("{:.1?}", examples.each));
}

fn replay(table: &mut Table, run_file: &RunFile, initial: usize) {
    let warnings = run_file.replay.warnings();
    if initial == 0 && warnings.is_empty() {
        return;
    }
    table.section("replay");
    if initial > 0 {
        table.row("initial objects", grouped(initial as u64));
    }
    for warning in warnings {
        table.row("warning", warning);
    }
}

/// Times rollouts of the untrained network on one thread.
fn speed(table: &mut Table, run_file: &RunFile, task: &Task) -> Result<(), CommandError> {
    let snapshot = untrained(run_file, task.environment.as_ref());
    let mut drawing = Drawing::new(&task.environment, &snapshot, run_file.run.seed);
    let (mut count, mut actions) = (0, 0);
    let start = Instant::now();
    while start.elapsed() < TIMING {
        let drawn = drawing.next(run_file.actor_batch())?;
        count += drawn.len();
        actions += drawn.iter().map(|(_, length)| length).sum::<usize>();
    }
    let rate = count as f64 / start.elapsed().as_secs_f64();
    let mean_length = actions as f64 / count as f64;
    table.section("estimates, with the untrained network");
    table.row("trajectory", format!("{} actions on average", short(mean_length)));
    let outputs = task.reward.outputs().len();
    let size = record_bytes(mean_length.ceil() as usize, outputs);
    table.row("on the wire", format!("{} per trajectory", bytes(size)));
    let rate = grouped(rate as u64);
    table.row("rollouts", format!("{rate} trajectories/s on one thread, rewards not counted"));
    Ok(())
}
