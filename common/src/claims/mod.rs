//! Who measures what, so that no object is paid for twice: pure state machines, events in, effects
//! out, no transport.
//!
//! Before it measures an object, an actor asks the learner. The answer is *known* (the value, from
//! the ledger), *granted* (a lease: measure it) or *busy* (somebody else does; the asker is told as
//! soon as the value is there, or gets the lease if the other one fails). [`desk::Desk`] is the
//! learner's side, [`asker::Asker`] the actor's. Leases are in memory only. They save work and are
//! not needed to be right: if one expires and two actors finish, both values are kept and the first
//! one counts. `docs/protocol.md` tells the story.

pub mod asker;
pub mod desk;

#[cfg(test)]
mod model;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::ids::ActorId;
use crate::reward::ObjectKey;

/// The right to measure one object, for a while. Ids of different incarnations of a learner differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub u64);

/// Leases of an incarnation start at its number times this; the upper half of them are audits.
const LEASES_PER_INCARNATION: u64 = 1 << 40;
const AUDITS: u64 = LEASES_PER_INCARNATION / 2;

impl LeaseId {
    /// Whether the object was known, and is measured again on purpose.
    #[must_use]
    pub fn is_audit(self) -> bool {
        self.0 % LEASES_PER_INCARNATION >= AUDITS
    }
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What came of measuring an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Its raw values.
    Measured(Vec<f64>),
    /// It cannot be measured, now or ever; why, for people.
    Failed(String),
}

/// What the ledger says of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The first outcome.
    pub outcome: Outcome,
    /// What it took.
    pub seconds: f32,
    /// Who measured.
    pub actor: ActorId,
}

/// What an asker is told of a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Measured before.
    Known(Arc<Finding>),
    /// Yours to measure.
    Granted {
        /// By its number.
        lease: LeaseId,
        /// Renew before this is over.
        lasts: Duration,
    },
    /// Somebody else measures it.
    Busy {
        /// Who, if anybody does.
        by: Option<ActorId>,
        /// Not given: the asker is told when there is more to say. Else it must ask again, not before.
        again: Option<Duration>,
    },
}

/// An answer on its way.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// To whom.
    pub actor: ActorId,
    /// Of which object.
    pub key: ObjectKey,
    /// What.
    pub answer: Answer,
}
