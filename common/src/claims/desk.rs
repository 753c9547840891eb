//! The learner's side of claims: leases, who waits for whom, and what nobody may have yet.
//!
//! Nothing of this is on disk. What is, the ledger, is asked between [`Desk::ask`] and
//! [`Desk::looked`], outside of whatever lock guards the desk; a value that is committed meanwhile
//! makes what was read before it void ([`Look`]), so that no object is granted whose value is there.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::{AUDITS, Answer, Finding, LEASES_PER_INCARNATION, LeaseId, Told};
use crate::ids::{ActorId, Incarnation};
use crate::reward::ObjectKey;

/// How a desk deals.
#[derive(Clone, Copy, Debug)]
pub struct DeskConfig {
    /// The learner's.
    pub incarnation: Incarnation,
    /// How long a lease lasts unless it is renewed.
    pub lease: Duration,
    /// How long leases outlive their actor's stream.
    pub grace: Duration,
    /// When an actor that holds or awaits too much may ask again.
    pub again: Duration,
    /// Objects that one actor may hold or wait for.
    pub most_of_an_actor: usize,
}

/// What a run may spend on evaluations.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Budget {
    /// So many evaluations.
    pub evaluations: Option<u64>,
    /// So much, in what [`Spent::cost`] counts, where nobody knows beforehand what one costs.
    pub cost: Option<f64>,
    /// Evaluations of each object; 0 is 1.
    pub repeats: u64,
}

/// What was spent on evaluations, those that failed or were repeated too.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spent {
    /// How many.
    pub evaluations: u64,
    /// What they took.
    pub seconds: f64,
    /// What they cost: their seconds, or what the run file states for each.
    pub cost: f64,
}

impl Budget {
    /// Whether so many more evaluations would go beyond it, if each costs what one did on average.
    fn is_spent(&self, spent: &Spent, under_way: u64) -> bool {
        let under_way = under_way * self.repeats.max(1);
        let mean = spent.cost / spent.evaluations.max(1) as f64;
        let cost = spent.cost + mean * under_way as f64;
        self.evaluations.is_some_and(|most| spent.evaluations + under_way >= most)
            || self.cost.is_some_and(|most| cost >= most)
    }
}

/// One look into the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// For which object.
    pub key: ObjectKey,
    number: u64,
}

/// What follows a question.
#[derive(Debug, Default, PartialEq)]
pub struct Asked {
    /// To be looked up in the ledger, then [`Desk::looked`].
    pub looks: Vec<Look>,
    /// Answers that are there at once.
    pub told: Vec<Told>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    /// The ledger is being asked for this actor.
    Looking { number: u64, actor: ActorId },
    /// Somebody measures it.
    Leased(LeaseId),
    /// Its value came and is being written.
    Settling,
    /// Nobody may measure it yet.
    Nobody,
}

#[derive(Debug)]
struct Entry {
    holder: Holder,
    waiting: VecDeque<ActorId>,
}

#[derive(Clone, Copy, Debug)]
struct Lease {
    key: ObjectKey,
    actor: ActorId,
    until: Duration,
}

/// Actors that may still hold leases of an earlier incarnation.
#[derive(Debug)]
struct Recovery {
    missing: BTreeSet<ActorId>,
    until: Duration,
}

/// Who measures what, now.
#[derive(Debug)]
pub struct Desk {
    config: DeskConfig,
    entries: HashMap<ObjectKey, Entry>,
    /// What each actor holds or waits for.
    actors: BTreeMap<ActorId, BTreeSet<ObjectKey>>,
    leases: HashMap<LeaseId, Lease>,
    expiries: BTreeSet<(Duration, LeaseId)>,
    /// Objects that somebody waits for and nobody may measure yet.
    idle: VecDeque<ObjectKey>,
    issued: u64,
    audits: u64,
    looks: u64,
    recovery: Option<Recovery>,
    /// Objects whose value is being written.
    settling: u64,
    budget: Budget,
    spent: Spent,
}

impl Desk {
    /// Nobody holds anything.
    pub fn new(config: DeskConfig) -> Self {
        Self {
            config,
            entries: HashMap::new(),
            actors: BTreeMap::new(),
            leases: HashMap::new(),
            expiries: BTreeSet::new(),
            idle: VecDeque::new(),
            issued: 0,
            audits: 0,
            looks: 0,
            recovery: None,
            settling: 0,
            budget: Budget::default(),
            spent: Spent::default(),
        }
    }

    /// Grants nothing beyond this.
    #[must_use]
    pub fn with_budget(self, budget: Budget, spent: Spent) -> Self {
        Self { budget, spent, ..self }
    }

