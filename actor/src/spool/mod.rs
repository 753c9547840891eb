//! What an actor of a durable run keeps on its own disk: its id and secret, how far its sessions
//! have come, and every record whose reward is known and that is not acked yet.
//!
//! A record is sent only when it is on disk here, so an actor that is killed leaves behind all that
//! the learner may have heard of and all that it paid for. The next actor of the run on this machine
//! takes the spool over (`adopt`) and goes on with the same id. `docs/spool.md` tells the rules.

mod adopt;
mod folder;
mod frame;
mod marks;
mod restore;
mod store;
mod writer;

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;
use tributary_common::ids::{Epoch, RunId};
use tributary_common::session::{Acked, Identity, RecordKey, record_bytes};
use tributary_proto::limits;

pub(crate) use adopt::{Adopted, Adoption};

use folder::Place;
use restore::Found;
use store::{Entry, Store};
use writer::{News, Queue};

use crate::columns;
use crate::scoring::Record;

/// Records of one frame, which is written and found damaged as a whole.
const FRAME_RECORDS: usize = 256;

/// Where spools are, and how large they may become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolConfig {
    /// Actors on one machine may share it.
    pub folder: PathBuf,
    /// With so much on disk the actor measures nothing until something is acked. What is measured
    /// at that moment is still kept.
    pub limit_bytes: u64,
}

/// The spool of this actor; a thread writes it.
pub(crate) struct Spool {
    path: PathBuf,
    limit_bytes: u64,
    queue: Arc<Queue>,
    news: watch::Receiver<News>,
    /// Of entries handed to the thread.
    queued_bytes: u64,
    /// Records that are known to be kept.
    kept: u64,
}

impl Spool {
    /// An empty one.
    pub(crate) fn create(config: &SpoolConfig, run: RunId, identity: Identity) -> io::Result<Self> {
        let place = Place::create(&config.folder, run, identity.actor)?;
        let found = Found::nothing(run, identity.actor, identity.secret);
        Self::start(config, place, found)
    }

    fn start(config: &SpoolConfig, place: Place, found: Found) -> io::Result<Self> {
        let path = place.folder().to_owned();
        let segment_bytes = (config.limit_bytes / 16).clamp(4 << 10, 8 << 20);
        let Some(store) = Store::new(place, found, segment_bytes) else {
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        };
        let queue = Arc::new(Queue::default());
        let news = writer::start(store, &queue)?;
        let limit_bytes = config.limit_bytes;
        Ok(Self { path, limit_bytes, queue, news, queued_bytes: 0, kept: 0 })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Records are stamped with this epoch from here on.
    pub(crate) fn welcomed(&self, epoch: Epoch) {
        self.queue.push([Entry::Welcomed(epoch)]);
    }

    /// Keeps records of one epoch, from this key on without a gap.
    pub(crate) fn keep(&mut self, first: RecordKey, records: &[&Record]) {
        let (mut first, mut records) = (first, records);
        while !records.is_empty() {
            let (frame, rest) = records.split_at(fitting(records));
            let entry = Entry::batch(columns::batch(first, frame));
            first.seq.0 += frame.len() as u64;
            self.queued_bytes += entry.bytes();
            self.queue.push([entry]);
            records = rest;
        }
    }

    /// The learner took care of records.
    pub(crate) fn acked(&self, acked: Acked) {
        self.queue.acked(acked);
    }

    /// Waits until something has changed; then says how many more records are kept.
    pub(crate) async fn news(&mut self) -> Result<u64, Died> {
        self.news.changed().await.map_err(|_| Died)?;
        Ok(self.newly_kept())
    }

    fn newly_kept(&mut self) -> u64 {
        let kept = self.news.borrow_and_update().kept_records;
        kept - std::mem::replace(&mut self.kept, kept)
    }

    /// Bytes that it takes, what is not written yet included.
    pub(crate) fn bytes(&self) -> u64 {
        let news = self.news.borrow();
        news.disk_bytes + self.queued_bytes.saturating_sub(news.written_bytes)
    }

    /// Whether nothing may be measured now: it is full, or cannot be written.
    pub(crate) fn is_shut(&self) -> bool {
        self.news.borrow().fails || self.bytes() >= self.limit_bytes
    }

    /// Writes what is left, and ends; with everything acked nothing stays of it.
    pub(crate) fn close(self, everything_is_acked: bool) {
        self.queue.end(everything_is_acked);
        self.queue.wait_for_the_end();
    }
}

/// How many of these records make a frame: no more than a message of the wire holds.
fn fitting(records: &[&Record]) -> usize {
    let mut bytes = 0;
    let fits = |record: &&&Record| {
        bytes += record_bytes(record.actions.len(), record.raw.len());
        bytes <= limits::BATCH_BYTES
    };
    records.iter().take(FRAME_RECORDS).take_while(fits).count().max(1)
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.queue.end(false);
    }
}

/// The thread of a spool is gone.
#[derive(Debug)]
pub(crate) struct Died;

/// For tests: the folders of all spools.
#[cfg(test)]
pub(crate) fn folders(root: &Path) -> Vec<PathBuf> {
    folder::spools(root, None).into_iter().map(|(_, folder)| folder).collect()
}

/// For tests: how many spools nobody uses. Looks only: to lock one and let go of it would leave it
/// locked for as long as a process that another test starts just then has not become its program.
#[cfg(test)]
pub(crate) fn unlocked(root: &Path) -> usize {
    use std::os::unix::fs::MetadataExt as _;
    let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    let is_free = |folder: &PathBuf| {
        let inode = folder.join(folder::LOCK).metadata().map_or(0, |file| file.ino());
        !locks.split_whitespace().any(|word| word.ends_with(&format!(":{inode}")))
    };
    folders(root).iter().filter(|folder| is_free(folder)).count()
}

/// For tests: the keys of the records in a spool.
#[cfg(test)]
pub(crate) fn held(
    folder: &Path,
) -> Vec<(tributary_common::ids::ActorId, Epoch, tributary_common::ids::Seq)> {
    let kept = restore::read(folder).ok().and_then(|found| found.kept());
    let keys = kept.into_iter().flat_map(|kept| {
        kept.held.into_iter().map(move |(key, ..)| (kept.identity.actor, key.epoch, key.seq))
    });
    keys.collect()
}
