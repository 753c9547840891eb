//! The stream of questions, made anew with each session of the actor.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tributary_common::claims::asker::Message;
use tributary_common::random::Stream;
use tributary_common::session::Identity;
use tributary_common::session::back_off::BackOff;
use tributary_proto::convert::WireError;
use tributary_proto::convert::rewards::{Proof, Question, Reply};
use tributary_proto::credentials::Line;
use tributary_proto::limits;

use super::SharedRewards;

/// Messages to the learner that wait for the transport.
const OUTBOX: usize = 2;

/// A session over which questions may be asked.
pub(crate) type Session = Option<(Identity, Line)>;

/// Asks for as long as it is polled.
pub(crate) struct Inquiry {
    /// What is to be asked and told.
    pub(crate) shared: Arc<SharedRewards>,
    /// The actor's session, as it changes.
    pub(crate) session: watch::Receiver<Session>,
    /// For the jitter of the waits between streams.
    pub(crate) random: Stream,
}

/// Why a stream ended; it is made again.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("{0}")]
    Stream(#[from] Status),
    #[error("the learner ended the stream")]
    Ended,
    #[error("{0}")]
    Message(#[from] WireError),
    #[error("the session is over")]
    Session,
}

impl Inquiry {
    /// Over all sessions.
    pub(crate) async fn run(mut self) {
        let mut back_off = BackOff::new(limits::BACK_OFF_BASE, limits::BACK_OFF_CAP);
        loop {
            let session = self.session.borrow_and_update().clone();
            let Some((identity, line)) = session else {
                if self.session.changed().await.is_err() {
                    return;
                }
                continue;
            };
            let Err(error) = self.converse(identity, line, &mut back_off).await;
            self.shared.asker().disconnected();
            let wait = match error {
                Broken::Session => Duration::ZERO,
                _ => back_off.failed(self.random.uniform(), Duration::ZERO),
            };
            tracing::debug!(%error, ?wait, "the stream of questions ended; asking again");
            tokio::select! {
                biased;
                changed = self.session.changed() => if changed.is_err() {
                    return;
                },
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// One stream.
    async fn converse(
        &mut self,
        identity: Identity,
        line: Line,
        back_off: &mut BackOff,
    ) -> Result<Infallible, Broken> {
        let Identity { actor, secret, epoch } = identity;
        let (up, outbox) = mpsc::channel(OUTBOX);
        let proof = Question::Proof(Proof { actor, secret, epoch });
        up.send(proof.into()).await.map_err(|_| Broken::Ended)?;
        let mut client = limits::rewards_client(line);
        let mut down = client.ask(ReceiverStream::new(outbox)).await?.into_inner();
        loop {
            let quiet = self.shared.quiet();
            tokio::select! {
                biased;
                _ = self.session.changed() => return Err(Broken::Session),
                message = down.message() => {
                    let message = message?.ok_or(Broken::Ended)?;
                    match Reply::try_from(message)? {
                        Reply::Answers(answers) => self.shared.answered(answers),
                        Reply::Acked(through) => self.shared.asker().acked(through),
                    }
                    back_off.succeeded();
                }
                permit = up.reserve(), if self.shared.asker().has_news() => {
                    let permit = permit.map_err(|_| Broken::Ended)?;
                    if let Some(message) = self.shared.next() {
                        permit.send(question(message).into());
                    }
                }
                () = self.shared.wake.notified() => {}
                () = tokio::time::sleep(quiet) => self.shared.asker().remind(self.shared.start.elapsed()),
            }
        }
    }
}

fn question(message: Message) -> Question {
    match message {
        Message::Claims(keys) => Question::Claims(keys),
        Message::Renewals(leases) => Question::Renewals(leases),
        Message::Results(number, results) => Question::Results(number, results),
    }
}
