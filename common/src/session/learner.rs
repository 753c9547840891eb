//! What the learner knows of one actor: which records it has, and the credit of its session.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::books::{Books, RejectionReason};
use super::refusal::{Refusal, RefusalCode};
use super::{Acked, Credit, Leftover, Resume, Secret};
use crate::ids::{Epoch, Incarnation, Seq};

/// No actor makes more; bounds what it can claim, so that sums never overflow.
const MOST_RECORDS: u64 = 1 << 48;

/// A message that its session may not send; the session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A newer session of this actor exists.
    #[error("this session is fenced: the actor's newest epoch is {newest}")]
    Fenced {
        /// The newest.
        newest: Epoch,
    },
    /// Nothing may be sent before Ready was answered with credit.
    #[error("records came before the actor was ready")]
    NotReady,
    /// Neither the session's epoch nor one of its leftovers.
    #[error("epoch {epoch} is not one of this session")]
    UnknownEpoch {
        /// As sent.
        epoch: Epoch,
    },
    /// Records are missing in between, or the numbers overflow.
    #[error("epoch {epoch} continues at {first}, expected is at most {expected}")]
    Gap {
        /// The epoch.
        epoch: Epoch,
        /// As sent.
        first: Seq,
        /// Our mark.
        expected: Seq,
    },
    /// More was sent than granted.
    #[error("{spent} bytes were sent in this session, {granted} were granted")]
    OverCredit {
        /// With this message.
        spent: u64,
        /// Cumulative.
        granted: u64,
    },
    /// More records were settled than received: an error in the learner.
    #[error("{settled} records of epoch {epoch} were settled, {pending} were pending")]
    SettledTooMany {
        /// The epoch.
        epoch: Epoch,
        /// As settled.
        settled: u64,
        /// Received and not settled.
        pending: u64,
    },
}

/// Records in one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// The epoch in which they were stamped.
    pub epoch: Epoch,
    /// The first one's number.
    pub first: Seq,
    /// How many.
    pub count: u64,
    /// What they cost, [`super::batch_bytes`].
    pub bytes: u64,
}

/// What became of the next records of an epoch, in the order in which they were received.
#[derive(Clone, Copy, Debug)]
pub struct Settlement<'a> {
    /// The epoch in which they were stamped.
    pub epoch: Epoch,
    /// How many were accepted.
    pub accepted: u64,
    /// How many were copies of a trajectory of a lockstep run that another record brought.
    pub duplicate: u64,
    /// One reason for each that was not accepted.
    pub rejected: &'a [RejectionReason],
    /// Bytes that are free again: those of the whole message, its duplicates too.
    pub bytes: u64,
}

impl Settlement<'_> {
    /// An ack of nothing, if there is nothing to settle.
    pub(super) fn of_duplicates_only(&self) -> Result<Acked, Violation> {
        let epoch = self.epoch;
        match self.accepted + self.duplicate == 0 && self.rejected.is_empty() {
            true => Ok(Acked { epoch, below: Seq(0) }),
            false => Err(Violation::UnknownEpoch { epoch }),
        }
    }
}

/// How far an epoch has come: settled <= received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    received: u64,
    settled: u64,
}

/// One actor, over all its sessions. What is written to a checkpoint is what was settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LearnerSession {
    secret: Secret,
    newest: Epoch,
    /// Of the epochs of which the actor may still hold records.
    marks: BTreeMap<Epoch, Mark>,
    /// Epochs up to here that have no mark are acked as a whole.
    done: Epoch,
    settled_records: u64,
    books: Books,
    link: Link,
}

/// The stream of the newest session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Link {
    connected: bool,
    ready: bool,
    granted: u64,
    spent: u64,
    released: u64,
}

/// What a checkpoint keeps of an actor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedSession {
    pub(super) secret: Secret,
    pub(super) newest: Epoch,
    /// Epochs with the number of records settled.
    pub(super) marks: Vec<(Epoch, u64)>,
    pub(super) done: Epoch,
    pub(super) settled_records: u64,
    pub(super) books: Books,
}

