//! The ledger's thread. In a durable run it commits whatever is queued when the last sync ends
//! ([`commit`]); in others it writes values of objects behind the run ([`behind`]).

pub mod behind;
pub mod commit;
pub mod covered;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::oneshot;
use tributary_common::claims::Finding;
use tributary_common::ids::ActorId;
use tributary_common::ledger::{Alarm, Entry, Ledger, LedgerError, Observation};
use tributary_common::reward::ObjectKey;
use tributary_common::trajectory::TrajectoryView;

pub use behind::{BehindWriter, WriteBehind};
pub use commit::{CommitWriter, Committer, Job, Results, Work};
pub use covered::Covered;

use crate::edges::Edge;
use crate::examine::Sound;
use crate::figures::Board;
use crate::ingest::is_known;

/// Time between two tries to write on a full disk.
pub const RETRY: Duration = Duration::from_millis(500);

/// Where a writer writes: the ledger, or in tests one whose disk fails when it is told to.
pub trait Store: Send {
    /// See [`Ledger::commit`].
    ///
    /// # Errors
    /// Nothing was written.
    fn commit(&mut self, entries: &[Entry]) -> Result<Vec<Alarm>, LedgerError>;

    /// See [`Ledger::observe`].
    ///
    /// # Errors
    /// Nothing was written.
    fn observe(&mut self, observations: &[Observation]) -> Result<(), LedgerError>;

    /// See [`Ledger::forget_below`].
    ///
    /// # Errors
    /// Nothing was deleted.
    fn forget_below(&mut self, ordinal: u64) -> Result<usize, LedgerError>;

    /// See [`Ledger::strike`].
    ///
    /// # Errors
    /// Nothing was changed.
    fn strike(&mut self, actor: ActorId) -> Result<u64, LedgerError>;

    /// See [`Ledger::find`].
    ///
    /// # Errors
    /// The disk's.
    fn find(&self, key: ObjectKey) -> Result<Option<Arc<Finding>>, LedgerError>;

    /// See [`Ledger::spent`].
    fn spent(&self) -> (u64, f64);

    /// See [`Ledger::close`].
    ///
    /// # Errors
    /// The disk's.
    fn close(self: Box<Self>) -> Result<(), LedgerError>;
}

impl Store for Ledger {
    fn commit(&mut self, entries: &[Entry]) -> Result<Vec<Alarm>, LedgerError> {
        Ledger::commit(self, entries)
    }

    fn observe(&mut self, observations: &[Observation]) -> Result<(), LedgerError> {
        Ledger::observe(self, observations)
    }

    fn forget_below(&mut self, ordinal: u64) -> Result<usize, LedgerError> {
        Ledger::forget_below(self, ordinal)
    }

    fn strike(&mut self, actor: ActorId) -> Result<u64, LedgerError> {
        Ledger::strike(self, actor)
    }

    fn find(&self, key: ObjectKey) -> Result<Option<Arc<Finding>>, LedgerError> {
        Ledger::find(self, key)
    }

    fn spent(&self) -> (u64, f64) {
        Ledger::spent(self)
    }

    fn close(self: Box<Self>) -> Result<(), LedgerError> {
        Ledger::close(*self)
    }
}

/// Writes until it is written; waits as long as the disk is full. The board shows why.
fn persist<T>(
    board: &Board,
    retry: Duration,
    mut write: impl FnMut() -> Result<T, LedgerError>,
) -> Result<T, LedgerError> {
    let mut is_told = false;
    let _waiting = board.wait(Edge::LedgerDisk);
    loop {
        match write() {
            Ok(written) => {
                board.update(|figures| {
                    figures.ledger.commits += 1;
                    figures.ledger.trouble = None;
                });
                if is_told {
                    tracing::info!("the ledger can be written again");
                }
                return Ok(written);
            }
            Err(error) if error.is_transient() => {
                if !is_told {
                    tracing::error!(%error, "degraded: nothing is acked until the ledger is written");
                    is_told = true;
                }
                board.update(|figures| {
                    figures.ledger.failures += 1;
                    figures.ledger.trouble = Some(error.to_string());
                });
                thread::sleep(retry);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Runs a writer's thread; an error of the ledger goes to whoever ends the program.
pub fn report(result: Result<(), LedgerError>, failed: oneshot::Sender<LedgerError>) {
    if let Err(error) = result {
        tracing::error!(%error, "the ledger cannot be written: the learner ends");
        // Nobody waits for it when the program is already on its way out.
        let _ = failed.send(error);
    }
}

/// How actors come by what they say of objects.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sources {
    /// They ask first, and tell of what they measure by itself.
    pub is_shared: bool,
    /// What they send of an object that could not be measured.
    pub refused: Option<f64>,
}

impl Sources {
    /// Whether the actor knew the object's values, from a file or from somebody else.
    pub fn is_known(&self, trajectory: &TrajectoryView<'_>) -> bool {
        let &TrajectoryView { kind, seconds, .. } = trajectory;
        is_known(kind, seconds) || (self.is_shared && seconds == 0.0)
    }

    /// Whether a trajectory brings values that were measured for it, not hearsay.
    pub fn is_measured(&self, trajectory: &TrajectoryView<'_>) -> bool {
        let raw = trajectory.raw;
        // Failures are told by themselves: what stands for them was not measured.
        let stands_in = || self.refused.is_some() && raw.first() == self.refused.as_ref();
        !(self.is_known(trajectory) || (self.is_shared && stands_in()))
    }

    /// What a sound trajectory says of its object.
    pub fn observation(
        &self,
        sound: &Sound,
        trajectory: &TrajectoryView<'_>,
        actor: ActorId,
    ) -> Observation {
        let &TrajectoryView { seconds, raw, policy, .. } = trajectory;
        Observation {
            key: sound.key,
            object: sound.built.clone(),
            raw: raw.to_vec(),
            seconds,
            actor,
            policy,
            is_measured: self.is_measured(trajectory),
            seen: 1,
            time: now(),
        }
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> f64 {
    // A clock before 1970 is recorded as that.
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
