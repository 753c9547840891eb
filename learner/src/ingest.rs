//! Ingest: what actors send becomes trajectories in replay, or a rejection with its reason.
//!
//! It runs on a thread of its own. An accepted trajectory waits at the hand-over until replay has
//! room for it by the samples-per-insert band; only then it is acked and its credit granted again,
//! so that a slow trainer reaches the actors as back-pressure and nothing is dropped.

mod lockstep;

use std::sync::{Arc, MutexGuard};

use tokio::sync::mpsc;
use tributary_common::ids::{ActorId, Epoch, Seq};
use tributary_common::session::books::RejectionReason;
use tributary_common::session::learner::Settlement;
use tributary_common::session::{SessionKey, batch_bytes, record_bytes};
use tributary_common::trajectory::{TrajectoryBatch, TrajectoryKind, TrajectoryView};

use crate::dead_letters::DeadLetters;
use crate::edges::Edge;
use crate::examine::{Examiner, Sound, Unsound};
use crate::figures::Board;
use crate::findings::Findings;
use crate::hand_over::{HandOver, Insertion};
use crate::intake::Intake;
use crate::ledger_writer::{Sources, WriteBehind};
use crate::lockstep::Lockstep;
use crate::outbox::Rejection;
use crate::roster::Roster;
use crate::yields::Yields;

/// A message of trajectories, received and not decided.
#[derive(Debug)]
pub struct Arrival {
    /// The session that sent it.
    pub session: SessionKey,
    /// The epoch in which its records were stamped.
    pub epoch: Epoch,
    /// So many of the first records were received before.
    pub duplicates: usize,
    /// The records.
    pub batch: TrajectoryBatch,
}

/// What ingest works with.
pub struct IngestDeps {
    /// Examines each trajectory.
    pub examiner: Examiner,
    /// Who is acked.
    pub roster: Arc<Roster>,
    /// Where accepted trajectories go.
    pub hand_over: Arc<HandOver>,
    /// Where they are counted.
    pub board: Arc<Board>,
    /// Where rejected ones are kept.
    pub dead_letters: DeadLetters,
    /// What each exploration setting brings.
    pub yields: Yields,
    /// What is found.
    pub findings: Arc<Findings>,
    /// The rounds of a lockstep run.
    pub lockstep: Option<Arc<Lockstep>>,
    /// Where values of objects are kept.
    pub ledger: Arc<WriteBehind>,
}

/// The ingest thread's state.
pub struct Ingest {
    intake: Intake,
    deps: IngestDeps,
}

/// Records decided and not settled yet.
#[derive(Default)]
struct Tally {
    accepted: u64,
    /// Of a trajectory that a lockstep run has already.
    duplicate: u64,
    rejected: Vec<RejectionReason>,
    rejections: Vec<Rejection>,
    bytes: u64,
}

impl Ingest {
    /// Goes on from this intake.
    pub fn new(intake: Intake, deps: IngestDeps) -> Self {
        deps.board.update(|figures| figures.yields = deps.yields.rows().to_vec());
        Self { intake, deps }
    }

    /// Takes messages until nobody can send any more.
    pub fn run(mut self, mut arrivals: mpsc::Receiver<Arrival>) {
        while let Some(arrival) = arrivals.blocking_recv() {
            self.take(&arrival);
        }
        self.flush_dead_letters();
        self.deps.ledger.close();
    }

    /// Decides one message: whoever runs ingest on a thread of his own calls this for each. Waits
    /// while replay is full.
    pub fn take(&mut self, arrival: &Arrival) {
        if let Some(lockstep) = self.deps.lockstep.clone() {
            return self.take_work(&lockstep, arrival);
        }
        let outputs = arrival.batch.outputs;
        let fresh = || arrival.batch.iter().skip(arrival.duplicates);
        let fresh_bytes: u64 = fresh().map(|t| record_bytes(t.actions.len(), outputs)).sum();
        // The duplicates' share of the message is free with the first settlement.
        let mut tally =
            Tally { bytes: batch_bytes(&arrival.batch) - fresh_bytes, ..Tally::default() };
        // Before anything is held: this may wait for the disk.
        let is_refused = self.deps.board.refuses(arrival.session.actor);
        let examined: Vec<Result<Sound, Unsound>> = fresh()
            .map(|trajectory| match is_refused {
                true => Err(quarantined()),
                false => self.examine(&trajectory, arrival),
            })
            .collect();
        let hand_over = Arc::clone(&self.deps.hand_over);
        let mut settling = hand_over.settling();
        for (trajectory, examined) in fresh().zip(examined) {
            let decided = match examined {
                Ok(sound) => loop {
                    match hand_over.try_insert(&sound) {
                        Insertion::Full => {
                            // Meanwhile what was decided before is acked.
                            self.settle(arrival, &mut tally);
                            settling = self.await_room(&hand_over, settling);
                        }
                        Insertion::Done => {
                            self.inserted(&sound, trajectory.setting);
                            break Ok(());
                        }
                        Insertion::Closed => break Err(run_complete()),
                    }
                },
                Err(unsound) => Err(unsound),
            };
            tally.bytes += record_bytes(trajectory.actions.len(), outputs);
            match decided {
                Ok(()) => tally.accepted += 1,
                Err(unsound) => self.reject(arrival, &trajectory, unsound, &mut tally),
            }
        }
        self.settle(arrival, &mut tally);
        drop(settling);
        self.flush_dead_letters();
    }