impl LearnerSession {
    /// An actor that is new.
    pub fn new(secret: Secret, epoch: Epoch) -> Self {
        let marks = BTreeMap::from([(epoch, Mark::default())]);
        let link = Link { connected: true, ..Link::default() };
        let (done, books) = Default::default();
        Self { secret, newest: epoch, marks, done, settled_records: 0, books, link }
    }

    /// A new session of an actor that had one before: checks its claim, opens `epoch` and says what
    /// need not be sent again. A learner that is not `durable` may have forgotten records that an
    /// older incarnation acked; they are counted as lost.
    pub fn resume(
        &mut self,
        resume: &Resume,
        epoch: Epoch,
        durable: bool,
    ) -> Result<Vec<Acked>, Refusal> {
        if resume.secret != self.secret {
            let advice = "start it without the saved session of another run or actor";
            let (ours, theirs) = ("another one", "not the one issued");
            return Err(Refusal::new(RefusalCode::Identity, "secret", ours, theirs, advice));
        }
        // The epoch in which it stamps is always among its leftovers.
        let stamping = resume.leftovers.iter().map(|leftover| leftover.epoch).max();
        if self.link.ready && stamping.is_some_and(|stamping| stamping < self.newest) {
            // A hello that was overtaken on its way must not end the session that overtook it.
            let advice = "this hello is older than the actor's session, wait until that is over";
            let (ours, theirs) = (self.newest, stamping.unwrap_or_default());
            return Err(Refusal::new(RefusalCode::Full, "session", ours, theirs, advice));
        }
        for leftover in &resume.leftovers {
            self.check_leftover(leftover, epoch, durable)?;
        }
        let lost = resume.acked_records.saturating_sub(self.settled_records);
        let forgetful = !durable && epoch.incarnation > Incarnation(1);
        if resume.acked_records > MOST_RECORDS || (lost > 0 && !forgetful) {
            let (ours, theirs) = (self.settled_records, resume.acked_records);
            return Err(inconsistent("acked records", ours, theirs));
        }
        self.settled_records += lost;
        self.books.received += lost;
        self.books.accepted += lost;
        self.books.lost_in_restart += lost;

        let acked = resume.leftovers.iter().map(|leftover| self.take_up(leftover)).collect();
        self.forget_marks(&resume.leftovers, stamping);
        self.marks.insert(epoch, Mark::default());
        self.newest = epoch;
        self.link = Link { connected: true, ..Link::default() };
        Ok(acked)
    }

    /// Drops the marks of epochs of which neither side holds anything. Epochs above the one in which
    /// the actor stamped at this hello are not over: it may have been overtaken by the hello of a
    /// session in which the actor stamps now.
    fn forget_marks(&mut self, leftovers: &[Leftover], stamping: Option<Epoch>) {
        let named = |epoch: &Epoch| leftovers.iter().any(|leftover| leftover.epoch == *epoch);
        let over = |(&epoch, mark): (&Epoch, &Mark)| {
            (mark.settled == mark.received && !named(&epoch)).then_some(epoch)
        };
        let over: Vec<Epoch> = self.marks.iter().filter_map(over).collect();
        for epoch in over {
            let is_done = stamping.is_some_and(|stamping| epoch <= stamping);
            let is_empty = self.marks.get(&epoch).is_none_or(|mark| mark.received == 0);
            if is_done {
                self.done = self.done.max(epoch);
            }
            if is_done || is_empty {
                self.marks.remove(&epoch);
            }
        }
    }

    fn take_up(&mut self, leftover: &Leftover) -> Acked {
        let &Leftover { epoch, acked_below, next } = leftover;
        if epoch <= self.done && !self.marks.contains_key(&epoch) {
            return Acked { epoch, below: next };
        }
        let mark = self.marks.entry(epoch).or_default();
        mark.settled = mark.settled.max(acked_below.0);
        mark.received = mark.received.max(mark.settled);
        Acked { epoch, below: Seq(mark.settled) }
    }

