//! Both sides against a model of the world: lossy streams, zombies, crashes of both sides.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;

use super::actor::{ActorSession, State};
use super::books::RejectionReason;
use super::learner::{Incoming, Settlement, Violation};
use super::sessions::{Admission, SavedSessions, Sessions, SessionsConfig};
use super::*;
use crate::ids::Incarnation;

const RECORD_BYTES: u64 = 100;
const BUDGET_BYTES: u64 = 700;

#[derive(Clone, Debug)]
enum Event {
    Complete(usize, u8),
    Connect(usize),
    Send(usize),
    DeliverUp(usize),
    DeliverDown(usize),
    DeliverZombie,
    /// A hello of an actor's earlier connection arrives behind those of later ones.
    OvertakenHello(usize),
    Settle,
    Disconnect(usize, bool),
    ActorCrash(usize, bool),
    /// What the learner's disk was asked for first is on it.
    Commit,
    Checkpoint,
    LearnerCrash,
}

enum Down {
    Welcome(Admission),
    Credit(Credit),
    Ack(Acked),
}

type Message = (SessionKey, Incoming, Vec<u64>);

/// What waits for the disk of a durable run; nobody hears of it before.
enum Commit {
    /// A new epoch, before its Welcome.
    Epoch(usize, SessionKey),
    /// Records, before their ack.
    Records(Message),
}

#[derive(Default)]
struct Actor {
    session: ActorSession<u64>,
    spool: Spool,
    stream: Option<SessionKey>,
    /// Whether the stream's epoch is on the learner's disk: Welcome is not sent before.
    is_kept: bool,
    up: VecDeque<Message>,
    down: VecDeque<Down>,
    /// What it said at its last hello and at the one before.
    hellos: [Option<Resume>; 2],
    completed: Vec<u64>,
    acked: BTreeSet<u64>,
}

/// What an actor of a durable run finds when it comes back: its session as of the last Welcome, and
/// what it completed since. Acks are not in it, so it may hold again what is acked.
#[derive(Default)]
struct Spool {
    welcomed: ActorSession<u64>,
    completed: Vec<u64>,
}

struct World {
    durable: bool,
    incarnation: u32,
    learner: Sessions,
    queue: VecDeque<Message>,
    commits: VecDeque<Commit>,
    /// Records decided, in order, and how many of them the last checkpoint holds.
    decided: Vec<u64>,
    saved: (SavedSessions, usize),
    actors: Vec<Actor>,
    zombies: VecDeque<Message>,
    /// Streams whose end the learner has not noticed yet; keep-alive finds them in the end.
    half_open: Vec<SessionKey>,
    records: u64,
}

fn config(durable: bool, incarnation: u32) -> SessionsConfig {
    SessionsConfig {
        incarnation: Incarnation(incarnation),
        durable,
        most_sessions: 4,
        most_remembered: 1000,
        budget_bytes: BUDGET_BYTES,
        window_bytes: 400,
        record_bytes: RECORD_BYTES,
    }
}

impl World {
    fn new(durable: bool, actors: usize) -> Self {
        let learner = Sessions::new(config(durable, 1));
        let saved = (learner.save(), 0);
        let actors = (0..actors).map(|_| Actor::default()).collect();
        let (queue, commits, zombies, decided, half_open) = Default::default();
        Self {
            durable,
            incarnation: 1,
            learner,
            queue,
            commits,
            decided,
            saved,
            actors,
            zombies,
            half_open,
            records: 0,
        }
    }

    fn apply(&mut self, event: &Event) {
        match *event {
            Event::Complete(i, count) => (0..count).for_each(|_| self.complete(i)),
            Event::Connect(i) => self.connect(i),
            Event::Send(i) => self.send(i),
            Event::DeliverUp(i) => {
                if let Some(message) = self.actors[i].up.pop_front() {
                    self.receive(message).unwrap();
                }
            }
            Event::DeliverDown(i) => self.deliver_down(i),
            Event::DeliverZombie => self.deliver_zombie(),
            Event::OvertakenHello(i) => self.overtaken_hello(i),
            Event::Settle => self.settle(),
            Event::Disconnect(i, noticed) => self.disconnect(i, noticed),
            Event::ActorCrash(i, noticed) => {
                self.disconnect(i, noticed);
                match self.durable {
                    true => self.actors[i].restore(),
                    false => self.actors[i] = Actor::default(),
                }
            }
            Event::Commit => self.commit(),
            Event::Checkpoint => self.checkpoint(),
            Event::LearnerCrash => self.learner_crash(),
        }
        self.check();
    }

