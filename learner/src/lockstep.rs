//! Lockstep runs: the learner says which trajectories are drawn with which weights, waits for all of
//! them, and trains on them in the order of their indices. So the weights are a function of the run
//! file, whoever draws what.
//!
//! A round is `learner.publish_every` updates' worth of trajectories: after round r so many were
//! asked for in all that `replay.samples_per_insert` grants them r times `publish_every` batches.
//! The trainer opens a round, ingest fills it, sessions carry its orders; [`rounds`] decides.

pub mod rounds;

use std::sync::{Arc, Mutex};
use std::time::Instant;

use tributary_common::ids::PolicyVersion;
use tributary_common::run_file::RunFile;
use tributary_common::session::SessionKey;
use tributary_common::session::work::{Place, WorkOrder};

use crate::examine::Sound;
use crate::locks::lock;
use crate::roster::Roster;
use rounds::{Overdue, Rounds, SavedRounds, Standing};

/// A trajectory of a round, with the exploration setting that drew it.
pub type Kept = (Sound, u32);

/// Nobody delivers what a round lacks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "round {round} of this lockstep run lacks {missing} trajectories: {actors} did not send them \
     within run.lockstep_patience, and nobody else did; look at the logs of these actors, or wait \
     longer with a larger run.lockstep_patience"
)]
pub struct Straggler {
    round: u64,
    missing: u64,
    actors: String,
}

/// How many trajectories a round has.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    /// Trained on in a round, of those that actors draw.
    samples: u64,
    samples_per_insert: f64,
    /// Of the whole run.
    generated: Option<u64>,
}

/// The rounds of a run, shared by trainer, ingest and sessions.
#[derive(Debug)]
pub struct Lockstep {
    rounds: Mutex<Rounds<Kept>>,
    roster: Arc<Roster>,
    sizes: Sizes,
    /// Rollout threads of an actor that does not say how many it has.
    threads: usize,
}

impl Lockstep {
    /// Of a run whose batches hold so many trajectories that actors drew; none if it is not one in
    /// lockstep.
    pub fn of_run(
        run_file: &RunFile,
        replayed: usize,
        roster: &Arc<Roster>,
        saved: SavedRounds,
    ) -> Option<Arc<Self>> {
        let RunFile { run, actor, learner, replay, .. } = run_file;
        let lockstep = || {
            let sizes = Sizes {
                samples: run_file.publish_every().saturating_mul(replayed as u64),
                samples_per_insert: replay.samples_per_insert,
                generated: learner.generated,
            };
            let rounds = Rounds::new(run_file.actor_batch() as u64, run.lockstep_patience, saved);
            let (roster, threads) = (Arc::clone(roster), actor.threads);
            Arc::new(Self { rounds: Mutex::new(rounds), roster, sizes, threads })
        };
        run.lockstep.then(lockstep)
    }

    /// A session is ready; 0 threads: as the run file has it.
    pub fn join(&self, session: SessionKey, threads: u32) {
        let threads = if threads == 0 { self.threads } else { threads as usize };
        lock(&self.rounds).join(session, threads);
        self.hand_out();
    }

    /// A session is over.
    pub fn leave(&self, session: SessionKey) {
        lock(&self.rounds).leave(session, Instant::now());
        self.hand_out();
    }

    /// Opens the next round, to be drawn with these weights, in a run that has accepted so many
    /// trajectories; false if it has all of them.
    pub fn begin(&self, policy: PolicyVersion, generated: u64) -> bool {
        let mut rounds = lock(&self.rounds);
        let count = self.sizes.of_next(rounds.saved(), generated);
        if count > 0 {
            rounds.begin(policy, count, Instant::now());
            drop(rounds);
            self.hand_out();
        }
        count > 0
    }

    /// What a trajectory that came is to the open round.
    pub fn standing(&self, place: Place, policy: PolicyVersion) -> Standing {
        lock(&self.rounds).standing(place, policy)
    }

    /// Keeps the first trajectory of an index, or that it was rejected.
    pub fn answer(&self, session: SessionKey, index: u64, kept: Option<Kept>) {
        lock(&self.rounds).answer(session, index, kept);
    }

    /// The whole round by index, if all of it has come; if not, those who have answered get more.
    pub fn take(&self) -> Option<Vec<Kept>> {
        let round = lock(&self.rounds).take();
        if round.is_none() {
            self.hand_out();
        }
        round
    }

    /// Takes back what has waited too long and gives it to others.
    ///
    /// # Errors
    /// Others were asked before, and nobody delivers.
    pub fn look(&self) -> Result<(), Straggler> {
        let looked = lock(&self.rounds).look(Instant::now());
        let Err(Overdue { round, missing, sessions }) = looked else {
            self.hand_out();
            return Ok(());
        };
        Err(Straggler { round, missing, actors: self.roster.names(&sessions) })
    }

    /// No round will follow.
    pub fn close(&self) {
        lock(&self.rounds).close();
    }

    /// The rounds that are over.
    pub fn saved(&self) -> SavedRounds {
        lock(&self.rounds).saved()
    }

    fn hand_out(&self) {
        let mut rounds = lock(&self.rounds);
        let orders: Vec<(SessionKey, WorkOrder)> = rounds.hand_out(Instant::now());
        // Under the lock: a session that leaves after this gets nothing that nobody takes back.
        self.roster.give(&orders);
    }
}

impl Sizes {
    /// Trajectories of the round behind these.
    fn of_next(&self, saved: SavedRounds, generated: u64) -> u64 {
        let left = self.generated.map_or(u64::MAX, |goal| goal.saturating_sub(generated));
        let end = self.inserted_for(self.samples.saturating_mul(saved.round + 1));
        end.saturating_sub(saved.next).max(1).min(left)
    }

    /// The fewest trajectories that grant so many samples.
    fn inserted_for(&self, samples: u64) -> u64 {
        let granted = |inserted: u64| (self.samples_per_insert * inserted as f64).floor() as u64;
        let mut inserted = (samples as f64 / self.samples_per_insert).ceil() as u64;
        while granted(inserted) < samples {
            inserted += 1;
        }
        while inserted > 0 && granted(inserted - 1) >= samples {
            inserted -= 1;
        }
        inserted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_pays_for_the_updates_between_two_publishes() {
        let sizes = |samples, samples_per_insert, generated| {
            let sizes = Sizes { samples, samples_per_insert, generated };
            let (mut saved, mut counts) = (SavedRounds::default(), Vec::new());
            while counts.len() < 6 {
                let count = sizes.of_next(saved, saved.next);
                counts.push(count);
                saved = SavedRounds { round: saved.round + 1, next: saved.next + count };
            }
            counts
        };
        assert_eq!(sizes(64, 1.0, None), [64; 6]);
        assert_eq!(sizes(64, 0.5, None), [128; 6]);
        // 64 / 3: after three rounds exactly 64 trajectories.
        assert_eq!(sizes(64, 3.0, None), [22, 21, 21, 22, 21, 21]);
        // Fewer than one for each round is one.
        assert_eq!(sizes(2, 8.0, None), [1; 6]);
        assert_eq!(sizes(64, 1.0, Some(150)), [64, 64, 22, 0, 0, 0]);
    }
}