    fn check_leftover(
        &self,
        leftover: &Leftover,
        issued: Epoch,
        durable: bool,
    ) -> Result<(), Refusal> {
        let Leftover { epoch, acked_below, next } = *leftover;
        if acked_below > next || next.0 > MOST_RECORDS || epoch >= issued {
            return Err(inconsistent("leftovers", self.newest, epoch));
        }
        let forgetful = !durable && epoch.incarnation < issued.incarnation;
        match self.marks.get(&epoch) {
            // What is pending came in this incarnation: it was not acked by an older one.
            Some(mark) if forgetful && mark.settled == mark.received => Ok(()),
            Some(mark) if acked_below.0 <= mark.settled => Ok(()),
            Some(mark) => Err(inconsistent("acked", mark.settled, acked_below)),
            None if forgetful || acked_below.0 == 0 || epoch <= self.done => Ok(()),
            None => Err(inconsistent("leftovers", "none", epoch)),
        }
    }

    /// Whether this is the actor's secret.
    pub(super) fn has_secret(&self, secret: Secret) -> bool {
        self.secret == secret
    }

    /// The actor has shown the right fingerprints: credit may be granted.
    pub fn ready(&mut self, session: Epoch) -> Result<(), Violation> {
        self.check_session(session)?;
        self.link.ready = true;
        Ok(())
    }

    /// Records came. Returns how many of them, from the first on, are duplicates to be dropped;
    /// the others are to be settled in this order.
    pub fn receive(&mut self, session: Epoch, incoming: &Incoming) -> Result<u64, Violation> {
        self.check_session(session)?;
        if !self.link.ready {
            return Err(Violation::NotReady);
        }
        let &Incoming { epoch, first, count, bytes } = incoming;
        let mark = self.marks.get_mut(&epoch).ok_or(Violation::UnknownEpoch { epoch })?;
        let end = first.0.checked_add(count);
        let end = end.filter(|&end| first.0 <= mark.received && end <= MOST_RECORDS);
        let expected = Seq(mark.received);
        let end = end.ok_or(Violation::Gap { epoch, first, expected })?;
        let spent = self.link.spent.saturating_add(bytes);
        if spent > self.link.granted {
            return Err(Violation::OverCredit { spent, granted: self.link.granted });
        }
        self.link.spent = spent;
        let duplicates = count.min(mark.received - first.0);
        mark.received = mark.received.max(end);
        self.books.received = self.books.received.saturating_add(count);
        self.books.duplicate = self.books.duplicate.saturating_add(duplicates);
        Ok(duplicates)
    }

    /// Records are taken care of, also those of older sessions. Returns what to ack: of an epoch that
    /// is over, of which only duplicates were still queued, an ack of nothing.
    pub fn settle(&mut self, settlement: &Settlement<'_>) -> Result<Acked, Violation> {
        let &Settlement { epoch, accepted, duplicate, rejected, .. } = settlement;
        let settled = accepted + duplicate + rejected.len() as u64;
        let Some(mark) = self.marks.get_mut(&epoch) else {
            return settlement.of_duplicates_only();
        };
        let pending = mark.received - mark.settled;
        if settled > pending {
            return Err(Violation::SettledTooMany { epoch, settled, pending });
        }
        mark.settled += settled;
        self.settled_records += settled;
        self.books.accepted += accepted;
        self.books.duplicate += duplicate;
        rejected.iter().for_each(|&reason| self.books.reject(reason));
        Ok(Acked { epoch, below: Seq(mark.settled) })
    }

    /// The stream ended. Returns the bytes that this session sent and that are not free yet.
    pub fn close(&mut self) -> u64 {
        let held = self.held();
        self.link = Link::default();
        held
    }

    /// Sent in this session and not free yet.
    pub(super) fn held(&self) -> u64 {
        self.link.spent - self.link.released
    }

    /// Whether records are received and not settled.
    pub(super) fn has_pending(&self) -> bool {
        self.marks.values().any(|mark| mark.settled < mark.received)
    }

    /// Epochs of which a mark is kept.
    pub(super) fn marks(&self) -> usize {
        self.marks.len()
    }

    /// Bytes sent in this session are free again.
    pub(super) fn release(&mut self, bytes: u64) {
        self.link.released = (self.link.released + bytes).min(self.link.spent);
    }

