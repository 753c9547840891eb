//! Values of objects on their way to the ledger of a run that is not durable: one transaction a second
//! or so, of what is new since the last.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tributary_common::ledger::{LedgerError, Observation};
use tributary_common::reward::ObjectKey;

use super::{Store, persist};
use crate::figures::Board;
use crate::locks::lock;

/// Bytes that may wait to be written; who has more waits.
const MOST_BYTES: usize = 64 << 20;
/// What an observation takes besides its values and its object.
const OVERHEAD: usize = 300;
/// Time between two transactions.
const EVERY: Duration = Duration::from_secs(1);
/// Writing takes at most one part in so many of the time.
const SHARE: u32 = 20;

#[derive(Default)]
struct Pending {
    /// Of each object its first values since the last transaction, and different ones.
    of: HashMap<ObjectKey, Vec<Observation>>,
    bytes: usize,
    is_closed: bool,
    /// Nothing is written any more.
    is_broken: bool,
}

/// What waits to be written, shared by ingest and the ledger's thread.
pub struct WriteBehind {
    pending: Mutex<Pending>,
    most_bytes: usize,
    room: Condvar,
    work: Condvar,
}

impl Default for WriteBehind {
    fn default() -> Self {
        Self::new(MOST_BYTES)
    }
}

impl WriteBehind {
    /// With so many bytes to wait.
    pub fn new(most_bytes: usize) -> Self {
        let pending = Mutex::default();
        Self { pending, most_bytes, room: Condvar::new(), work: Condvar::new() }
    }

    /// Takes a value; waits while too many wait, and returns for how long.
    pub fn note(&self, observation: Observation) -> Duration {
        let mut pending = lock(&self.pending);
        let mut waited = Duration::ZERO;
        if pending.bytes >= self.most_bytes && !pending.is_broken {
            let start = Instant::now();
            self.work.notify_one();
            while pending.bytes >= self.most_bytes && !pending.is_broken {
                pending = self.room.wait(pending).unwrap_or_else(PoisonError::into_inner);
            }
            waited = start.elapsed();
        }
        let Pending { of, bytes, .. } = &mut *pending;
        let values = of.entry(observation.key).or_default();
        let same = values.iter_mut().find(|other| is_same(other, &observation));
        match same {
            Some(other) => other.seen += 1,
            None => {
                *bytes += OVERHEAD + 8 * observation.raw.len();
                values.push(observation);
            }
        }
        waited
    }

    /// Nothing more comes.
    pub fn close(&self) {
        lock(&self.pending).is_closed = true;
        self.work.notify_one();
    }

    /// What came since this was last asked, when the time has passed or it is much or nothing more
    /// comes; none at the end.
    fn take(&self, pause: Duration) -> Option<Vec<Observation>> {
        let pending = lock(&self.pending);
        let is_early = |pending: &mut Pending| {
            !pending.is_closed && pending.bytes < self.most_bytes.div_ceil(2)
        };
        let waited = self.work.wait_timeout_while(pending, pause, is_early);
        let (mut pending, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let of = mem::take(&mut pending.of);
        pending.bytes = 0;
        self.room.notify_all();
        if of.is_empty() && pending.is_closed {
            return None;
        }
        Some(of.into_values().flatten().collect())
    }
}

/// NaN is no value here, so that a value is the same as itself.
fn is_same(one: &Observation, other: &Observation) -> bool {
    one.raw == other.raw && (one.is_measured || !other.is_measured)
}

/// The ledger's thread of a run that is not durable.
pub struct BehindWriter {
    /// The ledger.
    pub store: Box<dyn Store>,
    /// What is to be written.
    pub from: Arc<WriteBehind>,
    /// Where it is counted.
    pub board: Arc<Board>,
    /// Time between two tries on a full disk.
    pub retry: Duration,
}

impl BehindWriter {
    /// Writes until nothing more comes.
    ///
    /// # Errors
    /// The ledger's, if it does not pass.
    pub fn run(mut self) -> Result<(), LedgerError> {
        let result = self.write_all();
        lock(&self.from.pending).is_broken = true;
        self.from.room.notify_all();
        result?;
        self.store.close()
    }

    fn write_all(&mut self) -> Result<(), LedgerError> {
        let mut pause = EVERY;
        while let Some(observations) = self.from.take(pause) {
            let start = Instant::now();
            if !observations.is_empty() {
                persist(&self.board, self.retry, || self.store.observe(&observations))?;
            }
            pause = EVERY.max(start.elapsed() * SHARE);
        }
        Ok(())
    }
}