    fn complete(&mut self, i: usize) {
        let actor = &mut self.actors[i];
        let id = self.records;
        if actor.session.complete(id, bytes_of(id)).is_ok() {
            actor.completed.push(id);
            actor.spool.completed.push(id);
            self.records += 1;
        }
    }

    fn connect(&mut self, i: usize) {
        let actor = &mut self.actors[i];
        if actor.session.state() != State::Disconnected {
            return;
        }
        let resume = actor.session.hello().unwrap();
        let last = std::mem::replace(&mut actor.hellos[0], resume.clone());
        actor.hellos[1] = last;
        let admission = match self.learner.hello(resume.as_ref(), Secret([i as u8; 16])) {
            Ok(admission) => admission,
            Err(refusal) => {
                assert!(refusal.code.retryable(), "{refusal}");
                actor.session.refuse(true);
                self.half_open.drain(..).for_each(|session| self.learner.close(session));
                return;
            }
        };
        let Identity { actor: id, epoch, .. } = admission.identity;
        let session = SessionKey { actor: id, epoch };
        actor.stream = Some(session);
        // What is said next, acks of earlier sessions' records too, waits behind Welcome.
        actor.down.push_back(Down::Welcome(admission));
        actor.is_kept = !self.durable;
        if self.durable {
            self.commits.push_back(Commit::Epoch(i, session));
        }
    }

    /// Its own connection is gone, so nobody hears the answer.
    fn overtaken_hello(&mut self, i: usize) {
        let hellos = self.actors[i].hellos.clone();
        for resume in hellos.into_iter().flatten() {
            let Ok(admission) = self.learner.hello(Some(&resume), resume.secret) else { continue };
            let Identity { actor, epoch, .. } = admission.identity;
            self.half_open.push(SessionKey { actor, epoch });
        }
    }

    /// The first of what waits is on disk: now it may be told.
    fn commit(&mut self) {
        match self.commits.pop_front() {
            Some(Commit::Epoch(i, session)) => {
                self.checkpoint();
                self.actors[i].is_kept |= self.actors[i].stream == Some(session);
            }
            Some(Commit::Records(message)) => self.decide(message),
            None => {}
        }
    }

    fn send(&mut self, i: usize) {
        let actor = &mut self.actors[i];
        let Some(outgoing) = actor.session.take(150) else { return };
        let ids: Vec<u64> = outgoing.records.iter().map(|&&id| id).collect();
        let RecordKey { epoch, seq: first } = outgoing.first;
        let bytes = ids.iter().copied().map(bytes_of).sum();
        let incoming = Incoming { epoch, first, count: ids.len() as u64, bytes };
        actor.up.push_back((actor.stream.unwrap(), incoming, ids));
    }

    fn receive(&mut self, (session, incoming, mut ids): Message) -> Result<(), Violation> {
        let duplicates = self.learner.receive(session, &incoming)?;
        ids.drain(..duplicates as usize);
        self.queue.push_back((session, incoming, ids));
        Ok(())
    }

    fn deliver_zombie(&mut self) {
        let Some(message) = self.zombies.pop_front() else { return };
        let session = message.0;
        let newest = self.learner.actors().find(|(id, _)| *id == session.actor).unwrap().1.newest();
        match self.receive(message) {
            Ok(()) => assert_eq!(session.epoch, newest),
            Err(Violation::Fenced { newest: named }) => assert_eq!(named, newest),
            Err(other) => panic!("{other}"),
        }
    }

    fn deliver_down(&mut self, i: usize) {
        let actor = &mut self.actors[i];
        if !actor.is_kept {
            return;
        }
        match actor.down.pop_front() {
            Some(Down::Welcome(admission)) => {
                let Admission { identity, acked, .. } = admission;
                actor.note_acked(&acked);
                actor.session.welcome(identity, &acked).unwrap();
                actor.spool = Spool { welcomed: actor.session.clone(), completed: Vec::new() };
                match self.learner.ready(actor.stream.unwrap()) {
                    Ok(()) => self.grant(),
                    // Overtaken: its stream just ends.
                    Err(Violation::Fenced { .. }) => self.disconnect(i, true),
                    Err(other) => panic!("{other}"),
                }
            }
            Some(Down::Credit(credit)) => actor.session.grant(credit).unwrap(),
            Some(Down::Ack(acked)) => {
                actor.note_acked(&[acked]);
                actor.session.ack(acked).unwrap();
            }
            None => {}
        }
    }

