//! The learner's gRPC services: thin, they translate between the wire and the rest.

mod assets;
mod control;
mod pace;
mod recorded;
mod rewards;
mod session;
mod sessions;
mod weights;

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{broadcast, mpsc, watch};
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tonic::codegen::{Bytes, StdError};
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::Connected;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tributary_common::ids::{Incarnation, RunId};
use tributary_common::network::Network;
use tributary_common::run_file::RunFile;
use tributary_common::session::refusal::Fingerprints;
use tributary_proto::convert::learner::Asset;
use tributary_proto::limits;

use crate::entropy::Entropy;
use crate::figures::CheckpointFigures;
use crate::findings::Findings;
use crate::ingest::Arrival;
use crate::keeper::Keeper;
use crate::listener::guard::Guard;
use crate::lockstep::Lockstep;
use crate::publish::Newest;
use crate::record::Record;
use crate::roster::Roster;
use crate::view::Observer;
use crate::watchdog::Readiness;

pub(crate) use control::SOFTWARE;
pub use recorded::Recorded;
pub use rewards::SharedRewards;

/// A run as its actors are told.
#[derive(Debug)]
pub struct RunFacts {
    /// Its id.
    pub run_id: RunId,
    /// This start of its learner.
    pub incarnation: Incarnation,
    /// With defaults filled in; data files by the names that actors fetch.
    pub run_file: RunFile,
    /// The data files that it names, with their contents.
    pub assets: Vec<(Asset, Bytes)>,
    /// What an actor must find, too.
    pub fingerprints: Fingerprints,
    /// The environment's kind and canonical configuration, for people.
    pub environment: String,
    /// The policy's definition.
    pub network: Arc<Network>,
}

impl RunFacts {
    /// What to know before trusting the run, in sentences.
    pub fn warnings(&self, checkpoints: &CheckpointFigures) -> Vec<String> {
        let lockstep = "in lockstep: training waits for the slowest actor, and actors for training";
        let lockstep = self.run_file.run.lockstep.then_some(lockstep);
        let of_replay = self.run_file.replay.warnings().into_iter();
        let failed = checkpoints.trouble.as_ref().map(|why| {
            let failures = checkpoints.failures;
            format!("{failures} checkpoints were not written, the older ones stay: {why}")
        });
        of_replay.chain(lockstep).map(str::to_owned).chain(failed).collect()
    }
}

/// What the services work with.
#[derive(Clone)]
pub struct ServiceDeps {
    /// The run.
    pub facts: Arc<RunFacts>,
    /// Its actors.
    pub roster: Arc<Roster>,
    /// Makes a new session last before its actor hears of it.
    pub keeper: Arc<dyn Keeper>,
    /// For secrets.
    pub entropy: Entropy,
    /// Its rounds, if it is a lockstep run.
    pub lockstep: Option<Arc<Lockstep>>,
    /// Who measures what, if rewards are shared.
    pub shared: Option<SharedRewards>,
    /// To ingest.
    pub arrivals: mpsc::Sender<Arrival>,
    /// The newest weights.
    pub newest: Newest,
    /// For status.
    pub observer: Observer,
    /// The best objects, for status.
    pub findings: Arc<Findings>,
    /// For watchers.
    pub records: broadcast::Sender<Arc<Record>>,
    /// For readers of all records.
    pub recorded: Recorded,
    /// Asks the program to end the run; the reason goes with it.
    pub drain: mpsc::Sender<String>,
    /// Ends all streams.
    pub stop: CancellationToken,
}

/// Lets the standard health service say what `/readyz` says.
async fn follow(mut readiness: watch::Receiver<Readiness>, health: HealthReporter) {
    loop {
        let status = match *readiness.borrow_and_update() {
            Readiness::Ready => ServingStatus::Serving,
            Readiness::NotReady(_) => ServingStatus::NotServing,
        };
        health.set_service_status("", status).await;
        if readiness.changed().await.is_err() {
            return;
        }
    }
}

/// Serves all services on whatever connections come in, until `deps.stop`, then for the time that
/// open calls need.
///
/// # Errors
/// The transport's.
pub async fn serve<I, C, E>(
    incoming: I,
    guard: Guard,
    deps: ServiceDeps,
) -> Result<(), tonic::transport::Error>
where
    I: Stream<Item = Result<C, E>>,
    C: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
    E: Into<StdError>,
{
    let (health, health_service) = tonic_health::server::health_reporter();
    let stop = deps.stop.clone();
    let _following = AbortOnDropHandle::new(tokio::spawn(follow(
        deps.observer.board.vitals().readiness(),
        health,
    )));
    let services = Routes::new(health_service)
        .add_service(limits::sessions_server(sessions::SessionsService::new(deps.clone())))
        .add_service(limits::weights_server(weights::WeightsService::new(deps.clone())))
        .add_service(limits::assets_server(assets::AssetsService::new(&deps)))
        .add_service(limits::rewards_server(rewards::RewardsService::new(deps.clone())))
        .add_service(limits::control_server(control::ControlService::new(deps)));
    let services = Routes::from(guard.before_calls(services.into_axum_router()));
    limits::server(Server::builder())
        .add_routes(services)
        .serve_with_incoming_shutdown(incoming, stop.cancelled_owned())
        .await
}
