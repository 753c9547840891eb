//! One actor's life with the learner, as pure state machines: events in, effects out, no transport.
//!
//! A record (a finished trajectory with its reward) gets a key (actor, epoch, seq) when it is
//! complete. The actor holds it until the learner acks it, and sends it again under the same key
//! after every lost connection; the learner drops what it already has. So every record is counted
//! exactly once, whatever the network does. [`actor::ActorSession`] is the actor's side,
//! [`learner::LearnerSession`] what the learner knows of one actor, [`sessions::Sessions`] all of
//! them with their common byte budget. `docs/protocol.md` tells the story.

pub mod actor;
pub mod back_off;
pub mod books;
pub mod learner;
pub mod refusal;
pub mod saved;
pub mod sessions;
pub mod work;

#[cfg(test)]
mod model;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{ActorId, Epoch, Seq};
use crate::trajectory::TrajectoryBatch;

/// Proves that an actor id is one's own; issued by the learner with the id.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret(pub [u8; 16]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A record's place among all records of its actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey {
    /// The epoch in which it was completed.
    pub epoch: Epoch,
    /// Its number in that epoch: from 0, without gaps.
    pub seq: Seq,
}

/// All records of an epoch below a sequence number are taken care of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acked {
    /// The epoch.
    pub epoch: Epoch,
    /// All seq < `below`.
    pub below: Seq,
}

/// Records of an epoch that an actor still holds: `acked_below <= seq < next`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// The epoch.
    pub epoch: Epoch,
    /// The first that is not acked.
    pub acked_below: Seq,
    /// One past the last.
    pub next: Seq,
}

/// What an actor that had a session before says at hello.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume {
    /// Its id.
    pub actor: ActorId,
    /// The secret that came with the id.
    pub secret: Secret,
    /// Records of all its epochs that were acked.
    pub acked_records: u64,
    /// What it still holds, in ascending order of epochs.
    pub leftovers: Vec<Leftover>,
}

/// Who an actor is in this session, as issued by the learner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The same in all its sessions.
    pub actor: ActorId,
    /// Proves the id.
    pub secret: Secret,
    /// New with each session; new records are stamped with it.
    pub epoch: Epoch,
}

/// One session: an actor's epoch. Only the newest of an actor may speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey {
    /// The actor.
    pub actor: ActorId,
    /// Issued at hello.
    pub epoch: Epoch,
}

/// What may be sent in one session, counted from its start and cumulative, so that a lost message
/// cannot leak credit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Credit {
    /// Sum of [`record_bytes`] over the records sent.
    pub bytes: u64,
    /// Records sent; `None`: not limited by count.
    pub records: Option<u64>,
}

/// What a record costs of its session's credit, whatever its encoding: 64 + 4 for each action + 8
/// for each raw value.
pub fn record_bytes(actions: usize, outputs: usize) -> u64 {
    64 + 4 * actions as u64 + 8 * outputs as u64
}

/// What a batch costs: the sum over its records.
pub fn batch_bytes(batch: &TrajectoryBatch) -> u64 {
    64 * batch.len() as u64 + 4 * batch.actions.len() as u64 + 8 * batch.raw.len() as u64
}

/// The number of an epoch's random streams; no two epochs of a run share it.
pub fn random_stream(epoch: Epoch) -> u64 {
    (u64::from(epoch.incarnation.0) << 40) | (epoch.counter & ((1 << 40) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Incarnation, PolicyVersion};
    use crate::trajectory::{TrajectoryKind, TrajectoryView};

    #[test]
    fn a_batch_costs_what_its_records_cost() {
        let mut batch = TrajectoryBatch::default();
        let mut expected = 0;
        for length in [0, 3, 8] {
            batch.push(&TrajectoryView {
                seq: Seq(length as u64),
                actions: &vec![1; length],
                raw: &[0.5, 1.0],
                policy: PolicyVersion::default(),
                kind: TrajectoryKind::Forward,
                setting: 0,
                log_mu: 0.0,
                seconds: 0.0,
            });
            expected += record_bytes(length, 2);
        }
        assert_eq!(batch_bytes(&batch), expected);
    }

    #[test]
    fn secrets_stay_out_of_logs() {
        assert_eq!(format!("{:?}", Secret([7; 16])), "Secret(..)");
    }

    #[test]
    fn epochs_do_not_share_random_numbers() {
        let epoch = |incarnation, counter| Epoch { incarnation: Incarnation(incarnation), counter };
        assert_ne!(random_stream(epoch(1, 2)), random_stream(epoch(2, 1)));
        assert_ne!(random_stream(epoch(1, 1)), random_stream(epoch(1, 2)));
    }
}
