//! The names of things that must not be mixed: runs, actors, epochs, sequence numbers, versions.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A run, made once and written into every file and message of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(pub [u8; 16]);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunId({self})")
    }
}

impl From<RunId> for String {
    fn from(id: RunId) -> String {
        id.to_string()
    }
}

/// A text that should have been a run id but is not.
#[derive(Debug, thiserror::Error)]
#[error("a run id is 32 hexadecimal digits, not \"{0}\"")]
pub struct InvalidRunId(String);

impl TryFrom<String> for RunId {
    type Error = InvalidRunId;

    fn try_from(text: String) -> Result<Self, InvalidRunId> {
        let mut bytes = [0; 16];
        if text.len() != 32 || !text.is_ascii() {
            return Err(InvalidRunId(text));
        }
        for (i, byte) in bytes.iter_mut().enumerate() {
            match u8::from_str_radix(&text[2 * i..2 * i + 2], 16) {
                Ok(value) => *byte = value,
                Err(_) => return Err(InvalidRunId(text)),
            }
        }
        Ok(RunId(bytes))
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// An actor of a run; issued by the learner, kept by the actor across reconnects.
    ActorId,
    u64
);
number!(
    /// How often a learner has been started on this run directory; durable, from 1.
    Incarnation,
    u32
);
number!(
    /// The place of a trajectory among those of its actor in one epoch: from 0, without gaps.
    Seq,
    u64
);

/// One life of an actor, issued by the learner at hello; a newer one fences the older ones.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Epoch {
    /// The learner's incarnation that issued it.
    pub incarnation: Incarnation,
    /// Increases with each epoch issued in that incarnation.
    pub counter: u64,
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.incarnation, self.counter)
    }
}

/// A snapshot of the policy's weights. Compared as a pair, so that it never goes backwards for an
/// actor even when a restarted learner resumes from an older step.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct PolicyVersion {
    /// The learner's incarnation that trained it.
    pub incarnation: Incarnation,
    /// Updates done when the snapshot was taken.
    pub step: u64,
}

impl fmt::Display for PolicyVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.incarnation, self.step)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn run_id_survives_its_text() {
        let id = RunId(std::array::from_fn(|i| (i * 17) as u8));
        assert_eq!(RunId::try_from(id.to_string()).unwrap(), id);
        assert!(RunId::try_from("zz".repeat(16)).is_err());
        assert!(RunId::try_from("é".repeat(16)).is_err());
    }

    #[test]
    fn a_restarted_learner_never_goes_back() {
        let old = PolicyVersion { incarnation: Incarnation(1), step: 900 };
        let new = PolicyVersion { incarnation: Incarnation(2), step: 500 };
        assert!(new > old);
    }
}
