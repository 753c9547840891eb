//! Rounds of a lockstep run as a pure state machine: who was told to draw what, and what has come.
//!
//! A round is a range of trajectory indices drawn with one policy version. It is cut into orders as
//! actors have room for them. What an actor leaves undone when its session ends is free again; what
//! it has not done within the patience is given to others, too, and as long again after that the
//! round has failed. Whatever comes first for an index counts; a second one is a duplicate.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tributary_common::ids::PolicyVersion;
use tributary_common::session::SessionKey;
use tributary_common::session::work::{Place, WorkOrder};

/// Orders that one rollout thread has at a time: one is drawn while the next waits.
const ORDERS_PER_THREAD: usize = 2;

/// How far a run has come: what a checkpoint keeps. Rounds behind it are drawn again, alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedRounds {
    /// Rounds that are over.
    pub round: u64,
    /// The index of the next trajectory.
    pub next: u64,
}

/// What a trajectory that came is to its round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The first for its index.
    New,
    /// Another one came before it.
    Duplicate,
    /// Not of this round; the reason is for people.
    Foreign(String),
    /// No round will follow.
    Closed,
}

/// A round that nobody brings to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overdue {
    /// Its number.
    pub round: u64,
    /// Trajectories that have not come.
    pub missing: u64,
    /// Who was told to draw them, in vain.
    pub sessions: Vec<SessionKey>,
}

/// The rounds of a run, one at a time. `T` is what is kept of a trajectory.
#[derive(Debug)]
pub struct Rounds<T> {
    /// Trajectories of an order, at most.
    most: u64,
    patience: Duration,
    saved: SavedRounds,
    open: Option<Open<T>>,
    closed: bool,
    hands: BTreeMap<SessionKey, Hand>,
}

#[derive(Debug)]
struct Open<T> {
    policy: PolicyVersion,
    indices: Range<u64>,
    /// For each index: nothing yet, or what came: nothing to keep if it was rejected.
    answers: Vec<Option<Option<T>>>,
    missing: u64,
    /// Trajectories of an order of this round.
    size: u64,
    free: VecDeque<Piece>,
    late: BTreeSet<SessionKey>,
}

/// A part of a round.
#[derive(Clone, Debug)]
struct Piece {
    indices: Range<u64>,
    /// How often it was taken back because it took too long.
    tries: u32,
    /// Given out, or free, since then.
    since: Instant,
}

/// A session that draws.
#[derive(Debug)]
struct Hand {
    threads: usize,
    orders: Vec<Piece>,
    /// It has let an order wait for too long and has sent nothing since.
    is_late: bool,
}

impl<T> Rounds<T> {
    /// Goes on behind the rounds that are over, with orders of at most so many trajectories.
    pub fn new(most: u64, patience: Duration, saved: SavedRounds) -> Self {
        Self { most, patience, saved, open: None, closed: false, hands: BTreeMap::new() }
    }

    /// A session may be given orders: as many as keep so many rollout threads busy.
    pub fn join(&mut self, session: SessionKey, threads: usize) {
        let hand = Hand { threads: threads.max(1), orders: Vec::new(), is_late: false };
        self.hands.insert(session, hand);
    }

    /// A session is over: what it has not answered is free again.
    pub fn leave(&mut self, session: SessionKey, now: Instant) {
        let Some(hand) = self.hands.remove(&session) else { return };
        let Some(open) = &mut self.open else { return };
        for piece in hand.orders {
            open.release(&Piece { since: now, ..piece });
        }
    }

    /// Opens the next round of so many trajectories, at least 1, drawn with this version.
    pub fn begin(&mut self, policy: PolicyVersion, count: u64, now: Instant) {
        let SavedRounds { round, next } = self.saved;
        let indices = next..next + count;
        self.saved = SavedRounds { round: round + 1, next: indices.end };
        let threads: usize = self.hands.values().map(|hand| hand.threads).sum();
        self.hands.values_mut().for_each(|hand| hand.orders.clear());
        self.open = Some(Open {
            policy,
            answers: indices.clone().map(|_| None).collect(),
            missing: count,
            size: count.div_ceil(threads.max(1) as u64).min(self.most),
            free: VecDeque::from([Piece { indices: indices.clone(), tries: 0, since: now }]),
            late: BTreeSet::new(),
            indices,
        });
    }

    /// Gives out what is free to those who have room.
    pub fn hand_out(&mut self, now: Instant) -> Vec<(SessionKey, WorkOrder)> {
        let Some(open) = &mut self.open else { return Vec::new() };
        for hand in self.hands.values_mut() {
            hand.orders.retain(|piece| !open.is_done(&piece.indices));
        }
        let mut given = Vec::new();
        while let Some((&session, hand)) = idlest(&mut self.hands)
            && let Some(piece) = open.cut(now)
        {
            let Range { start, end } = piece.indices;
            let order = WorkOrder {
                round: self.saved.round,
                first_index: start,
                // At most `most`, which is `actor.batch`.
                count: (end - start) as u32,
                policy: open.policy,
            };
            hand.orders.push(piece);
            given.push((session, order));
        }
        given
    }

