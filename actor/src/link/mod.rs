//! The actor's side of its sessions: connects, streams complete records up under credit, and comes
//! back after every lost connection until it has drained or is told never to return.
//!
//! What may be sent, held and forgotten is decided by [`ActorSession`]; this module carries it.

mod handshake;
mod keeping;
mod stream;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;
use tributary_common::ids::RunId;
use tributary_common::random::{Purpose, Stream};
use tributary_common::registry::Registry;
use tributary_common::run_file::OnLearnerLoss;
use tributary_common::session::actor::{ActorSession, ActorSessionError};
use tributary_common::session::back_off::BackOff;
use tributary_common::session::refusal::Fingerprints;
use tributary_proto::code::Code;
use tributary_proto::convert::WireError;
use tributary_proto::convert::actor::Attempt;
use tributary_proto::credentials::{Dialer, explained};
use tributary_proto::limits;

use crate::error::ActorError;
use crate::gate::Gate;
use crate::newest::Newest;
use crate::orders::Orders;
use crate::pipeline::Pipeline;
use crate::progress::{Edge, Progress};
use crate::scoring::Record;
use crate::shared::{self, SharedRewards};
use crate::spool::{Adopted, Adoption, Spool};
use crate::surroundings::Surroundings;
use crate::{ActorConfig, Outcome, Shutdown, watchdog};
use keeping::intake;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum Break {
    /// To be tried again.
    #[error("{reason}")]
    Lost {
        reason: String,
        /// Not sooner than this.
        retry_after: Duration,
    },
    /// To be opened anew at once: the actor goes on as another.
    #[error("{0}")]
    Anew(String),
    /// The actor is done.
    #[error("{0}")]
    Done(String),
    /// The learner does not let it in, and will not later.
    #[error("{0}")]
    Denied(String),
    /// The actor cannot go on.
    #[error(transparent)]
    Failed(#[from] ActorError),
}

impl Break {
    fn lost(reason: impl ToString) -> Self {
        Self::Lost { reason: reason.to_string(), retry_after: Duration::ZERO }
    }

    fn protocol(reason: impl ToString) -> Self {
        Self::Failed(ActorError::Protocol(reason.to_string()))
    }
}

impl From<Status> for Break {
    fn from(status: Status) -> Self {
        match Code::of_status(&status) {
            Code::NotBuilt => Self::protocol(status.message()),
            Code::Unauthorized => Self::Denied(status.message().to_owned()),
            _ => Self::lost(explained(&status)),
        }
    }
}

impl From<WireError> for Break {
    fn from(error: WireError) -> Self {
        Self::protocol(error)
    }
}

impl From<ActorSessionError> for Break {
    fn from(error: ActorSessionError) -> Self {
        Self::protocol(error)
    }
}

/// An actor, over all of its connections.
pub(crate) struct Link {
    config: ActorConfig,
    registry: Registry,
    shutdown: Shutdown,
    surroundings: Surroundings,
    dialer: Dialer,
    session: ActorSession<Record>,
    /// The session over which questions may be asked.
    questions: watch::Sender<shared::Session>,
    newest: Arc<Newest>,
    /// In a lockstep run: what the learner told this actor to draw.
    orders: Arc<Orders>,
    progress: Arc<Progress>,
    /// Cancelled when no trajectory is to be started any more.
    stop: CancellationToken,
    /// However the link ends, no thread waits for it.
    _stop_at_the_end: DropGuard,
    /// When a drain ends whatever is not acked.
    drain_until: Option<Instant>,
    work: Option<Work>,
    /// Shut while no reward is to be paid for.
    gate: Arc<Gate>,
    /// Where spools are looked for; none: this actor keeps none.
    adoption: Option<Adoption>,
    /// The spool whose session it wants to go on with, until it is welcomed.
    adopted: Option<Adopted>,
    /// In a durable run, since Welcome.
    spool: Option<Spool>,
    /// It only sends what another spool holds, and then goes on with the next.
    forwards: bool,
    loss: OnLearnerLoss,
    /// Since when there is no learner.
    lost_since: Instant,
    back_off: BackOff,
    random: Stream,
    /// The last Hello that was said.
    attempt: Attempt,
}

/// What runs since the first Welcome.
struct Work {
    run: RunId,
    fingerprints: Fingerprints,
    pipeline: Pipeline,
    weights: JoinHandle<()>,
    /// Who is asked before anything is measured, where rewards are shared.
    shared: Option<Arc<SharedRewards>>,
    _asking: Option<AbortOnDropHandle<()>>,
}

impl Drop for Work {
    fn drop(&mut self) {
        self.weights.abort();
    }
}

impl Link {
    pub(crate) fn new(
        config: ActorConfig,
        registry: Registry,
        shutdown: Shutdown,
        surroundings: Surroundings,
    ) -> Result<Self, ActorError> {
        let dialer = config.credentials.dialer(&config.learner)?;
        let mut random = Stream::new(surroundings.jitter, Purpose::Walk, 0, 0);
        let attempt = Attempt { program: random.bits().max(1), number: 0 };
        let stop = CancellationToken::new();
        Ok(Self {
            dialer,
            random,
            attempt,
            progress: Arc::clone(&surroundings.progress),
            surroundings,
            adoption: config.spool.clone().map(Adoption::new),
            adopted: None,
            spool: None,
            forwards: false,
            gate: Arc::default(),
            config,
            registry,
            shutdown,
            session: ActorSession::default(),
            questions: watch::Sender::new(None),
            newest: Arc::default(),
            orders: Arc::default(),
            _stop_at_the_end: stop.clone().drop_guard(),
            stop,
            drain_until: None,
            work: None,
            loss: OnLearnerLoss::default(),
            lost_since: Instant::now(),
            back_off: BackOff::new(limits::BACK_OFF_BASE, limits::BACK_OFF_CAP),
        })
    }

    /// Lives until the actor is drained, fails, or gives the learner up.
    pub(crate) async fn run(mut self) -> Result<Outcome, ActorError> {
        let watching = tokio::spawn(watchdog::watch(Arc::clone(&self.progress)));
        let _watching = AbortOnDropHandle::new(watching);
        let result = self.live().await;
        self.leave(&result).await;
        result.map(|reason| Outcome {
            reason,
            acked: self.session.acked_records(),
            unacked: self.session.unacked_records() as u64,
        })
    }

    async fn live(&mut self) -> Result<String, ActorError> {
        loop {
            let ended = tokio::select! {
                biased;
                () = self.shutdown.now.clone().cancelled_owned() => return Err(self.interrupted()),
                ended = self.connection() => ended,
            };
            self.session.disconnect();
            self.questions.send_replace(None);
            // The learner gives them out again.
            self.orders.clear();
            let (reason, retry_after) = match ended {
                Break::Done(reason) => return Ok(reason),
                Break::Failed(error) => return Err(error),
                Break::Denied(reason) => {
                    let learner = self.config.learner.clone();
                    return Err(ActorError::Denied { learner, reason });
                }
                Break::Anew(reason) => {
                    tracing::debug!(reason, "another session");
                    continue;
                }
                Break::Lost { reason, retry_after } => (reason, retry_after),
            };
            let since = Instant::now();
            let given_up = self.wait_to_return(&reason, retry_after).await?;
            self.progress.waited(Edge::Credit, since.elapsed());
            if let Some(reason) = given_up {
                return Ok(reason);
            }
        }
    }

    /// Waits between two connections; returns the reason if the actor ends instead.
    async fn wait_to_return(
        &mut self,
        reason: &str,
        retry_after: Duration,
    ) -> Result<Option<String>, ActorError> {
        let waited = self.lost_since.elapsed();
        if waited >= self.loss.wait {
            let (learner, last) = (self.config.learner.clone(), reason.to_owned());
            return Err(ActorError::LearnerLost { learner, waited, last });
        }
        let wait = self.back_off.failed(self.random.uniform(), retry_after);
        tracing::warn!(learner = self.config.learner, reason, ?wait, "no session; trying again");
        let deadline = Instant::now() + wait.min(self.loss.wait - waited);
        loop {
            let drained = self.drain_until.is_some() && self.session.is_drained();
            if drained || self.drain_until.is_some_and(|until| Instant::now() >= until) {
                return Ok(Some(format!("drained without a learner: {reason}")));
            }
            let until = self.drain_until.map_or(deadline, |until| deadline.min(until));
            self.set_gate();
            tokio::select! {
                biased;
                () = self.shutdown.now.cancelled() => return Err(self.interrupted()),
                () = self.shutdown.drain.cancelled(), if self.drain_until.is_none() => {
                    self.drain(limits::DRAIN_TIMEOUT);
                    if self.work.is_none() {
                        return Ok(Some(format!("stopped before the first session: {reason}")));
                    }
                }
                () = tokio::time::sleep_until(until) => if until == deadline {
                    return Ok(None);
                },
                intake = intake(&mut self.work, &mut self.spool) => self.take_in(intake?)?,
            }
        }
    }

    /// Lets the learner tell this Hello from one that was given up and is heard late.
    fn next_attempt(&mut self) -> Attempt {
        self.attempt.number += 1;
        self.attempt
    }

    /// Starts no trajectory any more; whatever is complete may still be sent for so long.
    fn drain(&mut self, limit: Duration) {
        self.session.drain();
        self.stop.cancel();
        self.drain_until = Some(Instant::now() + limit);
    }

    /// Lets everybody who looks at the progress know how many records are complete and acked.
    fn count_records(&self) {
        self.progress.stamped.store(self.session.stamped_records(), Relaxed);
        self.progress.acked.store(self.session.acked_records(), Relaxed);
    }

    fn interrupted(&self) -> ActorError {
        ActorError::Interrupted { unacked: self.session.unacked_records() as u64 }
    }
}

#[cfg(test)]
mod tests;
