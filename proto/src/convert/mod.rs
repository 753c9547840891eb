//! Checked conversions between the wire and the domain. What comes out of a `try_from` is valid by
//! construction: lengths agree, counts are within [`crate::limits`], enum values are known, ids are
//! not zero. Conversions to the wire cannot fail.

pub mod actor;
pub mod batch;
pub mod chunks;
pub mod learner;
pub mod rewards;

use tributary_common::ids::{Epoch, Incarnation, PolicyVersion, RunId, Seq};
use tributary_common::session::refusal::Fingerprints;
use tributary_common::session::{Acked, Credit, Secret};

use crate::code::Code;
use crate::{limits, v1};

/// A message that does not keep the protocol.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum WireError {
    /// A field that is always there is not, or a message in which no part is known.
    #[error("{field} is missing")]
    Missing {
        /// Where.
        field: &'static str,
    },
    /// A number out of its range.
    #[error("{field} is {value}, it must be {expected}")]
    Value {
        /// Where.
        field: &'static str,
        /// As sent.
        value: String,
        /// What may be.
        expected: &'static str,
    },
    /// An enum value that this release does not know, or 0.
    #[error("{field} has the value {value}, which this release does not know")]
    UnknownEnum {
        /// Where.
        field: &'static str,
        /// As sent.
        value: i32,
    },
    /// A column, hash or id of the wrong length.
    #[error("{field} has length {found}, expected is {expected}")]
    Length {
        /// Where.
        field: &'static str,
        /// What it must be.
        expected: u64,
        /// As sent.
        found: u64,
    },
    /// More than the limit allows.
    #[error("{field} has length {found}, allowed are {most}")]
    TooMany {
        /// Where.
        field: &'static str,
        /// The limit.
        most: u64,
        /// As sent.
        found: u64,
    },
    /// Words of the protocol that no program understands yet.
    #[error("{field} is not built yet; leave it out")]
    NotBuilt {
        /// Where.
        field: &'static str,
    },
}

impl WireError {
    /// Its kind.
    pub fn code(&self) -> Code {
        match self {
            Self::NotBuilt { .. } => Code::NotBuilt,
            Self::TooMany { .. } => Code::TooLarge,
            Self::Missing { .. }
            | Self::Value { .. }
            | Self::UnknownEnum { .. }
            | Self::Length { .. } => Code::Invalid,
        }
    }
}

impl From<WireError> for tonic::Status {
    fn from(error: WireError) -> Self {
        error.code().status(error)
    }
}

type Result<T> = std::result::Result<T, WireError>;

fn required<T>(value: Option<T>, field: &'static str) -> Result<T> {
    value.ok_or(WireError::Missing { field })
}

fn value_error(field: &'static str, value: impl ToString, expected: &'static str) -> WireError {
    WireError::Value { field, value: value.to_string(), expected }
}

fn positive<T: PartialOrd + Default + ToString>(value: T, field: &'static str) -> Result<T> {
    match value > T::default() {
        true => Ok(value),
        false => Err(value_error(field, value.to_string(), "at least 1")),
    }
}

fn bounded(found: usize, most: usize, field: &'static str) -> Result<()> {
    match found <= most {
        true => Ok(()),
        false => Err(WireError::TooMany { field, most: most as u64, found: found as u64 }),
    }
}

fn exactly(found: usize, expected: usize, field: &'static str) -> Result<()> {
    match found == expected {
        true => Ok(()),
        false => Err(WireError::Length { field, expected: expected as u64, found: found as u64 }),
    }
}

fn short(text: String, field: &'static str) -> Result<String> {
    bounded(text.len(), limits::TEXT_BYTES, field)?;
    Ok(text)
}

/// For texts that only people read: cut rather than refused by the other side.
fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(limits::TEXT_BYTES));
    text
}

fn bytes<const N: usize>(found: &[u8], field: &'static str) -> Result<[u8; N]> {
    found.try_into().map_err(|_| WireError::Length {
        field,
        expected: N as u64,
        found: found.len() as u64,
    })
}

fn run_id(found: &[u8]) -> Result<RunId> {
    bytes(found, "run_id").map(RunId)
}

