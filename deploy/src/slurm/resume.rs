//! `tributary slurm resume`: a run that was stopped, or whose learner gave up, goes on.

use clap::Args;

use super::launch::{page, submit};
use super::{RunOptions, scheduler};
use crate::error::CommandError;
use crate::output;

/// Goes on with a run that was stopped or gave up, from its newest checkpoint and its ledger
#[derive(Args)]
pub(super) struct Options {
    #[command(flatten)]
    run: RunOptions,
    /// How many actors [default: as many as before]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=4096))]
    actors: Option<u16>,
}

/// Submits it again, with the options of its launch.
pub(super) async fn run(options: &Options) -> Result<(), CommandError> {
    let folder = options.run.folder()?;
    let launched = &folder.launched;
    let names = [launched.learner_job(), launched.actor_job()];
    if let Some(task) = scheduler::tasks(&names).await?.first() {
        let reason = format!("is still in the queue with job {}: tributary slurm status", task.id);
        return Err(CommandError::RunDirectory { path: folder.run, reason });
    }
    let actors = options.actors.map_or_else(|| folder.wanted(), |actors| Ok(actors.into()))?;
    let over = folder.over();
    folder.want(actors)?;
    folder.forgive();
    folder.reopen()?;
    match submit(actors, &folder).await {
        Ok(jobs) => output::print(&page(actors, &folder.run, &jobs)),
        Err(error) => {
            folder.end(over.as_deref().unwrap_or("its jobs were not taken"))?;
            Err(error)
        }
    }
}
