//! All actors of a run: ids, epochs, books, and one byte budget shared fairly as credit.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::books::Books;
use super::learner::{Incoming, LearnerSession, SavedSession, Settlement, Violation};
use super::refusal::{Refusal, RefusalCode};
use super::{Acked, Credit, Identity, Resume, Secret, SessionKey};
use crate::ids::{ActorId, Epoch, Incarnation};

/// Ids of an incarnation start at its number times this: one that lost its memory cannot issue an
/// id twice.
const IDS_PER_INCARNATION: u64 = 1_000_000_000;

/// Epochs of which marks are kept, of all remembered actors together: each takes some 64 bytes, and
/// an actor may name thousands in one Hello.
const MOST_MARKS: usize = 1 << 18;

/// What the sessions of a run need to know.
#[derive(Clone, Copy, Debug)]
pub struct SessionsConfig {
    /// The learner's.
    pub incarnation: Incarnation,
    /// Acks mean "on disk": nothing acked is ever forgotten.
    pub durable: bool,
    /// Sessions at the same time.
    pub most_sessions: usize,
    /// Actors remembered, connected or not; the longest gone are forgotten.
    pub most_remembered: usize,
    /// Bytes that all sessions together may make the learner hold. Each session may have
    /// `record_bytes` beyond it, so the bound is `budget_bytes + most_sessions * record_bytes`.
    pub budget_bytes: u64,
    /// The most that one session is granted ahead.
    pub window_bytes: u64,
    /// The largest record of the run, see [`super::record_bytes`].
    pub record_bytes: u64,
}

/// An actor is admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// Who it is.
    pub identity: Identity,
    /// What it need not send again.
    pub acked: Vec<Acked>,
    /// Its earlier session, if its stream is still up: to be told that it is fenced.
    pub fenced: Option<SessionKey>,
}

/// An ack, and the session it goes to: the actor's newest, if it is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// What to ack.
    pub acked: Acked,
    /// Where to.
    pub to: Option<SessionKey>,
}

/// Every actor that the learner knows.
#[derive(Debug)]
pub struct Sessions {
    config: SessionsConfig,
    actors: BTreeMap<ActorId, LearnerSession>,
    issued_actors: u64,
    issued_epochs: u64,
    /// Sent in sessions that are over, and not free yet.
    orphaned_bytes: u64,
    forgotten: Books,
    /// Actors forgotten since this was last taken.
    forgotten_actors: Vec<ActorId>,
}

/// What a checkpoint keeps of all actors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedSessions {
    pub(super) actors: Vec<(ActorId, SavedSession)>,
    pub(super) forgotten: Books,
}

impl SavedSessions {
    /// The actors that are known.
    pub fn actors(&self) -> impl Iterator<Item = ActorId> {
        self.actors.iter().map(|(id, _)| *id)
    }
}

impl Sessions {
    /// Nobody is known yet.
    pub fn new(config: SessionsConfig) -> Self {
        Self::restore(config, SavedSessions::default())
    }

    /// As of a checkpoint; nobody is connected. `config.incarnation` must be a new one.
    pub fn restore(config: SessionsConfig, saved: SavedSessions) -> Self {
        let restored = |(id, saved)| (id, LearnerSession::restore(saved));
        Self {
            config,
            actors: saved.actors.into_iter().map(restored).collect(),
            issued_actors: 0,
            issued_epochs: 0,
            orphaned_bytes: 0,
            forgotten: saved.forgotten,
            forgotten_actors: Vec::new(),
        }
    }

    /// Bytes of the largest record.
    pub fn record_bytes(&self) -> u64 {
        self.config.record_bytes
    }

    /// One actor as a checkpoint keeps it.
    pub fn saved(&self, actor: ActorId) -> Option<SavedSession> {
        self.actors.get(&actor).map(LearnerSession::save)
    }

    /// The actors that were forgotten since this was last asked.
    pub fn take_forgotten(&mut self) -> Vec<ActorId> {
        std::mem::take(&mut self.forgotten_actors)
    }

    /// For a checkpoint: what was settled; pending records will be sent again.
    pub fn save(&self) -> SavedSessions {
        SavedSessions {
            actors: self.actors.iter().map(|(&id, actor)| (id, actor.save())).collect(),
            forgotten: self.forgotten.clone(),
        }
    }

