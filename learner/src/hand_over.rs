//! The hand-over from ingest to the trainer: replay behind one lock, and who waits for whom.
//!
//! Ingest inserts while the samples-per-insert band allows, the trainer draws while it allows; each
//! wakes the other. When intake is closed the trainer still draws the uses that the inserted
//! trajectories grant; then a draw says that it is over.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tributary_common::random::Stream;

use crate::examine::Sound;
use crate::locks::lock;
use crate::replay::{Columns, Counters, Decile, Replay, Samples};

/// What became of an insertion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Insertion {
    /// It is in replay.
    Done,
    /// The trainer must draw first.
    Full,
    /// Intake is closed.
    Closed,
}

/// What a draw without waiting gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Draw {
    /// A batch.
    Batch,
    /// The trajectories have had their uses.
    Empty,
    /// They have, and no others will come.
    Over,
}

/// What has become of the round that the trainer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Round {
    /// It is in replay.
    Inserted,
    /// It is not whole yet.
    Missing,
    /// It will not be inserted.
    Over,
}

/// Replay, shared by ingest and trainer.
pub struct HandOver {
    state: Mutex<State>,
    data: Signal,
    room: Signal,
    settling: Mutex<()>,
}

struct State {
    replay: Replay,
    intake_closed: bool,
    trainer_done: bool,
    /// Rounds of a lockstep run that were inserted and that the trainer has not noticed.
    rounds: u64,
}

impl State {
    fn close_intake(&mut self) {
        self.intake_closed = true;
        self.replay.close();
    }
}

impl HandOver {
    /// Over an empty replay.
    pub fn new(replay: Replay) -> Self {
        let state = State { replay, intake_closed: false, trainer_done: false, rounds: 0 };
        let (data, room) = (Signal::default(), Signal::default());
        Self { state: Mutex::new(state), data, room, settling: Mutex::new(()) }
    }

    /// Inserts now, or says why not.
    pub fn try_insert(&self, sound: &Sound) -> Insertion {
        self.insert_into(&mut lock(&self.state), sound)
    }

    /// Waits until there is room or intake is closed; returns how long that took.
    pub fn await_room(&self) -> Duration {
        self.await_state(|state| state.intake_closed)
    }

