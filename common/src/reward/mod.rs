//! The log-reward of finished objects, in batches.
//!
//! A reward first measures *raw values* (what an oracle says, kept for ever) and then maps them to
//! log R by a pure [`transform`](Reward::transform), which the learner applies when it trains: a
//! changed exponent never voids what was paid for.

pub mod agreement;
pub mod bit_sequence;
pub mod delay;
pub mod hypergrid;
pub mod key;
pub mod known;
pub mod motif;
pub mod outside;
pub mod repeated;
pub mod table;

pub use agreement::Agreement;
pub use bit_sequence::BitSequence;
pub use delay::Delayed;
pub use hypergrid::{HypergridReward, Landscape};
pub use key::{KeyMaker, ObjectKey};
pub use known::Known;
pub use motif::Motif;
pub use outside::{Outside, OutsideReward};
pub use repeated::{Average, Averaging, Repeated};
pub use table::Table;

use crate::environment::Identity;
use crate::log_space::LogReward;
use crate::object::Object;

/// A reward: an oracle with named outputs and a transform to log R.
pub trait Reward: Send + Sync {
    /// What it is; two programs of a run must agree on it.
    fn identity(&self) -> Identity;

    /// The names of the raw values of one object, m >= 1.
    fn outputs(&self) -> Vec<Output>;

    /// Measures objects: appends `m` raw values for each, in order.
    fn evaluate(&self, objects: &[Object], raw: &mut Vec<f64>) -> Result<(), RewardError>;

    /// log R of one object's raw values (`m` of them).
    fn transform(&self, raw: &[f64]) -> Result<LogReward, InvalidRaw>;

    /// Appends what this reward tells objects apart by: two objects with the same key measure the same, and
    /// one of them is enough to be paid for. By default the object itself, in JSON. Neither how the
    /// object was built nor the transform belongs into it.
    fn key(&self, object: &Object, key: &mut Vec<u8>) {
        // Texts and numbers always have a JSON form, and a vector takes it.
        let _ = serde_json::to_writer(key, object);
    }

    /// Whether every value is at hand and costs nothing, as in a table: then the learner asks for all of
    /// them, for the exact comparison, also where actors share what they pay for.
    fn is_at_hand(&self) -> bool {
        false
    }

    /// Objects to evaluate a policy on, where the task comes with some: log p and log R are
    /// correlated over them.
    fn test_set(&self) -> Vec<Object> {
        Vec::new()
    }

    /// The modes that a policy should find, where they are known.
    fn modes(&self) -> Vec<Object> {
        Vec::new()
    }

    /// Who measures, where it is not this program: [`evaluate`](Self::evaluate) fails then, and
    /// actors ask whom this names. Values that the run has are transformed as any.
    fn outside(&self) -> Option<&Outside> {
        None
    }

    /// Whether the values that enter log R are logarithms as they come.
    fn is_logarithmic(&self) -> bool {
        false
    }

    /// How an object's values are averaged, where it is measured several times. Who measures outside
    /// gives the values of one measurement.
    fn averaging(&self) -> Option<&Averaging> {
        None
    }
}

/// One raw value of a reward.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its name, for example "score".
    pub name: String,
    /// What it is for.
    pub role: Role,
}

/// What a raw value is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Enters log R.
    Objective,
    /// Bounds what is acceptable.
    Constraint,
    /// Spread of repeated measurements.
    Std,
    /// Only recorded.
    Info,
}

/// Objects that could not be measured.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RewardError {
    /// The reward knows nothing of this object.
    #[error("the reward {kind} has no value for the object \"{object}\"")]
    UnknownObject {
        /// The reward's kind.
        kind: String,
        /// The object.
        object: String,
    },
    /// Anything else, said by the reward.
    #[error("the reward {kind} failed: {reason}")]
    Failed {
        /// The reward's kind.
        kind: String,
        /// What happened.
        reason: String,
    },
}

/// Raw values that no log-reward can be made of.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("raw values {raw:?} give no log-reward: {reason}")]
pub struct InvalidRaw {
    /// The values.
    pub raw: Vec<f64>,
    /// What is wrong with them.
    pub reason: String,
}

/// A number that two programs share only if their rewards are the same: the hash of the identity,
/// which holds the contents of data files, and of the outputs.
pub fn fingerprint(reward: &dyn Reward) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    let Identity { kind, version, configuration } = reward.identity();
    let mut parts = vec![kind, version.to_string(), configuration];
    parts.extend(reward.outputs().into_iter().map(|output| format!("{output:?}")));
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    *hasher.finalize().as_bytes()
}

/// The value of a reward that has one only, if it is finite.
fn single(raw: &[f64]) -> Result<f64, InvalidRaw> {
    let invalid = |reason: String| Err(InvalidRaw { raw: raw.to_vec(), reason });
    match raw {
        [value] if value.is_finite() => Ok(*value),
        [_] => invalid("it must be finite".to_owned()),
        _ => invalid(format!("{} values, expected 1", raw.len())),
    }
}
