//! The ledger's thread of a durable run: group commit, then acks.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tributary_common::crash;
use tributary_common::ids::{ActorId, Epoch};
use tributary_common::ledger::{Alarm, Decided, Entry, Evaluation, LedgerError, Opened, Verdict};
use tributary_common::session::SessionKey;
use tributary_common::session::books::RejectionReason;
use tributary_common::session::learner::{SavedSession, Settlement};

use super::{Store, now, persist};
use crate::claims::{Claims, StreamKey};
use crate::durable::Kept;
use crate::figures::Board;
use crate::keeper::Keeper;
use crate::outbox::Rejection;
use crate::roster::Roster;

/// Things that wait for a commit; their bytes are bounded by credit.
const JOBS: usize = 1_024;
/// Things in one commit.
const MOST_IN_A_COMMIT: usize = 4_096;

/// The records of one message, decided, and what follows when they are on disk.
pub struct Work {
    /// What the ledger gets.
    pub decided: Decided,
    /// Who is acked.
    pub session: SessionKey,
    /// What the actor is told of rejected records.
    pub rejections: Vec<Rejection>,
    /// What goes into replay, in order.
    pub kept: Vec<Kept>,
    /// Free when all of it is in replay.
    pub bytes: u64,
}

/// What goes into replay now that it is on disk and acked.
pub struct Committed {
    /// Who sent it.
    pub session: SessionKey,
    /// The epoch in which it was stamped.
    pub epoch: Epoch,
    /// In order.
    pub kept: Vec<Kept>,
    /// Free when all of it is in replay.
    pub bytes: u64,
}

/// The results of one message, to be acked when they are on disk.
pub struct Results {
    /// What the ledger gets.
    pub evaluations: Vec<Evaluation>,
    /// Who is acked.
    pub stream: StreamKey,
    /// The message's number in that stream.
    pub number: u64,
    /// Free when it is written.
    pub room: OwnedSemaphorePermit,
}

/// Something that waits for a commit.
pub enum Job {
    /// Records were decided.
    Decided(Box<Work>),
    /// A session was opened; told when the disk has it.
    Opened(Opened, oneshot::Sender<()>),
    /// Objects were measured.
    Results(Results),
    /// The values of an actor are void; told how many when the disk has it.
    Strike(ActorId, oneshot::Sender<u64>),
    /// A checkpoint covers what is below this ordinal.
    ForgetBelow(u64),
}

/// Hands things to the ledger's thread.
#[derive(Clone, Debug)]
pub struct Committer(mpsc::Sender<Job>);

impl Committer {
    /// With what its thread takes them from.
    pub fn new() -> (Self, mpsc::Receiver<Job>) {
        let (jobs, queue) = mpsc::channel(JOBS);
        (Self(jobs), queue)
    }

    /// Hands over decided records; false if the thread is gone. Not for async code.
    pub fn decided(&self, work: Work) -> bool {
        self.0.blocking_send(Job::Decided(Box::new(work))).is_ok()
    }

    /// Hands over results.
    ///
    /// # Errors
    /// The thread is gone.
    pub async fn results(&self, results: Results) -> io::Result<()> {
        let sent = self.0.send(Job::Results(results)).await;
        sent.map_err(|_| io::Error::other("the ledger takes nothing more"))
    }

    /// Voids the values that an actor measured first. Returns how many, when the disk has it.
    ///
    /// # Errors
    /// The thread is gone.
    pub async fn strike(&self, actor: ActorId) -> io::Result<u64> {
        let gone = || io::Error::other("the ledger takes nothing more");
        let (done, struck) = oneshot::channel();
        self.0.send(Job::Strike(actor, done)).await.map_err(|_| gone())?;
        struck.await.map_err(|_| gone())
    }

    /// A checkpoint covers all accepted trajectories below this ordinal, and so do all older ones that
    /// are kept. Not for async code.
    pub fn forget_below(&self, ordinal: u64) {
        // A ledger that is gone forgets nothing.
        let _ = self.0.blocking_send(Job::ForgetBelow(ordinal));
    }
}

#[tonic::async_trait]
impl Keeper for Committer {
    /// Waits for the disk.
    async fn keep(
        &self,
        actor: ActorId,
        session: SavedSession,
        forgotten: Vec<ActorId>,
    ) -> io::Result<()> {
        let (done, is_done) = oneshot::channel();
        let opened = Opened { actor, session, forgotten, time: now() };
        let is_kept = self.0.send(Job::Opened(opened, done)).await.is_ok() && is_done.await.is_ok();
        if is_kept { Ok(()) } else { Err(io::Error::other("the ledger takes nothing more")) }
    }
}

/// The ledger's thread of a durable run.
pub struct CommitWriter {
    /// The ledger.
    pub store: Box<dyn Store>,
    /// Who is acked.
    pub roster: Arc<Roster>,
    /// Who waits for values, where rewards are shared.
    pub claims: Option<Arc<Claims>>,
    /// Where it is counted.
    pub board: Arc<Board>,
    /// To replay.
    pub committed: Sender<Committed>,
    /// Time between two tries on a full disk.
    pub retry: Duration,
}

/// What follows a commit.
enum After {
    Ack(Box<Ack>),
    Welcome(oneshot::Sender<()>),
    Results(StreamKey, u64, OwnedSemaphorePermit),
}

struct Ack {
    accepted: u64,
    rejected: Vec<RejectionReason>,
    rejections: Vec<Rejection>,
    committed: Committed,
}

