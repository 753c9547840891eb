//! The actor's side of its sessions: stamps records, holds them until acked, sends within credit.

use std::collections::VecDeque;

use super::{Acked, Credit, Identity, Leftover, RecordKey, Resume};
use crate::ids::{Epoch, Seq};

/// Where an actor's session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No stream; records are still completed and held.
    Disconnected,
    /// Hello is sent, Welcome is not here yet.
    Greeting,
    /// Welcomed.
    Streaming,
    /// A newer session of this actor exists: never connect again.
    Fenced(Epoch),
    /// Refused for good: never connect again.
    Refused,
}

/// An event that does not fit the state: an error in one of the two programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ActorSessionError {
    /// Only the state named allows this.
    #[error("{event} came in the state {state:?}")]
    Unexpected {
        /// What came.
        event: &'static str,
        /// The state it came in.
        state: State,
    },
    /// A record cannot be stamped before the first Welcome.
    #[error("a record was completed before the learner issued an epoch")]
    NoEpoch,
    /// The learner knows this actor by another id.
    #[error("the learner calls this actor {theirs}, it is {ours}")]
    OtherActor {
        /// Ours.
        ours: u64,
        /// Theirs.
        theirs: u64,
    },
    /// A learner must issue a higher epoch with each Welcome.
    #[error("the learner issued epoch {theirs}, which is not above the last one, {ours}")]
    OldEpoch {
        /// Our last one.
        ours: Epoch,
        /// The new one.
        theirs: Epoch,
    },
    /// An ack of records that were never completed.
    #[error("the learner acked epoch {epoch} below {below}, but its records end at {next}")]
    AckBeyond {
        /// The epoch acked.
        epoch: Epoch,
        /// As acked.
        below: Seq,
        /// One past our last.
        next: Seq,
    },
}

/// Records to be sent in one message.
#[derive(Debug, PartialEq, Eq)]
pub struct Outgoing<'a, T> {
    /// The epoch and number of the first; the others follow without a gap.
    pub first: RecordKey,
    /// What they hold.
    pub records: Vec<&'a T>,
}

#[derive(Clone, Debug)]
struct Item<T> {
    key: RecordKey,
    bytes: u64,
    payload: T,
}

/// An actor's sessions from its start to its end, over all its connections.
#[derive(Clone, Debug)]
pub struct ActorSession<T> {
    state: State,
    identity: Option<Identity>,
    next: Seq,
    /// Not acked, in the order of their keys; the first `sent` were sent on this connection.
    held: VecDeque<Item<T>>,
    held_bytes: u64,
    /// So many of the last are not on the actor's own disk yet: they are not sent before.
    unkept: usize,
    sent: usize,
    credit: Credit,
    spent_bytes: u64,
    spent_records: u64,
    acked_records: u64,
    stamped_records: u64,
    draining: bool,
}

impl<T> Default for ActorSession<T> {
    fn default() -> Self {
        Self {
            state: State::Disconnected,
            identity: None,
            next: Seq(0),
            held: VecDeque::new(),
            held_bytes: 0,
            unkept: 0,
            sent: 0,
            credit: Credit::default(),
            spent_bytes: 0,
            spent_records: 0,
            acked_records: 0,
            stamped_records: 0,
            draining: false,
        }
    }
}

/// What an actor's disk holds of its sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept<T> {
    /// Who it was at the last Welcome.
    pub identity: Identity,
    /// The number of the next record of that epoch.
    pub next: Seq,
    /// Records acked so far; fewer may be known than there were.
    pub acked_records: u64,
    /// Records that were not known to be acked, in the order of their keys, with their bytes.
    pub held: Vec<(RecordKey, T, u64)>,
}

impl<T> ActorSession<T> {
    /// Goes on where an earlier process of the actor ended.
    pub fn restore(kept: Kept<T>) -> Self {
        let Kept { identity, next, acked_records, held } = kept;
        let item = |(key, payload, bytes)| Item { key, bytes, payload };
        Self {
            identity: Some(identity),
            next,
            acked_records,
            stamped_records: acked_records + held.len() as u64,
            held_bytes: held.iter().map(|(_, _, bytes)| bytes).sum(),
            held: held.into_iter().map(item).collect(),
            ..Self::default()
        }
    }