    /// Grants more. The credit is cumulative over the session.
    pub(crate) fn grant(&mut self, bytes: u64) -> Credit {
        self.link.granted += bytes;
        Credit { bytes: self.link.granted, records: None }
    }

    /// Granted and not free yet: what this session may make the learner hold.
    pub fn outstanding(&self) -> u64 {
        self.link.granted - self.link.released
    }

    /// Granted and not used.
    pub fn unspent(&self) -> u64 {
        self.link.granted - self.link.spent
    }

    /// Whether its stream is up.
    pub fn is_connected(&self) -> bool {
        self.link.connected
    }

    /// Whether it may send.
    pub fn is_ready(&self) -> bool {
        self.link.ready
    }

    /// The epoch that may speak.
    pub fn newest(&self) -> Epoch {
        self.newest
    }

    /// Where its records went.
    pub fn books(&self) -> &Books {
        &self.books
    }

    /// For a checkpoint: pending records are left out, they will be sent again.
    pub fn save(&self) -> SavedSession {
        let mut books = self.books.clone();
        books.received -= books.pending();
        SavedSession {
            secret: self.secret,
            newest: self.newest,
            marks: self.marks.iter().map(|(&epoch, mark)| (epoch, mark.settled)).collect(),
            done: self.done,
            settled_records: self.settled_records,
            books,
        }
    }

    /// From a checkpoint: the actor is not connected.
    pub fn restore(saved: SavedSession) -> Self {
        let SavedSession { secret, newest, marks, done, settled_records, books } = saved;
        let mark = |settled| Mark { received: settled, settled };
        let marks = marks.into_iter().map(|(epoch, settled)| (epoch, mark(settled))).collect();
        Self { secret, newest, marks, done, settled_records, books, link: Link::default() }
    }

    fn check_session(&self, session: Epoch) -> Result<(), Violation> {
        if session == self.newest && self.link.connected {
            return Ok(());
        }
        Err(Violation::Fenced { newest: self.newest })
    }
}

