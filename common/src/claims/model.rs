//! Both sides against a world of crashes, lost streams, slow disks and clocks that jump.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::asker::{Asker, Evaluated, Message};
use super::desk::{Budget, Desk, DeskConfig, Look, Spent};
use super::*;
use crate::ids::Incarnation;
use crate::object::Object;
use crate::random::{Purpose, Stream};

const KEYS: usize = 6;
const ACTORS: usize = 4;
const LEASE: Duration = Duration::from_secs(60);
const GRACE: Duration = Duration::from_secs(10);

fn key(n: usize) -> ObjectKey {
    ObjectKey([n as u8; 32])
}

fn finding(value: f64) -> Arc<Finding> {
    let outcome = Outcome::Measured(vec![value]);
    Arc::new(Finding { outcome, seconds: 1.0, actor: ActorId(1) })
}

fn config(incarnation: u32) -> DeskConfig {
    DeskConfig {
        incarnation: Incarnation(incarnation),
        lease: LEASE,
        grace: GRACE,
        again: Duration::from_secs(1),
        most_of_an_actor: 4,
    }
}

struct Actor {
    id: ActorId,
    asker: Asker<usize>,
    is_connected: bool,
    /// Counts its streams: an ack belongs to one.
    stream: u64,
    up: VecDeque<Message>,
    down: VecDeque<Told>,
    /// What it measures now.
    measures: Vec<ObjectKey>,
    wants: usize,
    told: usize,
}

impl Actor {
    fn new(id: u64) -> Self {
        Self {
            id: ActorId(id),
            asker: Asker::new(3, 300),
            is_connected: false,
            stream: 0,
            up: VecDeque::new(),
            down: VecDeque::new(),
            measures: Vec::new(),
            wants: 0,
            told: 0,
        }
    }
}

/// A result on its way to the disk.
struct Commit {
    key: ObjectKey,
    value: f64,
    /// Actor, its stream, the message's number there.
    ack: (ActorId, u64, u64),
}

