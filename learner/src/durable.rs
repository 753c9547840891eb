//! Ingest of a durable run, in three threads: this one decides what becomes of each record, the
//! ledger's commits it and acks, and the inserter puts what was accepted into replay. An ack waits for
//! the disk and for nothing else; credit comes back when replay has the trajectories.

use std::sync::Arc;

use crossbeam_channel::Receiver;
use tokio::sync::mpsc;
use tributary_common::ids::Seq;
use tributary_common::ledger::{Accepted, Decided, Record, Verdict};
use tributary_common::session::batch_bytes;
use tributary_common::session::books::RejectionReason;
use tributary_common::session::learner::Settlement;
use tributary_common::trajectory::{TrajectoryKind, TrajectoryView};

use crate::claims::Claims;
use crate::dead_letters::DeadLetters;
use crate::edges::Edge;
use crate::examine::{Examiner, Sound, Unsound};
use crate::figures::Board;
use crate::findings::Findings;
use crate::hand_over::HandOver;
use crate::ingest::{Arrival, quarantined};
use crate::intake::Intake;
use crate::ledger_writer::commit::Committed;
use crate::ledger_writer::{Committer, Sources, Work};
use crate::outbox::Rejection;
use crate::roster::Roster;
use crate::yields::Yields;

/// An accepted trajectory on its way into replay, and the counters as of it.
pub struct Kept {
    sound: Sound,
    setting: u32,
    is_new: bool,
    generated: u64,
    paid: u64,
    /// The run needs no more.
    is_last: bool,
}

/// The thread that decides.
pub struct Decider {
    /// Examines each trajectory.
    pub examiner: Examiner,
    /// Says whether more is taken.
    pub hand_over: Arc<HandOver>,
    /// Where rejected ones are kept.
    pub dead_letters: DeadLetters,
    /// What was accepted so far.
    pub intake: Intake,
    /// To the ledger.
    pub committer: Committer,
    /// How actors come by values.
    pub sources: Sources,
    /// Who measures what, where rewards are shared.
    pub claims: Option<Arc<Claims>>,
    /// Where waits are marked.
    pub board: Arc<Board>,
}

impl Decider {
    /// Takes messages until nobody can send any more.
    pub fn run(mut self, mut arrivals: mpsc::Receiver<Arrival>) {
        while let Some(arrival) = arrivals.blocking_recv() {
            let work = self.decide(&arrival);
            if let Err(error) = self.dead_letters.flush() {
                tracing::warn!(%error, "rejected trajectories could not be written");
            }
            let waiting = self.board.wait(Edge::IngestLedger);
            let is_taken = self.committer.decided(work);
            drop(waiting);
            if !is_taken {
                return;
            }
        }
    }

    fn decide(&mut self, arrival: &Arrival) -> Work {
        let &Arrival { session, epoch, duplicates, ref batch } = arrival;
        let measured = self.claims.as_ref().map(|claims| claims.take_measured());
        measured.into_iter().flatten().for_each(|key| self.intake.measured(key));
        let (mut records, mut rejections, mut kept) = (Vec::new(), Vec::new(), Vec::new());
        for trajectory in batch.iter().skip(duplicates) {
            let examined = match self.board.refuses(session.actor) {
                true => Err(quarantined()),
                false => self.examiner.examine(&trajectory),
            };
            let seen = examined.as_ref().ok();
            let seen =
                seen.map(|sound| self.sources.observation(sound, &trajectory, session.actor));
            let verdict = match examined.and_then(|sound| self.accept(sound, &trajectory)) {
                Ok((accepted, keep)) => {
                    kept.push(keep);
                    Verdict::Accepted(accepted)
                }
                Err(unsound) => {
                    let reason = unsound.reason;
                    rejections.push(self.reject(arrival, &trajectory, unsound));
                    Verdict::Rejected(reason)
                }
            };
            records.push(Record { verdict, observation: seen });
        }
        let first = Seq(batch.first_seq.0 + duplicates as u64);
        let duplicates = duplicates as u64;
        let decided = Decided { actor: session.actor, epoch, first, duplicates, records };
        Work { decided, session, rejections, kept, bytes: batch_bytes(batch) }
    }

