//! One welcomed connection: records up under credit, acks down, progress reports, the drain.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tributary_common::session::books::RejectionReason;
use tributary_common::session::refusal::{Refusal, RefusalCode};
use tributary_proto::convert::actor::ActorEvent;
use tributary_proto::convert::learner::{LearnerEvent, Rejection};
use tributary_proto::{limits, v1};

use super::handshake::{Connection, next, say};
use super::keeping::{Intake, kept};
use super::{Break, Link, Work};
use crate::columns;
use crate::error::ActorError;
use crate::progress::Edge;
use crate::scoring::Record;
use crate::spool::Spool;

/// How long an actor that said goodbye waits for the learner to end the stream.
const GOODBYE_LIMIT: Duration = Duration::from_secs(1);

impl Link {
    /// One connection, from its start to its end.
    pub(super) async fn connection(&mut self) -> Break {
        match self.connect().await {
            Ok(connection) => self.stream(connection).await,
            Err(ended) => ended,
        }
    }

    async fn stream(&mut self, mut connection: Connection) -> Break {
        let mut report = interval(connection.report_every);
        report.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if let Err(ended) = self.send(&connection) {
                return ended;
            }
            if self.is_finished() {
                return self.goodbye(connection).await;
            }
            if self.forwards && self.session.unacked_records() == 0 && self.drain_until.is_none() {
                return self.hand_over(connection).await;
            }
            self.set_gate();
            let edge = self.waits_for(&connection);
            let since = Instant::now();
            let event = self.event(&mut connection, &mut report).await;
            if let Some(edge) = edge {
                self.progress.waited(edge, since.elapsed());
            }
            if let Err(ended) = event {
                return ended;
            }
        }
    }

    /// Waits for whatever comes next, and does it.
    async fn event(
        &mut self,
        connection: &mut Connection,
        report: &mut tokio::time::Interval,
    ) -> Result<(), Break> {
        let draining = self.drain_until;
        let full = connection.up.capacity() == 0;
        // What cannot be sent is not taken: it would grow old here, and memory with it. What was paid
        // for is, and the gate sees to it that no more is paid for.
        let wants_records = self.spool.is_some() || !full && !self.session.waits_for_credit();
        let Some(work) = &mut self.work else { return Err(Break::lost("no work")) };
        tokio::select! {
            biased;
            () = self.shutdown.drain.cancelled(), if draining.is_none() => {
                tracing::info!("asked to stop: finishing what is in flight");
                self.drain(limits::DRAIN_TIMEOUT);
            }
            () = sleep_until(draining.unwrap_or_else(Instant::now)), if draining.is_some() => {
                let unacked_records = self.session.unacked_records() as u64;
                let reason = "the drain took too long".to_owned();
                say(&connection.up, ActorEvent::Goodbye(v1::Goodbye { reason, unacked_records })).await?;
                return Err(Break::Done("gave up waiting for acks".to_owned()));
            }
            message = next(&mut connection.down) => self.hear(message?)?,
            kept = kept(&mut self.spool) => self.take_in(kept?)?,
            records = work.pipeline.next(wants_records) => {
                self.take_in(Intake::Records(records?))?;
            }
            _ = report.tick() => {
                // A full outbox says that the learner is behind; the next report makes it good.
                let _ = connection.up.try_send(ActorEvent::Progress(self.report()).into());
            }
            permit = connection.up.reserve(), if full => {
                drop(permit.map_err(|_| Break::lost("the stream to the learner broke"))?);
            }
        }
        Ok(())
    }

    /// Sends what credit and the transport allow now.
    fn send(&mut self, connection: &Connection) -> Result<(), Break> {
        while let Ok(permit) = connection.up.try_reserve() {
            let Some(outgoing) = self.session.take_alike(limits::BATCH_BYTES, are_of_one_round)
            else {
                break;
            };
            let batch = columns::batch(outgoing.first, &outgoing.records);
            permit.send(ActorEvent::Batch(batch).into());
        }
        Ok(())
    }

    /// Does what the learner says.
    fn hear(&mut self, event: LearnerEvent) -> Result<(), Break> {
        match event {
            LearnerEvent::Ack(ack) => {
                log_rejections(&ack.rejections);
                self.session.ack(ack.acked)?;
                if let Some(spool) = &self.spool {
                    spool.acked(ack.acked);
                }
                self.count_records();
                if let Some(credit) = ack.credit {
                    self.session.grant(credit)?;
                }
            }
            LearnerEvent::Credit(credit) => self.session.grant(credit)?,
            LearnerEvent::Work(order) => {
                if !self.orders.push(order) {
                    return Err(Break::protocol("more work came than anybody can do"));
                }
            }
            LearnerEvent::Drain { reason, deadline } => {
                tracing::info!(reason, "the learner asks to drain");
                let limit = deadline.unwrap_or(limits::DRAIN_TIMEOUT).min(limits::DRAIN_TIMEOUT);
                if self.drain_until.is_none() {
                    self.drain(limit);
                }
            }
            LearnerEvent::Fenced(epoch) => {
                self.session.fence(epoch);
                return Err(ActorError::Fenced(epoch).into());
            }
            LearnerEvent::Refused(refusal, after) => return Err(self.refused(refusal, after)),
            LearnerEvent::Welcome(_) => return Err(Break::protocol("a second Welcome came")),
        }
        Ok(())
    }

    /// What a refusal means for this actor.
    pub(super) fn refused(&mut self, refusal: Refusal, retry_after: Duration) -> Break {
        self.session.refuse(refusal.code.retryable());
        match refusal.code {
            code if code.retryable() => Break::Lost { reason: refusal.to_string(), retry_after },
            RefusalCode::Complete => Break::Done(refusal.to_string()),
            _ => Break::Failed(refusal.into()),
        }
    }

    /// Whether everything is sent and acked, and nothing more will come.
    fn is_finished(&self) -> bool {
        let is_told = |work: &Work| work.shared.as_ref().is_none_or(|shared| shared.unacked() == 0);
        let is_done = |work: &Work| work.pipeline.is_finished() && is_told(work);
        self.session.is_drained() && self.work.as_ref().is_none_or(is_done)
    }

    /// For whom the session waits now.
    fn waits_for(&self, connection: &Connection) -> Option<Edge> {
        if self.session.waits_for_credit() {
            return Some(Edge::Credit);
        }
        if self.spool.as_ref().is_some_and(Spool::is_shut) {
            return Some(Edge::Spool);
        }
        // With room for messages left, everything complete was sent.
        Some(if connection.up.capacity() > 0 { Edge::Reward } else { Edge::Network })
    }

    async fn goodbye(&mut self, connection: Connection) -> Break {
        self.say_goodbye(connection, "drained").await;
        Break::Done("drained".to_owned())
    }

    pub(super) async fn say_goodbye(&mut self, connection: Connection, reason: &str) {
        let Connection { up, mut down, .. } = connection;
        let reason = reason.to_owned();
        if let Err(ended) =
            say(&up, ActorEvent::Goodbye(v1::Goodbye { reason, unacked_records: 0 })).await
        {
            tracing::debug!(%ended, "goodbye was not heard");
        }
        drop(up);
        let end = async { while let Ok(Some(_)) = down.message().await {} };
        // The learner ends the stream behind it; the actor does not depend on that.
        let _ = timeout(GOODBYE_LIMIT, end).await;
    }

    fn report(&self) -> v1::Progress {
        v1::Progress {
            policy: self.newest.version().map(Into::into),
            trajectories: self.progress.trajectories.load(Relaxed),
            evaluations: self.progress.evaluations.load(Relaxed),
            evaluation_seconds: self.progress.evaluation_seconds(),
            unacked_records: self.session.unacked_records() as u64,
            unacked_bytes: self.session.unacked_bytes(),
            waited_seconds: self.progress.waited_seconds(),
            non_finite: self.progress.non_finite.load(Relaxed),
            reconnects: self.progress.reconnects.load(Relaxed),
            reward_failures: self.progress.reward_failures(),
            reward_trouble: self.progress.reward_trouble().unwrap_or_default(),
        }
    }
}

/// One line for each ack; that the run has enough is no fault.
fn log_rejections(rejections: &[Rejection]) {
    let at_fault = |rejection: &&Rejection| rejection.reason != RejectionReason::RunComplete;
    if let Some(first) = rejections.iter().find(at_fault) {
        let count = rejections.iter().filter(at_fault).count();
        tracing::warn!(count, ?first, "the learner rejects trajectories");
    }
}

/// A message of a lockstep run holds records of one round.
fn are_of_one_round(a: &Record, b: &Record) -> bool {
    a.place.map(|place| place.round) == b.place.map(|place| place.round)
}
