//! Every limit of the wire, with its reason, and the functions that apply them. Nobody builds a
//! server, an endpoint, a client or a service without these.

use std::time::Duration;

use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::codegen::{Body as HttpBody, Bytes, StdError};
use tonic::transport::{Endpoint, Server};

use crate::v1::assets_client::AssetsClient;
use crate::v1::assets_server::{Assets, AssetsServer};
use crate::v1::control_client::ControlClient;
use crate::v1::control_server::{Control, ControlServer};
use crate::v1::rewards_client::RewardsClient;
use crate::v1::rewards_server::{Rewards, RewardsServer};
use crate::v1::sessions_client::SessionsClient;
use crate::v1::sessions_server::{Sessions, SessionsServer};
use crate::v1::weights_client::WeightsClient;
use crate::v1::weights_server::{Weights, WeightsServer};

/// The protocol versions that this release speaks, inclusive.
pub const PROTOCOL: (u32, u32) = (1, 1);

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Any message, both ways. tonic's default for decoding; it has none for encoding.
pub const MESSAGE_BYTES: usize = 4 * MIB;
/// A message of an actor's session: what one actor can make the learner hold undecoded.
pub const SESSION_MESSAGE_BYTES: usize = 512 * KIB;
/// Credit bytes that a batch aims at. Encoded, a record takes at most 5/4 of its credit bytes, so
/// that a batch of this size or of one largest record stays within `SESSION_MESSAGE_BYTES`.
pub const BATCH_BYTES: u64 = 256 * KIB as u64;
/// Credit bytes of the largest record that a run may have.
pub const RECORD_BYTES: u64 = BATCH_BYTES;
/// Records in a batch; bounds what its columns make the learner allocate.
pub const BATCH_RECORDS: usize = 16 * KIB;
/// Raw values of one object.
pub const OUTPUTS: usize = 1024;
/// Data in a chunk of weights or of a data file: four fit into the message limit, and a slow
/// subscriber holds one.
pub const CHUNK_BYTES: usize = MIB;
/// Weights of a run: what an actor takes memory for before it has checked the hash.
pub const WEIGHTS_BYTES: u64 = 1 << 30;
/// One data file of a run.
pub const ASSET_BYTES: u64 = 4 << 30;
/// Data files of a run.
pub const ASSETS: usize = 256;
/// The run file in Welcome.
pub const RUN_FILE_BYTES: usize = MIB;
/// Names and other short texts.
pub const TEXT_BYTES: usize = KIB;
/// Epochs with leftovers in one Hello: about as many as a session message holds.
pub const LEFTOVERS: usize = 8 * KIB;
/// Keys in one question: what fits into a message of an actor.
pub const CLAIM_KEYS: usize = 12 * KIB;
/// Objects that one actor may measure or wait for at the same time; bounds what it makes the learner
/// remember, and the claims in its Hello.
pub const RUNNING_CLAIMS: usize = 4 * KIB;
/// Results in one message, whatever their bytes.
pub const RESULTS: usize = 4 * KIB;
/// Bytes that a message of results, or of answers, aims at.
pub const RESULTS_BYTES: usize = 256 * KIB;
/// How long the right to measure an object lasts unless it is renewed.
pub const LEASE: Duration = Duration::from_secs(60);
/// How long such rights outlive the stream of whoever has them.
pub const LEASE_GRACE: Duration = Duration::from_secs(10);
/// How long a restarted learner waits for the actors that it knows before it grants anything.
pub const CLAIMS_RECOVERY: Duration = Duration::from_secs(10);
/// When an actor that has asked for too much may ask again.
pub const CLAIM_AGAIN: Duration = Duration::from_secs(1);
/// Entries of the maps and lists in reports.
pub const REPORT_ENTRIES: usize = 64;

/// Streams of one connection; an actor needs four. tonic's `None` removes hyper's own bound.
pub const STREAMS: u32 = 16;
/// Headers of one request: a token and a few names.
pub const HEADER_LIST_BYTES: u32 = 16 * KIB as u32;
/// HTTP/2 frames: the smallest the standard allows.
pub const FRAME_BYTES: u32 = 16 * KIB as u32;
/// HTTP/2 windows, connection and stream: connections times this is what stalled peers can pin.
pub const WINDOW_BYTES: u32 = 256 * KIB as u32;
/// Frames and windows that a client grants its learner, whom it trusts: a chunk of weights comes in a few
/// frames and waits for no window, which would wake both sides for every 16 KiB of it.
pub const LEARNER_FRAME_BYTES: u32 = 256 * KIB as u32;
/// See [`LEARNER_FRAME_BYTES`].
pub const LEARNER_WINDOW_BYTES: u32 = MIB as u32;
/// Streams that a peer resets before they are accepted ("rapid reset").
pub const PENDING_RESET_STREAMS: usize = 20;
/// Streams that this side resets because of the peer's errors; h2's default is 1024.
pub const LOCAL_RESET_STREAMS: usize = 64;

