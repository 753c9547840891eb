//! All actors of the run: their session machines, what they report, and the way back to them.
//!
//! One lock guards the machines; whoever takes it does a few map operations and no I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tributary_common::ids::{ActorId, Epoch, PolicyVersion};
use tributary_common::session::books::Books;
use tributary_common::session::learner::{
    Incoming, LearnerSession, SavedSession, Settlement, Violation,
};
use tributary_common::session::refusal::{Refusal, RefusalCode};
use tributary_common::session::sessions::{Admission, SavedSessions, Sessions, SessionsConfig};
use tributary_common::session::work::WorkOrder;
use tributary_common::session::{Resume, Secret, SessionKey};
use tributary_proto::convert::actor::Attempt;

use crate::locks::lock;
use crate::outbox::{DrainNotice, Outbox, Rejection};

/// An actor that was not heard of for so long is shown as suspect.
const SUSPECT_AFTER: Duration = Duration::from_secs(30);
/// How long actors may wait for their last acks when the run is complete.
const DRAIN_DEADLINE: Duration = Duration::from_secs(10);

/// Rows kept of actors that left.
const MOST_GONE_ROWS: usize = 100;

/// How an actor introduced itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Card {
    /// Not necessarily unique.
    pub name: String,
    /// Its machine.
    pub host: String,
    /// Its process id there.
    pub process: u32,
    /// Which of its program's Hellos that was, if it was told.
    pub attempt: Option<Attempt>,
}

/// What an actor reports now and then.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// The weights in use.
    pub policy: Option<PolicyVersion>,
    /// Trajectories finished by its process.
    pub trajectories: u64,
    /// Records finished and not acked.
    pub unacked_records: u64,
    /// Seconds its process waited, for each edge.
    pub waited_seconds: BTreeMap<String, f64>,
    /// What programs outside failed at, by kind.
    pub reward_failures: BTreeMap<String, u64>,
    /// Why its reward does not work now; empty while it does.
    pub reward_trouble: String,
    /// Objects that its process measured.
    pub evaluations: u64,
    /// Seconds that this took, summed over its threads.
    pub evaluation_seconds: f64,
}

/// What an actor is doing, as the learner sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActorState {
    /// Welcomed, not ready yet.
    Connecting,
    /// At work.
    Streaming,
    /// It has used up its credit, or what is left of it is not enough for the largest record.
    Backpressured,
    /// It was asked to leave.
    Draining,
    /// Nothing heard for a while.
    Suspect,
    /// Its stream ended without a goodbye.
    Lost,
    /// It said goodbye.
    Gone,
}

/// One actor, for status and records.
#[derive(Clone, Debug)]
pub struct ActorRow {
    /// Issued by the learner.
    pub id: ActorId,
    /// As it introduced itself.
    pub card: Card,
    /// What it is doing.
    pub state: ActorState,
    /// Its newest session.
    pub epoch: Epoch,
    /// Where its records went.
    pub books: Books,
    /// Bytes granted and not used.
    pub credit_bytes: u64,
    /// Its last report.
    pub report: Report,
    /// Accepted over the time it was connected.
    pub trajectories_per_second: f64,
    /// Since something was heard of it.
    pub silent: Duration,
}

impl ActorRow {
    /// Whether its stream is up.
    pub fn is_connected(&self) -> bool {
        !matches!(self.state, ActorState::Lost | ActorState::Gone)
    }
}

/// An actor that was let in.
#[derive(Debug)]
pub struct Joined {
    /// Who it is.
    pub admission: Admission,
    /// The exploration setting that is its own.
    pub setting: u32,
    /// Where its news come.
    pub outbox: Arc<Outbox>,
    /// Itself, as a ledger keeps it.
    pub saved: Option<SavedSession>,
    /// Actors that were forgotten for it.
    pub forgotten: Vec<ActorId>,
}

