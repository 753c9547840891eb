//! A million records, three of ten sent again: through the real session machines, the wire's
//! conversions and the real ingest, without a network.

use std::collections::VecDeque;
use std::sync::Arc;

use tributary_common::ids::{Incarnation, PolicyVersion, Seq};
use tributary_common::random::{Purpose, Stream};
use tributary_common::session::actor::ActorSession;
use tributary_common::session::learner::Incoming;
use tributary_common::session::{Secret, SessionKey, batch_bytes, record_bytes};
use tributary_common::soak;
use tributary_common::trajectory::{TrajectoryBatch, TrajectoryKind, TrajectoryView};
use tributary_learner::figures::Board;
use tributary_learner::ingest::{Arrival, Ingest};
use tributary_learner::outbox::Outbox;
use tributary_learner::roster::{Card, Roster};
use tributary_learner::view::Observer;
use tributary_proto::convert::actor::ActorEvent;
use tributary_proto::convert::batch::StampedBatch;
use tributary_proto::v1::ActorMessage;

use crate::learner::Parts;

const QUICK: u64 = 100_000;
const FULL: u64 = 1_000_000;
/// Records of a connection that are new.
const FRESH: u32 = 1_000;
/// Messages of a connection, and those of them at most that ingest has not seen when it breaks.
const MESSAGE_BYTES: u64 = FRESH as u64 * record_cost() / 10;
const MOST_PENDING: usize = 6;
const POLICY: PolicyVersion = PolicyVersion { incarnation: Incarnation(1), step: 0 };
const ACTIONS: [u32; 2] = [0, 1];

const fn record_cost() -> u64 {
    64 + 4 * 2 + 8
}

/// One actor and its learner.
struct Pair {
    actor: ActorSession<u32>,
    roster: Arc<Roster>,
    ingest: Ingest,
    queue: VecDeque<Arrival>,
    runtime: tokio::runtime::Runtime,
    /// How often each record was new.
    seen: Vec<u8>,
}

impl Pair {
    fn new(records: u32) -> Self {
        let parts = Parts::new(1, false).unwrap();
        let mut config = parts.sessions;
        config.budget_bytes = 64 << 20;
        config.window_bytes = 16 << 20;
        let roster = Arc::new(Roster::new(config, 1));
        let observer = Observer {
            board: Arc::new(Board::default()),
            roster: Arc::clone(&roster),
            hand_over: Arc::new(parts.hand_over().unwrap()),
        };
        let ingest = parts.ingest(&observer).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (actor, queue) = Default::default();
        Self { actor, roster, ingest, queue, runtime, seen: vec![0; records as usize] }
    }

    /// A new session, with credit.
    fn connect(&mut self) -> (SessionKey, Arc<Outbox>) {
        let resume = self.actor.hello().unwrap();
        let joined = self.roster.hello(Card::default(), resume.as_ref(), Secret([1; 16])).unwrap();
        let identity = joined.admission.identity;
        self.actor.welcome(identity, &joined.admission.acked).unwrap();
        let session = SessionKey { actor: identity.actor, epoch: identity.epoch };
        self.roster.ready(session).unwrap();
        self.hear(&joined.outbox);
        (session, joined.outbox)
    }

    /// Does what the learner says.
    fn hear(&mut self, outbox: &Outbox) {
        let news = self.runtime.block_on(outbox.take());
        for (epoch, below) in news.acked {
            self.actor.ack(tributary_common::session::Acked { epoch, below }).unwrap();
        }
        news.credit.into_iter().for_each(|credit| self.actor.grant(credit).unwrap());
    }

    /// Sends everything that is held; how many messages that took.
    fn send(&mut self, session: SessionKey) -> usize {
        let mut messages = 0;
        while let Some(outgoing) = self.actor.take(MESSAGE_BYTES) {
            let mut batch = TrajectoryBatch::default();
            for (seq, id) in (outgoing.first.seq.0..).zip(&outgoing.records) {
                batch.push(&view(Seq(seq), **id));
            }
            let event = ActorEvent::Batch(StampedBatch { epoch: outgoing.first.epoch, batch });
            let received = ActorEvent::try_from(ActorMessage::from(event)).unwrap();
            let ActorEvent::Batch(StampedBatch { epoch, batch }) = received else {
                panic!("a batch became {received:?}");
            };
            let (first, count) = (batch.first_seq, batch.len() as u64);
            let incoming = Incoming { epoch, first, count, bytes: batch_bytes(&batch) };
            let duplicates = self.roster.receive(session, &incoming).unwrap() as usize;
            self.queue.push_back(Arrival { session, epoch, duplicates, batch });
            messages += 1;
        }
        messages
    }

    /// Ingest takes all but so many messages.
    fn settle(&mut self, pending: usize) {
        while self.queue.len() > pending {
            let arrival = self.queue.pop_front().unwrap();
            let fresh = arrival.batch.iter().skip(arrival.duplicates);
            fresh.for_each(|record| self.seen[record.log_mu as usize] += 1);
            self.ingest.take(&arrival);
        }
    }
}

fn view(seq: Seq, id: u32) -> TrajectoryView<'static> {
    TrajectoryView {
        seq,
        actions: &ACTIONS,
        raw: &[0.5],
        policy: POLICY,
        kind: TrajectoryKind::Forward,
        setting: 0,
        log_mu: id as f32,
        seconds: 0.0,
    }
}

#[test]
fn records_that_are_sent_again_are_accepted_once() {
    let records = soak::count(QUICK, FULL) as u32;
    let seed = soak::seed(1);
    let mut random = Stream::new(seed, Purpose::Walk, 0, 0);
    let mut pair = Pair::new(records);
    let mut sessions = 0;
    for first in (0..records).step_by(FRESH as usize) {
        let (session, _) = pair.connect();
        sessions += 1;
        for id in first..records.min(first + FRESH) {
            pair.actor.complete(id, record_bytes(ACTIONS.len(), 1)).unwrap();
        }
        let messages = pair.send(session);
        assert!(messages >= 10, "{messages} messages");
        // The connection breaks: no ack is heard, and what is pending then will be sent again.
        pair.settle(random.below(MOST_PENDING + 1));
        pair.actor.disconnect();
        if random.below(2) == 0 {
            pair.roster.close(session, false);
        }
    }
    let (session, outbox) = pair.connect();
    // By chance all is settled before this session: then nothing is left to hear of.
    if pair.send(session) > 0 {
        pair.settle(0);
        pair.hear(&outbox);
    }
    let books = pair.roster.books();
    println!(
        "seed {seed}: {sessions} sessions, received {}, accepted {}, duplicate {}",
        books.received, books.accepted, books.duplicate
    );
    assert!(pair.seen.iter().all(|times| *times == 1), "seed {seed}");
    assert_eq!((books.accepted, books.rejected_total()), (u64::from(records), 0), "seed {seed}");
    assert_eq!((books.pending(), books.received), (0, books.accepted + books.duplicate));
    let again = books.duplicate as f64 / f64::from(records);
    assert!((0.25..0.35).contains(&again), "seed {seed}: {again} were sent again");
    assert_eq!(pair.actor.acked_records(), u64::from(records));
    assert_eq!(pair.actor.unacked_records(), 0);
}
