//! The newest weights, subscribed to on a connection of its own: chunks are put together, checked
//! against their hash and offered to the rollout threads.

use std::sync::Arc;

use tributary_common::ids::PolicyVersion;
use tributary_common::network::Network;
use tributary_common::random::Stream;
use tributary_common::session::back_off::BackOff;
use tributary_proto::convert::WireError;
use tributary_proto::convert::chunks::{Manifest, WeightsEvent};
use tributary_proto::credentials::Dialer;
use tributary_proto::limits;
use tributary_proto::v1::SubscribeRequest;

use crate::newest::{Arrived, Newest};
use crate::surroundings::Surroundings;

/// A subscription to one of the named weight sets.
pub(crate) struct Subscription {
    /// The learner.
    pub(crate) dialer: Dialer,
    /// How it is reached.
    pub(crate) surroundings: Surroundings,
    /// What to ask for; `newer_than` is filled in.
    pub(crate) request: SubscribeRequest,
    /// What the weights must fit.
    pub(crate) network: Arc<Network>,
    /// Where they go.
    pub(crate) newest: Arc<Newest>,
    /// For the jitter of the waits between connections.
    pub(crate) random: Stream,
}

/// Why a subscription ended; it is made again.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("{0}")]
    Connect(#[from] tonic::transport::Error),
    #[error("{0}")]
    Stream(#[from] tonic::Status),
    #[error("the learner ended the stream")]
    Ended,
    #[error("{0}")]
    Message(#[from] WireError),
    #[error("{0}")]
    Damaged(String),
}

impl Subscription {
    /// Keeps the newest weights up to date, over all connections, for as long as it is polled.
    pub(crate) async fn run(mut self) {
        let mut back_off = BackOff::new(limits::BACK_OFF_BASE, limits::BACK_OFF_CAP);
        loop {
            let before = self.newest.version();
            let Err(error) = self.follow().await;
            if self.newest.version() > before {
                back_off.succeeded();
            }
            let wait = back_off.failed(self.random.uniform(), std::time::Duration::ZERO);
            tracing::info!(%error, ?wait, "the weights' stream ended; subscribing again");
            tokio::time::sleep(wait).await;
        }
    }

    /// One connection.
    async fn follow(&mut self) -> Result<std::convert::Infallible, Broken> {
        let channel = self.surroundings.connect(&self.dialer).await?;
        let newer_than = self.newest.version().map(Into::into);
        let request = SubscribeRequest { newer_than, ..self.request.clone() };
        let mut client = limits::weights_client(channel);
        let mut messages = client.subscribe(request).await?.into_inner();
        let mut assembly = Assembly::default();
        while let Some(message) = messages.message().await? {
            let event = WeightsEvent::try_from(message)?;
            if let Some((version, bytes)) = assembly.accept(event).map_err(Broken::Damaged)? {
                let network = Arc::clone(&self.network);
                let taken = self.newest.offer(Arrived { version, bytes, network });
                tracing::debug!(%version, taken, "weights");
            }
        }
        Err(Broken::Ended)
    }
}

/// Puts weights together: a manifest, then pieces until its total is reached.
#[derive(Default)]
struct Assembly {
    open: Option<(Manifest, Vec<u8>)>,
}

impl Assembly {
    /// The next message; the whole weights with their version behind the last piece.
    fn accept(&mut self, event: WeightsEvent) -> Result<Option<(PolicyVersion, Vec<u8>)>, String> {
        let piece = match event {
            WeightsEvent::Manifest(_) if self.open.is_some() => {
                return Err("a manifest came before the last one's data ended".to_owned());
            }
            WeightsEvent::Manifest(manifest) => {
                self.open = Some((manifest, Vec::new()));
                return Ok(None);
            }
            WeightsEvent::Data(piece) => piece,
        };
        let (manifest, mut bytes) = self.open.take().ok_or("data came without a manifest")?;
        let (start, total) = (bytes.len() as u64, manifest.total_bytes);
        let end = start + piece.data.len() as u64;
        if piece.offset != start || end > total {
            let offset = piece.offset;
            return Err(format!("data for {offset} came where {start} of {total} was expected"));
        }
        bytes.extend_from_slice(&piece.data);
        if end < total {
            self.open = Some((manifest, bytes));
            return Ok(None);
        }
        match *blake3::hash(&bytes).as_bytes() == manifest.blake3 {
            true => Ok(Some((manifest.version, bytes))),
            false => Err("the data does not have its manifest's hash".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tributary_common::ids::Incarnation;
    use tributary_proto::convert::chunks::{Chunk, WeightSet};

    const VERSION: PolicyVersion = PolicyVersion { incarnation: Incarnation(1), step: 4 };

    fn manifest(bytes: &[u8]) -> WeightsEvent {
        WeightsEvent::Manifest(Manifest {
            version: VERSION,
            set: WeightSet::Raw,
            architecture: [0; 32],
            total_bytes: bytes.len() as u64,
            blake3: *blake3::hash(bytes).as_bytes(),
        })
    }

    fn data(offset: u64, data: &[u8]) -> WeightsEvent {
        WeightsEvent::Data(Chunk { offset, data: data.to_vec().into() })
    }

    #[test]
    fn whole_weights_come_behind_their_last_piece() {
        let mut assembly = Assembly::default();
        for _ in 0..2 {
            assert_eq!(assembly.accept(manifest(b"abcdef")), Ok(None));
            assert_eq!(assembly.accept(data(0, b"abcd")), Ok(None));
            assert_eq!(assembly.accept(data(4, b"ef")), Ok(Some((VERSION, b"abcdef".to_vec()))));
        }
    }

    #[test]
    fn damaged_streams_are_refused() {
        let cases: [(&str, Vec<WeightsEvent>); 5] = [
            ("without a manifest", vec![data(0, b"x")]),
            ("hash", vec![manifest(b"abc"), data(0, b"abd")]),
            ("was expected", vec![manifest(b"abc"), data(1, b"bc")]),
            ("was expected", vec![manifest(b"abc"), data(0, b"abcd")]),
            ("before the last", vec![manifest(b"abc"), manifest(b"abc")]),
        ];
        for (expected, events) in cases {
            let mut assembly = Assembly::default();
            let results: Vec<_> = events.into_iter().map(|event| assembly.accept(event)).collect();
            let error = results.last().unwrap().clone().unwrap_err();
            assert!(error.contains(expected), "{error} does not say {expected}");
        }
    }
}
