//! What is written into the ledger.

use crate::claims::asker::Evaluated;
use crate::ids::{ActorId, Epoch, PolicyVersion, Seq};
use crate::object::Object;
use crate::reward::ObjectKey;
use crate::session::books::RejectionReason;
use crate::session::learner::SavedSession;
use crate::trajectory::{TrajectoryKind, TrajectoryView};

/// Raw values that an object came with.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// Of the object.
    pub key: ObjectKey,
    /// What was measured.
    pub object: Object,
    /// As they came.
    pub raw: Vec<f64>,
    /// What measuring took.
    pub seconds: f32,
    /// Who measured.
    pub actor: ActorId,
    /// The weights that drew the object.
    pub policy: PolicyVersion,
    /// Whether somebody measured it, now or before; else the values came from a file.
    pub is_measured: bool,
    /// Records that came with these values.
    pub seen: u64,
    /// Seconds since 1970, for people.
    pub time: f64,
}

/// A trajectory of a durable run that is to be trained on.
#[derive(Clone, Debug, PartialEq)]
pub struct Accepted {
    /// Trajectories accepted before it in the run.
    pub ordinal: u64,
    /// Its actions, without the exit.
    pub actions: Vec<u32>,
    /// How its path came about.
    pub kind: TrajectoryKind,
    /// The exploration setting.
    pub setting: u32,
    /// log of the behaviour's probability of the path.
    pub log_mu: f32,
}

/// What became of a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It is to be trained on.
    Accepted(Accepted),
    /// It is not.
    Rejected(RejectionReason),
}

/// A record of a durable run, decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// What became of it.
    pub verdict: Verdict,
    /// What it says of its object; kept of a rejected record, too, if its values are sound.
    pub observation: Option<Observation>,
}

/// The records of one message, decided; their numbers follow each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Decided {
    /// Who sent them.
    pub actor: ActorId,
    /// The epoch in which they were stamped.
    pub epoch: Epoch,
    /// The number of the first.
    pub first: Seq,
    /// Records of the message that were received before.
    pub duplicates: u64,
    /// The others.
    pub records: Vec<Record>,
}

/// An actor was admitted: what must be on disk before it is welcomed.
#[derive(Clone, Debug, PartialEq)]
pub struct Opened {
    /// The actor.
    pub actor: ActorId,
    /// With the new epoch.
    pub session: SavedSession,
    /// Actors that were forgotten for it.
    pub forgotten: Vec<ActorId>,
    /// Seconds since 1970, for people.
    pub time: f64,
}

/// An evaluation that its actor told of.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// What was measured, and what came of it.
    pub evaluated: Evaluated,
    /// Who measured.
    pub actor: ActorId,
    /// Seconds since 1970, for people.
    pub time: f64,
}

/// One thing that a commit holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// Records were decided.
    Decided(Decided),
    /// A session was opened.
    Opened(Opened),
    /// Objects were measured, or could not be.
    Evaluated(Vec<Evaluation>),
}

/// A row of `accepted`: everything that putting it into replay again needs.
#[derive(Clone, Debug, PartialEq)]
pub struct AcceptedRow {
    /// Its place, its actions and how they came about.
    pub accepted: Accepted,
    /// Of its object.
    pub key: ObjectKey,
    /// Who sent it.
    pub actor: ActorId,
    /// The epoch in which it was stamped.
    pub epoch: Epoch,
    /// Its number there.
    pub seq: Seq,
    /// Its raw reward values.
    pub raw: Vec<f64>,
    /// The weights that drew it.
    pub policy: PolicyVersion,
    /// Seconds that measuring its object took.
    pub seconds: f32,
}

impl AcceptedRow {
    /// As it came over the wire, to be examined again.
    pub fn view(&self) -> TrajectoryView<'_> {
        let Accepted { actions, kind, setting, log_mu, .. } = &self.accepted;
        TrajectoryView {
            seq: self.seq,
            actions,
            raw: &self.raw,
            policy: self.policy,
            kind: *kind,
            setting: *setting,
            log_mu: *log_mu,
            seconds: self.seconds,
        }
    }
}