/// Empty: any run.
fn optional_run_id(found: &[u8]) -> Result<Option<RunId>> {
    (!found.is_empty()).then(|| run_id(found)).transpose()
}

fn secret(found: &[u8]) -> Result<Secret> {
    bytes(found, "secret").map(Secret)
}

impl From<Epoch> for v1::Epoch {
    fn from(epoch: Epoch) -> Self {
        Self { incarnation: epoch.incarnation.0, counter: epoch.counter }
    }
}

impl TryFrom<v1::Epoch> for Epoch {
    type Error = WireError;

    fn try_from(wire: v1::Epoch) -> Result<Self> {
        let incarnation = Incarnation(positive(wire.incarnation, "epoch.incarnation")?);
        Ok(Self { incarnation, counter: positive(wire.counter, "epoch.counter")? })
    }
}

impl From<PolicyVersion> for v1::PolicyVersion {
    fn from(version: PolicyVersion) -> Self {
        Self { incarnation: version.incarnation.0, step: version.step }
    }
}

impl TryFrom<v1::PolicyVersion> for PolicyVersion {
    type Error = WireError;

    fn try_from(wire: v1::PolicyVersion) -> Result<Self> {
        let incarnation = Incarnation(positive(wire.incarnation, "policy_version.incarnation")?);
        Ok(Self { incarnation, step: wire.step })
    }
}

impl From<Fingerprints> for v1::Fingerprints {
    fn from(fingerprints: Fingerprints) -> Self {
        Self {
            environment: fingerprints.environment.to_vec(),
            reward: fingerprints.reward.to_vec(),
            architecture: fingerprints.architecture.to_vec(),
        }
    }
}

impl TryFrom<v1::Fingerprints> for Fingerprints {
    type Error = WireError;

    fn try_from(wire: v1::Fingerprints) -> Result<Self> {
        Ok(Self {
            environment: bytes(&wire.environment, "fingerprints.environment")?,
            reward: bytes(&wire.reward, "fingerprints.reward")?,
            architecture: bytes(&wire.architecture, "fingerprints.architecture")?,
        })
    }
}

impl From<Acked> for v1::Acked {
    fn from(acked: Acked) -> Self {
        Self { epoch: Some(acked.epoch.into()), acked_below: acked.below.0 }
    }
}

impl TryFrom<v1::Acked> for Acked {
    type Error = WireError;

    fn try_from(wire: v1::Acked) -> Result<Self> {
        let epoch = required(wire.epoch, "acked.epoch")?.try_into()?;
        Ok(Self { epoch, below: Seq(wire.acked_below) })
    }
}

impl From<Credit> for v1::Credit {
    fn from(credit: Credit) -> Self {
        let Credit { bytes: granted_bytes, records } = credit;
        Self { granted_bytes, granted_records: records.unwrap_or(0) }
    }
}

impl From<v1::Credit> for Credit {
    fn from(wire: v1::Credit) -> Self {
        let records = (wire.granted_records > 0).then_some(wire.granted_records);
        Self { bytes: wire.granted_bytes, records }
    }
}

/// A domain enum and its wire twin, both ways.
macro_rules! same_words {
    ($Domain:ty, $Wire:ty, $field:literal: $($word:ident),+) => {
        impl From<$Domain> for $Wire {
            fn from(word: $Domain) -> Self {
                match word {
                    $(<$Domain>::$word => <$Wire>::$word,)+
                }
            }
        }

        impl $crate::convert::FromWireEnum for $Domain {
            fn from_wire(value: i32) -> Result<Self> {
                match <$Wire>::try_from(value) {
                    $(Ok(<$Wire>::$word) => Ok(<$Domain>::$word),)+
                    Ok(<$Wire>::Unspecified) | Err(_) => {
                        Err(WireError::UnknownEnum { field: $field, value })
                    }
                }
            }
        }
    };
}
use same_words;

/// An enum that may come from the wire.
pub trait FromWireEnum: Sized {
    /// The value, unless it is 0 or unknown to this release.
    fn from_wire(value: i32) -> Result<Self>;
}
