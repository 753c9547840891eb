//! One session from hello to goodbye.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tonic::{Status, Streaming};
use tributary_common::ids::ActorId;
use tributary_common::plain_text::plain_up_to;
use tributary_common::session::learner::{Incoming, SavedSession, Violation};
use tributary_common::session::refusal::{Refusal, RefusalCode, common_protocol};
use tributary_common::session::sessions::Admission;
use tributary_common::session::{SessionKey, batch_bytes, random_stream};
use tributary_proto::code::Code;
use tributary_proto::convert::actor::{ActorEvent, Hello};
use tributary_proto::convert::batch::StampedBatch;
use tributary_proto::convert::learner::{Ack, LearnerEvent, Rejection, Welcome};
use tributary_proto::limits;
use tributary_proto::v1::{ActorMessage, LearnerMessage, Progress};

use super::ServiceDeps;
use super::pace::Pace;
use crate::edges::{self, Edge};
use crate::ingest::Arrival;
use crate::outbox::{News, Outbox};
use crate::roster::{Card, Joined, Report};

/// Why a session ends before its goodbye.
enum End {
    /// The stream is gone, or the learner stops.
    Lost(String),
    /// The actor may not take part.
    Refused(Refusal),
    /// A newer session of this actor exists; it was told.
    Fenced,
}

impl From<Violation> for End {
    fn from(violation: Violation) -> Self {
        match violation {
            Violation::Fenced { .. } => Self::Fenced,
            other => Self::Refused(broken(&other)),
        }
    }
}

/// A message that breaks the protocol.
fn broken(error: &dyn ToString) -> Refusal {
    let advice = "this is an error in one of the two programs";
    let code = RefusalCode::ProtocolError;
    Refusal::new(code, "message", "a message of the protocol", error.to_string(), advice)
}

pub(super) struct Conversation {
    deps: ServiceDeps,
    incoming: Streaming<ActorMessage>,
    messages: mpsc::Sender<Result<LearnerMessage, Status>>,
    /// The actor's rollout threads; 0: as many as the run file says.
    threads: u32,
}

impl Conversation {
    pub(super) fn new(
        deps: ServiceDeps,
        incoming: Streaming<ActorMessage>,
        messages: mpsc::Sender<Result<LearnerMessage, Status>>,
    ) -> Self {
        Self { deps, incoming, messages, threads: 0 }
    }

    /// From hello to the end of the stream.
    pub(super) async fn hold(mut self) {
        let (session, outbox) = match self.greet().await {
            Ok(greeted) => greeted,
            Err(end) => return self.end(None, end).await,
        };
        let ended = self.converse(session, &outbox).await;
        self.deps.roster.close(session, ended.is_ok());
        if let Some(shared) = self.deps.shared.as_ref().filter(|_| ended.is_ok()) {
            shared.claims.leave(session.actor);
        }
        if let Some(lockstep) = &self.deps.lockstep {
            lockstep.leave(session);
        }
        if let Err(end) = ended {
            self.end(Some(session), end).await;
        }
    }

    /// Hello and Welcome.
    async fn greet(&mut self) -> Result<(SessionKey, Arc<Outbox>), End> {
        let ActorEvent::Hello(hello) = self.next(limits::HELLO_TIMEOUT).await? else {
            return Err(End::Refused(broken(&"the first message is not Hello")));
        };
        let protocol = common_protocol(limits::PROTOCOL, hello.protocol).map_err(End::Refused)?;
        let ours = self.deps.facts.run_id;
        if let Some(theirs) = hello.run.filter(|theirs| *theirs != ours) {
            let advice = "start the actor with the address of its own run's learner";
            return Err(End::Refused(Refusal::new(RefusalCode::Run, "run", ours, theirs, advice)));
        }
        let Hello { name, host, process, software, threads, resume, attempt, claims, .. } = hello;
        self.threads = threads;
        let secret = self.deps.entropy.secret().map_err(|error| End::Lost(error.to_string()))?;
        let card = Card { name: name.clone(), host: host.clone(), process, attempt };
        let greeted = self.deps.roster.hello(card, resume.as_ref(), secret);
        let Joined { admission, setting, outbox, saved, forgotten } =
            greeted.map_err(End::Refused)?;
        let identity = admission.identity;
        let (id, epoch) = (identity.actor, identity.epoch);
        tracing::info!(actor = %id, %epoch, name, host, process, software, "actor joins");
        let session = SessionKey { actor: id, epoch };
        if let Some(shared) = &self.deps.shared {
            shared.claims.arrive(id, &claims);
        }
        if let Err(end) = self.remember(id, saved, forgotten).await {
            self.deps.roster.close(session, false);
            return Err(end);
        }
        let welcome = LearnerEvent::Welcome(Box::new(self.welcome(protocol, admission, setting)));
        if let Err(end) = self.send(welcome).await {
            self.deps.roster.close(session, false);
            return Err(end);
        }
        Ok((session, outbox))
    }

