//! Writes a spool's files: appends what is queued, syncs, starts new files, removes old ones.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;

use tributary_common::crash;
use tributary_common::ids::{ActorId, Epoch, RunId, Seq};
use tributary_common::session::{Acked, RecordKey, Resume, Secret};
use tributary_proto::convert::batch::StampedBatch;

use super::folder::Place;
use super::frame::{self, Content, State};
use super::marks::Marks;
use super::restore::{Found, Segment, path};

/// What is to be on disk.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    /// Records are stamped with this epoch from here on.
    Welcomed(Epoch),
    /// So many records below this key, in a frame that is ready.
    Batch { end: RecordKey, records: u64, frame: Vec<u8> },
}

impl Entry {
    pub(super) fn batch(batch: StampedBatch) -> Self {
        let records = batch.batch.len() as u64;
        let end = RecordKey { epoch: batch.epoch, seq: Seq(batch.batch.first_seq.0 + records) };
        Self::Batch { end, records, frame: frame::encode(Content::Batch(batch)) }
    }

    pub(super) fn records(&self) -> u64 {
        match self {
            Self::Welcomed(_) => 0,
            Self::Batch { records, .. } => *records,
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Welcomed(_) => 0,
            Self::Batch { frame, .. } => frame.len() as u64,
        }
    }
}

/// One actor's spool, locked.
#[derive(Debug)]
pub(super) struct Store {
    place: Place,
    run: RunId,
    actor: ActorId,
    secret: Secret,
    /// As of what is on disk, and of all acks.
    marks: Marks,
    segments: Vec<Segment>,
    /// The last segment; none: what comes next starts another one.
    file: Option<File>,
    next_number: u64,
    /// A file that is longer than this is not written to any more.
    segment_bytes: u64,
    /// Not on disk yet.
    queue: Vec<Entry>,
}

impl Store {
    /// Goes on with what was found at this place.
    pub(super) fn new(place: Place, found: Found, segment_bytes: u64) -> Option<Self> {
        let (run, actor, secret) = found.owner?;
        for segment in &found.segments {
            // What a kill left half written; it is in nobody's way if this fails.
            let file = OpenOptions::new().write(true).open(&segment.path);
            let _ = file.and_then(|file| file.set_len(segment.bytes));
        }
        let next_number = found.segments.last().map_or(1, |last| last.number + 1);
        let (marks, segments) = (found.marks, found.segments);
        let (file, queue) = (None, Vec::new());
        Some(Self {
            place,
            run,
            actor,
            secret,
            marks,
            segments,
            file,
            next_number,
            segment_bytes,
            queue,
        })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &std::path::Path {
        self.place.folder()
    }

    /// Records and bytes of frames that are not on disk yet.
    pub(super) fn queued(&self) -> (u64, u64) {
        let sum =
            |(records, bytes), entry: &Entry| (records + entry.records(), bytes + entry.bytes());
        self.queue.iter().fold((0, 0), sum)
    }

    /// Queues what the next commit writes.
    pub(super) fn push(&mut self, entries: impl IntoIterator<Item = Entry>) {
        self.queue.extend(entries);
    }

    /// The learner took care of records; they were committed before.
    pub(super) fn acked(&mut self, acked: Acked) {
        self.marks.acked(acked);
    }

    /// Bytes on disk.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Writes and syncs what is queued. Behind an error nothing of it counts as written; all of it
    /// goes into a new file the next time, because nobody knows what a failed sync left behind.
    pub(super) fn commit(&mut self) -> io::Result<()> {
        if self.queue.is_empty() && !self.is_spent() {
            return Ok(());
        }
        let result = self.write();
        if result.is_err() {
            self.abandon();
        }
        result
    }

    /// The last file is large and all in it is acked: another one makes it superfluous.
    fn is_spent(&self) -> bool {
        let last = self.segments.last().filter(|last| last.bytes >= self.segment_bytes);
        last.and_then(|last| last.end).is_some_and(|end| self.marks.is_acked(end))
    }

    fn write(&mut self) -> io::Result<()> {
        let is_full = self.segments.last().is_none_or(|last| last.bytes >= self.segment_bytes);
        let open = self.file.take().filter(|_| !is_full);
        let is_new = open.is_none();
        let mut file = open.map_or_else(|| self.create(), Ok)?;
        let (mut marks, mut bytes, mut end) = (self.marks.clone(), Vec::new(), None);
        if is_new {
            bytes.extend(frame::header());
            bytes.extend(self.state(&marks));
        }
        for entry in &self.queue {
            match entry {
                Entry::Welcomed(epoch) => {
                    marks.welcomed(*epoch);
                    bytes.extend(self.state(&marks));
                }
                Entry::Batch { end: of_batch, frame, .. } => {
                    marks.stamped(*of_batch);
                    bytes.extend_from_slice(frame);
                    end = Some(*of_batch);
                }
            }
        }
        let result = self.append(&mut file, &bytes, is_new);
        // Also behind an error: the file is cut then.
        self.file = Some(file);
        result?;
        if let Some(segment) = self.segments.last_mut() {
            segment.bytes += bytes.len() as u64;
            segment.end = end.or(segment.end);
        }
        self.marks = marks;
        self.queue.clear();
        Ok(())
    }

    fn append(&self, file: &mut File, bytes: &[u8], is_new: bool) -> io::Result<()> {
        crash::point(crash::SPOOL_BEFORE_WRITE)?;
        file.write_all(bytes)?;
        crash::point(crash::SPOOL_BEFORE_SYNC)?;
        file.sync_data()?;
        if is_new {
            self.place.sync()?;
        }
        crash::point(crash::SPOOL_AFTER_SYNC)
    }

    fn create(&mut self) -> io::Result<File> {
        crash::point(crash::SPOOL_BEFORE_CREATE)?;
        let number = self.next_number;
        let path = path(self.place.folder(), number);
        self.next_number += 1;
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path)?;
        self.segments.push(Segment { number, path, bytes: 0, end: None });
        crash::point(crash::SPOOL_AFTER_CREATE)?;
        Ok(file)
    }

