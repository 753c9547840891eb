//! Crashes and failing disks at every step: what was committed and not acked is there, once.

use std::collections::BTreeSet;

use super::*;

#[cfg(debug_assertions)]
mod points;

/// What happens to a spool.
#[derive(Clone, Debug)]
enum Event {
    Keep(u64),
    Commit,
    /// So many more records are acked, if they are there.
    Ack(u64),
    Remove,
    Welcome,
    /// The disk fails once at this point, the second time that it is passed; or it is full.
    Fail(usize, bool),
    /// The process dies; of what was not synced so many bytes are on disk.
    Crash(u64),
}

/// What must be in the spool.
#[derive(Default)]
struct Model {
    counter: u64,
    next: u64,
    /// Committed.
    kept: BTreeSet<RecordKey>,
    /// Handed over, and not committed.
    queued: Vec<RecordKey>,
    acked: BTreeSet<RecordKey>,
}

struct World {
    root: tempfile::TempDir,
    store: Option<Store>,
    model: Model,
}

/// Lets the disk fail at the point of this number, where there are points.
#[cfg(debug_assertions)]
fn fail(point: usize, errno: &str) {
    let (points, armed) = (points::all(), tributary_common::crash::Armed::read);
    let name = points[point % points.len()];
    tributary_common::crash::arm(armed(&format!("{name}:2:{errno}")));
}

#[cfg(debug_assertions)]
fn fail_no_more() {
    tributary_common::crash::arm(None);
}

#[cfg(not(debug_assertions))]
fn fail(_: usize, _: &str) {}

#[cfg(not(debug_assertions))]
fn fail_no_more() {}

impl World {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let mut store = create(root.path());
        store.push([Entry::Welcomed(epoch(1))]);
        store.commit().unwrap();
        Self { root, store: Some(store), model: Model { counter: 1, ..Model::default() } }
    }

    fn store(&mut self) -> &mut Store {
        self.store.as_mut().unwrap()
    }

    fn apply(&mut self, event: &Event) {
        match *event {
            Event::Keep(count) => {
                let (counter, from) = (self.model.counter, self.model.next);
                self.store().push([entry(counter, from, from + count)]);
                self.model.next += count;
                self.model.queued.extend((from..from + count).map(|seq| key(counter, seq)));
            }
            Event::Commit => self.commit(),
            Event::Ack(count) => {
                let open = self.model.kept.difference(&self.model.acked).take(count as usize);
                let open: Vec<RecordKey> = open.copied().collect();
                for key in open {
                    self.store().acked(acked(key.epoch.counter, key.seq.0 + 1));
                    self.model.acked.insert(key);
                }
            }
            // Fails at most where a test lets it; then it is done later.
            Event::Remove => drop(self.store().remove_acked()),
            Event::Welcome => self.welcome(),
            Event::Fail(point, true) => fail(point, "enospc"),
            Event::Fail(point, false) => fail(point, "eio"),
            Event::Crash(more) => self.crash(more),
        }
    }

    fn welcome(&mut self) {
        self.model.counter += 1;
        self.model.next = 0;
        let counter = self.model.counter;
        self.store().push([Entry::Welcomed(epoch(counter))]);
    }

    fn commit(&mut self) {
        if self.store().commit().is_ok() {
            let queued = std::mem::take(&mut self.model.queued);
            self.model.kept.extend(queued);
        }
    }

    /// Nobody hears the result of a last commit, and what it wrote may be torn.
    fn crash(&mut self, more: u64) {
        let length = |file: &Path| file.metadata().unwrap().len();
        let before: Vec<_> =
            files(self.root.path()).into_iter().map(|file| (length(&file), file)).collect();
        if more > 0 {
            let _ = self.store().commit();
        }
        self.store = None;
        fail_no_more();
        for file in files(self.root.path()) {
            let synced = before.iter().find(|(_, known)| *known == file).map_or(0, |(l, _)| *l);
            let torn = length(&file).min(synced + more);
            OpenOptions::new().write(true).open(&file).unwrap().set_len(torn).unwrap();
        }
        self.check();
        let place = lock(self.root.path());
        let found = found(self.root.path());
        let there: BTreeSet<RecordKey> = keys(&found.kept().unwrap()).into_iter().collect();
        let late = std::mem::take(&mut self.model.queued);
        self.model.kept.extend(late.into_iter().filter(|key| there.contains(key)));
        // Acks that are not on disk are learned again at Welcome.
        let mut store = Store::new(place, found, SEGMENT).unwrap();
        for key in &self.model.acked {
            store.acked(acked(key.epoch.counter, key.seq.0 + 1));
        }
        self.store = Some(store);
        self.welcome();
    }

    /// Everything committed is there unless it is acked; nothing is there that was never handed over.
    fn check(&self) {
        let found = found(self.root.path());
        assert_eq!(found.damage, []);
        let there = keys(&found.kept().unwrap());
        let unique: BTreeSet<RecordKey> = there.iter().copied().collect();
        assert_eq!(unique.len(), there.len(), "a record is there twice");
        assert!(there.is_sorted());
        for key in self.model.kept.difference(&self.model.acked) {
            assert!(unique.contains(key), "{key:?} is lost");
        }
        for key in &unique {
            let known = self.model.kept.contains(key) || self.model.queued.contains(key);
            assert!(known, "{key:?} was never handed over");
        }
    }
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (1u64..6).prop_map(Event::Keep),
        8 => Just(Event::Commit),
        6 => (1u64..12).prop_map(Event::Ack),
        4 => Just(Event::Remove),
        1 => Just(Event::Welcome),
        2 => (0usize..16, any::<bool>()).prop_map(|(point, full)| Event::Fail(point, full)),
        1 => prop_oneof![Just(0), 1u64..400, Just(u64::MAX / 2)].prop_map(Event::Crash),
    ]
}

proptest! {
    #[test]
    fn what_was_committed_is_acked_or_in_the_spool_and_nothing_is_there_twice(
        events in prop::collection::vec(event(), 1..120),
    ) {
        let mut world = World::new();
        events.iter().for_each(|event| world.apply(event));
        world.crash(0);
        world.commit();
        world.check();
    }
}
