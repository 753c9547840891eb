//! When a wait is a stall, and when something is said of it. No clock, no I/O.

use std::collections::BTreeMap;
use std::time::Duration;

use super::look::Look;
use super::reason::reason;
use crate::edges::Edge;

/// A wait without progress becomes a stall.
pub(super) const STALLED_AFTER: Duration = Duration::from_secs(30);
/// Between two looks never more than this counts: a process that was stopped waited for nobody.
const LONGEST_LOOK: Duration = Duration::from_secs(5);
/// After a standstill actors have so long to be heard again before they are called silent.
const GRACE: Duration = Duration::from_secs(5);

/// A hand-over at which somebody waits without progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stall {
    /// Where.
    pub edge: Edge,
    /// For how long.
    pub waited: Duration,
    /// Who waits, and probably why.
    pub reason: String,
}

/// What there is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// It lasts; said at first after 30 seconds, then at growing intervals.
    Stalled(Stall),
    /// It is over, after so long.
    Over(Edge, Duration),
    /// The learner itself was stopped, or starved, for so long.
    StoodStill(Duration),
}

impl Line {
    /// Writes it to the log.
    pub fn log(&self) {
        match self {
            Self::Stalled(Stall { edge, waited, reason }) => {
                let (edge, seconds) = (edge.name(), waited.as_secs());
                tracing::warn!(edge, seconds, "stalled: {reason}");
            }
            Self::Over(edge, waited) => {
                let (edge, seconds) = (edge.name(), waited.as_secs());
                tracing::info!(edge, seconds, "no longer stalled");
            }
            Self::StoodStill(time) => {
                let seconds = time.as_secs();
                tracing::warn!(
                    seconds,
                    "the learner itself stood still: stopped, or without a core"
                );
            }
        }
    }
}

/// An edge at which somebody waits.
#[derive(Clone, Debug)]
struct Wait {
    /// Waits that were over there when it began.
    ended: u64,
    waited: Duration,
    next_line: Duration,
    /// The run when it began.
    before: Look,
    reason: String,
}

impl Wait {
    fn is_stall(&self) -> bool {
        self.waited >= STALLED_AFTER
    }
}

/// Which waits are stalls.
#[derive(Debug, Default)]
pub struct Rule {
    waits: BTreeMap<Edge, Wait>,
    last: Option<Duration>,
    grace_until: Duration,
}

impl Rule {
    /// Looks again; what there is to say.
    pub fn look(&mut self, look: &Look) -> Vec<Line> {
        let later = look.now.saturating_sub(self.last.unwrap_or(look.now));
        self.last = Some(look.now);
        let mut lines = Vec::new();
        if later > LONGEST_LOOK {
            self.grace_until = look.now + GRACE;
            lines.push(Line::StoodStill(later));
        }
        let waits = self.waits_of(look);
        self.end(&waits, &mut lines);
        for (edge, ended) in waits {
            let wait = self.waits.entry(edge).or_insert_with(|| Wait {
                ended,
                waited: Duration::ZERO,
                next_line: STALLED_AFTER,
                before: look.clone(),
                reason: String::new(),
            });
            wait.waited += later.min(LONGEST_LOOK);
            if edge == Edge::ActorsSilent {
                wait.waited = look.silent.1;
            }
            if !wait.is_stall() {
                continue;
            }
            wait.reason = reason(edge, look, &wait.before);
            if wait.waited >= wait.next_line {
                wait.next_line = 2 * wait.waited;
                let (waited, reason) = (wait.waited, wait.reason.clone());
                lines.push(Line::Stalled(Stall { edge, waited, reason }));
            }
        }
        lines
    }

    /// What is stalled, the blocking first.
    pub fn stalls(&self) -> Vec<Stall> {
        let stalled = self.waits.iter().filter(|(_, wait)| wait.is_stall());
        let stall = |(&edge, wait): (&Edge, &Wait)| Stall {
            edge,
            waited: wait.waited,
            reason: wait.reason.clone(),
        };
        let mut stalls: Vec<Stall> = stalled.map(stall).collect();
        stalls.sort_by_key(|stall| !stall.edge.is_blocking());
        stalls
    }

    /// The edges at which somebody waits, with a number that stays the same while nobody gets on.
    fn waits_of(&self, look: &Look) -> Vec<(Edge, u64)> {
        let mut waits = look.waits.clone();
        let ingest_waits = look.waits_at(Edge::IngestReplay);
        if look.connected > 0 && look.without_credit == look.connected && !ingest_waits {
            waits.push((Edge::ActorsCredit, look.received - look.pending));
        }
        if look.silent.0 > 0 && look.now >= self.grace_until {
            waits.push((Edge::ActorsSilent, 0));
        }
        waits
    }

    /// Forgets the waits that are over.
    fn end(&mut self, waits: &[(Edge, u64)], lines: &mut Vec<Line>) {
        self.waits.retain(|edge, wait| {
            let lasts = waits.contains(&(*edge, wait.ended));
            if !lasts && wait.is_stall() {
                lines.push(Line::Over(*edge, wait.waited));
            }
            lasts
        });
    }
}

#[cfg(test)]
mod tests;