    fn settle(&mut self) {
        let Some(message) = self.queue.pop_front() else { return };
        match self.durable {
            true => self.commits.push_back(Commit::Records(message)),
            false => self.decide(message),
        }
    }

    fn decide(&mut self, (session, incoming, ids): Message) {
        let rejected = vec![RejectionReason::Stale; ids.iter().filter(|&id| id % 7 == 0).count()];
        let settlement = Settlement {
            epoch: incoming.epoch,
            accepted: (ids.len() - rejected.len()) as u64,
            duplicate: 0,
            rejected: &rejected,
            bytes: incoming.bytes,
        };
        let settled = self.learner.settle(session, &settlement).unwrap();
        self.decided.extend(ids);
        if self.durable {
            self.checkpoint();
        }
        if let Some(actor) = self.actors.iter_mut().find(|a| a.stream == settled.to)
            && settled.to.is_some()
        {
            actor.down.push_back(Down::Ack(settled.acked));
        }
        self.grant();
    }

    fn grant(&mut self) {
        for (session, credit) in self.learner.grants() {
            if let Some(actor) = self.actors.iter_mut().find(|a| a.stream == Some(session)) {
                actor.down.push_back(Down::Credit(credit));
            }
        }
    }

    fn disconnect(&mut self, i: usize, noticed: bool) {
        let actor = &mut self.actors[i];
        actor.session.disconnect();
        actor.down.clear();
        let up = std::mem::take(&mut actor.up);
        let stream = actor.stream.take();
        if noticed {
            stream.into_iter().for_each(|stream| self.learner.close(stream));
            self.grant();
        } else {
            self.zombies.extend(up);
            self.half_open.extend(stream);
        }
    }

    fn checkpoint(&mut self) {
        let text = serde_json::to_string(&self.learner.save()).unwrap();
        self.saved = (serde_json::from_str(&text).unwrap(), self.decided.len());
    }

    fn learner_crash(&mut self) {
        (0..self.actors.len()).for_each(|i| self.disconnect(i, false));
        self.zombies.clear();
        self.half_open.clear();
        self.queue.clear();
        self.commits.clear();
        self.incarnation += 1;
        let config = config(self.durable, self.incarnation);
        self.learner = Sessions::restore(config, self.saved.0.clone());
        self.decided.truncate(self.saved.1);
    }

    fn check(&self) {
        let unique: BTreeSet<u64> = self.decided.iter().copied().collect();
        assert_eq!(unique.len(), self.decided.len(), "a record was counted twice");
        let bound = BUDGET_BYTES + RECORD_BYTES * config(true, 1).most_sessions as u64;
        assert!(self.learner.outstanding_bytes() <= bound, "{}", self.learner.outstanding_bytes());
        let committing = self.commits.iter().filter_map(|commit| match commit {
            Commit::Records(message) => Some(message),
            Commit::Epoch(..) => None,
        });
        let undecided = self.queue.iter().chain(committing);
        let queued: u64 = undecided.map(|(_, incoming, _)| incoming.bytes).sum();
        assert_eq!(queued, self.learner.held_bytes(), "queued and not on the bill");
        for Actor { session, completed, .. } in &self.actors {
            let held = session.unacked_records() as u64;
            assert_eq!(session.stamped_records(), session.acked_records() + held);
            assert_eq!(session.stamped_records(), completed.len() as u64);
        }
    }

    /// Lets everything run without faults until no actor holds anything.
    fn heal(&mut self) {
        for _ in 0..100_000 {
            let busy = |Actor { session, .. }: &Actor| {
                session.unacked_records() > 0 || session.state() != State::Streaming
            };
            let is_decided = self.queue.is_empty() && self.commits.is_empty();
            if is_decided && !self.actors.iter().any(busy) {
                return;
            }
            for i in 0..self.actors.len() {
                self.connect(i);
                self.apply(&Event::DeliverDown(i));
                self.send(i);
                self.apply(&Event::DeliverUp(i));
            }
            self.apply(&Event::Settle);
            self.apply(&Event::Commit);
        }
        panic!("the sessions are stuck: {:?}", self.learner);
    }