    /// Held by ingest from an insertion until it is settled, and by who saves both: what a checkpoint
    /// says of actors is then what its replay holds. Never held while waiting for room.
    pub fn settling(&self) -> MutexGuard<'_, ()> {
        lock(&self.settling)
    }

    /// Waits until there is room, also when intake is closed: for what the ledger holds. Returns how long
    /// that took.
    pub fn await_room_for_committed(&self) -> Duration {
        self.await_state(|_| false)
    }

    /// Waits until there is room, training is over, or this is so. Who has to wait does until room is ample.
    fn await_state(&self, is_so: impl Fn(&State) -> bool) -> Duration {
        let start = Instant::now();
        let mut state = lock(&self.state);
        let mut is_room = state.replay.may_insert();
        while !is_room && !is_so(&state) && !state.trainer_done {
            state = self.room.wait(state);
            is_room = state.replay.has_ample_room();
        }
        start.elapsed()
    }

    /// Inserts whatever the band says: what the ledger holds.
    pub fn insert_at_once(&self, sound: &Sound) {
        self.keep(&mut lock(&self.state), sound);
    }

    /// Whether no more trajectories are taken.
    pub fn is_closed(&self) -> bool {
        lock(&self.state).intake_closed
    }

    fn insert_into(&self, state: &mut State, sound: &Sound) -> Insertion {
        if state.intake_closed {
            return Insertion::Closed;
        }
        if !state.trainer_done && !state.replay.may_insert() {
            return Insertion::Full;
        }
        self.keep(state, sound);
        Insertion::Done
    }

    fn keep(&self, state: &mut State, sound: &Sound) {
        state.replay.insert(sound);
        if state.replay.may_sample() {
            self.data.give();
        }
    }

    /// Draws a batch for the update after this step, waiting until the band allows it. Returns how
    /// long it waited, or `None` when no more will ever be drawn.
    pub fn draw(&self, step: u64, stream: &mut Stream, samples: &mut Samples) -> Option<Duration> {
        let start = Instant::now();
        let mut state = lock(&self.state);
        loop {
            let is_over = state.intake_closed && !state.replay.trains_on_inserted();
            if state.trainer_done || is_over {
                return None;
            }
            let is_drawn = state.replay.sample(step, stream, samples);
            // Also without a batch: those whose path was too old have made room.
            if state.replay.has_ample_room() {
                self.room.give();
            }
            if is_drawn {
                return Some(start.elapsed());
            }
            if state.intake_closed {
                return None;
            }
            state = self.data.wait(state);
        }
    }

    /// Inserts a round of a lockstep run as a whole, whatever the band says: training waits for it.
    /// Then does `count` before training goes on; if that says that the run has all its trajectories,
    /// intake is closed. Inserts and counts nothing if it is closed already.
    pub fn insert_round<'a>(
        &self,
        round: impl Iterator<Item = &'a Sound>,
        count: impl FnOnce() -> bool,
    ) {
        let mut state = lock(&self.state);
        if state.intake_closed {
            return;
        }
        for sound in round {
            state.replay.insert(sound);
        }
        if count() {
            state.close_intake();
        }
        state.rounds += 1;
        self.data.give();
    }

    /// As [`draw`](Self::draw) without waiting. The uses that a round of a lockstep run has granted
    /// are always drawn, so that it ends where a round ends.
    pub fn try_draw(&self, step: u64, stream: &mut Stream, samples: &mut Samples) -> Draw {
        let mut state = lock(&self.state);
        match state.replay.sample(step, stream, samples) {
            true => Draw::Batch,
            false if state.trainer_done || state.intake_closed => Draw::Over,
            false => Draw::Empty,
        }
    }

    /// Waits so long for a round.
    pub fn await_round(&self, limit: Duration) -> Round {
        let is_open =
            |state: &mut State| state.rounds == 0 && !state.trainer_done && !state.intake_closed;
        let mut state = self.data.wait_while(lock(&self.state), limit, is_open);
        if state.rounds > 0 {
            state.rounds -= 1;
            return Round::Inserted;
        }
        let is_over = state.trainer_done || state.intake_closed;
        if is_over { Round::Over } else { Round::Missing }
    }

    /// Tells replay how far a batch that it gave was from balance: squared residuals of trajectory
    /// balance, in squared nats.
    pub fn trained(&self, ordinals: &[u64], squared_residuals: &[f64]) {
        lock(&self.state).replay.trained(ordinals, squared_residuals);
    }

    /// No more trajectories are taken.
    pub fn close_intake(&self) {
        lock(&self.state).close_intake();
        self.data.give();
        self.room.give();
    }

    /// Nothing is drawn any more; what still comes is inserted without waiting for draws.
    pub fn end_training(&self) {
        lock(&self.state).trainer_done = true;
        self.data.give();
        self.room.give();
    }

    /// What went through replay.
    pub fn counters(&self) -> Counters {
        lock(&self.state).replay.counters()
    }

    /// Replay as a checkpoint keeps it, and what has gone through it by then.
    pub fn save(&self) -> (Counters, Columns) {
        let state = lock(&self.state);
        (state.replay.counters(), state.replay.save())
    }

    /// What became of paths that were too old; see [`Replay::deciles`].
    pub fn deciles(&self) -> Option<[Decile; 10]> {
        lock(&self.state).replay.deciles()
    }
}

/// Wakes who waits for a change of the state. The standard library's condition calls the kernel each time,
/// also when nobody waits, which is nearly always: for every trajectory.
#[derive(Default)]
struct Signal {
    condition: Condvar,
    /// Changes only while the state is locked.
    waiting: AtomicUsize,
}