impl CommitWriter {
    /// Commits whatever is queued when the last sync has ended, until nobody can send any more.
    ///
    /// # Errors
    /// The ledger's, if it does not pass. Nothing is acked from then on.
    pub fn run(mut self, mut queue: mpsc::Receiver<Job>) -> Result<(), LedgerError> {
        let (mut entries, mut after) = (Vec::new(), Vec::new());
        while let Some(first) = queue.blocking_recv() {
            let (mut forget, mut strike) = (None, Vec::new());
            let mut next = Some(first);
            while let Some(job) = next {
                match job {
                    Job::Decided(work) => {
                        let (entry, ack) = parts(*work);
                        entries.push(entry);
                        after.push(After::Ack(Box::new(ack)));
                    }
                    Job::Opened(opened, done) => {
                        entries.push(Entry::Opened(opened));
                        after.push(After::Welcome(done));
                    }
                    Job::Results(Results { evaluations, stream, number, room }) => {
                        entries.push(Entry::Evaluated(evaluations));
                        after.push(After::Results(stream, number, room));
                    }
                    Job::Strike(actor, done) => strike.push((actor, done)),
                    Job::ForgetBelow(ordinal) => forget = forget.max(Some(ordinal)),
                }
                next = if entries.len() < MOST_IN_A_COMMIT { queue.try_recv().ok() } else { None };
            }
            if !entries.is_empty() {
                let alarms = persist(&self.board, self.retry, || self.store.commit(&entries))?;
                self.show(&entries, &alarms);
            }
            for (actor, done) in strike {
                let struck = persist(&self.board, self.retry, || self.store.strike(actor))?;
                self.claims.iter().for_each(|claims| claims.forget_values());
                tracing::warn!(%actor, struck, "the values of a quarantined actor are void");
                // Whoever asked may be gone.
                let _ = done.send(struck);
            }
            self.tell_values(&entries)?;
            entries.clear();
            for after in after.drain(..) {
                self.follow(after)?;
            }
            if let Some(ordinal) = forget {
                persist(&self.board, self.retry, || self.store.forget_below(ordinal))?;
            }
        }
        self.store.close()
    }

    /// Counts what was measured on purpose, and says where actors measured different values.
    fn show(&self, entries: &[Entry], alarms: &[Alarm]) {
        if self.claims.is_none() {
            return;
        }
        let evaluations = entries.iter().filter_map(|entry| match entry {
            Entry::Evaluated(evaluations) => Some(evaluations),
            _ => None,
        });
        let leases = evaluations.flatten().filter_map(|one| one.evaluated.lease);
        let audits = leases.filter(|lease| lease.is_audit()).count() as u64;
        for alarm in alarms {
            tracing::error!(%alarm, "ALARM: two actors measured different values");
        }
        if audits > 0 || !alarms.is_empty() {
            self.board.update(|figures| {
                let trust = figures.trust.get_or_insert_default();
                trust.audits += audits;
                alarms.iter().for_each(|alarm| trust.add(alarm));
            });
        }
    }

    /// Tells the values that are on disk now to whoever waits for them.
    fn tell_values(&self, entries: &[Entry]) -> Result<(), LedgerError> {
        let Some(claims) = &self.claims else { return Ok(()) };
        let mut keys = Vec::new();
        for entry in entries {
            match entry {
                Entry::Decided(decided) => {
                    let observed =
                        decided.records.iter().filter_map(|one| one.observation.as_ref());
                    let observed = observed.map(|observation| observation.key);
                    keys.extend(observed.filter(|key| claims.concerns(*key)));
                }
                Entry::Evaluated(evaluations) => {
                    keys.extend(evaluations.iter().map(|one| one.evaluated.key));
                }
                Entry::Opened(_) => {}
            }
        }
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            found.extend(self.store.find(key)?.map(|finding| (key, finding)));
        }
        claims.settle(&found, self.store.spent());
        Ok(())
    }

    fn follow(&self, after: After) -> Result<(), LedgerError> {
        let ack = match after {
            After::Ack(ack) => *ack,
            After::Welcome(done) => {
                // The actor may be gone again.
                let _ = done.send(());
                return Ok(());
            }
            After::Results(stream, number, _room) => {
                if let Some(claims) = &self.claims {
                    claims.ack(stream, number);
                }
                return Ok(());
            }
        };
        let Ack { accepted, rejected, rejections, committed } = ack;
        crash::point(crash::LEDGER_BEFORE_ACK)?;
        // The bytes are free later, when replay has the trajectories.
        let epoch = committed.epoch;
        let settlement =
            Settlement { epoch, accepted, duplicate: 0, rejected: &rejected, bytes: 0 };
        if let Err(error) = self.roster.settle(committed.session, &settlement, &rejections) {
            let actor = committed.session.actor;
            tracing::error!(%actor, %error, "records could not be settled");
        }
        crash::point(crash::LEDGER_AFTER_ACK)?;
        // Replay's thread is gone only if it panicked, which ends the process.
        let _ = self.committed.send(committed);
        Ok(())
    }
}

fn parts(work: Work) -> (Entry, Ack) {
    let Work { decided, session, rejections, kept, bytes } = work;
    let reason = |record: &tributary_common::ledger::Record| match record.verdict {
        Verdict::Accepted(_) => None,
        Verdict::Rejected(reason) => Some(reason),
    };
    let rejected: Vec<RejectionReason> = decided.records.iter().filter_map(reason).collect();
    let accepted = (decided.records.len() - rejected.len()) as u64;
    let committed = Committed { session, epoch: decided.epoch, kept, bytes };
    (Entry::Decided(decided), Ack { accepted, rejected, rejections, committed })
}
