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
}

impl Listener {
    /// With TLS, if there is a configuration.
    pub fn new(
        socket: TcpListener,
        tls: Option<Arc<rustls::ServerConfig>>,
        connections: Arc<Connections>,
    ) -> Self {
        Self { socket, tls: tls.map(TlsAcceptor::from), connections }
    }

    /// Accepts until `stop`; connections come out once their handshake is done.
    pub fn accept(self, stop: CancellationToken) -> mpsc::Receiver<Connection> {
        let (ready, connections) = mpsc::channel(READY);
        tokio::spawn(async move { stop.run_until_cancelled(self.run(&stop, ready)).await });
        connections
    }

    /// The same as a stream.
    pub fn incoming(
        self,
        stop: CancellationToken,
    ) -> impl tokio_stream::Stream<Item = Result<Connection, Infallible>> {
        ReceiverStream::new(self.accept(stop)).map(Ok)
    }

    async fn run(&self, stop: &CancellationToken, ready: mpsc::Sender<Connection>) {
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
            let (tls, ready) = (self.tls.clone(), ready.clone());
            tokio::spawn(async move {
                if let Some(connection) = shake_hands(stream, tls, ticket, accepted).await {
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
) -> Option<Connection> {
    let Some(tls) = tls else {
        let peer = Peer { certificate: None, ticket: Arc::new(ticket) };
        let (stream, patience) = (Stream::Plain(stream), limits::PLAIN_ADMISSION_TIMEOUT);
        return Some(Connection::new(stream, peer, accepted, patience));
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
    Some(Connection::new(stream, peer, accepted, limits::ADMISSION_TIMEOUT))
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
    use super::*;

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