#[derive(Debug)]
struct Known {
    card: Card,
    setting: u32,
    report: Report,
    heard: Instant,
    joined: Instant,
    goodbye: bool,
}

#[derive(Debug)]
struct Inner {
    sessions: Sessions,
    known: BTreeMap<ActorId, Known>,
    /// In the order of their keys: who is told first must not depend on chance.
    outboxes: BTreeMap<SessionKey, Arc<Outbox>>,
    drain: Option<DrainNotice>,
}

/// All actors of the run.
#[derive(Debug)]
pub struct Roster {
    inner: Mutex<Inner>,
    settings: u32,
    durable: bool,
    connected: watch::Sender<usize>,
}

impl Roster {
    /// Nobody is known yet; so many exploration settings are to be spread over the actors.
    pub fn new(config: SessionsConfig, settings: u32) -> Self {
        Self::restore(config, settings, SavedSessions::default())
    }

    /// With the sessions of a checkpoint, or in a durable run of the ledger.
    pub fn restore(config: SessionsConfig, settings: u32, saved: SavedSessions) -> Self {
        let inner = Inner {
            sessions: Sessions::restore(config, saved),
            known: BTreeMap::new(),
            outboxes: BTreeMap::new(),
            drain: None,
        };
        let (inner, durable) = (Mutex::new(inner), config.durable);
        Self { inner, settings, durable, connected: watch::channel(0).0 }
    }

    /// Whether acks mean "on disk".
    pub fn is_durable(&self) -> bool {
        self.durable
    }

    /// An actor says hello; `secret` is random and becomes its own if it is new. It gets the
    /// exploration setting that the fewest connected actors have, the first of these: round robin
    /// while all stay, and whoever replaces an actor takes its setting. One that comes back keeps
    /// its own.
    ///
    /// # Errors
    /// Why it may not take part: too many actors, a wrong secret, a run that stops.
    pub fn hello(
        &self,
        card: Card,
        resume: Option<&Resume>,
        secret: Secret,
    ) -> Result<Joined, Refusal> {
        let mut inner = lock(&self.inner);
        if let Some(drain) = inner.drain.as_ref().filter(|_| resume.is_none()) {
            let (ours, advice) = (&drain.reason, "nothing is left to do for this run");
            return Err(Refusal::new(RefusalCode::Complete, "run", ours, "one more actor", advice));
        }
        inner.refuse_overtaken(&card, resume)?;
        let admission = inner.sessions.hello(resume, secret)?;
        let identity = admission.identity;
        if let Some(fenced) = admission.fenced
            && let Some(outbox) = inner.outboxes.remove(&fenced)
        {
            outbox.post(|news| news.fenced = Some(identity.epoch));
        }
        let outbox = Arc::new(Outbox::default());
        let session = SessionKey { actor: identity.actor, epoch: identity.epoch };
        inner.outboxes.insert(session, Arc::clone(&outbox));
        let heard = Instant::now();
        let (joined, setting) = match inner.known.get(&identity.actor) {
            Some(known) => (known.joined, known.setting),
            None => (heard, inner.rarest_setting(self.settings)),
        };
        let report = Report::default();
        let known = Known { card, setting, report, heard, joined, goodbye: false };
        inner.known.insert(identity.actor, known);
        inner.forget_rows();
        self.count(&inner);
        let saved = inner.sessions.saved(identity.actor);
        let forgotten = inner.sessions.take_forgotten();
        Ok(Joined { admission, setting, outbox, saved, forgotten })
    }

    /// Whether this is the actor's session now and the secret its own.
    pub fn proves(&self, session: SessionKey, secret: Secret) -> bool {
        lock(&self.inner).sessions.proves(session, secret)
    }