    fn check_at_the_end(&self) {
        let decided: BTreeSet<u64> = self.decided.iter().copied().collect();
        let lost: BTreeMap<ActorId, u64> =
            self.learner.actors().map(|(id, a)| (id, a.books().lost_in_restart)).collect();
        for Actor { session, completed, acked, .. } in &self.actors {
            let Some(identity) = session.identity() else { continue };
            let missing: Vec<_> = completed.iter().filter(|id| !decided.contains(id)).collect();
            assert!(missing.iter().all(|id| acked.contains(id)), "lost before its ack");
            assert_eq!(missing.len() as u64, lost[&identity.actor], "lost and not counted");
            assert!(missing.is_empty() || !self.durable, "a durable run lost an acked record");
        }
        let books = self.learner.books();
        assert_eq!(books.pending(), 0);
        assert_eq!(
            books.accepted + books.rejected_total() - books.lost_in_restart,
            self.decided.len() as u64
        );
    }
}

/// What a record costs: up to `RECORD_BYTES`.
fn bytes_of(id: u64) -> u64 {
    40 + id % 61
}

impl Actor {
    /// Comes back with what its spool holds.
    fn restore(&mut self) {
        self.session = self.spool.welcomed.clone();
        self.session.disconnect();
        for &id in &self.spool.completed {
            self.session.complete(id, bytes_of(id)).unwrap();
        }
    }

    fn note_acked(&mut self, acked: &[Acked]) {
        for (key, &id) in self.session.held() {
            if acked.iter().any(|a| a.epoch == key.epoch && key.seq < a.below) {
                self.acked.insert(id);
            }
        }
    }
}

fn event(actors: usize) -> impl Strategy<Value = Event> {
    let i = || 0..actors;
    prop_oneof![
        8 => (i(), 1u8..4).prop_map(|(i, count)| Event::Complete(i, count)),
        6 => i().prop_map(Event::Connect),
        12 => i().prop_map(Event::Send),
        12 => i().prop_map(Event::DeliverUp),
        16 => i().prop_map(Event::DeliverDown),
        2 => Just(Event::DeliverZombie),
        2 => i().prop_map(Event::OvertakenHello),
        10 => Just(Event::Settle),
        2 => (i(), any::<bool>()).prop_map(|(i, noticed)| Event::Disconnect(i, noticed)),
        1 => (i(), any::<bool>()).prop_map(|(i, noticed)| Event::ActorCrash(i, noticed)),
        12 => Just(Event::Commit),
        1 => Just(Event::Checkpoint),
        1 => Just(Event::LearnerCrash),
    ]
}

proptest! {
    #[test]
    fn every_record_is_counted_exactly_once(
        durable in any::<bool>(),
        events in prop::collection::vec(event(3), 1..400),
    ) {
        let mut world = World::new(durable, 3);
        events.iter().for_each(|event| world.apply(event));
        world.heal();
        world.check_at_the_end();
    }
}

#[test]
fn a_thousand_actors_share_the_budget_and_all_go_on() {
    let mut config = config(false, 1);
    config.most_sessions = 1000;
    config.most_remembered = 2000;
    let mut learner = Sessions::new(config);
    let keys: Vec<SessionKey> = (0..1000)
        .map(|i| {
            let identity = learner.hello(None, Secret([(i % 251) as u8; 16])).unwrap().identity;
            let key = SessionKey { actor: identity.actor, epoch: identity.epoch };
            learner.ready(key).unwrap();
            learner.grants();
            key
        })
        .collect();
    assert!(learner.outstanding_bytes() <= BUDGET_BYTES + 1000 * RECORD_BYTES);
    assert!(learner.actors().all(|(_, actor)| actor.unspent() >= RECORD_BYTES));
    assert!(learner.hello(None, Secret([0; 16])).unwrap_err().code.retryable());
    for (round, key) in (0..3).flat_map(|round| keys.iter().map(move |key| (round, *key))) {
        let (epoch, first) = (key.epoch, Seq(round));
        let incoming = Incoming { epoch, first, count: 1, bytes: RECORD_BYTES };
        assert_eq!(learner.receive(key, &incoming), Ok(0));
        let settlement =
            Settlement { epoch, accepted: 1, duplicate: 0, rejected: &[], bytes: RECORD_BYTES };
        assert_eq!(learner.settle(key, &settlement).unwrap().to, Some(key));
        learner.grants();
    }
    assert_eq!(learner.books().accepted, 3000);
}
