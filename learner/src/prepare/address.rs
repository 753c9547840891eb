//! Where a learner listens: as it is told, or where its run's learner listened before, so that actors
//! that are still there find it.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use crate::error::LearnerError;

/// In the run directory.
pub(super) const FILE: &str = "address.json";
/// A free port of this machine.
const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// How long a port of before may still be in use: by a connection that is just ending, or by an actor
/// whose own end of a connection happens to have it.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);

/// What `address.json` says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct AddressFile {
    pub(super) schema: u32,
    /// For actors and commands.
    pub(super) grpc: String,
    /// For readers of figures.
    pub(super) http: String,
    pub(super) pid: u32,
    /// Where the learner's next start listens again.
    pub(super) listen: Option<Listen>,
}

/// Addresses as they were bound.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Listen {
    pub(super) grpc: SocketAddr,
    pub(super) http: SocketAddr,
}

/// Where to listen.
#[derive(Debug)]
pub(super) struct Addresses {
    pub(super) grpc: SocketAddr,
    pub(super) http: SocketAddr,
    /// Where the run's learner listened before, if it is told nothing else.
    before: Option<Listen>,
    /// Whether it spoke TLS there.
    pub(super) spoke_tls: bool,
    patience: Duration,
}

impl Addresses {
    /// As given; else as in the run directory; else a free port.
    pub(super) fn choose(
        grpc: Option<SocketAddr>,
        http: Option<SocketAddr>,
        run_directory: Option<&Path>,
    ) -> Self {
        let text = run_directory.and_then(|path| fs::read(path.join(FILE)).ok());
        let file: Option<AddressFile> = text.and_then(|text| serde_json::from_slice(&text).ok());
        let spoke_tls = file.as_ref().is_some_and(|file| file.grpc.starts_with("https"));
        let before = file.and_then(|file| file.listen);
        Self {
            grpc: grpc.or(before.map(|before| before.grpc)).unwrap_or(ANY),
            http: http.or(before.map(|before| before.http)).unwrap_or(ANY),
            before,
            spoke_tls,
            patience: PATIENCE,
        }
    }

    /// Takes the addresses.
    pub(super) async fn listen(&self) -> Result<(TcpListener, TcpListener), LearnerError> {
        let (grpc, http) = (self.grpc, self.http);
        let before = self.before;
        Ok((
            self.bind(grpc, before.is_some_and(|before| before.grpc == grpc)).await?,
            self.bind(http, before.is_some_and(|before| before.http == http)).await?,
        ))
    }

    async fn bind(
        &self,
        address: SocketAddr,
        is_of_before: bool,
    ) -> Result<TcpListener, LearnerError> {
        let start = Instant::now();
        loop {
            let source = match TcpListener::bind(address).await {
                Ok(listener) => return Ok(listener),
                Err(source) => source,
            };
            if !is_of_before || source.kind() != io::ErrorKind::AddrInUse {
                return Err(LearnerError::Listen { address, source });
            }
            if start.elapsed() > self.patience {
                return Err(LearnerError::ListenAgain { address, source });
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// How a client on this machine reaches a listener.
pub(super) fn url(scheme: &str, mut address: SocketAddr) -> String {
    // All addresses of this machine: it reaches itself by this one.
    match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    format!("{scheme}://{address}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn a_later_start_listens_where_the_one_before_it_did() {
        let folder = tempfile::tempdir().unwrap();
        let (grpc, http) = Addresses::choose(None, None, None).listen().await.unwrap();
        let listen = Listen { grpc: grpc.local_addr().unwrap(), http: http.local_addr().unwrap() };
        let (url, listen_http) = (url("https", listen.grpc), listen.http);
        let file =
            AddressFile { schema: 1, grpc: url, http: String::new(), pid: 1, listen: Some(listen) };
        fs::write(folder.path().join(FILE), serde_json::to_vec(&file).unwrap()).unwrap();

        let again =
            Addresses { patience: PAUSE, ..Addresses::choose(None, None, Some(folder.path())) };
        assert_eq!((again.grpc, again.http), (listen.grpc, listen.http));
        assert!(again.spoke_tls);
        let error = again.listen().await.unwrap_err();
        assert_eq!(error.exit_code(), 75);
        let text = error.to_string();
        assert!(text.contains("learner listened before") && text.contains("--listen"), "{text}");
        drop((grpc, http));
        let (grpc, http) = again.listen().await.unwrap();
        assert_eq!(
            (grpc.local_addr().unwrap(), http.local_addr().unwrap()),
            (listen.grpc, listen_http)
        );

        let elsewhere = Addresses::choose(Some(ANY), None, Some(folder.path()));
        assert_eq!((elsewhere.grpc, elsewhere.http), (ANY, listen.http));
        fs::write(folder.path().join(FILE), b"{}").unwrap();
        assert_eq!(Addresses::choose(None, None, Some(folder.path())).grpc, ANY);
    }

    #[test]
    fn all_addresses_are_reached_by_the_machine_s_own() {
        assert_eq!(url("http", "0.0.0.0:7".parse().unwrap()), "http://127.0.0.1:7");
        assert_eq!(url("http", "[::]:7".parse().unwrap()), "http://[::1]:7");
        assert_eq!(url("https", "10.0.0.1:7".parse().unwrap()), "https://10.0.0.1:7");
    }
}