    /// Leaves the file that could not be written as it was before.
    fn abandon(&mut self) {
        let file = self.file.take();
        let Some(last) = self.segments.last() else { return };
        if last.bytes == 0 {
            if fs::remove_file(&last.path).is_ok() {
                self.segments.pop();
            }
        } else if let Some(file) = file {
            // If this fails, too, readers see the same records twice and take the first.
            let _ = file.set_len(last.bytes);
        }
    }

    /// Removes files of which everything is acked, from the first on; the last one that says whose the
    /// spool is stays. A kill may have left one behind it that was torn before it said so.
    pub(super) fn remove_acked(&mut self) -> io::Result<()> {
        let is_acked = |segment: &Segment| segment.end.is_none_or(|end| self.marks.is_acked(end));
        let mut gone = 0;
        let mut result = Ok(());
        let says_whose = |segment: &Segment| segment.bytes > frame::HEADER as u64;
        let stays = self.segments.iter().rposition(says_whose).unwrap_or(0);
        for segment in self.segments.iter().take(stays).take_while(|one| is_acked(one)) {
            result = remove(segment);
            if result.is_err() {
                break;
            }
            gone += 1;
        }
        self.segments.drain(..gone);
        result
    }

    /// Everything is acked and the actor leaves: nothing stays.
    pub(super) fn remove(self) -> io::Result<()> {
        self.place.remove()
    }

    fn state(&self, marks: &Marks) -> Vec<u8> {
        let resume = Resume {
            actor: self.actor,
            secret: self.secret,
            acked_records: marks.acked_records,
            leftovers: marks.leftovers(),
        };
        frame::encode(Content::State(State { run: self.run, resume }))
    }
}

fn remove(segment: &Segment) -> io::Result<()> {
    crash::point(crash::SPOOL_BEFORE_REMOVE)?;
    match fs::remove_file(&segment.path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    crash::point(crash::SPOOL_AFTER_REMOVE)
}