/// Connections with the learner: two for each of 2,048 actors (session and weights), and some for
/// commands. Fewer where the system allows fewer open files.
pub const CONNECTIONS: usize = 4_096 + 256;
/// Of these, connections that have not shown yet that they belong here; the newest push out the
/// oldest, so that nobody waits behind connections that say nothing.
pub const UNADMITTED_CONNECTIONS: usize = 1_024;
/// Connections of one certificate. There is no limit for an address: a node may have many actors.
pub const IDENTITY_CONNECTIONS: usize = 2_048;
/// Of all connections, those that only control may use, so that actors never lock it out.
pub const CONTROL_CONNECTIONS: usize = 64;
/// Connections for HTTP, and those of them that nobody knows yet.
pub const HTTP_CONNECTIONS: usize = 256;
/// As `UNADMITTED_CONNECTIONS`.
pub const UNADMITTED_HTTP_CONNECTIONS: usize = 128;
/// Open files that are kept for everything besides connections.
pub const FILE_HEADROOM: u64 = 512;
/// From the accepted connection to the end of the TLS handshake.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// From the accepted connection to the first call that is allowed.
pub const ADMISSION_TIMEOUT: Duration = Duration::from_secs(10);
/// Without TLS there are no round trips to wait for.
pub const PLAIN_ADMISSION_TIMEOUT: Duration = Duration::from_secs(5);
/// The first wait after a connection that could not be accepted; doubled up to `ACCEPT_BACK_OFF_CAP`.
pub const ACCEPT_BACK_OFF_BASE: Duration = Duration::from_millis(10);
/// The longest.
pub const ACCEPT_BACK_OFF_CAP: Duration = Duration::from_secs(1);

/// Messages that a session may send in a second, and at once after a silence: far more than a busy
/// actor does. Who sends more is read more slowly.
pub const MESSAGES_PER_SECOND: f64 = 1_000.0;
/// See `MESSAGES_PER_SECOND`.
pub const MESSAGES_AT_ONCE: f64 = 4_000.0;

/// An HTTP request's head: bytes and lines.
pub const HTTP_HEAD_BYTES: usize = 16 * KIB;
/// See `HTTP_HEAD_BYTES`.
pub const HTTP_HEADERS: usize = 64;
/// An HTTP request's body: no page takes one.
pub const HTTP_BODY_BYTES: usize = 16 * KIB;
/// Until an HTTP request's head is there; also what a connection may be idle.
pub const HTTP_HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Until it is answered.
pub const HTTP_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection with nothing to say is asked whether it lives, so that half-open ones are found
/// within `KEEP_ALIVE + KEEP_ALIVE_TIMEOUT`.
pub const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// How long the answer may take.
pub const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// TCP connect.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Until the response of a call starts; streams run on.
pub const RPC_TIMEOUT: Duration = Duration::from_secs(20);
/// From the start of a session's stream to Hello, and from Hello to Welcome.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// From Welcome to Ready: data files are fetched and the task is built in between.
pub const READY_TIMEOUT: Duration = Duration::from_secs(600);
/// How often an actor reports its progress.
pub const PROGRESS_EVERY: Duration = Duration::from_secs(1);
/// Draining of one actor: what is in flight completes, is sent and acked.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Graceful shutdown of a server, then connections are cut: hyper can wait for ever.
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);
/// A signal that comes again within this time is the same wish to end: `timeout`, shells and service managers
/// send it to a process and to its group.
pub const SAME_SIGNAL: Duration = Duration::from_millis(300);
/// First wait before connecting again, doubled with each failure, with full jitter.
pub const BACK_OFF_BASE: Duration = Duration::from_millis(500);
/// Longest wait before connecting again.
pub const BACK_OFF_CAP: Duration = Duration::from_secs(5);

