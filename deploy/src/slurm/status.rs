//! `tributary slurm status`: the jobs of a run, and what its learner says.

use std::collections::BTreeMap;

use clap::Args;

use super::folder::Folder;
use super::scheduler::{self, Task};
use super::{RunOptions, stop};
use crate::control::Control;
use crate::display::Table;
use crate::error::CommandError;
use crate::{output, status};

/// Shows the jobs of a run, and what its learner is doing
#[derive(Args)]
pub(super) struct Options {
    #[command(flatten)]
    run: RunOptions,
}

/// Asks the queue and the learner.
pub(super) async fn run(options: &Options) -> Result<(), CommandError> {
    let folder = options.run.folder()?;
    let launched = &folder.launched;
    let tasks = scheduler::tasks(&[launched.learner_job(), launched.actor_job()]).await?;
    let jobs = jobs(&folder, &tasks);
    let learner = if tasks.iter().any(|task| task.name == launched.learner_job()) {
        match learner(&folder).await {
            Ok(page) => page,
            Err(error) => format!("the learner says nothing: {error}\n"),
        }
    } else {
        String::new()
    };
    output::print(&format!("{}\n{jobs}\n{learner}", folder.run.display()))
}

async fn learner(folder: &Folder) -> Result<String, CommandError> {
    let target = stop::target(folder)?;
    let reply = Control::connect(&target).await?.status().await?;
    Ok(status::page(&reply))
}

fn jobs(folder: &Folder, tasks: &[Task]) -> String {
    let mut table = Table::default();
    table.section("jobs");
    if let Some(reason) = folder.over() {
        table.row("over", one_line(&reason));
    }
    let learner = folder.launched.learner_job();
    let (learners, actors): (Vec<&Task>, Vec<&Task>) =
        tasks.iter().partition(|task| task.name == learner);
    for task in &learners {
        table.row("learner", format!("job {}, {}", task.id, state(task)));
    }
    if learners.is_empty() {
        table.row("learner", "not in the queue");
    }
    let wanted = folder.wanted().map_or_else(|error| error.to_string(), |n| n.to_string());
    let mut states: BTreeMap<String, usize> = BTreeMap::new();
    for task in actors {
        *states.entry(short(task)).or_default() += 1;
    }
    let states: Vec<String> = states.iter().map(|(state, n)| format!("{n} {state}")).collect();
    let there = if states.is_empty() { "none".to_owned() } else { states.join(", ") };
    table.row("actors", format!("{there}; {wanted} wanted"));
    if let Some(reason) = folder.refused() {
        table.row("not taken", one_line(&reason));
    }
    table.row("logs", folder.logs().display());
    table.text()
}

/// A reason may hold the last lines of a log.
fn one_line(reason: &str) -> String {
    reason.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

fn state(task: &Task) -> String {
    if task.is_running() {
        return format!("running on {}, {} left", task.node, task.left);
    }
    short(task)
}

fn short(task: &Task) -> String {
    let state = task.state.to_lowercase();
    if task.is_pending() { format!("{state} ({})", task.reason) } else { state }
}
