#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;
use tributary_common::claims::Finding;
use tributary_common::ids::{Epoch, Incarnation, PolicyVersion, RunId, Seq};
use tributary_common::ledger::{Decided, FILE, LedgerReader, Opened, Record, Verdict};
use tributary_common::object::Object;
use tributary_common::reward::ObjectKey;
use tributary_common::session::books::RejectionReason;
use tributary_common::session::learner::Incoming;
use tributary_common::session::sessions::SessionsConfig;
use tributary_common::session::{Secret, SessionKey};

use super::*;
use crate::ledger_writer::commit::{Committed, Job};
use crate::outbox::Outbox;
use crate::roster::{Card, Joined, Roster};

/// A ledger whose disk is full for so many writes from now on.
struct Faulty {
    ledger: Ledger,
    full: Arc<AtomicU64>,
    broken: bool,
}

impl Faulty {
    fn fail(&self) -> Result<(), LedgerError> {
        if self.broken {
            return Err(LedgerError::Disk("fsync".to_owned()));
        }
        let left = self.full.load(Ordering::SeqCst);
        if left > 0 {
            self.full.store(left - 1, Ordering::SeqCst);
            return Err(LedgerError::Full("injected".to_owned()));
        }
        Ok(())
    }
}

impl Store for Faulty {
    fn commit(&mut self, entries: &[Entry]) -> Result<Vec<Alarm>, LedgerError> {
        self.fail()?;
        self.ledger.commit(entries)
    }

    fn observe(&mut self, observations: &[Observation]) -> Result<(), LedgerError> {
        self.fail()?;
        self.ledger.observe(observations)
    }

    fn forget_below(&mut self, ordinal: u64) -> Result<usize, LedgerError> {
        self.fail()?;
        self.ledger.forget_below(ordinal)
    }

    fn strike(&mut self, actor: ActorId) -> Result<u64, LedgerError> {
        self.fail()?;
        self.ledger.strike(actor)
    }

    fn find(&self, key: ObjectKey) -> Result<Option<Arc<Finding>>, LedgerError> {
        self.ledger.find(key)
    }

    fn spent(&self) -> (u64, f64) {
        self.ledger.spent()
    }

    fn close(self: Box<Self>) -> Result<(), LedgerError> {
        self.ledger.close()
    }
}

struct Scene {
    folder: tempfile::TempDir,
    roster: Arc<Roster>,
    board: Arc<Board>,
    session: SessionKey,
    outbox: Arc<Outbox>,
    writer: Option<CommitWriter>,
    kept: crossbeam_channel::Receiver<Committed>,
    jobs: mpsc::Sender<Job>,
    queue: Option<mpsc::Receiver<Job>>,
    opened: Option<Opened>,
}

fn scene(full: u64, broken: bool) -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    let ledger = Ledger::open(&path, RunId([1; 16]), Incarnation(1)).unwrap();
    let config = SessionsConfig {
        incarnation: Incarnation(1),
        durable: true,
        most_sessions: 4,
        most_remembered: 4,
        budget_bytes: 1 << 20,
        window_bytes: 1 << 20,
        record_bytes: 100,
    };
    let roster = Arc::new(Roster::new(config, 1));
    let joined = roster.hello(Card::default(), None, Secret([2; 16])).unwrap();
    let Joined { admission, outbox, saved, .. } = joined;
    let identity = admission.identity;
    let session = SessionKey { actor: identity.actor, epoch: identity.epoch };
    roster.ready(session).unwrap();
    let opened =
        Opened { actor: session.actor, session: saved.unwrap(), forgotten: vec![], time: 0.0 };
    let board = Arc::new(Board::default());
    let (committed, kept) = crossbeam_channel::bounded(1_000);
    let store = Box::new(Faulty { ledger, full: Arc::new(AtomicU64::new(full)), broken });
    let writer = CommitWriter {
        store,
        claims: None,
        roster: Arc::clone(&roster),
        board: Arc::clone(&board),
        committed,
        retry: Duration::from_millis(1),
    };
    let (jobs, queue) = mpsc::channel(1_000);
    let (writer, queue, opened) = (Some(writer), Some(queue), Some(opened));
    Scene { folder, roster, board, session, outbox, writer, kept, jobs, queue, opened }
}

impl Scene {
    /// A message of one rejected record, received and decided.
    fn message(&self, seq: u64) -> Job {
        let SessionKey { actor, epoch } = self.session;
        let first = Seq(seq);
        let incoming = Incoming { epoch, first, count: 1, bytes: 90 };
        assert_eq!(self.roster.receive(self.session, &incoming), Ok(0));
        let verdict = Verdict::Rejected(RejectionReason::TooLong);
        let records = vec![Record { verdict, observation: None }];
        let decided = Decided { actor, epoch, first, duplicates: 0, records };
        let (session, rejections, kept) = (self.session, vec![], vec![]);
        Job::Decided(Box::new(Work { decided, session, rejections, kept, bytes: 90 }))
    }