    /// The actor has shown the right fingerprints: it gets credit, or is told to leave.
    ///
    /// # Errors
    /// The session is fenced.
    pub fn ready(&self, session: SessionKey) -> Result<(), Violation> {
        let mut inner = lock(&self.inner);
        inner.sessions.ready(session)?;
        inner.send_grants();
        if let (Some(drain), Some(outbox)) = (inner.drain.clone(), inner.outboxes.get(&session)) {
            outbox.post(|news| news.drain = Some(drain));
        }
        Ok(())
    }

    /// Records came: how many of the first are duplicates.
    ///
    /// # Errors
    /// They may not be sent in this session.
    pub fn receive(&self, session: SessionKey, incoming: &Incoming) -> Result<u64, Violation> {
        let mut inner = lock(&self.inner);
        inner.heard(session.actor);
        inner.sessions.receive(session, incoming)
    }

    /// Records are taken care of: acks them, tells what was rejected, and grants what became free.
    ///
    /// # Errors
    /// More was settled than received: an error in the learner.
    pub fn settle(
        &self,
        session: SessionKey,
        settlement: &Settlement<'_>,
        rejections: &[Rejection],
    ) -> Result<(), Violation> {
        let mut inner = lock(&self.inner);
        let settled = inner.sessions.settle(session, settlement)?;
        if let Some(outbox) = settled.to.and_then(|to| inner.outboxes.get(&to)) {
            outbox.post(|news| news.ack(settled.acked, rejections));
        }
        inner.send_grants();
        Ok(())
    }

    /// An actor reports how it is doing.
    pub fn report(&self, session: SessionKey, report: Report) {
        let mut inner = lock(&self.inner);
        inner.heard(session.actor);
        if let Some(known) = inner.known.get_mut(&session.actor) {
            known.report = report;
        }
    }

    /// A stream ended, with or without a goodbye.
    pub fn close(&self, session: SessionKey, goodbye: bool) {
        let mut inner = lock(&self.inner);
        if inner.outboxes.remove(&session).is_none() {
            return;
        }
        inner.sessions.close(session);
        if let Some(known) = inner.known.get_mut(&session.actor) {
            known.goodbye = goodbye;
        }
        inner.send_grants();
        self.count(&inner);
    }

    /// Asks all actors to leave because the run has all its trajectories.
    pub fn drain_complete(&self) {
        self.drain("the run has all its trajectories", DRAIN_DEADLINE);
    }

    /// Asks all actors to leave, and those that come from now on; true if it was not asked before.
    pub fn drain(&self, reason: &str, deadline: Duration) -> bool {
        let mut inner = lock(&self.inner);
        if inner.drain.is_some() {
            return false;
        }
        let notice = DrainNotice { reason: reason.to_owned(), deadline };
        for outbox in inner.outboxes.values() {
            outbox.post(|news| news.drain = Some(notice.clone()));
        }
        inner.drain = Some(notice);
        true
    }

    /// Tells sessions what to draw in a lockstep run; those that are over hear nothing.
    pub fn give(&self, orders: &[(SessionKey, WorkOrder)]) {
        if orders.is_empty() {
            return;
        }
        let inner = lock(&self.inner);
        for (session, order) in orders {
            if let Some(outbox) = inner.outboxes.get(session) {
                outbox.post(|news| news.work.push(*order));
            }
        }
    }

    /// The actors of these sessions, for people: "actor 7 (worker-2 on node-17)".
    pub fn names(&self, sessions: &[SessionKey]) -> String {
        let inner = lock(&self.inner);
        let name = |session: &SessionKey| match inner.known.get(&session.actor) {
            Some(Known { card, .. }) => {
                format!("actor {} ({} on {})", session.actor, card.name, card.host)
            }
            None => format!("actor {}", session.actor),
        };
        sessions.iter().map(name).collect::<Vec<_>>().join(", ")
    }

    /// How many sessions are up, as it changes.
    pub fn connected(&self) -> watch::Receiver<usize> {
        self.connected.subscribe()
    }

    /// Where all records went.
    pub fn books(&self) -> Books {
        lock(&self.inner).sessions.books()
    }