fn inconsistent(field: &str, ours: impl ToString, theirs: impl ToString) -> Refusal {
    let advice = "this actor holds records of a time that the learner does not remember; \
                  keep its files and start a new actor";
    Refusal::new(RefusalCode::Identity, field, ours, theirs, advice)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ids::ActorId;

    fn epoch(incarnation: u32, counter: u64) -> Epoch {
        Epoch { incarnation: Incarnation(incarnation), counter }
    }

    fn ready() -> LearnerSession {
        let mut session = LearnerSession::new(Secret([1; 16]), epoch(1, 1));
        session.ready(epoch(1, 1)).unwrap();
        session.grant(100);
        session
    }

    fn incoming(counter: u64, first: u64, count: u64, bytes: u64) -> Incoming {
        Incoming { epoch: epoch(1, counter), first: Seq(first), count, bytes }
    }

    fn resume(acked_records: u64, leftovers: Vec<Leftover>) -> Resume {
        Resume { actor: ActorId(1), secret: Secret([1; 16]), acked_records, leftovers }
    }

    #[test]
    fn what_a_session_may_not_send_is_a_violation_and_changes_nothing() {
        let e = epoch(1, 1);
        let mut session = LearnerSession::new(Secret([1; 16]), e);
        assert_eq!(session.receive(e, &incoming(1, 0, 1, 1)), Err(Violation::NotReady));
        let mut session = ready();
        assert_eq!(session.receive(e, &incoming(1, 0, 2, 60)), Ok(0));
        let before = session.clone();
        let fenced = Violation::Fenced { newest: e };
        assert_eq!(session.receive(epoch(1, 0), &incoming(1, 2, 1, 1)), Err(fenced));
        let unknown = Violation::UnknownEpoch { epoch: epoch(1, 7) };
        assert_eq!(session.receive(e, &incoming(7, 0, 1, 1)), Err(unknown));
        let gap = |first| Violation::Gap { epoch: e, first: Seq(first), expected: Seq(2) };
        assert_eq!(session.receive(e, &incoming(1, 3, 1, 1)), Err(gap(3)));
        assert_eq!(session.receive(e, &incoming(1, 1, u64::MAX, 1)), Err(gap(1)));
        let over = Violation::OverCredit { spent: 101, granted: 100 };
        assert_eq!(session.receive(e, &incoming(1, 2, 1, 41)), Err(over));
        let settlement =
            Settlement { epoch: e, accepted: 3, duplicate: 0, rejected: &[], bytes: 0 };
        let too_many = Violation::SettledTooMany { epoch: e, settled: 3, pending: 2 };
        assert_eq!(session.settle(&settlement), Err(too_many));
        assert_eq!(session, before);
    }

    #[test]
    fn duplicates_are_counted_and_acked_once() {
        let e = epoch(1, 1);
        let mut session = ready();
        assert_eq!(session.receive(e, &incoming(1, 0, 3, 30)), Ok(0));
        assert_eq!(session.receive(e, &incoming(1, 1, 3, 30)), Ok(2));
        let rejected = [RejectionReason::Stale];
        let settlement =
            Settlement { epoch: e, accepted: 3, duplicate: 0, rejected: &rejected, bytes: 60 };
        assert_eq!(session.settle(&settlement), Ok(Acked { epoch: e, below: Seq(4) }));
        let books = session.books();
        assert_eq!((books.received, books.accepted, books.duplicate), (6, 3, 2));
        assert_eq!((books.rejected_total(), books.pending()), (1, 0));
    }

    #[test]
    fn what_an_older_incarnation_acked_and_this_one_forgot_is_counted() {
        let leftover = Leftover { epoch: epoch(1, 1), acked_below: Seq(5), next: Seq(9) };
        let resume = resume(5, vec![leftover]);
        let mut session = LearnerSession::restore(ready().save());
        let acked = session.resume(&resume, epoch(2, 1), false).unwrap();
        assert_eq!(acked, [Acked { epoch: epoch(1, 1), below: Seq(5) }]);
        assert_eq!(session.books().lost_in_restart, 5);

        let mut durable = LearnerSession::restore(ready().save());
        let refusal = durable.resume(&resume, epoch(2, 1), true).unwrap_err();
        assert_eq!(refusal.code, RefusalCode::Identity);
    }

    #[test]
    fn an_actor_that_forgot_an_ack_is_told_again() {
        let e = epoch(1, 1);
        let mut session = ready();
        session.receive(e, &incoming(1, 0, 3, 30)).unwrap();
        session
            .settle(&Settlement { epoch: e, accepted: 3, duplicate: 0, rejected: &[], bytes: 30 })
            .unwrap();
        session.resume(&resume(3, vec![]), epoch(1, 2), true).unwrap();
        let leftover = Leftover { epoch: e, acked_below: Seq(0), next: Seq(3) };
        let acked = session.resume(&resume(0, vec![leftover]), epoch(1, 3), true).unwrap();
        assert_eq!(acked, [Acked { epoch: e, below: Seq(3) }]);
    }

    #[test]
    fn queued_duplicates_of_an_epoch_that_is_over_settle_as_nothing() {
        let e = epoch(1, 1);
        let mut session = ready();
        session.receive(e, &incoming(1, 0, 1, 10)).unwrap();
        session.receive(e, &incoming(1, 0, 1, 10)).unwrap();
        let fresh = Settlement { epoch: e, accepted: 1, duplicate: 0, rejected: &[], bytes: 10 };
        session.settle(&fresh).unwrap();
        let stamping = |counter, acked| Leftover {
            epoch: epoch(1, counter),
            acked_below: Seq(acked),
            next: Seq(acked),
        };
        session.resume(&resume(1, vec![stamping(1, 1)]), epoch(1, 2), true).unwrap();
        session.resume(&resume(1, vec![stamping(2, 0)]), epoch(1, 3), true).unwrap();
        let duplicates = Settlement { accepted: 0, ..fresh };
        assert_eq!(session.settle(&duplicates), Ok(Acked { epoch: e, below: Seq(0) }));
        assert_eq!(session.settle(&fresh), Err(Violation::UnknownEpoch { epoch: e }));
    }

    #[test]
    fn a_hello_that_was_overtaken_loses_no_record() {
        let leftover = |counter, next| Leftover {
            epoch: epoch(1, counter),
            acked_below: Seq(0),
            next: Seq(next),
        };
        let mut session = ready();
        session.close();
        // Two hellos of the same state; the actor lives on with the answer to the first, and stamps
        // in epoch 2.
        session.resume(&resume(0, vec![leftover(1, 0)]), epoch(1, 2), true).unwrap();
        session.resume(&resume(0, vec![leftover(1, 0)]), epoch(1, 3), true).unwrap();
        let held = leftover(2, 3);
        let acked = session.resume(&resume(0, vec![held]), epoch(1, 4), true).unwrap();
        assert_eq!(acked, [Acked { epoch: epoch(1, 2), below: Seq(0) }], "nothing came of it");

        session.ready(epoch(1, 4)).unwrap();
        session.grant(100);
        session.receive(epoch(1, 4), &incoming(2, 0, 3, 30)).unwrap();
        let settlement =
            Settlement { epoch: epoch(1, 2), accepted: 3, duplicate: 0, rejected: &[], bytes: 30 };
        session.settle(&settlement).unwrap();
        let before = session.clone();
        let overtaken = session.resume(&resume(0, vec![leftover(1, 0)]), epoch(1, 5), true);
        assert!(overtaken.unwrap_err().code.retryable());
        assert_eq!(session, before, "it does not end the session that overtook it");
    }

    #[test]
    fn nobody_sends_more_records_than_can_be_counted() {
        let mut session = ready();
        let gap = session.receive(epoch(1, 1), &incoming(1, 0, u64::MAX, 1));
        assert!(matches!(gap, Err(Violation::Gap { .. })), "{gap:?}");
        assert_eq!(session.receive(epoch(1, 1), &incoming(1, 0, MOST_RECORDS, 1)), Ok(0));
    }

    #[test]
    fn what_is_pending_cannot_be_claimed_as_acked_by_an_older_incarnation() {
        let old = epoch(1, 1);
        let mut session = LearnerSession::restore(ready().save());
        let leftover =
            |acked_below| Leftover { epoch: old, acked_below: Seq(acked_below), next: Seq(9) };
        session.resume(&resume(0, vec![leftover(0)]), epoch(2, 1), false).unwrap();
        session.ready(epoch(2, 1)).unwrap();
        session.grant(100);
        session.receive(epoch(2, 1), &incoming(1, 0, 3, 30)).unwrap();
        let stamping = Leftover { epoch: epoch(2, 1), acked_below: Seq(0), next: Seq(0) };
        let lie = session.resume(&resume(0, vec![leftover(3), stamping]), epoch(2, 2), false);
        assert_eq!(lie.map_err(|r| r.code), Err(RefusalCode::Identity));
        let settlement =
            Settlement { epoch: old, accepted: 3, duplicate: 0, rejected: &[], bytes: 30 };
        assert_eq!(session.settle(&settlement), Ok(Acked { epoch: old, below: Seq(3) }));
    }

    #[test]
    fn claims_that_cannot_be_are_refused() {
        let leftover = |epoch, acked_below, next| Leftover {
            epoch,
            acked_below: Seq(acked_below),
            next: Seq(next),
        };
        for (name, claim) in [
            ("ends before it starts", resume(0, vec![leftover(epoch(1, 1), 2, 1)])),
            ("not issued yet", resume(0, vec![leftover(epoch(1, 2), 0, 1)])),
            ("acked here, not there", resume(0, vec![leftover(epoch(1, 1), 1, 1)])),
            ("more acks than anyone sends", resume(u64::MAX, vec![])),
            ("too many", resume(0, vec![leftover(epoch(1, 1), 0, u64::MAX)])),
            ("another secret", Resume { secret: Secret([2; 16]), ..resume(0, vec![]) }),
        ] {
            let mut session = ready();
            let before = session.clone();
            let refusal = session.resume(&claim, epoch(1, 2), false);
            assert_eq!(refusal.map_err(|r| r.code), Err(RefusalCode::Identity), "{name}");
            assert_eq!(session, before, "{name}");
        }
    }
}
