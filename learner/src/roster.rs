//! All actors of the run: their session machines, what they report, and the way back to them.
//!
//! One lock guards the machines; whoever takes it does a few map operations and no I/O.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tributary_common::ids::{ActorId, Epoch, PolicyVersion};
use tributary_common::session::books::Books;
use tributary_common::session::learner::{Incoming, SavedSession, Settlement, Violation};
use tributary_common::session::refusal::{Refusal, RefusalCode};
use tributary_common::session::sessions::{Admission, SavedSessions, Sessions, SessionsConfig};
use tributary_common::session::{Resume, Secret, SessionKey};

use crate::locks::lock;
use crate::outbox::{DrainNotice, Outbox, Rejection};

/// An actor that was not heard of for so long is shown as suspect.
const SUSPECT_AFTER: Duration = Duration::from_secs(30);

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
}

/// What an actor is doing, as the learner sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActorState {
    /// Welcomed, not ready yet.
    Connecting,
    /// At work.
    Streaming,
    /// It has used up its credit.
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
    outboxes: HashMap<SessionKey, Arc<Outbox>>,
    drain: Option<DrainNotice>,
}

/// All actors of the run.
#[derive(Debug)]
pub struct Roster {
    inner: Mutex<Inner>,
    settings: u32,
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
            outboxes: HashMap::new(),
            drain: None,
        };
        Self { inner: Mutex::new(inner), settings, connected: watch::channel(0).0 }
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
        let row =
            |(id, session): (ActorId, &_)| Some(inner.known.get(&id)?.row(id, session, draining));
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
        let up: HashSet<ActorId> = self.outboxes.keys().map(|session| session.actor).collect();
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
        session: &tributary_common::session::learner::LearnerSession,
        draining: bool,
    ) -> ActorRow {
        let silent = self.heard.elapsed();
        let state = match (session.is_connected(), session.is_ready()) {
            (false, _) if self.goodbye => ActorState::Gone,
            (false, _) => ActorState::Lost,
            (true, _) if silent > SUSPECT_AFTER => ActorState::Suspect,
            (true, false) => ActorState::Connecting,
            (true, true) if draining => ActorState::Draining,
            (true, true) if session.unspent() == 0 => ActorState::Backpressured,
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