    /// Queues an opened session and so many messages, and runs the writer over them.
    fn run(&mut self, messages: u64) -> Result<(), LedgerError> {
        let (done, _) = oneshot::channel();
        let opened = self.opened.take().unwrap();
        self.jobs.blocking_send(Job::Opened(opened, done)).unwrap();
        for seq in 0..messages {
            self.jobs.blocking_send(self.message(seq)).unwrap();
        }
        // The queue ends when nobody can send any more.
        self.jobs = mpsc::channel(1).0;
        self.writer.take().unwrap().run(self.queue.take().unwrap())
    }

    async fn acked(&self) -> Option<u64> {
        let news = tokio::time::timeout(Duration::from_millis(50), self.outbox.take()).await;
        news.ok().and_then(|news| news.acked.get(&self.session.epoch).map(|seq| seq.0))
    }
}

#[test]
fn whatever_is_queued_is_one_commit_and_one_cumulative_ack() {
    let mut scene = scene(0, false);
    scene.run(100).unwrap();
    assert_eq!(scene.board.figures().ledger.commits, 1);
    assert_eq!(scene.kept.try_iter().count(), 100);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert_eq!(runtime.block_on(scene.acked()), Some(100));
    let path = scene.folder.path().join(FILE);
    let ledger = Ledger::open(&path, RunId([1; 16]), Incarnation(2)).unwrap();
    assert_eq!(ledger.sessions().books(), scene.roster.books());
}

#[test]
fn a_full_disk_is_waited_for_and_nothing_is_lost() {
    let mut scene = scene(5, false);
    scene.run(10).unwrap();
    let figures = scene.board.figures().ledger;
    assert_eq!((figures.failures, figures.commits, figures.trouble), (5, 1, None));
    let path = scene.folder.path().join(FILE);
    let ledger = Ledger::open(&path, RunId([1; 16]), Incarnation(2)).unwrap();
    assert_eq!(ledger.sessions().books().rejected_total(), 10);
}

#[test]
fn a_disk_that_fails_ends_the_writer_and_nothing_is_acked() {
    let mut scene = scene(0, true);
    let error = scene.run(10).unwrap_err();
    assert!(error.to_string().contains("the disk of the ledger fails: fsync"), "{error}");
    assert_eq!(scene.roster.books().rejected_total(), 0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert_eq!(runtime.block_on(scene.acked()), None);
}

fn seen(cell: i64, value: f64) -> Observation {
    Observation {
        key: ObjectKey([cell as u8; 32]),
        object: Object::Integers(vec![cell]),
        raw: vec![value],
        seconds: 0.0,
        actor: ActorId(1),
        policy: PolicyVersion::default(),
        is_measured: true,
        seen: 1,
        time: 0.0,
    }
}

fn note(behind: &WriteBehind, observation: Observation) {
    let (raw, is_measured) = (observation.raw.clone(), observation.is_measured);
    behind.note(observation.key, &raw, is_measured, || observation);
}

#[test]
fn values_are_written_behind_once_for_each_object_and_who_is_ahead_waits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    let ledger = Ledger::open(&path, RunId([1; 16]), Incarnation(1)).unwrap();
    let store = Box::new(Faulty { ledger, full: Arc::new(AtomicU64::new(2)), broken: false });
    let behind = Arc::new(WriteBehind::new(2_000));
    let (board, from) = (Arc::new(Board::default()), Arc::clone(&behind));
    let writer = BehindWriter { store, from, board, retry: Duration::from_millis(1) };
    let board = Arc::clone(&writer.board);
    thread::scope(|scope| {
        let written = scope.spawn(|| writer.run());
        for round in 0..20 {
            for cell in 0..100 {
                note(&behind, seen(cell, if round == 7 { 0.5 } else { 1.0 }));
            }
        }
        behind.close();
        written.join().unwrap().unwrap();
    });
    let figures = board.figures().ledger;
    assert!(figures.failures == 2 && figures.trouble.is_none() && figures.commits > 10);
    let reader = LedgerReader::open(&path).unwrap();
    assert_eq!(reader.count(Some("seen = 20 AND value = 1.0")).unwrap(), 100);
    let different = "id IN (SELECT object_id FROM evaluations WHERE raw = '[0.5]')";
    assert_eq!(reader.count(Some(different)).unwrap(), 100);
}

#[test]
fn a_broken_ledger_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    let ledger = Ledger::open(&path, RunId([1; 16]), Incarnation(1)).unwrap();
    let store = Box::new(Faulty { ledger, full: Arc::default(), broken: true });
    let behind = Arc::new(WriteBehind::new(500));
    let (board, from) = (Arc::new(Board::default()), Arc::clone(&behind));
    let writer = BehindWriter { store, from, board, retry: RETRY };
    thread::scope(|scope| {
        let written = scope.spawn(|| writer.run());
        for cell in 0..100 {
            note(&behind, seen(cell, 1.0));
        }
        assert!(matches!(written.join().unwrap(), Err(LedgerError::Disk(_))));
    });
}

#[test]
fn epochs_in_the_ledger_are_the_ones_that_were_issued() {
    let mut scene = scene(0, false);
    scene.run(0).unwrap();
    let path = scene.folder.path().join(FILE);
    let ledger = Ledger::open(&path, RunId([1; 16]), Incarnation(2)).unwrap();
    let saved = ledger.sessions();
    assert_eq!(saved, scene.roster.save());
    assert_eq!(scene.session.epoch, Epoch { incarnation: Incarnation(1), counter: 1 });
}