    /// Waits until the new session is kept; then it may be spoken of.
    async fn remember(
        &self,
        actor: ActorId,
        saved: Option<SavedSession>,
        forgotten: Vec<ActorId>,
    ) -> Result<(), End> {
        let Some(session) = saved else { return Ok(()) };
        tokio::select! {
            biased;
            () = self.deps.stop.cancelled() => Err(End::Lost("the learner stops".into())),
            kept = self.deps.keeper.keep(actor, session, forgotten) => {
                kept.map_err(|error| End::Lost(format!("the session cannot be kept: {error}")))
            }
        }
    }

    fn welcome(&self, protocol: u32, admission: Admission, exploration_setting: u32) -> Welcome {
        let facts = &self.deps.facts;
        let Admission { identity, acked, .. } = admission;
        Welcome {
            protocol,
            run: facts.run_id,
            run_name: facts.run_file.run.name.clone(),
            incarnation: facts.incarnation,
            identity,
            acked,
            run_file: facts.run_file.to_toml(),
            assets: facts.assets.iter().map(|(asset, _)| asset.clone()).collect(),
            seed: facts.run_file.run.seed,
            stream: random_stream(identity.epoch),
            exploration_setting,
            durable: self.deps.roster.is_durable(),
            lockstep: facts.run_file.run.lockstep,
            fingerprints: facts.fingerprints,
            progress_every: limits::PROGRESS_EVERY,
        }
    }

    /// Ready, then whatever comes; returns at goodbye.
    async fn converse(&mut self, session: SessionKey, outbox: &Outbox) -> Result<(), End> {
        match self.next(limits::READY_TIMEOUT).await? {
            ActorEvent::Ready(theirs) => {
                self.deps.facts.fingerprints.agree(&theirs).map_err(End::Refused)?;
            }
            ActorEvent::Goodbye(_) => return Ok(()),
            _ => return Err(End::Refused(broken(&"the second message is not Ready"))),
        }
        self.deps.roster.ready(session)?;
        if let Some(lockstep) = &self.deps.lockstep {
            lockstep.join(session, self.threads);
        }
        let mut pace =
            Pace::new(limits::MESSAGES_PER_SECOND, limits::MESSAGES_AT_ONCE, Instant::now());
        let mut outgoing = VecDeque::new();
        let stop = self.deps.stop.clone();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Err(End::Lost("the learner stops".into())),
                permit = self.messages.reserve(), if !outgoing.is_empty() => {
                    let permit = permit.map_err(|_| End::Lost("the actor is gone".into()))?;
                    if let Some(event) = outgoing.pop_front() {
                        permit.send(Ok(LearnerMessage::from(event)));
                    }
                }
                news = outbox.take(), if outgoing.is_empty() => {
                    if let Some(epoch) = news.fenced {
                        self.send(LearnerEvent::Fenced(epoch)).await?;
                        return Err(End::Fenced);
                    }
                    outgoing.extend(events(news));
                }
                message = self.incoming.message() => {
                    if self.hear(session, event(message)?).await? {
                        return Ok(());
                    }
                    sleep(pace.take(Instant::now())).await;
                }
            }
        }
    }

    /// Takes one message; true at goodbye.
    async fn hear(&self, session: SessionKey, event: ActorEvent) -> Result<bool, End> {
        match event {
            ActorEvent::Batch(batch) => self.receive(session, batch).await?,
            ActorEvent::Progress(progress) => {
                let report = report(progress).map_err(|error| End::Refused(broken(&error)))?;
                self.deps.roster.report(session, report);
            }
            ActorEvent::Goodbye(goodbye) => {
                let (reason, unacked) = (goodbye.reason, goodbye.unacked_records);
                tracing::info!(actor = %session.actor, reason, unacked, "actor leaves");
                return Ok(true);
            }
            ActorEvent::Hello(_) | ActorEvent::Ready(_) => {
                return Err(End::Refused(broken(&"Hello and Ready are said once")));
            }
        }
        Ok(false)
    }

    async fn receive(&self, session: SessionKey, stamped: StampedBatch) -> Result<(), End> {
        let StampedBatch { epoch, batch } = stamped;
        let settings = self.deps.facts.run_file.exploration.settings();
        if let Some(unknown) = batch.setting.iter().find(|setting| **setting as usize >= settings) {
            let why = format!("exploration setting {unknown} of a run that has {settings}");
            return Err(End::Refused(broken(&why)));
        }
        // The wire's check: an index for each, or none.
        if self.deps.lockstep.is_some() == batch.index.is_empty() {
            let why = "trajectories have a place in lockstep runs, and only there";
            return Err(End::Refused(broken(&why)));
        }
        let count = batch.len() as u64;
        let bytes = batch_bytes(&batch);
        let incoming = Incoming { epoch, first: batch.first_seq, count, bytes };
        let duplicates = self.deps.roster.receive(session, &incoming)?;
        let duplicates = usize::try_from(duplicates).unwrap_or(usize::MAX);
        let arrival = Arrival { session, epoch, duplicates, batch };
        let _waiting = self.deps.observer.board.wait(Edge::SessionsIngest);
        let sent = self.deps.arrivals.send(arrival).await;
        sent.map_err(|_| End::Lost("the learner takes nothing more".into()))
    }

    async fn next(&mut self, patience: Duration) -> Result<ActorEvent, End> {
        let stop = self.deps.stop.clone();
        tokio::select! {
            biased;
            () = stop.cancelled() => Err(End::Lost("the learner stops".into())),
            message = timeout(patience, self.incoming.message()) => match message {
                Ok(message) => event(message),
                Err(_) => Err(End::Lost(format!("nothing was said for {patience:?}"))),
            },
        }
    }

    async fn send(&self, event: LearnerEvent) -> Result<(), End> {
        let sent = self.messages.send(Ok(event.into())).await;
        sent.map_err(|_| End::Lost("the actor is gone".into()))
    }

    /// Says why, if the actor can still hear it.
    async fn end(&self, session: Option<SessionKey>, end: End) {
        let actor = session.map(|session| session.actor.0);
        match end {
            End::Lost(why) => {
                tracing::info!(actor, why, "session lost");
                let status = Code::Unavailable.status(why);
                // Nobody may be there to hear it.
                let _ = self.messages.try_send(Err(status));
            }
            End::Refused(refusal) => {
                tracing::warn!(actor, code = ?refusal.code, %refusal, "actor refused");
                let wait =
                    if refusal.code.retryable() { limits::BACK_OFF_CAP } else { Duration::ZERO };
                let _ = self.send(LearnerEvent::Refused(refusal, wait)).await;
            }
            End::Fenced => tracing::info!(actor, "session fenced by a newer one of its actor"),
        }
    }
}