struct World {
    seed: u64,
    stream: Stream,
    now: Duration,
    incarnation: u32,
    desk: Desk,
    /// What is on disk.
    ledger: BTreeMap<ObjectKey, f64>,
    commits: VecDeque<Commit>,
    looks: Vec<(Look, Option<f64>)>,
    actors: Vec<Actor>,
    ids: u64,
    evaluations: BTreeMap<ObjectKey, usize>,
    grants: usize,
    value: f64,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            stream: Stream::new(seed, Purpose::Walk, 0, 0),
            now: Duration::ZERO,
            incarnation: 1,
            desk: Desk::new(config(1)),
            ledger: BTreeMap::new(),
            commits: VecDeque::new(),
            looks: Vec::new(),
            actors: (1..=ACTORS as u64).map(Actor::new).collect(),
            ids: ACTORS as u64,
            evaluations: BTreeMap::new(),
            grants: 0,
            value: 0.0,
        }
    }

    fn tell(&mut self, told: Vec<Told>) {
        for told in told {
            if let Answer::Granted { .. } = told.answer {
                self.grants += 1;
                let seed = self.seed;
                assert!(!self.ledger.contains_key(&told.key), "seed {seed}: granted what is known");
                let comes = self.commits.iter().any(|commit| commit.key == told.key);
                assert!(!comes, "seed {seed}: granted what is being written");
            }
            let actor = self.actors.iter_mut().find(|actor| actor.id == told.actor);
            // An actor that died hears nothing.
            if let Some(actor) = actor.filter(|actor| actor.is_connected) {
                actor.down.push_back(told);
            }
        }
    }

    fn connect(&mut self, i: usize) {
        let actor = &mut self.actors[i];
        if !actor.is_connected {
            actor.is_connected = true;
            actor.stream += 1;
            let told = self.desk.arrive(actor.id, &actor.asker.running(), self.now);
            self.tell(told);
        }
    }

    fn disconnect(&mut self, i: usize) {
        let actor = &mut self.actors[i];
        if actor.is_connected {
            actor.is_connected = false;
            actor.asker.disconnected();
            actor.up.clear();
            actor.down.clear();
            self.desk.depart(actor.id, self.now);
        }
    }

    fn say(&mut self, i: usize) {
        let actor = &mut self.actors[i];
        if actor.is_connected {
            actor.up.extend(actor.asker.next(self.now));
        }
    }

    /// The learner takes an actor's next message.
    fn hear(&mut self, i: usize) {
        let (actor, stream, now) = (self.actors[i].id, self.actors[i].stream, self.now);
        match self.actors[i].up.pop_front() {
            Some(Message::Claims(keys)) => {
                let asked = self.desk.ask(actor, &keys, now);
                let look = |look: Look| (look, self.ledger.get(&look.key).copied());
                let looks: Vec<_> = asked.looks.into_iter().map(look).collect();
                self.looks.extend(looks);
                self.tell(asked.told);
            }
            Some(Message::Renewals(leases)) => self.desk.renew(actor, &leases, now),
            Some(Message::Results(number, results)) => {
                let is_empty = results.iter().all(|result| result.is_transient);
                if is_empty && self.commits.iter().all(|commit| commit.ack.0 != actor) {
                    self.actors[i].asker.acked(number);
                }
                for Evaluated { key, outcome, is_transient, .. } in results {
                    let Outcome::Measured(raw) = outcome else { continue };
                    if is_transient {
                        let told = self.desk.give_back(actor, key, now);
                        self.tell(told);
                        continue;
                    }
                    self.desk.measured(actor, key);
                    let ack = (actor, stream, number);
                    self.commits.push_back(Commit { key, value: raw[0], ack });
                }
            }
            None => {}
        }
    }

    fn look(&mut self) {
        if !self.looks.is_empty() {
            let place = self.stream.below(self.looks.len());
            let (look, found) = self.looks.swap_remove(place);
            let told = self.desk.looked(look, found.map(finding).as_ref(), self.now);
            self.tell(told);
        }
    }

    fn commit(&mut self) {
        if let Some(Commit { key, value, ack }) = self.commits.pop_front() {
            let value = *self.ledger.entry(key).or_insert(value);
            let told = self.desk.settled(key, &finding(value));
            self.tell(told);
            let is_last = self.commits.iter().all(|commit| commit.ack != ack);
            let (id, stream, number) = ack;
            let same = |actor: &&mut Actor| actor.id == id && actor.stream == stream;
            let actor = self.actors.iter_mut().find(same);
            if let Some(actor) = actor.filter(|actor| actor.is_connected && is_last) {
                actor.asker.acked(number);
            }
        }
    }

    /// An actor takes the learner's next answer.
    fn listen(&mut self, i: usize) {
        let actor = &mut self.actors[i];
        if let Some(Told { key, answer, .. }) = actor.down.pop_front() {
            for (_, told) in actor.asker.answered(key, answer, self.now) {
                match told {
                    super::asker::Told::Measure => actor.measures.push(key),
                    super::asker::Told::Known(_) => actor.told += 1,
                }
            }
        }
    }

    /// An actor has measured something, or failed to.
    fn finish(&mut self, i: usize, fails: bool) {
        let actor = &mut self.actors[i];
        if actor.measures.is_empty() {
            return;
        }
        let key = actor.measures.swap_remove(self.stream.below(actor.measures.len()));
        self.value += 1.0;
        if !fails {
            *self.evaluations.entry(key).or_default() += 1;
        }
        let evaluated = Evaluated {
            key,
            object: Object::Integers(vec![]),
            outcome: Outcome::Measured(vec![self.value]),
            is_transient: fails,
            seconds: 1.0,
            lease: None,
            policy: None,
        };
        actor.told += 1 + actor.asker.done(evaluated).len();
    }

    /// A record with a value comes from a spool, whose lease is long over.
    fn record(&mut self, key: ObjectKey) {
        let value = *self.ledger.entry(key).or_insert(-1.0);
        let told = self.desk.settled(key, &finding(value));
        self.tell(told);
    }

    fn actor_dies(&mut self, i: usize) {
        self.disconnect(i);
        self.ids += 1;
        self.actors[i] = Actor::new(self.ids);
    }

    fn learner_dies(&mut self) {
        (0..ACTORS).for_each(|i| self.disconnect(i));
        self.incarnation += 1;
        self.commits.clear();
        self.looks.clear();
        let known: BTreeSet<ActorId> = self.actors.iter().map(|actor| actor.id).collect();
        let until = self.now + Duration::from_secs(10);
        self.desk = Desk::new(config(self.incarnation)).recovering(known, until);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        let told = self.desk.tick(self.now);
        self.tell(told);
    }

    fn step(&mut self, faults: bool) {
        let i = self.stream.below(ACTORS);
        let any_key = key(self.stream.below(KEYS));
        let (short, long) = (self.stream.below(2_000) as u64, self.stream.below(90) as u64);
        match self.stream.below(if faults { 27 } else { 22 }) {
            0 | 1 => {
                self.actors[i].wants += 1;
                let who = self.actors[i].wants;
                self.actors[i].asker.want(any_key, who);
            }
            2 | 3 => self.connect(i),
            4..=7 => self.say(i),
            8..=10 => self.hear(i),
            11..=13 => self.look(),
            14 | 15 => self.commit(),
            16..=18 => self.listen(i),
            19 | 20 => self.finish(i, false),
            21 => self.pass(Duration::from_millis(short)),
            22 => self.disconnect(i),
            23 => self.actor_dies(i),
            24 => self.pass(Duration::from_secs(long)),
            25 if self.stream.below(4) == 0 => self.learner_dies(),
            25 => self.finish(i, true),
            _ if self.stream.below(8) == 0 => self.record(any_key),
            _ => {}
        }
    }

    /// Lets everything come to rest; then nobody waits and nothing is held.
    fn settle(&mut self) {
        for _ in 0..400 {
            for i in 0..ACTORS {
                self.connect(i);
                self.say(i);
                self.hear(i);
                self.listen(i);
                self.finish(i, false);
                self.look();
                self.commit();
            }
            self.pass(Duration::from_millis(500));
        }
        let seed = self.seed;
        for actor in &self.actors {
            assert_eq!(actor.told, actor.wants, "seed {seed}: {} waits in vain", actor.id);
            assert_eq!(actor.asker.unacked(), 0, "seed {seed}: {}", actor.id);
        }
        assert!(self.desk.is_empty(), "seed {seed}: {:?}", self.desk);
    }
}