/// A server with the limits of connections applied.
pub fn server(builder: Server) -> Server {
    builder
        .timeout(RPC_TIMEOUT)
        .max_concurrent_streams(STREAMS)
        .http2_max_header_list_size(HEADER_LIST_BYTES)
        .max_frame_size(FRAME_BYTES)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .http2_max_pending_accept_reset_streams(Some(PENDING_RESET_STREAMS))
        .http2_max_local_error_reset_streams(Some(LOCAL_RESET_STREAMS))
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
        .tcp_nodelay(true)
}

/// An address that cannot be a learner's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{address}\" is not a learner's address: {reason}; write http://HOST:PORT or https://HOST:PORT"
)]
pub struct InvalidAddress {
    /// As given.
    pub address: String,
    /// What is wrong.
    pub reason: String,
}

/// The endpoint of a learner's address (`http://HOST:PORT` or `https://HOST:PORT`) with the limits of
/// connections applied; [`Credentials::dialer`](crate::credentials::Credentials::dialer) adds TLS.
pub fn endpoint(address: &str) -> Result<Endpoint, InvalidAddress> {
    let invalid =
        |reason: &str| InvalidAddress { address: address.to_string(), reason: reason.to_string() };
    let endpoint = Endpoint::from_shared(address.to_string())
        .map_err(|_| invalid("it cannot be read as a url"))?;
    let uri = endpoint.uri();
    match uri.scheme_str() {
        Some("http" | "https") => {}
        _ => return Err(invalid("it does not start with http:// or https://")),
    }
    if uri.port_u16().is_none_or(|port| port == 0) {
        return Err(invalid("it names no port"));
    }
    if uri.path() != "/" || uri.query().is_some() {
        return Err(invalid("it has something after the port"));
    }
    Ok(endpoint
        .timeout(RPC_TIMEOUT)
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_max_header_list_size(HEADER_LIST_BYTES)
        .max_frame_size(LEARNER_FRAME_BYTES)
        .initial_stream_window_size(LEARNER_WINDOW_BYTES)
        .initial_connection_window_size(LEARNER_WINDOW_BYTES)
        .http2_max_local_error_reset_streams(LOCAL_RESET_STREAMS)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .tcp_nodelay(true))
}

macro_rules! with_message_limits {
    ($client:ident -> $Client:ident, $server:ident -> $Server:ident<$Service:ident>) => {
        #[doc = concat!("A client of [`", stringify!($Service), "`] with the message limits applied.")]
        pub fn $client<T>(channel: T) -> $Client<T>
        where
            T: GrpcService<Body>,
            T::Error: Into<StdError>,
            T::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
            <T::ResponseBody as HttpBody>::Error: Into<StdError> + Send,
        {
            $Client::new(channel)
                .max_encoding_message_size(SESSION_MESSAGE_BYTES)
                .max_decoding_message_size(MESSAGE_BYTES)
        }

        #[doc = concat!("The service [`", stringify!($Service), "`] with the message limits applied.")]
        pub fn $server<T: $Service>(service: T) -> $Server<T> {
            $Server::new(service)
                .max_decoding_message_size(SESSION_MESSAGE_BYTES)
                .max_encoding_message_size(MESSAGE_BYTES)
        }
    };
}

with_message_limits!(sessions_client -> SessionsClient, sessions_server -> SessionsServer<Sessions>);
with_message_limits!(weights_client -> WeightsClient, weights_server -> WeightsServer<Weights>);
with_message_limits!(assets_client -> AssetsClient, assets_server -> AssetsServer<Assets>);
with_message_limits!(rewards_client -> RewardsClient, rewards_server -> RewardsServer<Rewards>);
with_message_limits!(control_client -> ControlClient, control_server -> ControlServer<Control>);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_address_that_cannot_be_a_learners_says_why() {
        for (address, reason) in [
            ("localhost", "http://"),
            ("http://localhost", "port"),
            ("http://localhost:0", "port"),
            ("ftp://localhost:1", "https://"),
            ("http://localhost:1/x", "after the port"),
            ("http://", "url"),
            ("", "url"),
        ] {
            let error = endpoint(address).unwrap_err();
            assert!(error.reason.contains(reason), "{error}");
        }
        assert!(endpoint("http://127.0.0.1:5000").is_ok());
        assert!(endpoint("https://learner.example:5000").is_ok());
        assert!(endpoint("http://[::1]:5000/").is_ok());
    }
}