impl Signal {
    fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.waiting.fetch_add(1, Relaxed);
        let guard = self.condition.wait(guard).unwrap_or_else(PoisonError::into_inner);
        self.waiting.fetch_sub(1, Relaxed);
        guard
    }

    /// At most so long.
    fn wait_while<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        limit: Duration,
        is_so: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T> {
        self.waiting.fetch_add(1, Relaxed);
        let waited = self.condition.wait_timeout_while(guard, limit, is_so);
        self.waiting.fetch_sub(1, Relaxed);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// To be called with the state locked, or behind a change of it: who came to wait before saw the state
    /// as it was, and is counted.
    fn give(&self) {
        if self.waiting.load(Relaxed) > 0 {
            self.condition.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::fakes;
    use std::thread;
    use tributary_common::ids::PolicyVersion;
    use tributary_common::log_space::LogReward;
    use tributary_common::random::Purpose;
    use tributary_common::run_file;

    fn sound() -> Sound {
        let log_reward = LogReward::try_from(-1.0).unwrap();
        fakes::sound(&[1, 2], log_reward, PolicyVersion::default())
    }

    fn hand_over() -> HandOver {
        HandOver::new(Replay::new(&run_file::Replay::default(), 2).unwrap())
    }

    fn insert(hand_over: &HandOver) -> Insertion {
        hand_over.await_room();
        hand_over.try_insert(&sound())
    }

    fn stream() -> Stream {
        Stream::new(1, Purpose::Replay, 0, 0)
    }

    /// Inserts until the trainer must draw first; how many that were.
    fn fill(hand_over: &HandOver) -> usize {
        (0..).take_while(|_| hand_over.try_insert(&sound()) == Insertion::Done).count()
    }

    #[test]
    fn who_waits_is_woken_by_the_other() {
        let (hand_over, mut samples) = (hand_over(), Samples::default());
        let full = fill(&hand_over);
        assert!((2..100).contains(&full), "{full}");
        thread::scope(|scope| {
            let inserting = scope.spawn(|| insert(&hand_over));
            for _ in 0..full / 4 {
                assert!(hand_over.draw(0, &mut stream(), &mut samples).is_some());
            }
            assert_eq!(inserting.join().unwrap(), Insertion::Done);
        });
        let counters = hand_over.counters();
        assert_eq!((counters.inserted, counters.sampled), (full as u64 + 1, full as u64 / 2));
    }

    #[test]
    fn ingest_comes_back_when_half_of_the_room_is_free() {
        let (hand_over, mut samples) = (hand_over(), Samples::default());
        let full = fill(&hand_over);
        let has_ample_room = || lock(&hand_over.state).replay.has_ample_room();
        for drawn in (2..=full / 2).step_by(2) {
            assert!(!has_ample_room(), "before {drawn} of {full}");
            assert!(hand_over.draw(0, &mut stream(), &mut samples).is_some());
        }
        assert!(has_ample_room());
        assert_eq!(fill(&hand_over), full / 2);
    }

    #[test]
    fn who_finds_room_does_not_wait_for_more_of_it() {
        let (hand_over, mut samples) = (hand_over(), Samples::default());
        let full = fill(&hand_over);
        assert!(hand_over.draw(0, &mut stream(), &mut samples).is_some());
        for _ in 0..2 {
            assert!(!lock(&hand_over.state).replay.has_ample_room());
            hand_over.await_room_for_committed();
            hand_over.insert_at_once(&sound());
        }
        assert_eq!(hand_over.try_insert(&sound()), Insertion::Full);
        assert_eq!(hand_over.counters().inserted, full as u64 + 2);
    }

    #[test]
    fn a_closed_intake_lets_the_trainer_finish_and_refuses_the_rest() {
        let (hand_over, mut samples) = (hand_over(), Samples::default());
        let full = fill(&hand_over);
        thread::scope(|scope| {
            let inserting = scope.spawn(|| insert(&hand_over));
            hand_over.close_intake();
            assert_eq!(inserting.join().unwrap(), Insertion::Closed);
        });
        let draws = (0..).take_while(|_| hand_over.draw(0, &mut stream(), &mut samples).is_some());
        assert_eq!(draws.count(), full / 2, "every trajectory is drawn once, in batches of two");
    }

    #[test]
    fn after_the_end_of_training_nothing_waits() {
        let (hand_over, mut samples) = (hand_over(), Samples::default());
        thread::scope(|scope| {
            let drawing = scope.spawn(|| hand_over.draw(0, &mut stream(), &mut Samples::default()));
            hand_over.end_training();
            assert_eq!(drawing.join().unwrap(), None);
        });
        for _ in 0..1_000 {
            assert_eq!(hand_over.try_insert(&sound()), Insertion::Done);
        }
        assert_eq!(hand_over.draw(0, &mut stream(), &mut samples), None);
    }
}
