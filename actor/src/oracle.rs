//! Where objects get their values when that takes time: from a program outside, or from whoever
//! stands before it and knows some of them already.
//!
//! [`Oracle`] is the one way to a value that is not computed on the spot. Who asks is the
//! desk (`actor/src/desk.rs`); who answers may itself ask another oracle.

use std::fmt;

use tributary_common::ids::PolicyVersion;
use tributary_common::object::Object;
use tributary_common::reward::ObjectKey;

/// An object that is to be measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// The finding carries it; never used again by the one who asks.
    pub ticket: u64,
    /// Names the measurement; no two open questions have the same.
    pub key: ObjectKey,
    /// What is to be measured.
    pub object: Object,
    /// The weights that drew it first.
    pub policy: PolicyVersion,
}

/// The answer to a question.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The question's.
    pub ticket: u64,
    /// What became of it.
    pub outcome: Result<Measured, Failure>,
}

/// An object was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Its raw values, all finite, as many as the reward has outputs.
    pub raw: Vec<f64>,
    /// What that cost now; 0 where they were known.
    pub seconds: f32,
}

/// An object has no value.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{kind}: {reason}")]
pub struct Failure {
    /// Of which kind.
    pub kind: FailureKind,
    /// What happened, for people.
    pub reason: String,
    /// What trying cost.
    pub seconds: f32,
}

/// What keeps an object from having a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FailureKind {
    /// The program ended in the middle.
    Crash,
    /// It did not answer in time.
    TimeOut,
    /// It answered what is no answer.
    Garbage,
    /// It says that it cannot measure this object.
    Refused,
    /// It measured NaN or infinity.
    NotFinite,
    /// It cannot be reached, or started.
    Unavailable,
    /// Nobody had begun when the actor was told to stop.
    Cancelled,
}

impl FailureKind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Crash,
        Self::TimeOut,
        Self::Garbage,
        Self::Refused,
        Self::NotFinite,
        Self::Unavailable,
        Self::Cancelled,
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::TimeOut => "time-out",
            Self::Garbage => "garbage",
            Self::Refused => "refused",
            Self::NotFinite => "not finite",
            Self::Unavailable => "unavailable",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether it says something of the object, so that asking again would be in vain.
    #[must_use]
    pub fn is_of_the_object(self) -> bool {
        !matches!(self, Self::Unavailable | Self::Cancelled)
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Failure {
    /// One that cost nothing yet.
    #[must_use]
    pub fn new(kind: FailureKind, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into(), seconds: 0.0 }
    }
}

/// Measures objects, many at a time and in any order. Findings go to the channel that it was made
/// with, which has room for all open questions.
pub trait Oracle: Send {
    /// Takes questions, and does not wait. Each gets one finding.
    fn ask(&mut self, questions: Vec<Question>);

    /// Begins nothing new: questions that nobody works on are found to be cancelled.
    fn stop(&mut self);
}

impl Oracle for Box<dyn Oracle> {
    fn ask(&mut self, questions: Vec<Question>) {
        (**self).ask(questions);
    }

    fn stop(&mut self) {
        (**self).stop();
    }
}