    /// So much was spent so far, what is on disk.
    pub fn spend(&mut self, spent: Spent) {
        self.spent = spent;
    }

    /// What was spent so far, what is on disk.
    pub fn spent(&self) -> Spent {
        self.spent
    }

    /// Whether the budget is spent and nothing is under way any more.
    pub fn is_exhausted(&self) -> bool {
        self.leases.is_empty() && self.settling == 0 && self.budget.is_spent(&self.spent, 0)
    }

    /// Grants nothing until these actors are back or the time has come.
    #[must_use]
    pub fn recovering(mut self, missing: BTreeSet<ActorId>, until: Duration) -> Self {
        self.recovery = (!missing.is_empty()).then_some(Recovery { missing, until });
        self
    }

    /// Leases that are out.
    pub fn leases(&self) -> usize {
        self.leases.len()
    }

    /// Whether nothing is held and nobody waits.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.actors.is_empty() && self.leases.is_empty()
    }

    /// Whether somebody holds this object or waits for it.
    pub fn concerns(&self, key: ObjectKey) -> bool {
        self.entries.contains_key(&key)
    }

    /// Grants an object whose value is known, to be measured again, within the budget. Nobody waits for
    /// what comes of it, and nothing is to be done if nothing does.
    pub fn audit(&mut self) -> Option<Answer> {
        let under_way = self.leases.len() as u64 + self.settling;
        if self.budget.is_spent(&self.spent, under_way) {
            return None;
        }
        self.audits += 1;
        let first = u64::from(self.config.incarnation.0) * LEASES_PER_INCARNATION;
        let lease = LeaseId(first + AUDITS + self.audits % AUDITS);
        Some(Answer::Granted { lease, lasts: self.config.lease })
    }

    /// When [`tick`](Self::tick) has something to do.
    pub fn next_deadline(&self) -> Option<Duration> {
        let expiry = self.expiries.first().map(|(until, _)| *until);
        let recovery = self.recovery.as_ref().map(|recovery| recovery.until);
        expiry.into_iter().chain(recovery).min()
    }

    /// An actor says hello, with what it still measures.
    pub fn arrive(
        &mut self,
        actor: ActorId,
        running: &[(ObjectKey, LeaseId)],
        now: Duration,
    ) -> Vec<Told> {
        for &(key, lease) in running.iter().take(self.config.most_of_an_actor) {
            self.adopt(actor, key, lease, now);
        }
        if let Some(recovery) = &mut self.recovery {
            recovery.missing.remove(&actor);
            if recovery.missing.is_empty() {
                self.recovery = None;
            }
        }
        self.pump(now)
    }

    fn adopt(&mut self, actor: ActorId, key: ObjectKey, id: LeaseId, now: Duration) {
        if let Some(lease) = self.leases.get(&id) {
            if lease.actor == actor && lease.key == key {
                self.extend(id, now + self.config.lease);
            }
            return;
        }
        let entry = self.entry(key);
        match entry.holder {
            Holder::Leased(_) | Holder::Settling => return,
            Holder::Looking { actor: by, .. } if by != actor => entry.waiting.push_front(by),
            Holder::Looking { .. } | Holder::Nobody => {}
        }
        entry.waiting.retain(|waiting| *waiting != actor);
        self.lease(actor, key, id, now);
    }

    /// An actor asks for objects. The answers follow the keys, but for those to be looked up.
    pub fn ask(&mut self, actor: ActorId, keys: &[ObjectKey], now: Duration) -> Asked {
        let mut asked = Asked::default();
        for &key in keys {
            let tell = |answer| Told { actor, key, answer };
            let held = self.actors.get(&actor);
            let is_held = held.is_some_and(|held| held.contains(&key));
            if !is_held && held.map_or(0, BTreeSet::len) >= self.config.most_of_an_actor {
                let again = Some(self.config.again);
                asked.told.push(tell(Answer::Busy { by: None, again }));
                continue;
            }
            self.actors.entry(actor).or_default().insert(key);
            let Some(entry) = self.entries.get_mut(&key) else {
                self.looks += 1;
                let number = self.looks;
                let holder = Holder::Looking { number, actor };
                self.entries.insert(key, Entry { holder, waiting: VecDeque::new() });
                asked.looks.push(Look { key, number });
                continue;
            };
            let by = match entry.holder {
                Holder::Looking { actor: by, .. } => Some(by),
                Holder::Leased(id) => self.leases.get(&id).map(|lease| lease.actor),
                Holder::Settling | Holder::Nobody => None,
            };
            match entry.holder {
                // Asked on an earlier stream: the look's answer comes on this one.
                Holder::Looking { .. } if by == Some(actor) => {}
                Holder::Leased(lease) if by == Some(actor) => {
                    let lasts = self.config.lease;
                    self.extend(lease, now + lasts);
                    asked.told.push(tell(Answer::Granted { lease, lasts }));
                }
                _ => {
                    if !entry.waiting.contains(&actor) {
                        entry.waiting.push_back(actor);
                    }
                    asked.told.push(tell(Answer::Busy { by, again: None }));
                }
            }
        }
        asked
    }

    /// What the ledger says of an object. Void if anything came of it since.
    pub fn looked(&mut self, look: Look, found: Option<&Arc<Finding>>, now: Duration) -> Vec<Told> {
        let Look { key, number } = look;
        let Some(entry) = self.entries.get_mut(&key) else { return Vec::new() };
        let actor = match entry.holder {
            Holder::Looking { number: newest, actor } if newest == number => actor,
            _ => return Vec::new(),
        };
        if let Some(found) = found {
            return self.settled(key, found);
        }
        let is_here = self.actors.get(&actor).is_some_and(|held| held.contains(&key));
        entry.holder = Holder::Nobody;
        if is_here {
            entry.waiting.push_front(actor);
        }
        let told = self.release(key, now);
        let has_it = |told: &Told| told.key == key && told.actor == actor;
        let waits = is_here && !told.iter().any(has_it);
        let busy = Answer::Busy { by: None, again: None };
        told.into_iter().chain(waits.then_some(Told { actor, key, answer: busy })).collect()
    }

    /// An actor still works on these.
    pub fn renew(&mut self, actor: ActorId, leases: &[LeaseId], now: Duration) {
        for id in leases {
            if self.leases.get(id).is_some_and(|lease| lease.actor == actor) {
                self.extend(*id, now + self.config.lease);
            }
        }
    }

    /// A value came and is going to be written: nobody else shall measure the object meanwhile.
    pub fn measured(&mut self, actor: ActorId, key: ObjectKey) {
        let entry = self.entry(key);
        let holder = std::mem::replace(&mut entry.holder, Holder::Settling);
        self.settling += u64::from(holder != Holder::Settling);
        let entry = self.entry(key);
        entry.waiting.retain(|waiting| *waiting != actor);
        let other = match holder {
            Holder::Looking { actor: by, .. } => Some(by),
            Holder::Leased(id) => self.drop_lease(id).map(|lease| lease.actor),
            Holder::Settling | Holder::Nobody => None,
        };
        if let Some(other) = other.filter(|other| *other != actor) {
            self.entry(key).waiting.push_front(other);
        }
        self.forget(actor, key);
    }

    /// The ledger has a value of an object: whoever waits for it is told.
    ///
    /// What is left of the budget is granted by the next [`tick`](Self::tick).
    pub fn settled(&mut self, key: ObjectKey, finding: &Arc<Finding>) -> Vec<Told> {
        let Some(entry) = self.entries.remove(&key) else { return Vec::new() };
        self.settling -= u64::from(entry.holder == Holder::Settling);
        let first = match entry.holder {
            Holder::Looking { actor, .. } => Some(actor),
            Holder::Leased(id) => {
                // Whoever holds it is about to hand its own value in.
                if let Some(lease) = self.drop_lease(id) {
                    self.forget(lease.actor, key);
                }
                None
            }
            Holder::Settling | Holder::Nobody => None,
        };
        let waiting = first.into_iter().chain(entry.waiting);
        let mut told = Vec::new();
        for actor in waiting {
            if self.forget(actor, key) {
                told.push(Told { actor, key, answer: Answer::Known(Arc::clone(finding)) });
            }
        }
        told
    }

    /// An actor could not measure it; another one may.
    pub fn give_back(&mut self, actor: ActorId, key: ObjectKey, now: Duration) -> Vec<Told> {
        let Some(&Entry { holder: Holder::Leased(id), .. }) = self.entries.get(&key) else {
            return Vec::new();
        };
        match self.leases.get(&id) {
            Some(lease) if lease.actor == actor => self.free(id, now),
            _ => Vec::new(),
        }
    }

    /// An actor's stream ended: it waits for nothing any more, and its leases end soon.
    pub fn depart(&mut self, actor: ActorId, now: Duration) {
        let until = now + self.config.grace;
        for key in self.actors.get(&actor).cloned().unwrap_or_default() {
            let Some(entry) = self.entries.get_mut(&key) else { continue };
            if let Holder::Leased(id) = entry.holder
                && self.leases.get(&id).is_some_and(|lease| lease.actor == actor)
            {
                let until = self.leases.get(&id).map_or(until, |lease| lease.until.min(until));
                self.extend(id, until);
                continue;
            }
            entry.waiting.retain(|waiting| *waiting != actor);
            if entry.holder == Holder::Nobody && entry.waiting.is_empty() {
                self.entries.remove(&key);
            }
            self.forget(actor, key);
        }
    }

    /// An actor left for good: others may have what it held.
    pub fn leave(&mut self, actor: ActorId, now: Duration) -> Vec<Told> {
        self.depart(actor, now);
        let mut told = Vec::new();
        for key in self.actors.get(&actor).cloned().unwrap_or_default() {
            told.extend(self.give_back(actor, key, now));
        }
        if let Some(recovery) = &mut self.recovery {
            recovery.missing.remove(&actor);
        }
        told
    }

    /// The time has come: leases that were not renewed are over, and so is the wait for actors.
    pub fn tick(&mut self, now: Duration) -> Vec<Told> {
        let mut told = Vec::new();
        let is_over = |recovery: &Recovery| recovery.until <= now || recovery.missing.is_empty();
        if self.recovery.as_ref().is_some_and(is_over) {
            self.recovery = None;
        }
        while let Some(&(until, id)) = self.expiries.first()
            && until <= now
        {
            told.extend(self.free(id, now));
        }
        told.extend(self.pump(now));
        told
    }

    /// Takes a lease back; the object goes to whoever waits longest.
    fn free(&mut self, id: LeaseId, now: Duration) -> Vec<Told> {
        let Some(Lease { key, actor, .. }) = self.drop_lease(id) else { return Vec::new() };
        self.forget(actor, key);
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.holder = Holder::Nobody;
        }
        self.release(key, now)
    }

    /// Nobody holds the object now: the next one may have it.
    fn release(&mut self, key: ObjectKey, now: Duration) -> Vec<Told> {
        match self.entries.get(&key) {
            Some(entry) if entry.waiting.is_empty() => drop(self.entries.remove(&key)),
            Some(_) => self.idle.push_back(key),
            None => {}
        }
        self.pump(now)
    }

    /// Grants what somebody waits for and nobody has.
    fn pump(&mut self, now: Duration) -> Vec<Told> {
        let mut told = Vec::new();
        while self.recovery.is_none()
            && !self.budget.is_spent(&self.spent, self.leases.len() as u64 + self.settling)
            && let Some(key) = self.idle.pop_front()
        {
            let Some(entry) = self.entries.get_mut(&key) else { continue };
            if entry.holder != Holder::Nobody {
                continue;
            }
            let Some(actor) = entry.waiting.pop_front() else {
                self.entries.remove(&key);
                continue;
            };
            self.issued += 1;
            let first = u64::from(self.config.incarnation.0) * LEASES_PER_INCARNATION;
            let lease = LeaseId(first + self.issued);
            let lasts = self.config.lease;
            self.lease(actor, key, lease, now);
            told.push(Told { actor, key, answer: Answer::Granted { lease, lasts } });
        }
        told
    }

    fn lease(&mut self, actor: ActorId, key: ObjectKey, id: LeaseId, now: Duration) {
        let until = now + self.config.lease;
        self.entry(key).holder = Holder::Leased(id);
        self.leases.insert(id, Lease { key, actor, until });
        self.expiries.insert((until, id));
        self.actors.entry(actor).or_default().insert(key);
    }

    fn extend(&mut self, id: LeaseId, until: Duration) {
        if let Some(lease) = self.leases.get_mut(&id) {
            self.expiries.remove(&(lease.until, id));
            lease.until = until;
            self.expiries.insert((until, id));
        }
    }

    fn drop_lease(&mut self, id: LeaseId) -> Option<Lease> {
        let lease = self.leases.remove(&id)?;
        self.expiries.remove(&(lease.until, id));
        Some(lease)
    }

    fn entry(&mut self, key: ObjectKey) -> &mut Entry {
        let nobody = || Entry { holder: Holder::Nobody, waiting: VecDeque::new() };
        self.entries.entry(key).or_insert_with(nobody)
    }

    /// Whether the actor held the object or waited for it.
    fn forget(&mut self, actor: ActorId, key: ObjectKey) -> bool {
        let Some(held) = self.actors.get_mut(&actor) else { return false };
        let was_there = held.remove(&key);
        if held.is_empty() {
            self.actors.remove(&actor);
        }
        was_there
    }
}
