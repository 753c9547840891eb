//! What an actor takes from the process and machine around it, so that another one can be put in
//! their place: a simulated network, trajectories made by a task instead of threads.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tonic::codegen::BoxFuture;
use tonic::transport::{self, Channel, Endpoint};
use tributary_proto::credentials::{Dialer, Line};

use crate::error::ActorError;
use crate::gate::Gate;
use crate::newest::Newest;
use crate::pipeline::{Order, Pipeline};
use crate::progress::Progress;

/// Opens a connection to an endpoint.
pub type Connect = Arc<dyn Fn(Endpoint) -> BoxFuture<Channel, transport::Error> + Send + Sync>;

/// Starts what makes an order's records.
pub type Start = Arc<dyn Fn(&Order, &Works<'_>) -> Result<Pipeline, ActorError> + Send + Sync>;

/// What makers of records work with.
pub struct Works<'a> {
    /// The newest weights.
    pub newest: &'a Arc<Newest>,
    /// Where work is counted.
    pub progress: &'a Arc<Progress>,
    /// Cancelled when no trajectory is to be started any more.
    pub stop: &'a CancellationToken,
    /// Shut while no reward is to be paid for.
    pub gate: &'a Arc<Gate>,
}

/// Network, chance and threads. By default those of the operating system.
#[derive(Clone)]
pub struct Surroundings {
    /// How connections are opened.
    pub connect: Connect,
    /// How work is started.
    pub start: Start,
    /// Seeds the jitter of waits between connections: another number in each process.
    pub jitter: u64,
    /// Where the actor is counted.
    pub progress: Arc<Progress>,
}

impl Surroundings {
    pub(crate) async fn connect(&self, dialer: &Dialer) -> Result<Line, transport::Error> {
        dialer.connect_by(|endpoint| (self.connect)(endpoint)).await
    }

    pub(crate) fn start(&self, order: &Order, works: &Works<'_>) -> Result<Pipeline, ActorError> {
        (self.start)(order, works)
    }
}

impl Default for Surroundings {
    fn default() -> Self {
        let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos() as u64;
        Self {
            connect: Arc::new(|endpoint| Box::pin(async move { endpoint.connect().await })),
            start: Arc::new(Pipeline::start),
            jitter: now ^ u64::from(std::process::id()).rotate_left(32),
            progress: Arc::default(),
        }
    }
}
