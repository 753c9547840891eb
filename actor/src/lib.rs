//! Tributary's actor: draws trajectories with the learner's newest weights, pays for their rewards
//! and streams both up.
//!
//! [`run`] is a whole actor; it needs nothing but the learner's address. A trajectory walks `drawing`
//! -> [`scoring`] (where programs outside measure: `desk`) -> `link`, joined by bounded channels in
//! [`pipeline`]; weights walk `weights` ->
//! [`newest`] -> `drawing`.

#![forbid(unsafe_code)]

mod claiming;
mod columns;
mod data_files;
mod desk;
mod drawing;
pub mod error;
#[cfg(test)]
mod fakes;
pub mod gate;
mod known;
mod link;
pub mod metrics;
pub mod newest;
pub mod oracle;
pub mod orders;
pub mod outside;
pub mod pipeline;
pub mod progress;
pub mod scoring;
mod search;
pub mod shared;
mod signals;
pub mod spool;
mod stay;
pub mod surroundings;
mod watchdog;
mod weights;
mod workers;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tributary_common::registry::Registry;
use tributary_proto::credentials::Credentials;

pub use error::ActorError;
use metrics::ActorMetrics;
pub use outside::Commands;
pub use spool::SpoolConfig;
use surroundings::Surroundings;

/// What an actor is told by its user.
#[derive(Clone, Debug)]
pub struct ActorConfig {
    /// Where the learner is: `http://HOST:PORT` or `https://HOST:PORT`.
    pub learner: String,
    /// How it shows who it is.
    pub credentials: Credentials,
    /// For people; need not be unique.
    pub name: String,
    /// Rollout threads; the run file's number if not given.
    pub threads: Option<usize>,
    /// Where data files of runs are kept: actors on one machine may share it.
    pub cache: PathBuf,
    /// Where it keeps what is not acked of a durable run; none: nowhere.
    pub spool: Option<SpoolConfig>,
    /// How commands of the run file are started, if they may be.
    pub commands: Option<Commands>,
}

/// How to end an actor from outside.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// Start no trajectory, finish and send what is in flight, wait for its acks, say goodbye.
    pub drain: CancellationToken,
    /// End at once.
    pub now: CancellationToken,
}

/// How an actor ended well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Why, for people.
    pub reason: String,
    /// Trajectories that the learner took care of.
    pub acked: u64,
    /// Finished trajectories that it did not ack in time: lost, or in a durable run left in the
    /// spool for the next actor.
    pub unacked: u64,
}

/// Runs an actor until it is drained, by the learner or by `shutdown`.
///
/// # Errors
/// Whatever keeps the actor from working; [`ActorError::exit_code`] says what to tell the system.
pub async fn run(
    config: ActorConfig,
    registry: Registry,
    shutdown: Shutdown,
) -> Result<Outcome, ActorError> {
    run_in(config, registry, shutdown, Surroundings::default()).await
}

/// As [`run`], in other surroundings than a process of its own.
///
/// # Errors
/// As [`run`].
pub async fn run_in(
    config: ActorConfig,
    registry: Registry,
    shutdown: Shutdown,
    surroundings: Surroundings,
) -> Result<Outcome, ActorError> {
    link::Link::new(config, registry, shutdown, surroundings)?.run().await
}

/// As [`run`], on a runtime of its own; SIGTERM or SIGINT drains, the second one ends at once. With an address for
/// `metrics` it is shown there.
///
/// # Errors
/// As [`run`].
pub fn run_until_signal(
    config: ActorConfig,
    registry: Registry,
    metrics: Option<SocketAddr>,
) -> Result<Outcome, ActorError> {
    on_a_runtime(metrics, async |shutdown, shown| {
        run_in(config, registry, shutdown, surroundings_of(shown)).await
    })
}

/// As [`run_until_signal`], but neither the end of a run nor a learner that is not there ends it: it waits for the
/// next one, for as long as it is left to.
///
/// # Errors
/// As [`run`], but for what another try may mend.
pub fn stay_until_signal(
    config: ActorConfig,
    registry: Registry,
    metrics: Option<SocketAddr>,
) -> Result<Outcome, ActorError> {
    on_a_runtime(metrics, async |shutdown, shown| {
        stay::stay(config, registry, shutdown, || surroundings_of(shown)).await
    })
}

/// Those of an actor of this process, which is shown from now on.
fn surroundings_of(shown: Option<&ActorMetrics>) -> Surroundings {
    let surroundings = Surroundings::default();
    if let Some(shown) = shown {
        shown.show(Arc::clone(&surroundings.progress));
    }
    surroundings
}

fn on_a_runtime(
    metrics: Option<SocketAddr>,
    work: impl AsyncFnOnce(Shutdown, Option<&ActorMetrics>) -> Result<Outcome, ActorError>,
) -> Result<Outcome, ActorError> {
    let system = |action| move |source| ActorError::System { action, source };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(4)
        .thread_name("actor-io")
        .enable_all()
        .build()
        .map_err(system("start the runtime"))?;
    let result = runtime.block_on(async {
        let shutdown = signals::shutdown().map_err(system("listen to signals"))?;
        let shown = match metrics {
            Some(address) => Some(ActorMetrics::listen(address).await?),
            None => None,
        };
        work(shutdown, shown.as_ref()).await
    });
    // A reward that still measures must not hold up the end of the process.
    runtime.shutdown_background();
    result
}
