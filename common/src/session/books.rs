//! Where every record went: the books must balance.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a record was not accepted. Its name in files is the snake case one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectionReason {
    /// An action that the state before it does not allow.
    IllegalAction,
    /// More actions than the environment's longest trajectory.
    TooLong,
    /// It ends in a state that is no finished object.
    Unfinished,
    /// Raw values of which no log-reward can be made.
    InvalidReward,
    /// Drawn with weights that are too old.
    Stale,
    /// The run has all the trajectories that it asked for.
    RunComplete,
    /// The actor is quarantined.
    Quarantined,
}

impl RejectionReason {
    /// The name in files, metrics and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::IllegalAction => "illegal_action",
            Self::TooLong => "too_long",
            Self::Unfinished => "unfinished",
            Self::InvalidReward => "invalid_reward",
            Self::Stale => "stale",
            Self::RunComplete => "run_complete",
            Self::Quarantined => "quarantined",
        }
    }
}

impl fmt::Display for RejectionReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Records that a learner got, and what became of them:
/// received = accepted + duplicate + rejected + pending.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Books {
    /// Records of whole messages of valid sessions.
    pub received: u64,
    /// New and valid.
    pub accepted: u64,
    /// Sent again after a lost ack, or drawn twice in a lockstep run.
    pub duplicate: u64,
    /// Not accepted, by reason.
    pub rejected: BTreeMap<RejectionReason, u64>,
    /// Accepted, acked, and forgotten by a learner that came back from an older checkpoint; counted
    /// in `received` and `accepted`, too.
    pub lost_in_restart: u64,
}

impl Books {
    /// Rejected for any reason.
    pub fn rejected_total(&self) -> u64 {
        self.rejected.values().sum()
    }

    /// Received and not decided yet.
    pub fn pending(&self) -> u64 {
        let decided = self.accepted.saturating_add(self.duplicate);
        self.received.saturating_sub(decided.saturating_add(self.rejected_total()))
    }

    /// Counts a rejection.
    pub fn reject(&mut self, reason: RejectionReason) {
        *self.rejected.entry(reason).or_default() += 1;
    }

    /// Adds the figures of another actor.
    pub fn add(&mut self, other: &Books) {
        // Peers claim what was lost in a restart: a sum that stays at the top is better than a crash.
        self.received = self.received.saturating_add(other.received);
        self.accepted = self.accepted.saturating_add(other.accepted);
        self.duplicate = self.duplicate.saturating_add(other.duplicate);
        self.lost_in_restart = self.lost_in_restart.saturating_add(other.lost_in_restart);
        for (&reason, &count) in &other.rejected {
            let sum = self.rejected.entry(reason).or_default();
            *sum = sum.saturating_add(count);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_reason_has_one_name() {
        for reason in [
            RejectionReason::IllegalAction,
            RejectionReason::TooLong,
            RejectionReason::Unfinished,
            RejectionReason::InvalidReward,
            RejectionReason::Stale,
            RejectionReason::RunComplete,
            RejectionReason::Quarantined,
        ] {
            assert_eq!(serde_json::to_string(&reason).unwrap(), format!("\"{reason}\""));
        }
    }

    #[test]
    fn claims_of_many_peers_overflow_no_sum() {
        let mut sum = Books::default();
        let accepted = u64::MAX / 2;
        let one = Books { received: accepted, accepted, ..Books::default() };
        (0..3).for_each(|_| sum.add(&one));
        assert_eq!((sum.received, sum.accepted, sum.pending()), (u64::MAX, u64::MAX, 0));
    }

    #[test]
    fn sums_keep_the_balance() {
        let mut one = Books { received: 7, accepted: 3, duplicate: 1, ..Books::default() };
        one.reject(RejectionReason::Stale);
        let mut sum = Books::default();
        sum.add(&one);
        sum.add(&one);
        assert_eq!((sum.rejected_total(), sum.pending()), (2, 4));
    }
}
