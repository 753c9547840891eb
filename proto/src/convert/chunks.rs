//! Weights and data files in pieces.

use prost::bytes::Bytes;
use tributary_common::ids::{ActorId, PolicyVersion, RunId};

use super::{
    FromWireEnum, Result, WireError, bounded, bytes, optional_run_id, positive, required,
    value_error,
};
use crate::{limits, v1};

/// Which of the two named sets of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightSet {
    /// As trained.
    Raw,
    /// Their exponential moving average.
    Ema,
}

super::same_words!(WeightSet, v1::WeightSet, "weight_set": Raw, Ema);

/// What weights follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Their version.
    pub version: PolicyVersion,
    /// Their set.
    pub set: WeightSet,
    /// As in `Fingerprints`.
    pub architecture: [u8; 32],
    /// Bytes in all.
    pub total_bytes: u64,
    /// Hash of them.
    pub blake3: [u8; 32],
}

/// Asks for weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Of which run; `None`: any.
    pub run: Option<RunId>,
    /// Who asks; `None`: not an actor.
    pub actor: Option<ActorId>,
    /// Which set.
    pub set: WeightSet,
    /// What the subscriber has.
    pub newer_than: Option<PolicyVersion>,
}

impl From<Subscription> for v1::SubscribeRequest {
    fn from(subscription: Subscription) -> Self {
        Self {
            run_id: subscription.run.map(|run| run.0.to_vec()).unwrap_or_default(),
            actor_id: subscription.actor.map_or(0, |actor| actor.0),
            set: v1::WeightSet::from(subscription.set) as i32,
            newer_than: subscription.newer_than.map(Into::into),
        }
    }
}

impl TryFrom<v1::SubscribeRequest> for Subscription {
    type Error = WireError;

    fn try_from(wire: v1::SubscribeRequest) -> Result<Self> {
        Ok(Self {
            run: optional_run_id(&wire.run_id)?,
            actor: (wire.actor_id > 0).then_some(ActorId(wire.actor_id)),
            set: WeightSet::from_wire(wire.set)?,
            newer_than: wire.newer_than.map(TryInto::try_into).transpose()?,
        })
    }
}

/// Asks for a data file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// Its hash.
    pub blake3: [u8; 32],
    /// The first byte that is missing.
    pub offset: u64,
}

impl From<Fetch> for v1::FetchRequest {
    fn from(fetch: Fetch) -> Self {
        Self { blake3: fetch.blake3.to_vec(), offset: fetch.offset }
    }
}

impl TryFrom<v1::FetchRequest> for Fetch {
    type Error = WireError;

    fn try_from(wire: v1::FetchRequest) -> Result<Self> {
        Ok(Self { blake3: bytes(&wire.blake3, "fetch.blake3")?, offset: wire.offset })
    }
}

/// One message of a weights stream.
#[derive(Clone, Debug, PartialEq)]
pub enum WeightsEvent {
    /// What follows.
    Manifest(Manifest),
    /// A piece of it.
    Data(Chunk),
}

/// A piece of weights or of a data file.
#[derive(Clone, Debug, PartialEq)]
pub struct Chunk {
    /// The sum of the pieces before it.
    pub offset: u64,
    /// Not empty, at most [`limits::CHUNK_BYTES`].
    pub data: Bytes,
}

/// Cuts bytes into chunks that share them.
pub fn chunks(whole: Bytes) -> impl Iterator<Item = Chunk> + Send {
    (0..whole.len()).step_by(limits::CHUNK_BYTES).map(move |start| {
        let end = whole.len().min(start + limits::CHUNK_BYTES);
        Chunk { offset: start as u64, data: whole.slice(start..end) }
    })
}

fn checked(offset: u64, data: Bytes) -> Result<Chunk> {
    positive(data.len(), "chunk.data")?;
    bounded(data.len(), limits::CHUNK_BYTES, "chunk.data")?;
    if offset.checked_add(data.len() as u64).is_none() {
        return Err(value_error("chunk.offset", offset, "a place in a file"));
    }
    Ok(Chunk { offset, data })
}

impl From<WeightsEvent> for v1::WeightsMessage {
    fn from(event: WeightsEvent) -> Self {
        use v1::weights_message::Message;
        let message = match event {
            WeightsEvent::Manifest(manifest) => Message::Manifest(v1::WeightsManifest {
                version: Some(manifest.version.into()),
                set: v1::WeightSet::from(manifest.set) as i32,
                architecture: manifest.architecture.to_vec(),
                total_bytes: manifest.total_bytes,
                blake3: manifest.blake3.to_vec(),
            }),
            WeightsEvent::Data(Chunk { offset, data }) => {
                Message::Data(v1::WeightsData { offset, data })
            }
        };
        Self { message: Some(message) }
    }
}

impl TryFrom<v1::WeightsMessage> for WeightsEvent {
    type Error = WireError;

    fn try_from(wire: v1::WeightsMessage) -> Result<Self> {
        use v1::weights_message::Message;
        let wire = match required(wire.message, "weights_message")? {
            Message::Manifest(manifest) => manifest,
            Message::Data(data) => return checked(data.offset, data.data).map(Self::Data),
        };
        let total_bytes = positive(wire.total_bytes, "manifest.total_bytes")?;
        if total_bytes > limits::WEIGHTS_BYTES {
            let most = limits::WEIGHTS_BYTES;
            let (field, found) = ("manifest.total_bytes", total_bytes);
            return Err(WireError::TooMany { field, most, found });
        }
        Ok(Self::Manifest(Manifest {
            version: required(wire.version, "manifest.version")?.try_into()?,
            set: WeightSet::from_wire(wire.set)?,
            architecture: bytes(&wire.architecture, "manifest.architecture")?,
            total_bytes,
            blake3: bytes(&wire.blake3, "manifest.blake3")?,
        }))
    }
}

impl From<Chunk> for v1::AssetData {
    fn from(Chunk { offset, data }: Chunk) -> Self {
        Self { offset, data }
    }
}

impl TryFrom<v1::AssetData> for Chunk {
    type Error = WireError;

    fn try_from(wire: v1::AssetData) -> Result<Self> {
        checked(wire.offset, wire.data)
    }
}
