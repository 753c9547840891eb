//! Who waits for whom, now: the hand-overs of the learner by their names "who.for_what".
//!
//! Whoever waits says so at the start and at the end, which is two atomic additions; the
//! [`watchdog`](crate::watchdog) looks at them. How long was waited in sum is on the
//! [`Board`](crate::figures::Board).

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// A hand-over at which somebody may wait, or a piece of work for which others wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Edge {
    /// The trainer waits for a batch.
    TrainerData,
    /// The trainer waits for the paths of a batch to be drawn anew.
    TrainerRedraw,
    /// The trainer waits for an update to be computed.
    TrainerUpdate,
    /// The trainer waits until the last checkpoint may be handed over.
    TrainerCheckpoint,
    /// Ingest waits for room in replay.
    IngestReplay,
    /// Ingest waits for the ledger to take what it decided.
    IngestLedger,
    /// The ledger waits for the disk.
    LedgerDisk,
    /// Sessions wait for ingest to take what they received.
    SessionsIngest,
    /// The writer of checkpoints waits for the disk.
    CheckpointsDisk,
    /// Every actor waits for credit. Seen in their sessions; nobody marks it.
    ActorsCredit,
    /// Connected actors that are not heard of. Seen in their sessions; nobody marks it.
    ActorsSilent,
}

impl Edge {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::TrainerData,
        Self::TrainerRedraw,
        Self::TrainerUpdate,
        Self::TrainerCheckpoint,
        Self::IngestReplay,
        Self::IngestLedger,
        Self::LedgerDisk,
        Self::SessionsIngest,
        Self::CheckpointsDisk,
        Self::ActorsCredit,
        Self::ActorsSilent,
    ];

    /// "who.for_what".
    pub fn name(self) -> &'static str {
        match self {
            Self::TrainerData => "trainer.data",
            Self::TrainerRedraw => "trainer.redraw",
            Self::TrainerUpdate => "trainer.update",
            Self::TrainerCheckpoint => "trainer.checkpoint",
            Self::IngestReplay => "ingest.replay",
            Self::IngestLedger => "ingest.ledger",
            Self::LedgerDisk => "ledger.disk",
            Self::SessionsIngest => "sessions.ingest",
            Self::CheckpointsDisk => "checkpoints.disk",
            Self::ActorsCredit => "actors.credit",
            Self::ActorsSilent => "actors.silent",
        }
    }

    /// Whether nothing is trained on while it lasts.
    pub fn is_blocking(self) -> bool {
        !matches!(self, Self::CheckpointsDisk | Self::ActorsSilent)
    }
}

/// What actors may call their waits: other names are counted together, so that no actor makes the
/// learner keep names without end.
const OF_ACTORS: [&str; 7] = ["credit", "network", "weights", "reward", "queue", "spool", "ledger"];

/// The name under which an actor's wait is counted.
pub fn of_actors(name: &str) -> &'static str {
    OF_ACTORS.into_iter().find(|known| *known == name).unwrap_or("other")
}

#[derive(Debug, Default)]
struct Waits {
    begun: AtomicU64,
    ended: AtomicU64,
    /// When the newest began, in nanoseconds since the edges were made.
    since: AtomicU64,
}

/// Who waits now; shared by all threads.
#[derive(Debug)]
pub struct Edges {
    waits: [Waits; Edge::ALL.len()],
    start: Instant,
}

impl Default for Edges {
    fn default() -> Self {
        Self { waits: Default::default(), start: Instant::now() }
    }
}

/// A wait that is over when this is dropped.
#[derive(Debug)]
#[must_use]
pub struct Waiting<'a>(&'a Waits);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Relaxed);
    }
}

impl Edges {
    /// Somebody waits from now on.
    pub fn wait(&self, edge: Edge) -> Waiting<'_> {
        let waits = &self.waits[edge as usize];
        waits.since.store(self.start.elapsed().as_nanos() as u64, Relaxed);
        waits.begun.fetch_add(1, Relaxed);
        Waiting(waits)
    }

    /// How long somebody has been waiting at an edge where one waits at a time; zero while nobody does.
    pub fn lasting(&self, edge: Edge) -> Duration {
        let Waits { begun, ended, since } = &self.waits[edge as usize];
        let since = Duration::from_nanos(since.load(Relaxed));
        match begun.load(Relaxed) > ended.load(Relaxed) {
            true => self.start.elapsed().saturating_sub(since),
            false => Duration::ZERO,
        }
    }

    /// The edges at which somebody waits now, each with the number of waits that are over there: as
    /// long as that stays the same, nobody has come further.
    pub fn now(&self) -> Vec<(Edge, u64)> {
        let waits = |edge: Edge| {
            let Waits { begun, ended, .. } = &self.waits[edge as usize];
            let ended = ended.load(Relaxed);
            (begun.load(Relaxed) > ended).then_some((edge, ended))
        };
        Edge::ALL.into_iter().filter_map(waits).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_seen_while_it_lasts() {
        let edges = Edges::default();
        assert_eq!(edges.now(), []);
        let first = edges.wait(Edge::IngestReplay);
        let other = edges.wait(Edge::TrainerUpdate);
        assert_eq!(edges.now(), [(Edge::TrainerUpdate, 0), (Edge::IngestReplay, 0)]);
        while edges.lasting(Edge::IngestReplay).is_zero() {
            std::thread::yield_now();
        }
        drop(first);
        drop(other);
        assert!(edges.lasting(Edge::IngestReplay).is_zero());
        let _second = edges.wait(Edge::IngestReplay);
        assert_eq!(edges.now(), [(Edge::IngestReplay, 1)]);
    }

    #[test]
    fn names_are_one_to_one_and_those_of_actors_are_bounded() {
        let names: std::collections::BTreeSet<_> = Edge::ALL.map(Edge::name).into();
        assert_eq!(names.len(), Edge::ALL.len());
        assert!(Edge::ALL.into_iter().enumerate().all(|(place, edge)| edge as usize == place));
        assert_eq!((of_actors("reward"), of_actors("x7")), ("reward", "other"));
    }
}