    fn accept(
        &mut self,
        sound: Sound,
        trajectory: &TrajectoryView<'_>,
    ) -> Result<(Accepted, Kept), Unsound> {
        if self.intake.is_complete() || self.hand_over.is_closed() {
            let detail = "the run has all the trajectories that it asked for".to_owned();
            return Err(Unsound { reason: RejectionReason::RunComplete, detail, step: None });
        }
        let ordinal = self.intake.generated();
        let is_known = self.sources.is_known(trajectory);
        let is_new = self.intake.accept(sound.key, is_known);
        let &TrajectoryView { kind, setting, log_mu, .. } = trajectory;
        let actions = sound.actions.clone();
        let (generated, paid) = (self.intake.generated(), self.intake.paid());
        let is_last = self.intake.is_complete();
        let kept = Kept { sound, setting, is_new, generated, paid, is_last };
        Ok((Accepted { ordinal, actions, kind, setting, log_mu }, kept))
    }

    fn reject(
        &mut self,
        arrival: &Arrival,
        trajectory: &TrajectoryView<'_>,
        unsound: Unsound,
    ) -> Rejection {
        let Unsound { reason, detail, step } = unsound;
        let rejection =
            Rejection { epoch: arrival.epoch, seq: trajectory.seq, reason, detail, step };
        if !matches!(reason, RejectionReason::RunComplete | RejectionReason::Quarantined) {
            let added = self.dead_letters.add(arrival.session.actor, &rejection, trajectory);
            if let Err(error) = added {
                tracing::warn!(%error, "a rejected trajectory could not be written");
            }
        }
        rejection
    }
}

/// The thread that puts into replay what is on disk.
pub struct Inserter {
    /// Replay.
    pub hand_over: Arc<HandOver>,
    /// Whose credit comes back.
    pub roster: Arc<Roster>,
    /// Where it is counted.
    pub board: Arc<Board>,
    /// What each exploration setting brings.
    pub yields: Yields,
    /// What is found.
    pub findings: Arc<Findings>,
}

impl Inserter {
    /// Takes what was committed until nothing more can be.
    pub fn run(mut self, committed: &Receiver<Committed>) {
        self.board.update(|figures| figures.yields = self.yields.rows().to_vec());
        for Committed { session, epoch, kept, bytes } in committed {
            for kept in &kept {
                self.keep(kept);
            }
            let modes = self.findings.modes();
            self.board.update(|figures| figures.evaluation.modes = modes);
            let settlement = Settlement { epoch, accepted: 0, duplicate: 0, rejected: &[], bytes };
            if let Err(error) = self.roster.settle(session, &settlement, &[]) {
                tracing::error!(actor = %session.actor, %error, "credit could not be given back");
            }
        }
    }

    fn keep(&mut self, kept: &Kept) {
        let Kept { sound, setting, is_new, generated, paid, is_last } = kept;
        let waiting = self.board.wait(Edge::IngestReplay);
        let waited = self.hand_over.await_room_for_committed();
        drop(waiting);
        // What a checkpoint counts is what its replay was given.
        let settling = self.hand_over.settling();
        self.hand_over.insert_at_once(sound);
        self.yields.count(*setting, sound.kind, *is_new, sound.log_reward);
        let is_forward = sound.kind == TrajectoryKind::Forward;
        self.findings.see(&sound.built, sound.log_reward.get(), *is_new, is_forward);
        self.board.update(|figures| {
            figures.waited("inserter.replay", waited);
            figures.accept(*generated, *paid);
            self.yields.rows().clone_into(&mut figures.yields);
        });
        drop(settling);
        if *is_last {
            self.hand_over.close_intake();
            self.roster.drain_complete();
        }
    }
}