fn event(message: Result<Option<ActorMessage>, Status>) -> Result<ActorEvent, End> {
    match message {
        Ok(Some(message)) => {
            ActorEvent::try_from(message).map_err(|error| End::Refused(broken(&error)))
        }
        Ok(None) => Err(End::Lost("the stream ended without a goodbye".into())),
        Err(status) => Err(End::Lost(status.to_string())),
    }
}

/// The messages that tell some news.
fn events(news: News) -> impl Iterator<Item = LearnerEvent> {
    let News { acked, rejections, credit, work, drain, .. } = news;
    let acks = acked.into_iter().map(move |(epoch, below)| {
        let told = rejections.iter().filter(|rejection| rejection.epoch == epoch);
        let told = told.map(|rejection| Rejection {
            seq: rejection.seq,
            reason: rejection.reason,
            detail: rejection.detail.clone(),
            step: rejection.step,
        });
        let acked = tributary_common::session::Acked { epoch, below };
        LearnerEvent::Ack(Ack { acked, rejections: told.collect(), credit: None })
    });
    let credit = credit.map(LearnerEvent::Credit);
    let drain = drain.map(|notice| LearnerEvent::Drain {
        reason: notice.reason,
        deadline: Some(notice.deadline),
    });
    acks.chain(credit).chain(work.into_iter().map(LearnerEvent::Work)).chain(drain)
}

fn report(progress: Progress) -> Result<Report, tributary_proto::convert::WireError> {
    let named = |(kind, count): (String, u64)| (plain_up_to(&kind, 32), count);
    let mut waited_seconds = BTreeMap::new();
    for (edge, seconds) in progress.waited_seconds {
        *waited_seconds.entry(edges::of_actors(&edge).to_owned()).or_default() += seconds;
    }
    Ok(Report {
        policy: progress.policy.map(TryInto::try_into).transpose()?,
        trajectories: progress.trajectories,
        unacked_records: progress.unacked_records,
        waited_seconds,
        reward_failures: progress.reward_failures.into_iter().map(named).collect(),
        reward_trouble: plain_up_to(&progress.reward_trouble, 200),
        evaluations: progress.evaluations,
        evaluation_seconds: progress.evaluation_seconds,
    })
}