    /// A connection is up: what to say in Hello, `None` at the first time.
    pub fn hello(&mut self) -> Result<Option<Resume>, ActorSessionError> {
        self.expect("a connection", &[State::Disconnected])?;
        self.state = State::Greeting;
        Ok(self.identity.map(|identity| Resume {
            actor: identity.actor,
            secret: identity.secret,
            acked_records: self.acked_records,
            leftovers: self.leftovers(),
        }))
    }

    /// The learner admits the actor; `acked` is what need not be sent again.
    pub fn welcome(
        &mut self,
        identity: Identity,
        acked: &[Acked],
    ) -> Result<(), ActorSessionError> {
        self.expect("Welcome", &[State::Greeting])?;
        if let Some(old) = self.identity {
            if old.actor != identity.actor {
                let (ours, theirs) = (old.actor.0, identity.actor.0);
                return Err(ActorSessionError::OtherActor { ours, theirs });
            }
            if identity.epoch <= old.epoch {
                let (ours, theirs) = (old.epoch, identity.epoch);
                return Err(ActorSessionError::OldEpoch { ours, theirs });
            }
        }
        for &ack in acked {
            self.release(ack)?;
        }
        self.identity = Some(identity);
        self.next = Seq(0);
        self.state = State::Streaming;
        Ok(())
    }

    /// A record is complete: stamps it and holds it. Also while disconnected.
    pub fn complete(&mut self, payload: T, bytes: u64) -> Result<RecordKey, ActorSessionError> {
        let epoch = self.identity.ok_or(ActorSessionError::NoEpoch)?.epoch;
        let key = RecordKey { epoch, seq: self.next };
        self.next.0 += 1;
        self.stamped_records += 1;
        self.held_bytes += bytes;
        self.held.push_back(Item { key, bytes, payload });
        Ok(key)
    }

    /// As [`complete`](Self::complete), but it is not sent before it is [kept](Self::keep).
    pub fn complete_unkept(
        &mut self,
        payload: T,
        bytes: u64,
    ) -> Result<RecordKey, ActorSessionError> {
        let key = self.complete(payload, bytes)?;
        self.unkept += 1;
        Ok(key)
    }

    /// So many more of the records, in the order in which they were completed, are on the actor's
    /// disk: they may be sent.
    pub fn keep(&mut self, records: u64) {
        self.unkept = self.unkept.saturating_sub(usize::try_from(records).unwrap_or(usize::MAX));
    }

    /// More may be sent. Grants are cumulative: an older one changes nothing.
    pub fn grant(&mut self, credit: Credit) -> Result<(), ActorSessionError> {
        self.expect("Credit", &[State::Streaming])?;
        if credit.bytes >= self.credit.bytes {
            self.credit = credit;
        }
        Ok(())
    }