    /// What a trajectory is that was drawn with these weights for this place.
    pub fn standing(&self, place: Place, policy: PolicyVersion) -> Standing {
        let SavedRounds { round, next } = self.saved;
        let Place { index, .. } = place;
        let first = self.open.as_ref().map_or(next, |open| open.indices.start);
        if index < first {
            return Standing::Duplicate;
        }
        if self.closed {
            return Standing::Closed;
        }
        let Some(open) = self.open.as_ref().filter(|open| open.indices.contains(&index)) else {
            let indices = first..next;
            return Standing::Foreign(format!("trajectory {index} is none of {indices:?}"));
        };
        if (place.round, policy) != (round, open.policy) {
            let theirs = place.round;
            let ours = open.policy;
            return Standing::Foreign(format!(
                "drawn with {policy} for round {theirs}, asked for is {ours} for round {round}"
            ));
        }
        match open.answers[open.place(index)] {
            None => Standing::New,
            Some(_) => Standing::Duplicate,
        }
    }

    /// Keeps what came first for an index of the open round, or that it was rejected.
    pub fn answer(&mut self, session: SessionKey, index: u64, kept: Option<T>) {
        if let Some(hand) = self.hands.get_mut(&session) {
            hand.is_late = false;
        }
        let Some(open) = self.open.as_mut().filter(|open| open.indices.contains(&index)) else {
            return;
        };
        let place = open.place(index);
        if open.answers[place].is_none() {
            open.answers[place] = Some(kept);
            open.missing -= 1;
        }
    }

    /// All that was kept of the round, by index, once everything has come; the round is over then.
    pub fn take(&mut self) -> Option<Vec<T>> {
        let open = self.open.take_if(|open| open.missing == 0)?;
        Some(open.answers.into_iter().flatten().flatten().collect())
    }

    /// Takes back what has waited too long, to be handed out to others.
    ///
    /// # Errors
    /// It had waited before.
    pub fn look(&mut self, now: Instant) -> Result<(), Overdue> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let (round, patience) = (self.saved.round, self.patience);
        let is_old = |piece: &Piece| now.saturating_duration_since(piece.since) >= patience;
        let mut has_failed = open.free.iter().any(|piece| piece.tries > 0 && is_old(piece));
        for (&session, hand) in &mut self.hands {
            let is_over = |piece: &mut Piece| is_old(piece) || open.is_done(&piece.indices);
            let over: Vec<Piece> = hand.orders.extract_if(.., is_over).collect();
            for piece in over {
                if open.is_done(&piece.indices) {
                    continue;
                }
                has_failed |= piece.tries > 0;
                hand.is_late = true;
                open.late.insert(session);
                open.release(&Piece { tries: piece.tries + 1, since: now, ..piece });
            }
        }
        if !has_failed {
            return Ok(());
        }
        let sessions = open.late.iter().copied().collect();
        Err(Overdue { round, missing: open.missing, sessions })
    }

    /// No round will follow; the one that is open is given up.
    pub fn close(&mut self) {
        self.saved = self.saved();
        self.open = None;
        self.closed = true;
    }

    /// The rounds that are over.
    pub fn saved(&self) -> SavedRounds {
        match &self.open {
            Some(open) => SavedRounds { round: self.saved.round - 1, next: open.indices.start },
            None => self.saved,
        }
    }
}

/// The session with the fewest orders that has room. Those that are late are asked if there is nobody
/// else.
fn idlest(hands: &mut BTreeMap<SessionKey, Hand>) -> Option<(&SessionKey, &mut Hand)> {
    let all_are_late = hands.values().all(|hand| hand.is_late);
    hands
        .iter_mut()
        .filter(|(_, hand)| hand.orders.len() < ORDERS_PER_THREAD * hand.threads)
        .filter(|(_, hand)| all_are_late || !hand.is_late)
        .min_by_key(|(_, hand)| hand.orders.len() / hand.threads)
}

impl<T> Open<T> {
    fn place(&self, index: u64) -> usize {
        (index - self.indices.start) as usize
    }

    fn is_done(&self, indices: &Range<u64>) -> bool {
        let places = self.place(indices.start)..self.place(indices.end);
        self.answers[places].iter().all(Option::is_some)
    }

    /// Makes those of a piece that have not come free again.
    fn release(&mut self, piece: &Piece) {
        let mut start = None;
        for index in piece.indices.start..=piece.indices.end {
            let is_missing = index < piece.indices.end && self.answers[self.place(index)].is_none();
            match (start, is_missing) {
                (None, true) => start = Some(index),
                (Some(first), false) => {
                    self.free.push_back(Piece { indices: first..index, ..piece.clone() });
                    start = None;
                }
                _ => {}
            }
        }
    }

    /// An order's part of what is free and has not come meanwhile.
    fn cut(&mut self, now: Instant) -> Option<Piece> {
        loop {
            let piece = self.free.pop_front()?;
            if self.is_done(&piece.indices) {
                continue;
            }
            let Range { start, end } = piece.indices;
            let next = end.min(start + self.size);
            if next < end {
                self.free.push_front(Piece { indices: next..end, ..piece });
            }
            return Some(Piece { indices: start..next, tries: piece.tries, since: now });
        }
    }
}

#[cfg(test)]
mod tests;
