//! The door for questions about objects: who has measured what, and who may.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use tributary_common::claims::Outcome;
use tributary_common::claims::asker::Evaluated;
use tributary_common::ids::ActorId;
use tributary_common::ledger::Evaluation;
use tributary_common::reward::ObjectKey;
use tributary_common::session::SessionKey;
use tributary_proto::code::Code;
use tributary_proto::convert::rewards::{Proof, Question, Reply, answer_bytes};
use tributary_proto::limits;
use tributary_proto::v1::rewards_server::Rewards;
use tributary_proto::v1::{ActorQuestion, LearnerAnswer};

use super::ServiceDeps;
use super::pace::Pace;
use crate::claims::{ClaimNews, ClaimOutbox, Claims, StreamKey};
use crate::ledger_writer::{Committer, Results, now};

/// Messages ready to be sent in a stream.
const READY_MESSAGES: usize = 2;
/// Messages of results that may wait for the disk, of one stream.
const UNWRITTEN: usize = 4;

/// What shared rewards need.
#[derive(Clone)]
pub struct SharedRewards {
    /// Who measures what.
    pub claims: Arc<Claims>,
    /// Writes results.
    pub committer: Committer,
}

pub(super) struct RewardsService(ServiceDeps);

impl RewardsService {
    pub(super) fn new(deps: ServiceDeps) -> Self {
        Self(deps)
    }
}

type Messages = mpsc::Sender<Result<LearnerAnswer, Status>>;

#[tonic::async_trait]
impl Rewards for RewardsService {
    type AskStream = ReceiverStream<Result<LearnerAnswer, Status>>;

    async fn ask(
        &self,
        request: Request<Streaming<ActorQuestion>>,
    ) -> Result<Response<Self::AskStream>, Status> {
        let Some(shared) = self.0.shared.clone() else {
            return Err(Code::Mismatch.status("the rewards of this run are not shared"));
        };
        let (messages, stream) = mpsc::channel(READY_MESSAGES);
        let incoming = request.into_inner();
        let inquiry = Inquiry { deps: self.0.clone(), shared, incoming, messages };
        tokio::spawn(inquiry.hold());
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// One stream, from the proof to its end.
struct Inquiry {
    deps: ServiceDeps,
    shared: SharedRewards,
    incoming: Streaming<ActorQuestion>,
    messages: Messages,
}

impl Inquiry {
    async fn hold(mut self) {
        let stop = self.deps.stop.clone();
        let ended = tokio::select! {
            biased;
            () = stop.cancelled() => Err(Code::Unavailable.status("the learner stops")),
            ended = self.converse() => ended,
        };
        if let Err(status) = ended {
            tracing::debug!(%status, "a stream of questions ended");
            // Nobody may be there to hear it.
            let _ = self.messages.try_send(Err(status));
        }
    }

    async fn converse(&mut self) -> Result<(), Status> {
        let first = timeout(limits::HELLO_TIMEOUT, self.incoming.message()).await;
        let first = first.map_err(|_| Code::TimedOut.status("no proof came"))??;
        let Some(first) = first else { return Ok(()) };
        let Question::Proof(proof) = Question::try_from(first)? else {
            return Err(Code::Invalid.status("the first message is not a proof"));
        };
        let Proof { actor, secret, epoch } = proof;
        if !self.deps.roster.proves(SessionKey { actor, epoch }, secret) {
            let message = format!("actor {actor} has no session {epoch} with this secret now");
            return Err(Code::Unavailable.status(message));
        }
        let (stream, outbox) = self.shared.claims.open(actor);
        let ended = self.answer(stream, &outbox).await;
        self.shared.claims.close(stream);
        ended
    }

    async fn answer(&mut self, stream: StreamKey, outbox: &ClaimOutbox) -> Result<(), Status> {
        let room = Arc::new(Semaphore::new(UNWRITTEN));
        let mut pace =
            Pace::new(limits::MESSAGES_PER_SECOND, limits::MESSAGES_AT_ONCE, Instant::now());
        let mut outgoing: VecDeque<Reply> = VecDeque::new();
        loop {
            tokio::select! {
                biased;
                permit = self.messages.reserve(), if !outgoing.is_empty() => {
                    let Ok(permit) = permit else { return Ok(()) };
                    if let Some(reply) = outgoing.pop_front() {
                        permit.send(Ok(reply.into()));
                    }
                }
                news = outbox.take(), if outgoing.is_empty() => {
                    if news.is_over {
                        return Err(Code::Fenced.status("this actor has a newer stream"));
                    }
                    outgoing.extend(replies(news));
                }
                message = self.incoming.message(), if outgoing.is_empty() => {
                    let Some(message) = message? else { return Ok(()) };
                    self.hear(stream, Question::try_from(message)?, &room).await?;
                    sleep(pace.take(Instant::now())).await;
                }
            }
        }
    }

    async fn hear(
        &self,
        stream: StreamKey,
        question: Question,
        room: &Arc<Semaphore>,
    ) -> Result<(), Status> {
        let SharedRewards { claims, committer } = &self.shared;
        match question {
            Question::Proof(_) => Err(Code::Invalid.status("a proof is given once")),
            Question::Claims(keys) => self.look_up(stream.actor, keys).await,
            Question::Renewals(leases) => {
                claims.renew(stream.actor, &leases);
                Ok(())
            }
            Question::Results(number, results) => {
                let gone = |_| Code::Unavailable.status("the learner takes nothing more");
                let room = Arc::clone(room).acquire_owned().await.map_err(gone)?;
                let written = claims.receive(stream.actor, results);
                let written = written.map_err(|error| Code::Invalid.status(error))?;
                let evaluations = written.into_iter().map(|one| evaluation(one, stream.actor));
                let evaluations = evaluations.collect();
                let results = Results { evaluations, stream, number, room };
                committer.results(results).await.map_err(|error| Code::Unavailable.status(error))
            }
        }
    }

    /// Answers from memory, then from the disk.
    async fn look_up(&self, actor: ActorId, keys: Vec<ObjectKey>) -> Result<(), Status> {
        let looks = self.shared.claims.ask(actor, &keys);
        if looks.is_empty() {
            return Ok(());
        }
        let claims = Arc::clone(&self.shared.claims);
        let looked = tokio::task::spawn_blocking(move || claims.look_up(&looks)).await;
        let looked = looked.map_err(|error| Code::Bug.status(error))?;
        looked.map_err(|error| Code::Unavailable.status(error))
    }
}

fn evaluation(evaluated: Evaluated, actor: ActorId) -> Evaluation {
    if let Outcome::Failed(why) = &evaluated.outcome {
        tracing::info!(%actor, object = %evaluated.object, why, "an object cannot be measured");
    }
    Evaluation { evaluated, actor, time: now() }
}

/// The messages that tell some news, none of them large.
fn replies(news: ClaimNews) -> Vec<Reply> {
    let ClaimNews { answers, acked, .. } = news;
    let mut replies: Vec<Reply> = acked.map(Reply::Acked).into_iter().collect();
    let (mut message, mut bytes) = (Vec::new(), 0);
    for (key, answer) in answers {
        bytes += answer_bytes(&answer);
        message.push((key, answer));
        if bytes >= limits::RESULTS_BYTES {
            replies.push(Reply::Answers(std::mem::take(&mut message)));
            bytes = 0;
        }
    }
    if !message.is_empty() {
        replies.push(Reply::Answers(message));
    }
    replies
}
