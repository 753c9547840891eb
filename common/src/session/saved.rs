//! What is kept of actors on disk, and how it advances: the ledger moves its own copy with each
//! commit, before the sessions in memory settle.

use super::books::{Books, RejectionReason};
use super::learner::SavedSession;
use super::sessions::SavedSessions;
use crate::ids::{ActorId, Epoch, Seq};

/// Records that do not continue what is on disk: an error in the learner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("epoch {epoch} is on disk below {expected}, the next records start at {first}")]
pub struct OutOfOrder {
    /// Their epoch.
    pub epoch: Epoch,
    /// The first one's number.
    pub first: Seq,
    /// The mark on disk.
    pub expected: Seq,
}

/// What became of the next records of an epoch.
#[derive(Clone, Copy, Debug)]
pub struct Advance<'a> {
    /// The epoch in which they were stamped.
    pub epoch: Epoch,
    /// The number of the first that is no duplicate.
    pub first: Seq,
    /// Records of the same message that were received before.
    pub duplicates: u64,
    /// How many were accepted.
    pub accepted: u64,
    /// One reason for each that was not.
    pub rejected: &'a [RejectionReason],
}

impl SavedSession {
    /// Counts records and moves their epoch's mark.
    ///
    /// # Errors
    /// They do not start at the mark; nothing is changed.
    pub fn advance(&mut self, advance: &Advance<'_>) -> Result<(), OutOfOrder> {
        let &Advance { epoch, first, duplicates, accepted, rejected } = advance;
        let decided = accepted + rejected.len() as u64;
        if decided > 0 {
            let mark = self.mark(epoch);
            if first.0 != *mark {
                return Err(OutOfOrder { epoch, first, expected: Seq(*mark) });
            }
            *mark += decided;
        }
        self.settled_records += decided;
        self.books.received += duplicates + decided;
        self.books.duplicate += duplicates;
        self.books.accepted += accepted;
        rejected.iter().for_each(|&reason| self.books.reject(reason));
        Ok(())
    }

    /// The actor has a new session, and `now` is how the sessions in memory see it. They may not yet
    /// have settled what is on disk here, so marks and books stay where they are ahead.
    pub fn reopen(&mut self, now: &SavedSession) {
        if now.newest <= self.newest {
            return;
        }
        let ours = std::mem::take(&mut self.marks);
        let on_disk = |epoch: Epoch| ours.iter().find(|mark| mark.0 == epoch).map_or(0, |m| m.1);
        self.marks = now.marks.iter().map(|&(e, settled)| (e, settled.max(on_disk(e)))).collect();
        self.newest = now.newest;
        self.done = self.done.max(now.done);
    }

    /// The epoch that may speak.
    pub fn newest(&self) -> Epoch {
        self.newest
    }

    /// Where its records went.
    pub fn books(&self) -> &Books {
        &self.books
    }

    fn mark(&mut self, epoch: Epoch) -> &mut u64 {
        let place = match self.marks.binary_search_by_key(&epoch, |mark| mark.0) {
            Ok(place) => place,
            Err(place) => {
                self.marks.insert(place, (epoch, 0));
                place
            }
        };
        &mut self.marks[place].1
    }
}

impl SavedSessions {
    /// Of these actors, in ascending order of ids, and the books of those that were forgotten.
    pub fn new(actors: Vec<(ActorId, SavedSession)>, forgotten: Books) -> Self {
        Self { actors, forgotten }
    }

    /// Books as lost in restart what was accepted and is not among so many trajectories that were kept;
    /// returns how many are lost by that.
    pub fn forget_beyond(&mut self, kept: u64) -> u64 {
        let books = self.books();
        let lost = books.accepted.saturating_sub(books.lost_in_restart.saturating_add(kept));
        self.forgotten.lost_in_restart += lost;
        lost
    }

    /// Where all records went.
    pub fn books(&self) -> Books {
        let mut books = self.forgotten.clone();
        self.actors.iter().for_each(|(_, actor)| books.add(&actor.books));
        books
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ids::Incarnation;
    use crate::session::learner::{Incoming, LearnerSession, Settlement};
    use crate::session::{Leftover, Resume, Secret};

    fn epoch(counter: u64) -> Epoch {
        Epoch { incarnation: Incarnation(1), counter }
    }

    #[test]
    fn what_was_accepted_and_not_kept_is_lost_once() {
        let mut session = LearnerSession::new(Secret([1; 16]), epoch(1)).save();
        session.books.received = 9;
        session.books.accepted = 7;
        session.books.lost_in_restart = 2;
        let mut saved = SavedSessions::new(vec![(ActorId(1), session)], Books::default());
        assert_eq!(saved.forget_beyond(5), 0);
        assert_eq!(saved.forget_beyond(2), 3);
        assert_eq!(saved.forget_beyond(2), 0);
        let books = saved.books();
        assert_eq!((books.accepted, books.lost_in_restart), (7, 5));
    }

    #[test]
    fn a_copy_that_advances_says_what_the_session_says_when_it_has_settled() {
        let mut live = LearnerSession::new(Secret([1; 16]), epoch(1));
        let mut copy = live.save();
        live.ready(epoch(1)).unwrap();
        live.grant(1_000);
        let rejected = [RejectionReason::Stale];
        let incoming =
            |first, count| Incoming { epoch: epoch(1), first: Seq(first), count, bytes: 9 };
        for (first, count, duplicates) in [(0, 5, 0), (3, 6, 2)] {
            assert_eq!(live.receive(epoch(1), &incoming(first, count)), Ok(duplicates));
            let accepted = count - duplicates - 1;
            let first = Seq(first + duplicates);
            let rejected = &rejected;
            copy.advance(&Advance { epoch: epoch(1), first, duplicates, accepted, rejected })
                .unwrap();
            // The actor comes back between the commit and the settlement.
            if duplicates > 0 {
                let leftover = Leftover { epoch: epoch(1), acked_below: Seq(5), next: Seq(9) };
                let (actor, secret) = (ActorId(1), Secret([1; 16]));
                let resume = Resume { actor, secret, acked_records: 5, leftovers: vec![leftover] };
                live.resume(&resume, epoch(2), true).unwrap();
                copy.reopen(&live.save());
            }
            live.settle(&Settlement {
                epoch: epoch(1),
                accepted,
                duplicate: 0,
                rejected,
                bytes: 9,
            })
            .unwrap();
        }
        assert_eq!(copy, live.save());
        assert_eq!((copy.books().accepted, copy.books().duplicate), (7, 2));

        let before = copy.clone();
        copy.reopen(&LearnerSession::new(Secret([1; 16]), epoch(1)).save());
        assert_eq!(copy, before, "an older session changes nothing");
        let again =
            Advance { epoch: epoch(1), first: Seq(8), duplicates: 0, accepted: 1, rejected: &[] };
        assert_eq!(copy.advance(&again).unwrap_err().expected, Seq(9));
        assert_eq!(copy, before);
    }
}
