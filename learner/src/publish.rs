//! Weights on their way to the actors: made once for each publish, shared by all subscribers.
//!
//! The trainer hands over a copy and goes on. The bytes are made when the first subscriber asks for
//! them, so a version that nobody has the time for costs nothing more. A slow subscriber skips
//! versions: the channel holds the newest only.

use std::sync::{Arc, OnceLock};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::codegen::Bytes;
use tributary_common::ids::PolicyVersion;
use tributary_common::network::{Network, Weights};
use tributary_common::run_file::Weights as WeightSet;

/// Both named sets of weights of one step.
#[derive(Debug)]
pub struct Published {
    /// Which step.
    pub version: PolicyVersion,
    /// Cancelled when there is a newer one. Unlike the channel's own signal it wakes subscribers in
    /// the order in which they came, so that a simulation repeats.
    pub superseded: CancellationToken,
    raw: Set,
    ema: Set,
}

#[derive(Debug)]
struct Set {
    weights: Arc<Weights>,
    encoded: OnceLock<Result<Arc<Encoded>, String>>,
}

/// One set of weights as it travels.
#[derive(Debug)]
pub struct Encoded {
    /// Safetensors.
    pub bytes: Bytes,
    /// Hash of the bytes.
    pub blake3: [u8; 32],
}

impl Set {
    fn new(weights: Arc<Weights>) -> Self {
        Self { weights, encoded: OnceLock::new() }
    }
}

impl Published {
    /// Weights of one step.
    pub fn new(raw: Arc<Weights>, ema: Arc<Weights>) -> Self {
        let (version, superseded) = (raw.version, CancellationToken::new());
        Self { version, superseded, raw: Set::new(raw), ema: Set::new(ema) }
    }

    /// One of the sets.
    pub fn weights(&self, set: WeightSet) -> &Arc<Weights> {
        &self.set(set).weights
    }

    /// Its bytes, made by the first who asks; some milliseconds for large networks.
    ///
    /// # Errors
    /// Weights that do not fit the network.
    pub fn encoded(&self, set: WeightSet, network: &Network) -> Result<Arc<Encoded>, String> {
        let set = self.set(set);
        let encode = || {
            let bytes = set.weights.to_bytes(network).map_err(|error| error.to_string())?;
            let blake3 = *blake3::hash(&bytes).as_bytes();
            Ok(Arc::new(Encoded { bytes: bytes.into(), blake3 }))
        };
        set.encoded.get_or_init(encode).clone()
    }

    fn set(&self, set: WeightSet) -> &Set {
        match set {
            WeightSet::Raw => &self.raw,
            WeightSet::Ema => &self.ema,
        }
    }
}

/// The trainer's end.
#[derive(Debug)]
pub struct Publisher(watch::Sender<Option<Arc<Published>>>);

/// The end of everybody who wants the newest weights.
pub type Newest = watch::Receiver<Option<Arc<Published>>>;

impl Publisher {
    /// Nothing is published yet.
    pub fn new() -> (Self, Newest) {
        let (sender, receiver) = watch::channel(None);
        (Self(sender), receiver)
    }

    /// Makes these the newest weights. Never waits for a subscriber.
    pub fn publish(&self, raw: Arc<Weights>, ema: Arc<Weights>) -> Arc<Published> {
        let published = Arc::new(Published::new(raw, ema));
        let older = self.0.send_replace(Some(Arc::clone(&published)));
        older.inspect(|older| older.superseded.cancel());
        published
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tributary_common::ids::Incarnation;

    fn weights(step: u64) -> Arc<Weights> {
        let version = PolicyVersion { incarnation: Incarnation(1), step };
        Arc::new(Weights { version, log_z: 0.0, generated: 0, values: vec![step as f32] })
    }

    #[test]
    fn a_slow_subscriber_skips_to_the_newest() {
        let (publisher, mut newest) = Publisher::new();
        assert!(newest.borrow_and_update().is_none());
        for step in 1..=5 {
            publisher.publish(weights(step), weights(step));
        }
        assert!(newest.has_changed().unwrap());
        let seen = newest.borrow_and_update().clone().unwrap();
        assert_eq!(seen.version.step, 5);
        assert_eq!(seen.weights(WeightSet::Ema).values, [5.0]);
        assert!(!newest.has_changed().unwrap());
    }
}
