//! `tributary slurm scale`: more or fewer actors, while the run goes on.

use clap::Args;

use super::{RunOptions, crew, scheduler};
use crate::error::CommandError;
use crate::output;

/// Changes the number of actors of a run that goes on
///
/// More are submitted with the options of launch; of too many, those that wait in the queue are cancelled
/// first, then the youngest, which send what they have finished.
#[derive(Args)]
pub(super) struct Options {
    #[command(flatten)]
    run: RunOptions,
    /// How many there should be
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=4096))]
    actors: u16,
}

/// Writes the number down, and makes it so.
pub(super) async fn run(options: &Options) -> Result<(), CommandError> {
    let folder = options.run.folder()?;
    if let Some(reason) = folder.over() {
        let reason = format!("is over: {reason}; see tributary slurm resume");
        return Err(CommandError::RunDirectory { path: folder.run, reason });
    }
    folder.want(options.actors.into())?;
    folder.forgive();
    let launched = &folder.launched;
    let tasks = scheduler::tasks(&[launched.actor_job(), launched.learner_job()]).await?;
    let (actors, learners): (Vec<_>, Vec<_>) =
        tasks.into_iter().partition(|task| task.name == launched.actor_job());
    let change = crew::change(options.actors.into(), &actors);
    let done = crew::make(&change, &folder).await?;
    if learners.is_empty() {
        eprintln!("warning: the learner's job is not in the queue; see tributary slurm status");
    }
    let done = done.unwrap_or_else(|| "they are there already".to_owned());
    output::print(&format!("{} actors are wanted: {done}\n", options.actors))
}
