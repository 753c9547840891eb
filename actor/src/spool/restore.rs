//! Reads what a spool's files hold, whatever happened to them.
//!
//! Files are written one after the other and removed from the first on, each when all of its records
//! are acked. So what an older file held is acked; and a record is missing if keys around it are there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use tributary_common::ids::{ActorId, Epoch, RunId, Seq};
use tributary_common::schema::UnknownSchema;
use tributary_common::session::actor::Kept;
use tributary_common::session::{Identity, RecordKey, Resume, Secret, record_bytes};
use tributary_common::trajectory::TrajectoryKind;
use tributary_proto::convert::batch::StampedBatch;

use super::frame::{self, Content, Parts, State};
use super::marks::{Mark, Marks};
use crate::columns;
use crate::scoring::Record;

/// The end of the name of a spool's files; before it comes their number.
const ENDING: &str = "spool";

/// Why a spool cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The disk, or permissions.
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    /// It was written by a newer release.
    #[error("{}: {source}", path.display())]
    Schema { path: PathBuf, source: UnknownSchema },
    /// Nothing in it says whose it is.
    #[error("{}: nothing in it says whose it is", path.display())]
    Illegible { path: PathBuf },
}

/// Records that were in a spool and are not legible any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Damage {
    /// Where something illegible was, if anywhere.
    pub(super) place: Option<(PathBuf, usize)>,
    /// The first that is missing.
    pub(super) first: RecordKey,
    /// How many are missing.
    pub(super) records: u64,
}

/// A file of a spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    /// Bytes that are legible, or known to be on disk.
    pub(super) bytes: u64,
    /// One past its last record.
    pub(super) end: Option<RecordKey>,
}

/// What a spool holds.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(super) owner: Option<(RunId, ActorId, Secret)>,
    pub(super) marks: Marks,
    pub(super) segments: Vec<Segment>,
    pub(super) damage: Vec<Damage>,
    /// None: illegible.
    records: BTreeMap<RecordKey, Option<Record>>,
    /// Something illegible since records were last missed.
    illegible: Option<(PathBuf, usize)>,
}

/// The path of a spool's file.
pub(super) fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:08}.{ENDING}"))
}

/// Reads a spool; changes nothing.
pub(crate) fn read(folder: &Path) -> Result<Found, ReadError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| ReadError::Io { path, source }
    };
    let mut found = Found::default();
    for (number, path) in files(folder).map_err(failed(folder))? {
        let bytes = fs::read(&path).map_err(failed(&path))?;
        frame::check_header(&bytes)
            .map_err(|source| ReadError::Schema { path: path.clone(), source })?;
        found.file(number, path, &bytes);
    }
    if found.owner.is_none() {
        return Err(ReadError::Illegible { path: folder.to_owned() });
    }
    Ok(found)
}

fn files(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_ours = path.extension().is_some_and(|ending| ending == ENDING);
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        if let Some(number) = stem.filter(|_| is_ours).and_then(|stem| stem.parse().ok()) {
            files.push((number, path));
        }
    }
    files.sort();
    Ok(files)
}

impl Found {
    /// The spool of an actor that has none.
    pub(super) fn nothing(run: RunId, actor: ActorId, secret: Secret) -> Self {
        Self { owner: Some((run, actor, secret)), ..Self::default() }
    }

    /// What the session goes on with.
    pub(crate) fn kept(&self) -> Option<Kept<Record>> {
        let (_, actor, secret) = self.owner?;
        let epoch = self.marks.newest;
        let next = Seq(self.marks.epochs.get(&epoch).map_or(0, |mark| mark.next));
        let held = |(&key, record): (&RecordKey, &Option<Record>)| {
            let record = record.clone().or_else(|| self.stand_in(key))?;
            let bytes = record_bytes(record.actions.len(), record.raw.len());
            Some((key, record, bytes))
        };
        Some(Kept {
            identity: Identity { actor, secret, epoch },
            next,
            acked_records: self.marks.acked_records,
            held: self.records.iter().filter_map(held).collect(),
        })
    }