    /// An actor says hello. `secret` is random and becomes its own if it is new.
    pub fn hello(&mut self, resume: Option<&Resume>, secret: Secret) -> Result<Admission, Refusal> {
        let fenced = resume.and_then(|resume| self.connected(resume.actor));
        let connected = self.actors.values().filter(|actor| actor.is_connected()).count();
        if connected >= self.config.most_sessions && fenced.is_none() {
            let advice = "wait until an actor leaves";
            let (ours, theirs) = (self.config.most_sessions, "one more");
            return Err(Refusal::new(RefusalCode::Full, "actors", ours, theirs, advice));
        }
        let incarnation = self.config.incarnation;
        let epoch = Epoch { incarnation, counter: self.issued_epochs + 1 };
        let (actor, secret, acked) = match resume {
            None => (self.introduce(secret, epoch), secret, Vec::new()),
            Some(resume) => (resume.actor, resume.secret, self.readmit(resume, epoch)?),
        };
        self.issued_epochs += 1;
        self.forget_the_longest_gone();
        Ok(Admission { identity: Identity { actor, secret, epoch }, acked, fenced })
    }

    fn introduce(&mut self, secret: Secret, epoch: Epoch) -> ActorId {
        self.issued_actors += 1;
        let first = u64::from(self.config.incarnation.0) * IDS_PER_INCARNATION;
        let id = ActorId(first + self.issued_actors);
        self.actors.insert(id, LearnerSession::new(secret, epoch));
        id
    }

    fn readmit(&mut self, resume: &Resume, epoch: Epoch) -> Result<Vec<Acked>, Refusal> {
        let SessionsConfig { durable, incarnation, .. } = self.config;
        let marks: usize = self.actors.values().map(LearnerSession::marks).sum();
        if marks + resume.leftovers.len() > MOST_MARKS {
            let advice = "wait until other actors have sent what is left of theirs";
            let theirs = resume.leftovers.len();
            return Err(Refusal::new(RefusalCode::Full, "leftovers", marks, theirs, advice));
        }
        if let Some(actor) = self.actors.get_mut(&resume.actor) {
            let orphaned = actor.is_connected().then(|| actor.held());
            let acked = actor.resume(resume, epoch, durable)?;
            self.orphaned_bytes += orphaned.unwrap_or(0);
            return Ok(acked);
        }
        let of_older_incarnation =
            resume.actor.0 < u64::from(incarnation.0).saturating_mul(IDS_PER_INCARNATION);
        if durable || !of_older_incarnation {
            let advice = "start it as a new actor, without its saved session";
            let (ours, theirs) = ("unknown", resume.actor);
            return Err(Refusal::new(RefusalCode::Identity, "actor id", ours, theirs, advice));
        }
        let mut actor = LearnerSession::new(resume.secret, Epoch::default());
        let acked = actor.resume(resume, epoch, durable)?;
        self.actors.insert(resume.actor, actor);
        Ok(acked)
    }

    /// Whether this is its actor's session now, and the secret the actor's.
    pub fn proves(&self, session: SessionKey, secret: Secret) -> bool {
        let is_current = self.connected(session.actor) == Some(session);
        is_current && self.actors.get(&session.actor).is_some_and(|actor| actor.has_secret(secret))
    }

    /// The actor's fingerprints are right: it shares in the credit from now on.
    pub fn ready(&mut self, session: SessionKey) -> Result<(), Violation> {
        self.actor(session)?.ready(session.epoch)
    }

    /// Records came, see [`LearnerSession::receive`]: returns how many of the first are duplicates.
    pub fn receive(&mut self, session: SessionKey, incoming: &Incoming) -> Result<u64, Violation> {
        self.actor(session)?.receive(session.epoch, incoming)
    }

    /// Records that came in `session` are taken care of and their bytes are free.
    pub fn settle(
        &mut self,
        session: SessionKey,
        settlement: &Settlement<'_>,
    ) -> Result<Settled, Violation> {
        let Some(actor) = self.actors.get_mut(&session.actor) else {
            // Forgotten since: nothing of it was pending, so these are duplicates.
            let acked = settlement.of_duplicates_only()?;
            self.orphaned_bytes = self.orphaned_bytes.saturating_sub(settlement.bytes);
            return Ok(Settled { acked, to: None });
        };
        let acked = actor.settle(settlement)?;
        let is_current = actor.is_connected() && actor.newest() == session.epoch;
        if is_current {
            actor.release(settlement.bytes);
        } else {
            self.orphaned_bytes = self.orphaned_bytes.saturating_sub(settlement.bytes);
        }
        Ok(Settled { acked, to: self.connected(session.actor) })
    }

