//! `tributary slurm stop`: an orderly end, after which nothing of the run is in the queue.

use std::time::Duration;

use clap::Args;
use tokio::time::{Instant, sleep};

use super::RunOptions;
use super::folder::Folder;
use super::scheduler::{self, Task};
use crate::control::Control;
use crate::credentials::{CredentialOptions, Target};
use crate::error::CommandError;
use crate::output;

/// Between two looks at the queue.
const LOOK: Duration = Duration::from_secs(1);

/// Ends a run in good order: the actors hand in what they have, the learner saves a checkpoint
#[derive(Args)]
pub(super) struct Options {
    #[command(flatten)]
    run: RunOptions,
    /// What has not ended by itself after so many seconds is cancelled
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    patience: u16,
}

/// Ends it, and waits until nothing is left.
pub(super) async fn run(options: &Options) -> Result<(), CommandError> {
    let folder = options.run.folder()?;
    folder.end("it was stopped by its user")?;
    let learner = folder.launched.learner_job();
    let names = [learner.clone(), folder.launched.actor_job()];
    let deadline = Instant::now() + Duration::from_secs(options.patience.into());
    let tasks = scheduler::tasks(&names).await?;
    if tasks.iter().any(|task| task.name == learner && task.is_running()) {
        scheduler::cancel(&ids(&tasks, Task::is_pending)).await?;
        if let Err(error) = ask(&folder).await {
            eprintln!("the learner cannot be asked ({error}); its job is cancelled");
            scheduler::cancel(&ids(&tasks, |task| task.name == learner)).await?;
        }
    } else {
        scheduler::cancel(&ids(&tasks, |_| true)).await?;
    }
    let mut is_cancelled = false;
    loop {
        let tasks = scheduler::tasks(&names).await?;
        if tasks.is_empty() {
            let run = folder.run.display();
            return output::print(&format!("stopped: nothing of {run} is in the queue\n"));
        }
        // Without its learner an actor has nothing to hand in.
        let no_learner = tasks.iter().all(|task| task.name != learner);
        let is_late = Instant::now() > deadline;
        if (no_learner || is_late) && !is_cancelled {
            scheduler::cancel(&ids(&tasks, |_| true)).await?;
            is_cancelled = true;
        }
        if Instant::now() > deadline + Duration::from_secs(60) {
            let reason = format!("{} tasks do not end", tasks.len());
            return Err(CommandError::Slurm { program: "scancel".to_owned(), reason });
        }
        sleep(LOOK).await;
    }
}

/// Asks the learner to end.
pub(super) async fn ask(folder: &Folder) -> Result<(), CommandError> {
    let target = target(folder)?;
    Control::connect(&target).await?.drain("tributary slurm stop").await
}

/// The learner that runs, and what shows it who asks.
pub(super) fn target(folder: &Folder) -> Result<Target, CommandError> {
    let credentials = CredentialOptions::of_folder(&folder.credentials("control")).read()?;
    Target::of_run(&folder.run, credentials)
}

fn ids(tasks: &[Task], which: impl Fn(&Task) -> bool) -> Vec<String> {
    tasks.iter().filter(|task| which(task)).map(|task| task.id.clone()).collect()
}
