//! `tributary slurm actor RUN_DIR` (not for people): what a task of the actors' array does.
//!
//! It goes to the learner that the run directory names, and to the next one when that has moved to another
//! machine. It ends when the run is over, when Slurm wants its place back, or when no learner comes.

use std::env;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::runtime;
use tokio::time::{Instant, sleep};
use tributary_actor::metrics::ActorMetrics;
use tributary_actor::surroundings::{Connect, Surroundings};
use tributary_actor::{ActorConfig, ActorError, Shutdown, SpoolConfig, run_in};
use tributary_common::registry::Registry;
use tributary_common::session::refusal::RefusalCode;
use tributary_proto::credentials::Credentials;

use super::folder::Folder;
use super::place::Place;
use super::signals::Signals;
use super::targets::Listed;
use crate::credentials::{Address, CredentialOptions};
use crate::error::{CommandError, TRY_AGAIN};
use crate::{actor, guard, log};

/// Between two looks at the run directory.
const LOOK: Duration = Duration::from_secs(2);
/// How long a task waits for a learner: one that was requeued comes back after about two minutes. Later ones find
/// actors that their own job submits.
const PATIENCE: Duration = Duration::from_secs(600);

/// With so much in its spool an actor pauses.
const SPOOL_BYTES: u64 = 256 << 20;

/// Draws trajectories as a task of a job array
#[derive(Args)]
#[command(hide = true)]
pub(super) struct Options {
    /// The run directory
    #[arg(value_name = "RUN_DIR")]
    run: PathBuf,
}

/// Works until the run is over or the place is wanted.
pub(super) fn run(options: &Options, registry: Registry) -> Result<(), CommandError> {
    log::to_stderr("info");
    let folder = Folder::open(&options.run)?;
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(4)
        .thread_name("actor-io")
        .enable_all()
        .build()
        .map_err(CommandError::system("start the runtime"))?;
    let result = runtime.block_on(async {
        let mut signals = Signals::new()?;
        let shutdown = Shutdown::default();
        let drain = shutdown.drain.clone();
        // Slurm sends SIGTERM more than once and SIGKILL when it means it: a second signal changes nothing.
        tokio::spawn(async move {
            signals.end().await;
            drain.cancel();
        });
        work(&folder, &registry, &shutdown).await
    });
    // A reward that still measures must not hold up the end of the process.
    runtime.shutdown_background();
    result
}

async fn work(
    folder: &Folder,
    registry: &Registry,
    shutdown: &Shutdown,
) -> Result<(), CommandError> {
    let credentials = CredentialOptions::of_folder(&folder.credentials("actor-1")).read()?;
    let shown = if folder.launched.metrics { show(folder).await } else { None };
    let mut before = None;
    loop {
        let Some(address) = next_learner(folder, before.as_ref(), shutdown).await? else {
            return Ok(());
        };
        let config = config(&address.grpc, &credentials)?;
        let connect = follow(folder.clone(), credentials.clone());
        let surroundings = Surroundings { connect, ..Surroundings::default() };
        if let Some((shown, _)) = &shown {
            shown.show(Arc::clone(&surroundings.progress));
        }
        match run_in(config, registry.clone(), shutdown.clone(), surroundings).await {
            Ok(outcome) => {
                let (acked, unacked) = (outcome.acked, outcome.unacked);
                tracing::info!(acked, unacked, "{}", outcome.reason);
                // The next of them may be after what this one had finished.
                before = Address::read(&folder.run).ok();
            }
            Err(error) => {
                if is_for_ever(&error) {
                    folder.refuse(&error.to_string())?;
                }
                return Err(error.into());
            }
        }
    }
}

/// Shows /metrics at a free port, and lists it. An actor works without, too.
async fn show(folder: &Folder) -> Option<(ActorMetrics, Listed)> {
    let show = async || -> Result<(ActorMetrics, Listed), CommandError> {
        let place = Place::here().await?;
        let shown = ActorMetrics::listen(([0, 0, 0, 0], 0).into()).await?;
        let target = format!("{}:{}", place.host, shown.address.port());
        let listed = Listed::actor(folder, &task(), &target)?;
        Ok((shown, listed))
    };
    show().await.map_err(|error| tracing::warn!("no metrics are shown: {error}")).ok()
}

/// As Slurm's queue names it: "18_3".
fn task() -> String {
    let variable = |name| env::var(name).ok();
    match (variable("SLURM_ARRAY_JOB_ID"), variable("SLURM_ARRAY_TASK_ID")) {
        (Some(job), Some(task)) => format!("{job}_{task}"),
        _ => format!("process-{}", std::process::id()),
    }
}

/// Waits for another learner than the one before; `None` if the run is over, or this task's time.
async fn next_learner(
    folder: &Folder,
    before: Option<&Address>,
    shutdown: &Shutdown,
) -> Result<Option<Address>, CommandError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if shutdown.drain.is_cancelled() || folder.over().is_some() {
            return Ok(None);
        }
        let address = Address::read(&folder.run).ok();
        if let Some(address) = address.filter(|address| Some(address) != before) {
            return Ok(Some(address));
        }
        if Instant::now() > deadline {
            let minutes = PATIENCE.as_secs() / 60;
            let reason = format!("no learner came for {minutes} minutes");
            return Err(CommandError::Training { reason, exit_code: TRY_AGAIN });
        }
        tokio::select! {
            () = shutdown.drain.cancelled() => {}
            () = sleep(LOOK) => {}
        }
    }
}

fn config(learner: &str, credentials: &Credentials) -> Result<ActorConfig, CommandError> {
    let variable = |name| env::var(name).ok();
    // A requeued task and the processes of its former life may be connected at the same time.
    let restarts = variable("SLURM_RESTART_COUNT").filter(|count| count != "0");
    let life = restarts.map(|count| format!(" restart {count}")).unwrap_or_default();
    Ok(ActorConfig {
        learner: learner.to_owned(),
        credentials: credentials.clone(),
        name: format!("{}{life}", task()),
        threads: variable("SLURM_CPUS_PER_TASK").and_then(|cpus| cpus.parse().ok()),
        cache: actor::cache(),
        spool: Some(SpoolConfig { folder: actor::spool_folder(), limit_bytes: SPOOL_BYTES }),
        // The learner's certificate says that the user who started it started this actor, too.
        commands: Some(guard::commands()?),
    })
}

/// Connects to the learner that the run directory names now, whichever was asked for.
fn follow(folder: Folder, credentials: Credentials) -> Connect {
    Arc::new(move |asked_for| {
        let now = Address::read(&folder.run).ok();
        let now = now.and_then(|address| credentials.dialer(&address.grpc).ok());
        let endpoint = now.map_or(asked_for, |dialer| dialer.endpoint());
        Box::pin(async move { endpoint.connect().await })
    })
}

/// Another actor of this program and these credentials would fare no better.
fn is_for_ever(error: &ActorError) -> bool {
    match error {
        ActorError::Refused(refusal) => refusal.code != RefusalCode::Full,
        ActorError::Denied { .. }
        | ActorError::RunFile(_)
        | ActorError::DataFile { .. }
        | ActorError::TooLarge { .. } => true,
        _ => false,
    }
}
