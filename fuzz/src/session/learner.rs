//! The learner's side.

use std::collections::VecDeque;

use tributary_common::ids::{ActorId, Epoch, Incarnation, Seq};
use tributary_common::session::books::RejectionReason;
use tributary_common::session::learner::{Incoming, Settlement};
use tributary_common::session::sessions::{Sessions, SessionsConfig};
use tributary_common::session::{Identity, Leftover, Resume, Secret, SessionKey};

use crate::input::Input;

const BUDGET_BYTES: u64 = 700;
const RECORD_BYTES: u64 = 100;
const MOST_SESSIONS: usize = 4;
const REASONS: [RejectionReason; 3] =
    [RejectionReason::Stale, RejectionReason::IllegalAction, RejectionReason::RunComplete];

struct World {
    config: SessionsConfig,
    sessions: Sessions,
    known: Vec<Identity>,
    /// Received and not settled: from whom, what, and how many of it are no duplicates.
    queue: VecDeque<(SessionKey, Incoming, u64)>,
}

/// Plays events until the bytes end.
pub(super) fn run(events: &[u8], durable: bool) {
    let config = SessionsConfig {
        incarnation: Incarnation(1),
        durable,
        most_sessions: MOST_SESSIONS,
        most_remembered: 6,
        budget_bytes: BUDGET_BYTES,
        window_bytes: 400,
        record_bytes: RECORD_BYTES,
    };
    let sessions = Sessions::new(config);
    let mut world = World { config, sessions, known: Vec::new(), queue: VecDeque::new() };
    let mut input = Input(events);
    while world.event(&mut input).is_some() {
        world.check();
    }
}

impl World {
    fn event(&mut self, input: &mut Input<'_>) -> Option<()> {
        match input.byte()? % 10 {
            0 => self.hello(None),
            1 => {
                let resume = self.resume(input)?;
                self.hello(Some(resume));
            }
            2 => {
                let key = self.key(input)?;
                let _ = self.sessions.ready(key);
                let _ = self.sessions.grants();
            }
            3 | 4 => self.receive(input)?,
            5 | 6 => self.settle(input)?,
            7 => {
                let key = self.key(input)?;
                self.sessions.close(key);
            }
            8 => drop(self.sessions.grants()),
            _ => self.restart(),
        }
        Some(())
    }

    fn hello(&mut self, resume: Option<Resume>) {
        let before = self.sessions.save();
        match self.sessions.hello(resume.as_ref(), Secret([1; 16])) {
            Ok(admission) => {
                let Identity { actor, epoch, .. } = admission.identity;
                assert!(self.known.iter().all(|k| k.actor != actor || k.epoch < epoch));
                self.known.push(admission.identity);
            }
            Err(_) => assert_eq!(self.sessions.save(), before, "a refusal changes nothing"),
        }
    }

    /// What nobody is forced to say truly.
    fn resume(&self, input: &mut Input<'_>) -> Option<Resume> {
        let choice = input.below(self.known.len() + 2)?;
        let known = self.known.get(choice);
        let stranger = ActorId(input.number()?.saturating_mul(999_999_999).max(1));
        let secret = if input.byte()? < 250 { Secret([1; 16]) } else { Secret([2; 16]) };
        let acked_records = input.number()?;
        let mut leftovers = Vec::new();
        for _ in 0..input.below(4)? {
            let epoch = self.epoch(input)?;
            let (acked_below, next) = (Seq(input.number()?), Seq(input.number()?));
            leftovers.push(Leftover { epoch, acked_below, next });
        }
        // As the checked conversion demands.
        leftovers.sort_by_key(|leftover| leftover.epoch);
        leftovers.dedup_by_key(|leftover| leftover.epoch);
        let actor = known.map_or(stranger, |identity| identity.actor);
        Some(Resume { actor, secret, acked_records, leftovers })
    }

    fn epoch(&self, input: &mut Input<'_>) -> Option<Epoch> {
        let choice = input.below(self.known.len() + 1)?;
        match self.known.get(choice) {
            Some(identity) => Some(identity.epoch),
            None => {
                let incarnation =
                    Incarnation(1 + input.number()?.min(u64::from(u32::MAX) - 1) as u32);
                Some(Epoch { incarnation, counter: 1 + input.number()?.min(u64::MAX - 1) })
            }
        }
    }

    fn key(&self, input: &mut Input<'_>) -> Option<SessionKey> {
        let choice = input.below(self.known.len() + 1)?;
        let known = self.known.get(choice).copied();
        Some(match known {
            Some(Identity { actor, epoch, .. }) => SessionKey { actor, epoch },
            None => SessionKey { actor: ActorId(input.number()?), epoch: self.epoch(input)? },
        })
    }

    fn receive(&mut self, input: &mut Input<'_>) -> Option<()> {
        let session = self.key(input)?;
        let epoch = if input.byte()? < 200 { session.epoch } else { self.epoch(input)? };
        let (first, count) = (Seq(input.number()?), input.number()?);
        let incoming = Incoming { epoch, first, count, bytes: input.number()? };
        let before = self.sessions.save();
        match self.sessions.receive(session, &incoming) {
            Ok(duplicates) => self.queue.push_back((session, incoming, count - duplicates)),
            Err(_) => assert_eq!(self.sessions.save(), before, "a violation changes nothing"),
        }
        Some(())
    }

    /// As ingest does it: in order, each message in one or two settlements.
    fn settle(&mut self, input: &mut Input<'_>) -> Option<()> {
        let Some((session, incoming, fresh)) = self.queue.pop_front() else { return Some(()) };
        let rejected = (input.below(4)? as u64).min(fresh) as usize;
        let settlement = Settlement {
            epoch: incoming.epoch,
            accepted: fresh - rejected as u64,
            duplicate: 0,
            rejected: &REASONS[..rejected],
            bytes: incoming.bytes,
        };
        let settled = self.sessions.settle(session, &settlement);
        assert!(settled.is_ok(), "what was received cannot be settled: {settled:?}");
        Some(())
    }

    fn restart(&mut self) {
        let Some(next) = self.config.incarnation.0.checked_add(1).filter(|next| *next < 9) else {
            return;
        };
        self.config.incarnation = Incarnation(next);
        self.sessions = Sessions::restore(self.config, self.sessions.save());
        self.queue.clear();
    }

    fn check(&self) {
        let bound = BUDGET_BYTES + RECORD_BYTES * MOST_SESSIONS as u64;
        let outstanding = self.sessions.outstanding_bytes();
        assert!(outstanding <= bound, "{outstanding} bytes, the bound is {bound}");
        let queued: u64 = self.queue.iter().map(|(_, incoming, _)| incoming.bytes).sum();
        assert_eq!(queued, self.sessions.held_bytes(), "queued and not on the bill");
        let fresh: u64 = self.queue.iter().map(|(_, _, fresh)| fresh).sum();
        let books = self.sessions.books();
        let decided = books.accepted + books.duplicate + books.rejected_total();
        assert_eq!(books.received, decided + fresh, "the books do not balance: {books:?}");
        assert!(
            self.sessions.actors().filter(|(_, actor)| actor.is_connected()).count()
                <= MOST_SESSIONS
        );
    }
}