    /// For a checkpoint.
    pub fn save(&self) -> SavedSessions {
        lock(&self.inner).sessions.save()
    }

    /// A row for each actor that is connected or was lately, by id.
    pub fn rows(&self) -> Vec<ActorRow> {
        let inner = lock(&self.inner);
        let draining = inner.drain.is_some();
        let record = inner.sessions.record_bytes();
        let row = |(id, session): (ActorId, &LearnerSession)| {
            let used_up = session.unspent() < record;
            Some(inner.known.get(&id)?.row(id, session, draining, used_up))
        };
        inner.sessions.actors().filter_map(row).collect()
    }

    fn count(&self, inner: &Inner) {
        self.connected.send_replace(inner.outboxes.len());
    }
}

impl Inner {
    fn heard(&mut self, actor: ActorId) {
        if let Some(known) = self.known.get_mut(&actor) {
            known.heard = Instant::now();
        }
    }

    /// A Hello that its program gave up, for instance while the learner stood still, is heard late,
    /// perhaps behind the one that counts: its session would fence the living one.
    fn refuse_overtaken(&self, card: &Card, resume: Option<&Resume>) -> Result<(), Refusal> {
        let latest = resume.and_then(|resume| self.known.get(&resume.actor)?.card.attempt);
        let Some((attempt, latest)) = card.attempt.zip(latest) else { return Ok(()) };
        if !attempt.is_overtaken_by(latest) {
            return Ok(());
        }
        let (ours, theirs) = (latest.number, attempt.number);
        let advice = "nothing is to be done: a later one of the same program has been heard";
        Err(Refusal::new(RefusalCode::Full, "hello", ours, theirs, advice))
    }

    /// The first of the settings that the fewest connected actors have.
    fn rarest_setting(&self, settings: u32) -> u32 {
        let connected = self.outboxes.keys().filter_map(|session| self.known.get(&session.actor));
        let mut counts = vec![0_usize; settings as usize];
        for known in connected {
            counts[known.setting as usize] += 1;
        }
        (0..settings).min_by_key(|setting| counts[*setting as usize]).unwrap_or(0)
    }

    fn send_grants(&mut self) {
        for (session, credit) in self.sessions.grants() {
            if let Some(outbox) = self.outboxes.get(&session) {
                outbox.post(|news| news.credit = Some(credit));
            }
        }
    }

    fn forget_rows(&mut self) {
        let up: BTreeSet<ActorId> = self.outboxes.keys().map(|session| session.actor).collect();
        let gone: Vec<ActorId> = self.known.keys().copied().filter(|id| !up.contains(id)).collect();
        for id in gone.iter().take(gone.len().saturating_sub(MOST_GONE_ROWS)) {
            self.known.remove(id);
        }
    }
}

impl Known {
    fn row(
        &self,
        id: ActorId,
        session: &LearnerSession,
        draining: bool,
        used_up: bool,
    ) -> ActorRow {
        let silent = self.heard.elapsed();
        let state = match (session.is_connected(), session.is_ready()) {
            (false, _) if self.goodbye => ActorState::Gone,
            (false, _) => ActorState::Lost,
            (true, _) if silent > SUSPECT_AFTER => ActorState::Suspect,
            (true, false) => ActorState::Connecting,
            (true, true) if draining => ActorState::Draining,
            (true, true) if used_up => ActorState::Backpressured,
            (true, true) => ActorState::Streaming,
        };
        let books = session.books().clone();
        let seconds = (self.joined.elapsed() - silent).as_secs_f64();
        let rate = if seconds > 0.0 { books.accepted as f64 / seconds } else { 0.0 };
        ActorRow {
            id,
            card: self.card.clone(),
            state,
            epoch: session.newest(),
            credit_bytes: session.unspent(),
            report: self.report.clone(),
            trajectories_per_second: rate,
            silent,
            books,
        }
    }
}
