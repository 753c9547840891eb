//! What the link does with the spool: takes over what an earlier actor left, keeps what is complete,
//! and leaves behind what is not acked.

use std::future::{Future, pending};
use std::time::Duration;

use tokio::time::timeout;
use tributary_common::ids::RunId;
use tributary_common::session::actor::ActorSession;
use tributary_common::session::record_bytes;
use tributary_common::session::refusal::{Refusal, RefusalCode};
use tributary_proto::convert::learner::Welcome;
use tributary_proto::limits;

use super::handshake::Connection;
use super::{Break, Link, Work};
use crate::error::ActorError;
use crate::scoring::Record;
use crate::spool::{Adopted, Adoption, Died, Spool};

/// What comes in whatever the link does.
pub(super) enum Intake {
    /// These are complete.
    Records(Vec<Record>),
    /// So many more are on disk.
    Kept(u64),
}

/// The next records or the disk's next word; nothing without a spool.
pub(super) async fn intake(
    work: &mut Option<Work>,
    spool: &mut Option<Spool>,
) -> Result<Intake, ActorError> {
    let Some(work) = work.as_mut().filter(|_| spool.is_some()) else { return pending().await };
    tokio::select! {
        biased;
        kept = kept(spool) => kept,
        records = work.pipeline.next(true) => Ok(Intake::Records(records?)),
    }
}

/// The disk's next word; nothing without a spool.
pub(super) async fn kept(spool: &mut Option<Spool>) -> Result<Intake, ActorError> {
    let Some(spool) = spool else { return pending().await };
    let died = |Died| ActorError::Panicked {
        thread: "spool".to_owned(),
        cause: "it ended before the actor".to_owned(),
    };
    spool.news().await.map(Intake::Kept).map_err(died)
}

impl Link {
    /// Before the first Hello: goes on with the session of a spool that nobody uses.
    pub(super) fn take_over(&mut self) {
        let Some(adoption) = self.adoption.as_mut().filter(|_| self.session.identity().is_none())
        else {
            return;
        };
        let adopted = adoption.next();
        if let Some(session) = adopted.as_ref().and_then(Adopted::session) {
            (self.session, self.adopted) = (session, adopted);
        }
        if self.drain_until.is_some() {
            self.session.drain();
        }
    }

    /// The run of the spool that it wants to go on with.
    pub(super) fn run_of_adopted(&self) -> Option<RunId> {
        self.adopted.as_ref().map(|adopted| adopted.run)
    }

    /// What a refusal of Hello means: a spool may be another run's, or unknown to the learner.
    pub(super) fn refused_hello(&mut self, refusal: Refusal, retry_after: Duration) -> Break {
        let (adopted, adoption) = match (self.adopted.take(), &mut self.adoption) {
            (Some(adopted), Some(adoption)) => (adopted, adoption),
            _ => return self.refused(refusal, retry_after),
        };
        match refusal.code {
            RefusalCode::Run => {
                let own = RunId::try_from(refusal.ours.clone()).ok();
                adoption.not_of_run(adopted.run, own);
            }
            RefusalCode::Identity | RefusalCode::ProtocolError => {
                Adoption::set_aside(adopted, &refusal);
            }
            _ => {
                self.adopted = Some(adopted);
                return self.refused(refusal, retry_after);
            }
        }
        self.session = ActorSession::default();
        Break::Anew("without that spool".to_owned())
    }