    /// The next records to send, of one epoch: as many as credit and `message_bytes` allow, at
    /// least one if credit does. They count as sent.
    pub fn take(&mut self, message_bytes: u64) -> Option<Outgoing<'_, T>> {
        self.take_alike(message_bytes, |_, _| true)
    }

    /// As [`take`](Self::take), only as many as are alike the first.
    pub fn take_alike(
        &mut self,
        message_bytes: u64,
        is_alike: impl Fn(&T, &T) -> bool,
    ) -> Option<Outgoing<'_, T>> {
        if self.state != State::Streaming {
            return None;
        }
        let (start, end) = (self.sent, self.held.len() - self.unkept);
        let Item { key: first, payload: like, .. } = self.held.range(start.min(end)..end).next()?;
        let first = *first;
        let mut bytes = 0;
        let mut count = 0;
        for item in self.held.range(start..end) {
            let fits = count == 0 || bytes + item.bytes <= message_bytes;
            let belongs = item.key.epoch == first.epoch && is_alike(like, &item.payload);
            if !belongs || !fits || !self.affords(bytes + item.bytes, count) {
                break;
            }
            bytes += item.bytes;
            count += 1;
        }
        if count == 0 {
            return None;
        }
        self.spent_bytes += bytes;
        self.spent_records += count;
        self.sent += count as usize;
        let records = self.held.range(start..self.sent).map(|item| &item.payload).collect();
        Some(Outgoing { first, records })
    }

    /// The learner took care of records: forgets them, and says how many.
    pub fn ack(&mut self, acked: Acked) -> Result<usize, ActorSessionError> {
        self.expect("Ack", &[State::Streaming])?;
        self.release(acked)
    }

    /// The connection is gone: everything held is to be sent again.
    pub fn disconnect(&mut self) {
        if matches!(self.state, State::Greeting | State::Streaming) {
            self.state = State::Disconnected;
        }
        self.sent = 0;
        self.credit = Credit::default();
        self.spent_bytes = 0;
        self.spent_records = 0;
    }

    /// A newer session of this actor exists: this one is over for good.
    pub fn fence(&mut self, newest: Epoch) {
        self.disconnect();
        self.state = State::Fenced(newest);
    }

    /// The learner refuses this actor: for good, unless it may retry.
    pub fn refuse(&mut self, retryable: bool) {
        self.disconnect();
        if !retryable {
            self.state = State::Refused;
        }
    }

    /// No new trajectories are started any more; those in flight still complete.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Whether an end was asked for.
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// Whether an end was asked for and everything that was completed is acked.
    pub fn is_drained(&self) -> bool {
        self.draining && self.held.is_empty()
    }

    /// Where the session stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether there is something to send that credit does not allow.
    pub fn waits_for_credit(&self) -> bool {
        self.state == State::Streaming
            && self.sent + self.unkept < self.held.len()
            && self.held.get(self.sent).is_some_and(|item| !self.affords(item.bytes, 0))
    }

    /// Who the actor is, once welcomed.
    pub fn identity(&self) -> Option<Identity> {
        self.identity
    }

    /// The key of the next record, once welcomed.
    pub fn next_key(&self) -> Option<RecordKey> {
        self.identity.map(|Identity { epoch, .. }| RecordKey { epoch, seq: self.next })
    }

    /// Records completed: `acked_records + unacked_records`.
    pub fn stamped_records(&self) -> u64 {
        self.stamped_records
    }

    /// Records acked.
    pub fn acked_records(&self) -> u64 {
        self.acked_records
    }

    /// Records held.
    pub fn unacked_records(&self) -> usize {
        self.held.len()
    }

    /// Bytes of the records held.
    pub fn unacked_bytes(&self) -> u64 {
        self.held_bytes
    }

    /// The records held, in the order of their keys.
    pub fn held(&self) -> impl Iterator<Item = (RecordKey, &T)> {
        self.held.iter().map(|item| (item.key, &item.payload))
    }

    /// The epoch in which records are stamped until Welcome brings a newer one is always among them,
    /// the others if anything of them is held.
    fn leftovers(&self) -> Vec<Leftover> {
        let mut leftovers: Vec<Leftover> = Vec::new();
        for RecordKey { epoch, seq } in self.held.iter().map(|item| item.key) {
            let next = Seq(seq.0 + 1);
            match leftovers.last_mut().filter(|last| last.epoch == epoch) {
                Some(last) => last.next = next,
                None => leftovers.push(Leftover { epoch, acked_below: seq, next }),
            }
        }
        let current = self.identity.map(|identity| identity.epoch);
        if let Some(epoch) = current.filter(|&e| leftovers.last().is_none_or(|l| l.epoch != e)) {
            leftovers.push(Leftover { epoch, acked_below: self.next, next: self.next });
        }
        leftovers
    }

    fn release(&mut self, acked: Acked) -> Result<usize, ActorSessionError> {
        let Acked { epoch, below } = acked;
        let start = self.held.partition_point(|item| item.key.epoch < epoch);
        let end = self.held.partition_point(|item| item.key < RecordKey { epoch, seq: below });
        let last = self.held.range(start..end).next_back().map(|item| item.key.seq.0 + 1);
        let current = self.identity.is_some_and(|identity| identity.epoch == epoch);
        let next = if current { Some(self.next) } else { last.map(Seq) };
        if let Some(next) = next.filter(|&next| below > next) {
            return Err(ActorSessionError::AckBeyond { epoch, below, next });
        }
        self.held_bytes -= self.held.range(start..end).map(|item| item.bytes).sum::<u64>();
        self.held.drain(start..end);
        self.sent -= self.sent.min(end) - self.sent.min(start);
        self.acked_records += (end - start) as u64;
        Ok(end - start)
    }

    fn affords(&self, bytes: u64, records_before: u64) -> bool {
        let records = self.credit.records.unwrap_or(u64::MAX);
        self.spent_bytes.saturating_add(bytes) <= self.credit.bytes
            && self.spent_records + records_before < records
    }

    fn expect(&self, event: &'static str, states: &[State]) -> Result<(), ActorSessionError> {
        match states.contains(&self.state) {
            true => Ok(()),
            false => Err(ActorSessionError::Unexpected { event, state: self.state }),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ids::{ActorId, Incarnation};
    use crate::session::Secret;

    fn epoch(counter: u64) -> Epoch {
        Epoch { incarnation: Incarnation(1), counter }
    }

    fn identity(counter: u64) -> Identity {
        Identity { actor: ActorId(7), secret: Secret([1; 16]), epoch: epoch(counter) }
    }

    fn streaming(credit: u64) -> ActorSession<u32> {
        let mut session = ActorSession::default();
        assert_eq!(session.hello().unwrap(), None);
        session.welcome(identity(1), &[]).unwrap();
        session.grant(Credit { bytes: credit, records: None }).unwrap();
        session
    }

    fn complete(session: &mut ActorSession<u32>, records: std::ops::Range<u32>) {
        for record in records {
            session.complete(record, 10).unwrap();
        }
    }

    fn sent(session: &mut ActorSession<u32>, bytes: u64) -> Option<(u64, u64, Vec<u32>)> {
        let outgoing = session.take(bytes)?;
        let records = outgoing.records.iter().map(|&&record| record).collect();
        Some((outgoing.first.epoch.counter, outgoing.first.seq.0, records))
    }

    #[test]
    fn nothing_is_sent_beyond_credit_or_the_message_limit() {
        let mut session = streaming(25);
        complete(&mut session, 0..5);
        assert_eq!(sent(&mut session, 10), Some((1, 0, vec![0])));
        assert_eq!(sent(&mut session, 100), Some((1, 1, vec![1])));
        assert_eq!(sent(&mut session, 100), None);
        assert!(session.waits_for_credit());
        session.grant(Credit { bytes: 20, records: None }).unwrap();
        assert!(session.waits_for_credit(), "an older grant changes nothing");
        session.grant(Credit { bytes: 99, records: Some(3) }).unwrap();
        assert_eq!(sent(&mut session, 1), Some((1, 2, vec![2])), "at least one goes");
        assert!(session.waits_for_credit());
    }

    #[test]
    fn a_new_connection_sends_again_what_is_not_acked_under_its_old_keys() {
        let mut session = streaming(1000);
        complete(&mut session, 0..4);
        session.take(100).unwrap();
        assert_eq!(session.ack(Acked { epoch: epoch(1), below: Seq(1) }), Ok(1));
        session.disconnect();
        session.complete(4, 10).unwrap();
        let resume = session.hello().unwrap().unwrap();
        let leftover = Leftover { epoch: epoch(1), acked_below: Seq(1), next: Seq(5) };
        assert_eq!((resume.acked_records, resume.leftovers), (1, vec![leftover]));
        session.welcome(identity(2), &[Acked { epoch: epoch(1), below: Seq(2) }]).unwrap();
        session.complete(5, 10).unwrap();
        assert_eq!(session.take(100), None, "a new session starts without credit");
        session.grant(Credit { bytes: 1000, records: None }).unwrap();
        assert_eq!(sent(&mut session, 100), Some((1, 2, vec![2, 3, 4])));
        assert_eq!(sent(&mut session, 100), Some((2, 0, vec![5])));
        assert_eq!((session.stamped_records(), session.acked_records()), (6, 2));
        assert_eq!((session.unacked_records(), session.unacked_bytes()), (4, 40));
    }

    #[test]
    fn what_is_not_on_disk_is_not_sent() {
        let mut session = streaming(1000);
        session.complete(0, 10).unwrap();
        session.complete_unkept(1, 10).unwrap();
        session.complete_unkept(2, 10).unwrap();
        assert_eq!(sent(&mut session, 100), Some((1, 0, vec![0])));
        assert_eq!(sent(&mut session, 100), None);
        assert!(!session.waits_for_credit(), "it waits for the disk");
        session.keep(1);
        assert_eq!(sent(&mut session, 100), Some((1, 1, vec![1])));
        session.disconnect();
        session.hello().unwrap();
        session.welcome(identity(2), &[Acked { epoch: epoch(1), below: Seq(1) }]).unwrap();
        session.grant(Credit { bytes: 1000, records: None }).unwrap();
        session.complete_unkept(3, 10).unwrap();
        assert_eq!(sent(&mut session, 100), Some((1, 1, vec![1])), "2 is not on disk yet");
        session.keep(2);
        assert_eq!(sent(&mut session, 100), Some((1, 2, vec![2])));
        assert_eq!(sent(&mut session, 100), Some((2, 0, vec![3])));
    }

    #[test]
    fn another_process_goes_on_with_what_was_kept() {
        let key = |counter, seq| RecordKey { epoch: epoch(counter), seq: Seq(seq) };
        let kept = Kept {
            identity: identity(2),
            next: Seq(1),
            acked_records: 7,
            held: vec![(key(1, 3), 3, 10), (key(1, 4), 4, 10), (key(2, 0), 5, 20)],
        };
        let mut session = ActorSession::restore(kept);
        assert_eq!((session.stamped_records(), session.unacked_bytes()), (10, 40));
        let resume = session.hello().unwrap().unwrap();
        let leftovers = [(1, 3, 5), (2, 0, 1)].map(|(counter, from, to)| Leftover {
            epoch: epoch(counter),
            acked_below: Seq(from),
            next: Seq(to),
        });
        assert_eq!((resume.acked_records, resume.leftovers), (7, leftovers.to_vec()));
        session.welcome(identity(3), &[Acked { epoch: epoch(1), below: Seq(4) }]).unwrap();
        session.grant(Credit { bytes: 1000, records: None }).unwrap();
        assert_eq!(sent(&mut session, 100), Some((1, 4, vec![4])));
        assert_eq!(sent(&mut session, 100), Some((2, 0, vec![5])));
        assert_eq!((session.acked_records(), session.unacked_records()), (8, 2));
    }

    #[test]
    fn it_is_drained_when_everything_is_acked() {
        let mut session = streaming(1000);
        session.drain();
        session.complete(0, 10).unwrap();
        assert!(!session.is_drained());
        session.take(100).unwrap();
        session.ack(Acked { epoch: epoch(1), below: Seq(1) }).unwrap();
        assert!(session.is_drained());
    }

    #[test]
    fn events_that_do_not_fit_are_errors() {
        let mut session = ActorSession::default();
        assert_eq!(session.complete(0, 1), Err(ActorSessionError::NoEpoch));
        assert!(session.grant(Credit::default()).is_err());
        assert!(session.welcome(identity(1), &[]).is_err());

        let mut session = streaming(1000);
        session.complete(0, 1).unwrap();
        let beyond = Acked { epoch: epoch(1), below: Seq(2) };
        assert!(matches!(session.ack(beyond), Err(ActorSessionError::AckBeyond { .. })));
        session.disconnect();
        session.hello().unwrap();
        let old = session.welcome(identity(1), &[]);
        assert!(matches!(old, Err(ActorSessionError::OldEpoch { .. })));
        let other = session.welcome(Identity { actor: ActorId(8), ..identity(2) }, &[]);
        assert!(matches!(other, Err(ActorSessionError::OtherActor { ours: 7, theirs: 8 })));
    }

    #[test]
    fn fenced_and_refused_actors_never_come_back() {
        let mut session = streaming(1000);
        session.fence(epoch(9));
        assert_eq!(session.state(), State::Fenced(epoch(9)));
        assert!(session.hello().is_err());

        let mut session = streaming(1000);
        session.refuse(true);
        assert!(session.hello().is_ok());
        session.refuse(false);
        assert!(session.hello().is_err());
    }
}