    /// Looks whether a trajectory is sound, and notes what it says of its object.
    fn examine(
        &mut self,
        trajectory: &TrajectoryView<'_>,
        arrival: &Arrival,
    ) -> Result<Sound, Unsound> {
        let sound = self.deps.examiner.examine(trajectory)?;
        self.note(&sound, trajectory, arrival.session.actor);
        Ok(sound)
    }

    /// Waits until replay takes a trajectory; nothing is held meanwhile.
    fn await_room<'a>(
        &self,
        hand_over: &'a HandOver,
        settling: MutexGuard<'a, ()>,
    ) -> MutexGuard<'a, ()> {
        drop(settling);
        let waiting = self.deps.board.wait(Edge::IngestReplay);
        let waited = hand_over.await_room();
        drop(waiting);
        self.deps.board.update(|figures| figures.waited("ingest.replay", waited));
        hand_over.settling()
    }

    /// Counts a trajectory that is in replay; the last closes the intake.
    fn inserted(&mut self, sound: &Sound, setting: u32) {
        self.count(sound, setting);
        if self.intake.is_complete() {
            self.deps.hand_over.close_intake();
            self.deps.roster.drain_complete();
        }
    }

    /// Notes what a trajectory says of its object, for the ledger.
    fn note(&self, sound: &Sound, trajectory: &TrajectoryView<'_>, actor: ActorId) {
        let waiting = self.deps.board.wait(Edge::IngestLedger);
        let sources = Sources::default();
        let is_measured = sources.is_measured(trajectory);
        let waited = self.deps.ledger.note(sound.key, trajectory.raw, is_measured, || {
            sources.observation(sound, trajectory, actor)
        });
        drop(waiting);
        if !waited.is_zero() {
            self.deps.board.update(|figures| figures.waited("ingest.ledger", waited));
        }
    }

    /// Counts a trajectory that is in replay.
    fn count(&mut self, sound: &Sound, setting: u32) {
        let is_new = self.intake.accept(sound.key, is_known(sound.kind, sound.seconds));
        self.deps.yields.count(setting, sound.kind, is_new, sound.log_reward);
        let is_forward = sound.kind == TrajectoryKind::Forward;
        self.deps.findings.see(&sound.built, sound.log_reward.get(), is_new, is_forward);
    }

    fn reject(
        &mut self,
        arrival: &Arrival,
        trajectory: &TrajectoryView<'_>,
        unsound: Unsound,
        tally: &mut Tally,
    ) {
        let Unsound { reason, detail, step } = unsound;
        let Seq(seq) = trajectory.seq;
        let rejection = Rejection { epoch: arrival.epoch, seq: Seq(seq), reason, detail, step };
        if !matches!(reason, RejectionReason::RunComplete | RejectionReason::Quarantined) {
            let actor = arrival.session.actor;
            tracing::debug!(%actor, seq, %reason, detail = rejection.detail, "trajectory rejected");
            if let Err(error) = self.deps.dead_letters.add(actor, &rejection, trajectory) {
                tracing::warn!(%error, "a rejected trajectory could not be written");
            }
        }
        tally.rejected.push(reason);
        tally.rejections.push(rejection);
    }

    /// Acks what was decided, frees its bytes and counts it.
    fn settle(&mut self, arrival: &Arrival, tally: &mut Tally) {
        let Tally { accepted, duplicate, rejected, rejections, bytes } = std::mem::take(tally);
        if accepted + duplicate == 0 && rejected.is_empty() && bytes == 0 {
            return;
        }
        self.show();
        let settlement =
            Settlement { epoch: arrival.epoch, accepted, duplicate, rejected: &rejected, bytes };
        if let Err(error) = self.deps.roster.settle(arrival.session, &settlement, &rejections) {
            tracing::error!(actor = %arrival.session.actor, %error, "records could not be settled");
        }
    }

    /// Puts what was counted on the board.
    fn show(&self) {
        let (generated, paid) = (self.intake.generated(), self.intake.paid());
        let rows = self.deps.yields.rows();
        let modes = self.deps.findings.modes();
        self.deps.board.update(|figures| {
            figures.evaluation.modes = modes;
            figures.accept(generated, paid);
            rows.clone_into(&mut figures.yields);
        });
    }

    fn flush_dead_letters(&mut self) {
        if let Err(error) = self.deps.dead_letters.flush() {
            tracing::warn!(%error, "rejected trajectories could not be written");
        }
        let not_written = self.deps.dead_letters.not_written();
        if not_written > 0 {
            self.deps.board.update(|figures| figures.not_written.rejected = not_written);
        }
    }
}

/// Whether the actor knew the object's values and has not measured it for this trajectory.
pub(crate) fn is_known(kind: TrajectoryKind, seconds: f32) -> bool {
    kind != TrajectoryKind::Forward && seconds == 0.0
}

/// Why nothing is taken of an actor.
pub(crate) fn quarantined() -> Unsound {
    let detail = "the actor is quarantined: tributary quarantine --release lets it in".to_owned();
    Unsound { reason: RejectionReason::Quarantined, detail, step: None }
}

/// Why nothing more is taken at the end of a run.
fn run_complete() -> Unsound {
    let detail = "the run has all the trajectories that it asked for".to_owned();
    Unsound { reason: RejectionReason::RunComplete, detail, step: None }
}