#[test]
fn what_is_known_is_never_granted_again_and_nobody_waits_for_ever() {
    let mut grants = 0;
    for seed in 0..400 {
        let mut world = World::new(seed);
        for _ in 0..600 {
            world.step(true);
        }
        world.settle();
        grants += world.grants;
    }
    assert!(grants > 2_000, "{grants}");
}

#[test]
fn without_faults_every_object_is_measured_exactly_once() {
    for seed in 0..200 {
        let mut world = World::new(seed);
        for _ in 0..800 {
            world.step(false);
        }
        world.settle();
        let once = world.evaluations.values().all(|times| *times == 1);
        assert!(once && world.evaluations.len() == KEYS, "seed {seed}: {:?}", world.evaluations);
    }
}

#[test]
fn an_actor_that_holds_much_is_told_to_ask_again() {
    let mut desk = Desk::new(config(1));
    let keys: Vec<ObjectKey> = (0..6).map(key).collect();
    let asked = desk.ask(ActorId(1), &keys, Duration::ZERO);
    assert_eq!(asked.looks.len(), 4);
    let later = Answer::Busy { by: None, again: Some(Duration::from_secs(1)) };
    assert!(asked.told.iter().all(|told| told.answer == later) && asked.told.len() == 2);
}

#[test]
fn after_a_restart_nothing_is_granted_until_who_was_there_is_back() {
    let missing = BTreeSet::from([ActorId(1), ActorId(2)]);
    let new = || Desk::new(config(2)).recovering(missing.clone(), Duration::from_secs(10));
    let mut desk = new();
    let ask = |desk: &mut Desk, n| {
        let asked = desk.ask(ActorId(3), &[key(n)], Duration::ZERO);
        desk.looked(asked.looks[0], None, Duration::ZERO)
    };
    let waits = |told: &[Told]| told.len() == 1 && matches!(told[0].answer, Answer::Busy { .. });
    assert!(waits(&ask(&mut desk, 0)));
    desk.arrive(ActorId(1), &[(key(1), LeaseId(7))], Duration::ZERO);
    let asked = desk.ask(ActorId(3), &[key(1)], Duration::ZERO);
    let by = Some(ActorId(1));
    assert_eq!(asked.told[0].answer, Answer::Busy { by, again: None });
    let told = desk.arrive(ActorId(2), &[], Duration::from_secs(3));
    assert!(matches!(told[..], [Told { actor: ActorId(3), answer: Answer::Granted { .. }, .. }]));
    let mut desk = new();
    assert!(waits(&ask(&mut desk, 0)));
    assert!(desk.tick(Duration::from_secs(9)).is_empty());
    assert_eq!(desk.tick(Duration::from_secs(10)).len(), 1);
}

#[test]
fn no_more_is_granted_than_the_budget_allows() {
    let budget = Budget { evaluations: Some(3), ..Budget::default() };
    let mut desk = Desk::new(config(1)).with_budget(budget, Spent::default());
    let now = Duration::ZERO;
    let asked = desk.ask(ActorId(1), &[key(0), key(1), key(2), key(3)], now);
    let told = asked.looks.into_iter().flat_map(|look| desk.looked(look, None, now));
    let is_granted = |told: &Told| matches!(told.answer, Answer::Granted { .. });
    assert_eq!(told.filter(is_granted).count(), 3);
    // One is given back: the one that waits gets it.
    assert_eq!(desk.give_back(ActorId(1), key(1), now).len(), 1);
    for (n, object) in (1..).zip([key(0), key(2), key(3)]) {
        assert!(!desk.is_exhausted());
        desk.measured(ActorId(1), object);
        desk.spend(Spent { evaluations: n, seconds: 0.0, cost: 0.0 });
        desk.settled(object, &finding(1.0));
    }
    assert!(desk.is_exhausted() && desk.tick(now).is_empty());
    // By cost, the mean of what was paid stands for what is under way.
    let budget = Budget { cost: Some(10.0), ..Budget::default() };
    let spent = Spent { evaluations: 2, seconds: 6.0, cost: 6.0 };
    let mut desk = Desk::new(config(1)).with_budget(budget, spent);
    let asked = desk.ask(ActorId(1), &[key(0), key(1), key(2)], now);
    let told = asked.looks.into_iter().flat_map(|look| desk.looked(look, None, now));
    assert_eq!(told.filter(is_granted).count(), 2, "3 each: 6, 9, 12");
}
