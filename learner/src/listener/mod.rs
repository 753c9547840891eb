//! Connections for gRPC and HTTP: accepted, counted, with TLS, admitted by their first allowed call.
//!
//! Nothing of a peer is believed before its TLS handshake, and nothing is done for it before
//! [`guard`] allows a call. `docs/security.md` says what is kept out.

mod connection;
pub mod connections;
pub mod files;
pub mod guard;
pub mod tls;

use std::convert::Infallible;
use std::io::{Error, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tributary_proto::limits;

use connection::Stream;
pub use connection::{Connection, Peer};
use connections::{Connections, Ticket};

/// Connections that are ready for the server.
const READY: usize = 16;

/// A listening port and what it asks of connections.
pub struct Listener {
    socket: TcpListener,
    tls: Option<TlsAcceptor>,
    connections: Arc<Connections>,
    /// Time that open calls have once it has stopped.
    last_calls: Duration,
}

impl Listener {
    /// With TLS, if there is a configuration.
    pub fn new(
        socket: TcpListener,
        tls: Option<Arc<rustls::ServerConfig>>,
        connections: Arc<Connections>,
    ) -> Self {
        let (tls, last_calls) = (tls.map(TlsAcceptor::from), limits::SHUTDOWN_TIMEOUT);
        Self { socket, tls, connections, last_calls }
    }

    /// Accepts until `stop`; connections come out once their handshake is done. Those that are still there
    /// a while after `stop` are cut off: a peer that stands still keeps nobody waiting.
    pub fn accept(self, stop: CancellationToken) -> mpsc::Receiver<Connection> {
        let (ready, connections) = mpsc::channel(READY);
        tokio::spawn(async move {
            let cut = CancellationToken::new();
            stop.run_until_cancelled(self.run(&stop, &cut, ready)).await;
            drop(self.socket);
            sleep(self.last_calls).await;
            cut.cancel();
        });
        connections
    }

    /// The same as a stream.
    pub fn incoming(
        self,
        stop: CancellationToken,
    ) -> impl tokio_stream::Stream<Item = Result<Connection, Infallible>> {
        ReceiverStream::new(self.accept(stop)).map(Ok)
    }

    async fn run(
        &self,
        stop: &CancellationToken,
        cut: &CancellationToken,
        ready: mpsc::Sender<Connection>,
    ) {
        let mut failures = 0;
        loop {
            let stream = match self.socket.accept().await {
                Ok((stream, _)) => stream,
                // The peer left before it was accepted: nothing to wait for.
                Err(error) if is_of_one_connection(&error) => continue,
                Err(error) => {
                    let wait = back_off(failures);
                    if failures == 0 {
                        tracing::warn!(%error, "connections cannot be accepted; trying again");
                    }
                    failures += 1;
                    sleep(wait).await;
                    continue;
                }
            };
            failures = 0;
            let accepted = Instant::now();
            // Small messages, acks above all, must not wait for more.
            let _ = stream.set_nodelay(true);
            let Some(ticket) = self.connections.enter(stop.child_token()) else { continue };
            let (tls, ready, cut) = (self.tls.clone(), ready.clone(), cut.clone());
            tokio::spawn(async move {
                if let Some(connection) = shake_hands(stream, tls, ticket, accepted, cut).await {
                    // Fails only when the server has stopped.
                    let _ = ready.send(connection).await;
                }
            });
        }
    }
}

async fn shake_hands(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    ticket: Ticket,
    accepted: Instant,
    cut: CancellationToken,
) -> Option<Connection> {
    let Some(tls) = tls else {
        let peer = Peer { certificate: None, ticket: Arc::new(ticket) };
        let (stream, patience) = (Stream::Plain(stream), limits::PLAIN_ADMISSION_TIMEOUT);
        return Some(Connection::new(stream, peer, accepted, patience, cut));
    };
    let handshake = timeout(limits::HANDSHAKE_TIMEOUT, tls.accept(stream));
    let stream = match ticket.end().run_until_cancelled(handshake).await? {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(%error, "no TLS handshake");
            return None;
        }
        Err(_) => return None,
    };
    let certificate = tls::certified_name(stream.get_ref().1);
    let peer = Peer { certificate, ticket: Arc::new(ticket) };
    let stream = Stream::Tls(Box::new(stream));
    Some(Connection::new(stream, peer, accepted, limits::ADMISSION_TIMEOUT, cut))
}

fn is_of_one_connection(error: &Error) -> bool {
    use ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Doubles with each failure in a row, and is shortened by up to a half at random, so that several
/// listeners that ran out of files do not try together.
fn back_off(failures: u32) -> Duration {
    let longest = limits::ACCEPT_BACK_OFF_BASE
        .saturating_mul(1 << failures.min(16))
        .min(limits::ACCEPT_BACK_OFF_CAP);
    let share = f64::from(crate::entropy::byte()) / 255.0;
    longest.mul_f64(1.0 - share / 2.0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::io::AsyncReadExt as _;
    use tributary_proto::access::Role;

    use super::*;
    use connections::Bounds;

    #[tokio::test]
    async fn a_peer_that_stands_still_is_cut_off_after_the_end_and_not_before() {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let connections = Arc::new(Connections::new(Bounds::of_http()));
        let listener = Listener::new(socket, None, connections);
        let listener = Listener { last_calls: Duration::ZERO, ..listener };
        let stop = CancellationToken::new();
        let mut accepted = listener.accept(stop.clone());
        let _peer = TcpStream::connect(address).await.unwrap();
        let mut connection = accepted.recv().await.unwrap();
        connection.peer().ticket.admit(Role::Actor, None).unwrap();
        let mut byte = [0];
        let early = timeout(Duration::from_millis(50), connection.read(&mut byte)).await;
        assert!(early.is_err(), "{early:?}");
        stop.cancel();
        let end = timeout(Duration::from_secs(30), connection.read(&mut byte)).await.unwrap();
        assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionAborted);
    }

    #[test]
    fn waits_after_failures_grow_to_their_cap() {
        for failures in [0, 1, 5, 40, u32::MAX] {
            let wait = back_off(failures);
            assert!(wait >= limits::ACCEPT_BACK_OFF_BASE / 2, "{failures}: {wait:?}");
            assert!(wait <= limits::ACCEPT_BACK_OFF_CAP, "{failures}: {wait:?}");
        }
        assert!(back_off(40) >= limits::ACCEPT_BACK_OFF_CAP / 2);
    }
}
