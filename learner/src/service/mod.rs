//! The learner's gRPC services: thin, they translate between the wire and the rest.

mod assets;
mod control;
mod session;
mod sessions;
mod weights;

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::{broadcast, mpsc};
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::codegen::Bytes;
use tonic::transport::Server;
use tributary_common::ids::{Incarnation, RunId};
use tributary_common::network::Network;
use tributary_common::run_file::RunFile;
use tributary_common::session::refusal::Fingerprints;
use tributary_proto::convert::learner::Asset;
use tributary_proto::limits;

use crate::ingest::Arrival;
use crate::ledger_writer::Committer;
use crate::publish::Newest;
use crate::record::Record;
use crate::roster::Roster;
use crate::view::Observer;

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

/// What the services work with.
#[derive(Clone)]
pub struct ServiceDeps {
    /// The run.
    pub facts: Arc<RunFacts>,
    /// Its actors.
    pub roster: Arc<Roster>,
    /// To ingest.
    pub arrivals: mpsc::Sender<Arrival>,
    /// To the ledger of a durable run.
    pub committer: Option<Committer>,
    /// The newest weights.
    pub newest: Newest,
    /// For status.
    pub observer: Observer,
    /// For watchers.
    pub records: broadcast::Sender<Arc<Record>>,
    /// Asks the program to end the run; the reason goes with it.
    pub drain: mpsc::Sender<String>,
    /// Ends all streams.
    pub stop: CancellationToken,
}

/// Serves all services on a listener until `deps.stop`, then for the time that open calls need.
///
/// # Errors
/// The transport's.
pub async fn serve(
    listener: TcpListener,
    deps: ServiceDeps,
) -> Result<(), tonic::transport::Error> {
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_service_status("", tonic_health::ServingStatus::Serving).await;
    let stop = deps.stop.clone();
    limits::server(Server::builder())
        .add_service(health_service)
        .add_service(limits::sessions_server(sessions::SessionsService::new(deps.clone())))
        .add_service(limits::weights_server(weights::WeightsService::new(deps.clone())))
        .add_service(limits::assets_server(assets::AssetsService::new(&deps)))
        .add_service(limits::control_server(control::ControlService::new(deps)))
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), stop.cancelled_owned())
        .await
}
