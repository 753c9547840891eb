//! Values of objects on their way to the ledger of a run that is not durable: one transaction a second
//! or so, of what is new since the last.

use std::collections::hash_map::Entry;
use std::iter;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use foldhash::HashMap;
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
    of: HashMap<ObjectKey, (Observation, Vec<Observation>)>,
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

    /// Takes the raw values of an object, `is_measured` if they are not hearsay; the observation is made
    /// of them if they are new. Waits while too many wait, and returns for how long.
    pub fn note(
        &self,
        key: ObjectKey,
        raw: &[f64],
        is_measured: bool,
        observation: impl FnOnce() -> Observation,
    ) -> Duration {
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
        // NaN is no value here, so that a value is the same as itself.
        let is_same =
            |other: &&mut Observation| other.raw == raw && (other.is_measured || !is_measured);
        match of.entry(key) {
            Entry::Occupied(mut values) => {
                let (first, others) = values.get_mut();
                match iter::once(first).chain(&mut *others).find(is_same) {
                    Some(other) => other.seen += 1,
                    None => {
                        *bytes += OVERHEAD + 8 * raw.len();
                        others.push(observation());
                    }
                }
            }
            Entry::Vacant(values) => {
                *bytes += OVERHEAD + 8 * raw.len();
                values.insert((observation(), Vec::new()));
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
        Some(of.into_values().flat_map(|(first, others)| iter::once(first).chain(others)).collect())
    }
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