    /// A stream ended. The stream of a fenced session changes nothing.
    pub fn close(&mut self, session: SessionKey) {
        if self.connected(session.actor) != Some(session) {
            return;
        }
        if let Some(actor) = self.actors.get_mut(&session.actor) {
            self.orphaned_bytes += actor.close();
        }
    }

    /// New grants, where there is enough to be worth a message: to be called after `ready`,
    /// `settle` and `close`. Every ready session gets the same share of the budget, or one record if
    /// the budget is used up: it waits for that only while sessions that are over still hold bytes.
    pub fn grants(&mut self) -> Vec<(SessionKey, Credit)> {
        let SessionsConfig { budget_bytes, window_bytes, record_bytes, .. } = self.config;
        let ready = self.actors.values().filter(|actor| actor.is_ready()).count().max(1) as u64;
        let share = (budget_bytes / ready).min(window_bytes).max(record_bytes);
        let outstanding = self.outstanding_bytes();
        let mut free = budget_bytes.saturating_sub(outstanding);
        let mut room = (budget_bytes + ready * record_bytes).saturating_sub(outstanding);
        let mut grants = Vec::new();
        for (&id, actor) in self.actors.iter_mut().filter(|(_, actor)| actor.is_ready()) {
            let outstanding = actor.outstanding();
            let guaranteed = record_bytes.saturating_sub(outstanding).min(room);
            let more = share.saturating_sub(outstanding).min(free).max(guaranteed);
            if more > 0 && (4 * more >= share || actor.unspent() < record_bytes) {
                free = free.saturating_sub(more);
                room = room.saturating_sub(more);
                let session = SessionKey { actor: id, epoch: actor.newest() };
                grants.push((session, actor.grant(more)));
            }
        }
        grants
    }

    /// Where all records went.
    pub fn books(&self) -> Books {
        let mut books = self.forgotten.clone();
        self.actors.values().for_each(|actor| books.add(actor.books()));
        books
    }

    /// What is known of each actor.
    pub fn actors(&self) -> impl Iterator<Item = (ActorId, &LearnerSession)> {
        self.actors.iter().map(|(&id, actor)| (id, actor))
    }

    /// Bytes that sessions may make the learner hold now.
    pub fn outstanding_bytes(&self) -> u64 {
        self.orphaned_bytes + self.actors.values().map(LearnerSession::outstanding).sum::<u64>()
    }

    /// Bytes of records that came and are not free yet.
    pub fn held_bytes(&self) -> u64 {
        self.orphaned_bytes + self.actors.values().map(LearnerSession::held).sum::<u64>()
    }

    fn connected(&self, actor: ActorId) -> Option<SessionKey> {
        let session = self.actors.get(&actor).filter(|session| session.is_connected())?;
        Some(SessionKey { actor, epoch: session.newest() })
    }

    fn actor(&mut self, session: SessionKey) -> Result<&mut LearnerSession, Violation> {
        let epoch = session.epoch;
        self.actors.get_mut(&session.actor).ok_or(Violation::UnknownEpoch { epoch })
    }

