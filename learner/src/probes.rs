//! A port for whoever keeps this process running, like Kubernetes: whether it lives and gets on, in one word, without
//! TLS and without a token, which such programs cannot show. `/healthz`, `/readyz` and the standard gRPC health
//! service; nothing else is there.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tributary_proto::limits;

use crate::error::LearnerError;
use crate::figures::Board;
use crate::listener::Listener;
use crate::listener::connections::{Bounds, Connections};
use crate::watchdog::Readiness;

/// What the process is at.
#[derive(Clone, Debug)]
enum Phase {
    Starting,
    Running(Arc<Board>),
    /// The run is over, the process stays.
    Over,
}

/// Answers probes until it is dropped.
#[derive(Debug)]
pub struct Probes {
    phase: watch::Sender<Phase>,
    _serving: AbortOnDropHandle<()>,
    #[cfg(test)]
    address: SocketAddr,
}

impl Probes {
    /// Listens; until [`Self::running`] the process neither lives nor is ready.
    ///
    /// # Errors
    /// An address that cannot be listened on.
    pub async fn listen(address: SocketAddr) -> Result<Self, LearnerError> {
        let failed = |source| LearnerError::Listen { address, source };
        let socket = TcpListener::bind(address).await.map_err(failed)?;
        #[cfg(test)]
        let address = socket.local_addr().map_err(failed)?;
        let (phase, seen) = watch::channel(Phase::Starting);
        let _serving = AbortOnDropHandle::new(tokio::spawn(serve(socket, seen)));
        Ok(Self {
            phase,
            _serving,
            #[cfg(test)]
            address,
        })
    }

    /// This is looked at from now on.
    pub fn running(&self, board: Arc<Board>) {
        self.phase.send_replace(Phase::Running(board));
    }

    /// The process lives on without a run.
    pub fn over(&self) {
        self.phase.send_replace(Phase::Over);
    }
}

type Seen = watch::Receiver<Phase>;

async fn serve(socket: TcpListener, seen: Seen) {
    let (reporter, health_service) = tonic_health::server::health_reporter();
    let _following = AbortOnDropHandle::new(tokio::spawn(follow(seen.clone(), reporter)));
    let pages = Router::new()
        .route("/healthz", get(async |State(seen): State<Seen>| answer(is_alive(&seen))))
        .route("/readyz", get(async |State(seen): State<Seen>| answer(is_ready(&seen))))
        .with_state(seen);
    let routes = Routes::new(health_service).into_axum_router().merge(pages);
    let routes = Routes::from(routes.fallback(async || StatusCode::NOT_FOUND));
    // No connection is ever admitted: each ends after `limits::PLAIN_ADMISSION_TIMEOUT`.
    let connections = Arc::new(Connections::new(Bounds::of_http()));
    let incoming = Listener::new(socket, None, connections).incoming(CancellationToken::new());
    let server = limits::server(Server::builder()).accept_http1(true).add_routes(routes);
    if let Err(error) = server.serve_with_incoming(incoming).await {
        tracing::warn!(%error, "probes are no longer answered");
    }
}

/// The reason is for those who may know it: it is on the pages that ask for a token.
fn answer(is_well: bool) -> (StatusCode, &'static str) {
    if is_well { (StatusCode::OK, "ok\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "no\n") }
}

fn is_alive(seen: &Seen) -> bool {
    match &*seen.borrow() {
        Phase::Starting => false,
        Phase::Running(board) => board.vitals().dead_for().is_none(),
        Phase::Over => true,
    }
}

fn is_ready(seen: &Seen) -> bool {
    match &*seen.borrow() {
        Phase::Running(board) => *board.vitals().readiness().borrow() == Readiness::Ready,
        Phase::Starting | Phase::Over => false,
    }
}

/// Lets the gRPC service say what `/readyz` says.
async fn follow(mut seen: Seen, health: HealthReporter) {
    loop {
        let status =
            if is_ready(&seen) { ServingStatus::Serving } else { ServingStatus::NotServing };
        health.set_service_status("", status).await;
        let phase = seen.borrow_and_update().clone();
        let readiness = match phase {
            Phase::Running(board) => Some(board.vitals().readiness()),
            Phase::Starting | Phase::Over => None,
        };
        let readiness_changed = async {
            if let Some(mut readiness) = readiness
                && readiness.changed().await.is_ok()
            {
                return;
            }
            std::future::pending().await
        };
        tokio::select! {
            changed = seen.changed() => if changed.is_err() { return },
            () = readiness_changed => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::time::timeout;
    use tonic::transport::Endpoint;
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_client::HealthClient;

    /// The status code of a page, over HTTP/1.1 as probes speak it.
    async fn page(address: SocketAddr, path: &str) -> u16 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text.split(' ').nth(1).unwrap().parse().unwrap()
    }

    async fn status(address: SocketAddr) -> i32 {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        let mut client = HealthClient::new(endpoint.connect().await.unwrap());
        let request = HealthCheckRequest { service: String::new() };
        client.check(request).await.unwrap().into_inner().status
    }

    /// `/healthz`, `/readyz` and what gRPC says, which may come a moment later.
    async fn expect(address: SocketAddr, alive: u16, ready: u16) {
        let serving = if ready == 200 { 1 } else { 2 };
        let seen = timeout(Duration::from_secs(30), async {
            while status(address).await != serving {
                tokio::task::yield_now().await;
            }
            [page(address, "/healthz").await, page(address, "/readyz").await]
        });
        assert_eq!(seen.await.unwrap(), [alive, ready]);
    }

    #[tokio::test]
    async fn probes_follow_the_run_and_show_nothing_else() {
        let probes = Probes::listen(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = probes.address;
        expect(address, 503, 503).await;
        let board = Arc::new(Board::default());
        probes.running(Arc::clone(&board));
        expect(address, 200, 200).await;
        board.vitals().looked(Readiness::NotReady("stalled".to_owned()));
        expect(address, 200, 503).await;
        board.vitals().looked(Readiness::Ready);
        expect(address, 200, 200).await;
        probes.over();
        expect(address, 200, 503).await;
        for path in ["/metrics", "/", "/tributary.v1.Control/Status"] {
            let code = page(address, path).await;
            assert!((400..500).contains(&code), "{path}: {code}");
        }
    }
}