    /// A record that the learner rejects, in the place of one that is illegible: those behind it keep
    /// their keys.
    fn stand_in(&self, key: RecordKey) -> Option<Record> {
        let before = self.records.range(..key).rev().find_map(|(_, record)| record.as_ref());
        let like = before.or_else(|| self.records.values().flatten().next())?;
        Some(Record {
            actions: Vec::new(),
            raw: vec![f64::NAN; like.raw.len()],
            seconds: 0.0,
            kind: TrajectoryKind::Forward,
            log_mu: 0.0,
            ..like.clone()
        })
    }

    fn file(&mut self, number: u64, path: PathBuf, bytes: &[u8]) {
        let mut segment = Segment { number, path, bytes: bytes.len() as u64, end: None };
        for part in Parts::of(bytes) {
            match part {
                Ok(Content::State(state)) => {
                    segment.bytes = bytes.len() as u64;
                    self.state(state);
                }
                Ok(Content::Batch(batch)) => {
                    segment.bytes = bytes.len() as u64;
                    segment.end = Some(self.batch(batch));
                }
                Err(offset) => {
                    segment.bytes = offset as u64;
                    self.illegible.get_or_insert_with(|| (segment.path.clone(), offset));
                }
            }
        }
        self.segments.push(segment);
    }

    fn state(&mut self, State { run, resume }: State) {
        let Resume { actor, secret, acked_records, leftovers } = resume;
        let is_first = self.owner.is_none() && self.records.is_empty() && self.illegible.is_none();
        self.owner = Some((run, actor, secret));
        self.marks.acked_records = self.marks.acked_records.max(acked_records);
        let mut epochs = BTreeMap::new();
        for leftover in &leftovers {
            let (epoch, next) = (leftover.epoch, leftover.next.0);
            // Older files are gone: all they held is acked.
            let gone = if is_first { next } else { leftover.acked_below.0 };
            let known = self.marks.epochs.get(&epoch).copied();
            let mark = known.unwrap_or(Mark { acked_below: gone, next: gone });
            self.miss(epoch, mark.next, next);
            let acked_below = mark.acked_below.max(leftover.acked_below.0);
            epochs.insert(epoch, Mark { acked_below, next: mark.next.max(next) });
        }
        self.marks.newest = leftovers.last().map_or(self.marks.newest, |last| last.epoch);
        self.marks.epochs = epochs;
        let marks = &self.marks;
        let is_open = |key: &RecordKey| {
            marks.epochs.get(&key.epoch).is_some_and(|mark| key.seq.0 >= mark.acked_below)
        };
        self.records.retain(|key, _| is_open(key));
    }

    /// Returns one past the last record.
    fn batch(&mut self, stamped: StampedBatch) -> RecordKey {
        let (epoch, first) = (stamped.epoch, stamped.batch.first_seq.0);
        let end = first + stamped.batch.len() as u64;
        let is_known = self.owner.is_some();
        let start = if is_known { 0 } else { first };
        let mark =
            self.marks.epochs.entry(epoch).or_insert(Mark { acked_below: start, next: start });
        let next = mark.next;
        mark.next = next.max(end);
        self.marks.newest = self.marks.newest.max(epoch);
        self.miss(epoch, next, first);
        // What a write left behind that was done again elsewhere is there twice.
        let new = columns::records(&stamped).filter(|(key, _)| key.seq.0 >= next);
        self.records.extend(new.map(|(key, record)| (key, Some(record))));
        RecordKey { epoch, seq: Seq(end) }
    }

    /// Records from `from` up to `to` of an epoch should have been there.
    fn miss(&mut self, epoch: Epoch, from: u64, to: u64) {
        if from >= to {
            return;
        }
        let keys = (from..to).map(|seq| RecordKey { epoch, seq: Seq(seq) });
        self.records.extend(keys.map(|key| (key, None)));
        let place = self.illegible.take();
        let first = RecordKey { epoch, seq: Seq(from) };
        self.damage.push(Damage { place, first, records: to - from });
    }
}