    fn forget_the_longest_gone(&mut self) {
        while self.actors.len() > self.config.most_remembered {
            let gone = self.actors.iter().filter(|(_, a)| !a.is_connected() && !a.has_pending());
            let Some(id) = gone.min_by_key(|(_, actor)| actor.newest()).map(|(&id, _)| id) else {
                return;
            };
            if let Some(actor) = self.actors.remove(&id) {
                self.forgotten.add(actor.books());
                self.forgotten_actors.push(id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ids::Seq;
    use crate::session::Leftover;

    fn sessions(incarnation: u32, durable: bool) -> Sessions {
        Sessions::new(SessionsConfig {
            incarnation: Incarnation(incarnation),
            durable,
            most_sessions: 2,
            most_remembered: 3,
            budget_bytes: 1000,
            window_bytes: 400,
            record_bytes: 100,
        })
    }

    fn resume(actor: ActorId) -> Resume {
        Resume { actor, secret: Secret([1; 16]), acked_records: 4, leftovers: vec![] }
    }

    #[test]
    fn a_newer_session_fences_the_older_one() {
        let mut sessions = sessions(1, true);
        let first = sessions.hello(None, Secret([1; 16])).unwrap().identity;
        let old = SessionKey { actor: first.actor, epoch: first.epoch };
        let claim = Resume { acked_records: 0, ..resume(first.actor) };
        let second = sessions.hello(Some(&claim), Secret([2; 16])).unwrap();
        assert_eq!((second.fenced, second.identity.secret), (Some(old), Secret([1; 16])));
        let newest = second.identity.epoch;
        assert_eq!(sessions.ready(old), Err(Violation::Fenced { newest }));
        sessions.close(old);
        assert_eq!(sessions.ready(SessionKey { epoch: newest, ..old }), Ok(()));
    }

    #[test]
    fn connecting_again_and_again_gains_no_memory() {
        let mut sessions = sessions(1, false);
        let mut claim = None;
        let mut sent = Vec::new();
        for round in 0..100 {
            let Identity { actor, secret, epoch } =
                sessions.hello(claim.as_ref(), Secret([1; 16])).unwrap().identity;
            let key = SessionKey { actor, epoch };
            claim = Some(Resume { actor, secret, acked_records: 0, leftovers: vec![] });
            sessions.ready(key).unwrap();
            for (_, credit) in sessions.grants() {
                let incoming = Incoming { epoch, first: Seq(0), count: 1, bytes: credit.bytes };
                sessions.receive(key, &incoming).unwrap();
                sent.push((key, credit.bytes));
            }
            assert!(sessions.outstanding_bytes() <= 1000 + 2 * 100, "in round {round}");
        }
        let (key, bytes) = sent[0];
        let settlement =
            Settlement { epoch: key.epoch, accepted: 1, duplicate: 0, rejected: &[], bytes };
        sessions.settle(key, &settlement).unwrap();
        assert_eq!(sessions.grants().len(), 1, "it goes on as soon as there is room");
    }

    #[test]
    fn only_a_learner_that_may_forget_adopts_an_unknown_actor() {
        let stranger = resume(ActorId(IDS_PER_INCARNATION + 7));
        let admission = sessions(2, false).hello(Some(&stranger), Secret([9; 16])).unwrap();
        assert_eq!(admission.identity.actor, stranger.actor);
        for (incarnation, durable) in [(2, true), (1, false)] {
            let refusal = sessions(incarnation, durable).hello(Some(&stranger), Secret([9; 16]));
            assert_eq!(refusal.map_err(|r| r.code), Err(RefusalCode::Identity));
        }
    }

    #[test]
    fn the_leftovers_that_all_actors_may_name_are_bounded() {
        let mut sessions =
            Sessions::new(SessionsConfig { most_remembered: 1_000, ..sessions(2, false).config });
        let epoch = |counter| Epoch { incarnation: Incarnation(1), counter };
        let leftover =
            |counter| Leftover { epoch: epoch(counter), acked_below: Seq(0), next: Seq(1) };
        let leftovers: Vec<Leftover> = (1..=8_192).map(leftover).collect();
        let mut join = |number: u64| {
            let actor = ActorId(IDS_PER_INCARNATION + number);
            let claim = Resume { leftovers: leftovers.clone(), ..resume(actor) };
            let epoch = sessions.hello(Some(&claim), Secret([1; 16]))?.identity.epoch;
            sessions.close(SessionKey { actor, epoch });
            Ok::<_, Refusal>(())
        };
        let admitted = (1..100).take_while(|number| join(*number).is_ok()).count();
        assert_eq!(admitted, MOST_MARKS / 8_193, "each has a mark for its own session, too");
        let refusal = join(200).unwrap_err();
        assert_eq!((refusal.code, refusal.field.as_str()), (RefusalCode::Full, "leftovers"));
    }

    #[test]
    fn the_longest_gone_is_forgotten_and_its_books_are_kept() {
        let mut sessions = sessions(1, false);
        let mut join = |send: bool| {
            let identity = sessions.hello(None, Secret([1; 16])).unwrap().identity;
            let key = SessionKey { actor: identity.actor, epoch: identity.epoch };
            if send {
                sessions.ready(key).unwrap();
                sessions.grants();
                let (epoch, first) = (key.epoch, Seq(0));
                sessions.receive(key, &Incoming { epoch, first, count: 1, bytes: 90 }).unwrap();
                let settlement =
                    Settlement { epoch, accepted: 1, duplicate: 0, rejected: &[], bytes: 90 };
                sessions.settle(key, &settlement).unwrap();
            }
            sessions.close(key);
            key.actor
        };
        let first = join(true);
        let last = (0..9).map(|_| join(false)).last().unwrap();
        let known: Vec<ActorId> = sessions.actors().map(|(id, _)| id).collect();
        assert_eq!(known.len(), 3);
        assert!(known.contains(&last) && !known.contains(&first));
        assert_eq!((sessions.books().accepted, sessions.outstanding_bytes()), (1, 0));
    }
}