    /// The learner admits the actor.
    pub(super) fn welcomed(&mut self, welcome: &Welcome) -> Result<(), Break> {
        if let Err(error) = self.session.welcome(welcome.identity, &welcome.acked) {
            let Some(adopted) = self.adopted.take() else { return Err(error.into()) };
            Adoption::set_aside(adopted, &error);
            self.session = ActorSession::default();
            return Err(Break::Anew("without that spool".to_owned()));
        }
        let Some(adoption) = &mut self.adoption else { return Ok(()) };
        adoption.of_run(welcome.run);
        let failed = |source| {
            Break::Failed(ActorError::Spool { folder: adoption.config().folder.clone(), source })
        };
        if let Some(adopted) = self.adopted.take() {
            self.spool = Some(adopted.start(adoption.config()).map_err(failed)?);
            self.forwards = adoption.has_next();
        } else if self.spool.is_none() && welcome.durable {
            let spool = Spool::create(adoption.config(), welcome.run, welcome.identity);
            self.spool = Some(spool.map_err(failed)?);
        }
        if let Some(spool) = &self.spool {
            welcome.acked.iter().for_each(|&acked| spool.acked(acked));
            spool.welcomed(welcome.identity.epoch);
        }
        Ok(())
    }

    /// Everything that the spool held is acked, and there is another one.
    pub(super) async fn hand_over(&mut self, connection: Connection) -> Break {
        self.say_goodbye(connection, "sent what an earlier actor left").await;
        if let Some(spool) = self.spool.take() {
            spool.close(true);
        }
        self.session = ActorSession::default();
        self.forwards = false;
        Break::Anew("goes on with the next spool".to_owned())
    }

    /// Does something, and takes in meanwhile what is complete.
    pub(super) async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Break> {
        tokio::pin!(work);
        loop {
            self.set_gate();
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                intake = intake(&mut self.work, &mut self.spool) => self.take_in(intake?)?,
            }
        }
    }

    /// Stamps what is complete and keeps it; lets be sent what is kept.
    pub(super) fn take_in(&mut self, intake: Intake) -> Result<(), ActorError> {
        let broken = |error: tributary_common::session::actor::ActorSessionError| {
            ActorError::Protocol(error.to_string())
        };
        match intake {
            Intake::Kept(records) => self.session.keep(records),
            Intake::Records(records) => {
                if let (Some(spool), Some(first)) = (&mut self.spool, self.session.next_key()) {
                    spool.keep(first, &records.iter().collect::<Vec<_>>());
                }
                for record in records {
                    let bytes = record_bytes(record.actions.len(), record.raw.len());
                    let stamped = match self.spool {
                        Some(_) => self.session.complete_unkept(record, bytes),
                        None => self.session.complete(record, bytes),
                    };
                    stamped.map_err(broken)?;
                }
                self.count_records();
            }
        }
        Ok(())
    }

    /// Lets rewards be paid for, unless they could not be kept or would only grow old.
    pub(super) fn set_gate(&self) {
        let Some(spool) = &self.spool else { return self.gate.set(true) };
        let waits = self.session.waits_for_credit() && self.drain_until.is_none();
        self.gate.set(!(waits || self.forwards || spool.is_shut()));
    }

    /// The end: keeps what is being measured, unless the actor shall end at once. A spool of which
    /// everything is acked is removed.
    pub(super) async fn leave(&mut self, result: &Result<String, ActorError>) {
        let keeps = self.spool.is_some();
        if keeps {
            self.gate.set(false);
        }
        self.stop.cancel();
        if keeps && !matches!(result, Err(ActorError::Interrupted { .. })) {
            // Who is not done by then is measuring something long.
            let _ = timeout(limits::DRAIN_TIMEOUT, self.take_in_the_rest()).await;
        }
        let Some(spool) = self.spool.take() else { return };
        let unacked = self.session.unacked_records();
        if unacked > 0 {
            let spool = spool.path().display();
            tracing::warn!(unacked, %spool, "trajectories stay in the spool for the next actor");
        }
        spool.close(unacked == 0 && result.is_ok());
    }

    async fn take_in_the_rest(&mut self) {
        while self.work.as_ref().is_some_and(|work| !work.pipeline.is_finished()) {
            let Ok(intake) = intake(&mut self.work, &mut self.spool).await else { return };
            if self.take_in(intake).is_err() {
                return;
            }
        }
    }
}
