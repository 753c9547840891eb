#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use tributary_common::ids::{ActorId, Epoch, Incarnation, PolicyVersion, RunId, Seq};
use tributary_common::session::actor::Kept;
use tributary_common::session::{Acked, RecordKey, Secret};
use tributary_common::trajectory::TrajectoryKind;

use super::folder::Place;
use super::restore::{Found, ReadError, read};
use super::store::{Entry, Store};
use crate::columns;
use crate::scoring::Record;

mod crashes;
mod form;

const RUN: RunId = RunId([3; 16]);
const ACTOR: ActorId = ActorId(1_000_000_007);
const SECRET: Secret = Secret([5; 16]);
/// So small that tests make many files.
const SEGMENT: u64 = 600;
const LIMIT: Duration = Duration::from_secs(60);

fn epoch(counter: u64) -> Epoch {
    Epoch { incarnation: Incarnation(1), counter }
}

fn key(counter: u64, seq: u64) -> RecordKey {
    RecordKey { epoch: epoch(counter), seq: Seq(seq) }
}

/// Another one for each key.
fn record(key: RecordKey) -> Record {
    let number = key.epoch.counter as u32 * 1_000 + key.seq.0 as u32;
    Record {
        actions: (0..number % 7).collect(),
        raw: vec![f64::from(number), 0.5],
        seconds: 0.25,
        kind: TrajectoryKind::Forward,
        policy: PolicyVersion { incarnation: Incarnation(1), step: u64::from(number) },
        setting: number % 3,
        log_mu: -1.5,
        place: None,
    }
}

fn entry(counter: u64, from: u64, to: u64) -> Entry {
    let records: Vec<Record> = (from..to).map(|seq| record(key(counter, seq))).collect();
    Entry::batch(columns::batch(key(counter, from), &records.iter().collect::<Vec<_>>()))
}

fn acked(counter: u64, below: u64) -> Acked {
    Acked { epoch: epoch(counter), below: Seq(below) }
}

/// A new spool.
fn create(root: &Path) -> Store {
    let place = Place::create(root, RUN, ACTOR).unwrap();
    Store::new(place, Found::nothing(RUN, ACTOR, SECRET), SEGMENT).unwrap()
}

fn folder(root: &Path) -> std::path::PathBuf {
    root.join(RUN.to_string()).join(ACTOR.to_string())
}

/// A child of another test's, started a moment ago, holds what is open here until it runs its program.
fn lock(root: &Path) -> Place {
    let start = Instant::now();
    loop {
        if let Some(place) = Place::lock(&folder(root)).unwrap() {
            return place;
        }
        assert!(start.elapsed() < LIMIT, "nobody has the spool, and it stays locked");
        std::thread::yield_now();
    }
}

fn found(root: &Path) -> Found {
    read(&folder(root)).unwrap()
}

fn kept(root: &Path) -> Kept<Record> {
    found(root).kept().unwrap()
}

/// What is there must be what was written.
fn keys(kept: &Kept<Record>) -> Vec<RecordKey> {
    kept.held.iter().for_each(|(key, found, _)| assert_eq!(*found, record(*key)));
    kept.held.iter().map(|(key, ..)| *key).collect()
}

fn files(root: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder(root)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|e| e == "spool")).collect();
    files.sort();
    files
}

#[test]
fn what_is_kept_and_not_acked_comes_back() {
    let root = tempfile::tempdir().unwrap();
    let mut store = create(root.path());
    store.push([Entry::Welcomed(epoch(4)), entry(4, 0, 3), entry(4, 3, 5)]);
    store.commit().unwrap();
    store.acked(acked(4, 2));
    store.push([Entry::Welcomed(epoch(6)), entry(6, 0, 2)]);
    store.commit().unwrap();
    store.push([entry(6, 2, 9)]);
    drop(store);

    let kept = kept(root.path());
    assert_eq!(keys(&kept), [key(4, 2), key(4, 3), key(4, 4), key(6, 0), key(6, 1)]);
    let identity = kept.identity;
    assert_eq!((identity.actor, identity.secret, identity.epoch), (ACTOR, SECRET, epoch(6)));
    assert_eq!((kept.next, kept.acked_records), (Seq(2), 2));
}

#[test]
fn files_are_removed_when_all_in_them_is_acked() {
    let root = tempfile::tempdir().unwrap();
    let mut store = create(root.path());
    store.push([Entry::Welcomed(epoch(1))]);
    for seq in 0..100 {
        store.push([entry(1, seq, seq + 1)]);
        store.commit().unwrap();
    }
    let all = files(root.path()).len();
    assert!(all > 10, "{all} files");
    store.acked(acked(1, 50));
    store.remove_acked().unwrap();
    let left = files(root.path()).len();
    assert!(left <= all / 2 + 1 && left > 1, "{left} of {all} files are left");
    assert_eq!(keys(&kept(root.path())).last(), Some(&key(1, 99)));
    let bytes: u64 = files(root.path()).iter().map(|f| f.metadata().unwrap().len()).sum();
    assert_eq!(store.bytes(), bytes);
    store.acked(acked(1, 100));
    store.remove_acked().unwrap();
    assert_eq!(files(root.path()).len(), 1);
    store.remove().unwrap();
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
}

#[test]
fn a_large_file_goes_when_all_in_it_is_acked() {
    let root = tempfile::tempdir().unwrap();
    let mut store = create(root.path());
    store.push([Entry::Welcomed(epoch(1)), entry(1, 0, 200)]);
    store.commit().unwrap();
    assert!(store.bytes() > 4 * SEGMENT);
    store.acked(acked(1, 200));
    store.commit().unwrap();
    store.remove_acked().unwrap();
    assert!(store.bytes() < SEGMENT, "{} bytes hold nothing", store.bytes());
    let kept = kept(root.path());
    assert_eq!((kept.held.len(), kept.next, kept.acked_records), (0, Seq(200), 200));
}

#[test]
fn another_process_goes_on_in_another_file() {
    let root = tempfile::tempdir().unwrap();
    let mut store = create(root.path());
    store.push([Entry::Welcomed(epoch(1)), entry(1, 0, 4)]);
    store.commit().unwrap();
    assert!(Place::lock(&folder(root.path())).unwrap().is_none(), "two actors share a spool");
    drop(store);

    let place = lock(root.path());
    let mut store = Store::new(place, found(root.path()), SEGMENT).unwrap();
    store.acked(acked(1, 1));
    store.push([Entry::Welcomed(epoch(2)), entry(2, 0, 1)]);
    store.commit().unwrap();
    assert_eq!(files(root.path()).len(), 2);
    assert_eq!(keys(&kept(root.path())), [key(1, 1), key(1, 2), key(1, 3), key(2, 0)]);
}

#[test]
fn others_can_neither_read_nor_find_the_secret() {
    use std::os::unix::fs::PermissionsExt;
    let root = tempfile::tempdir().unwrap();
    let mut store = create(root.path());
    store.push([Entry::Welcomed(epoch(1)), entry(1, 0, 1)]);
    store.commit().unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder(root.path())), 0o700);
    assert_eq!(mode(folder(root.path()).parent().unwrap()), 0o700);
    files(root.path()).iter().for_each(|file| assert_eq!(mode(file), 0o600));
    let found = found(root.path());
    assert!(!format!("{found:?}{store:?}").contains("5, 5, 5"), "{found:?}");
}
