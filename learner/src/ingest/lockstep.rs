//! Ingest of a lockstep run: records are acked as they come and kept with their round; a round that
//! is whole goes into replay in the order of its indices.

use std::sync::Arc;

use tributary_common::session::batch_bytes;
use tributary_common::session::books::RejectionReason;
use tributary_common::session::work::Place;

use super::{Arrival, Ingest, Tally, run_complete};
use crate::examine::Unsound;
use crate::lockstep::rounds::Standing;
use crate::lockstep::{Kept, Lockstep};

impl Ingest {
    /// Takes a message of a lockstep run.
    pub(super) fn take_work(&mut self, lockstep: &Lockstep, arrival: &Arrival) {
        let batch = &arrival.batch;
        let mut tally = Tally { bytes: batch_bytes(batch), ..Tally::default() };
        let placed = batch.iter().zip(batch.index.iter().copied());
        for (trajectory, index) in placed.skip(arrival.duplicates) {
            let place = Place { round: batch.round, index };
            let refused = match lockstep.standing(place, trajectory.policy) {
                Standing::New => match self.deps.examiner.examine(&trajectory) {
                    Ok(sound) => {
                        self.note(&sound, &trajectory, arrival.session.actor);
                        tally.accepted += 1;
                        let kept = Some((sound, trajectory.setting));
                        lockstep.answer(arrival.session, index, kept);
                        continue;
                    }
                    Err(unsound) => {
                        // Whoever draws it draws the same.
                        lockstep.answer(arrival.session, index, None);
                        unsound
                    }
                },
                Standing::Duplicate => {
                    tally.duplicate += 1;
                    continue;
                }
                Standing::Foreign(detail) => {
                    Unsound { reason: RejectionReason::Stale, detail, step: None }
                }
                Standing::Closed => run_complete(),
            };
            self.reject(arrival, &trajectory, refused, &mut tally);
        }
        // Before training goes on: a checkpoint behind the round counts what the round holds.
        self.settle(arrival, &mut tally);
        self.flush_dead_letters();
        if let Some(round) = lockstep.take() {
            self.insert_round(&round);
        }
    }

    /// All of a round, and its figures, at once: training sees nothing of it before.
    fn insert_round(&mut self, round: &[Kept]) {
        let hand_over = Arc::clone(&self.deps.hand_over);
        let sounds = round.iter().map(|(sound, _)| sound);
        hand_over.insert_round(sounds, || {
            for (sound, setting) in round {
                self.count(sound, *setting);
            }
            self.show();
            self.intake.is_complete()
        });
        if self.intake.is_complete() {
            self.deps.roster.drain_complete();
        }
    }
}
