//! Trajectories whose objects are being measured elsewhere: each becomes a record when its value
//! comes, in any order, and goes to the session at once.
//!
//! Rollouts hand in batches as long as there is room. An object that waits already, or was measured
//! before by this actor, is not asked for again.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crossbeam_channel::{Receiver, Sender, never, select};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tributary_common::ids::PolicyVersion;
use tributary_common::reward::{KeyMaker, ObjectKey};
use tributary_common::rollout::Trajectory;

use crate::error::ActorError;
use crate::gate::Gate;
use crate::known::KnownObjects;
use crate::oracle::{Failure, Finding, Measured, Oracle, Question};
use crate::pipeline::LOOK;
use crate::progress::{Edge, Progress};
use crate::scoring::{Answer, Candidate, Drawn, Record};

/// Values that are remembered; of objects that cannot be measured, that they cannot.
const REMEMBERED: usize = 1 << 16;
/// Trajectories that may wait for one object, on average, before no more are taken.
const CROWD: usize = 16;

/// Where trajectories wait for the values of their objects.
pub(crate) struct Desk<O> {
    pub(crate) oracle: O,
    /// The oracle's answers; the channel holds all that can be open.
    pub(crate) findings: Receiver<Finding>,
    /// Open questions after which no trajectories are taken.
    pub(crate) room: usize,
    pub(crate) keys: KeyMaker,
    /// What an object measures that has no value.
    pub(crate) refused: Option<Vec<f64>>,
    pub(crate) known: Arc<KnownObjects>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) stop: CancellationToken,
    /// Shut while nothing new may be paid for.
    pub(crate) gate: Arc<Gate>,
    pub(crate) open: Open,
}

/// What waits at a desk.
#[derive(Default)]
pub(crate) struct Open {
    next_ticket: u64,
    next_batch: u64,
    questions: HashMap<u64, Asked>,
    /// The tickets of the objects.
    tickets: HashMap<ObjectKey, u64>,
    /// Trajectories that wait.
    waiting: usize,
    batches: HashMap<u64, Batch>,
    memory: Memory,
}

/// A question, and all who wait for its answer.
struct Asked {
    key: ObjectKey,
    waiting: Vec<Waiting>,
}

struct Waiting {
    candidate: Candidate,
    batch: u64,
    place: usize,
}

/// What the trajectories of a batch have in common.
struct Batch {
    policy: PolicyVersion,
    setting: u32,
    /// Whose objects have no value yet.
    left: usize,
    answer: Option<Sender<Answer>>,
    answered: Answer,
}

impl<O: Oracle> Desk<O> {
    /// Works until the rollouts are gone and nothing waits, or the session is gone.
    pub(crate) fn run(
        mut self,
        drawn: &Receiver<Drawn>,
        records: &mpsc::Sender<Vec<Record>>,
    ) -> Result<(), ActorError> {
        let (mut drawn, closed) = (drawn.clone(), never());
        let (mut is_stopped, mut is_last) = (false, false);
        while !(is_last && self.open.questions.is_empty()) {
            if self.stop.is_cancelled() && !is_stopped {
                self.oracle.stop();
                is_stopped = true;
            }
            let has_room = self.gate.is_open()
                && self.open.questions.len() < self.room
                && self.open.waiting < CROWD.saturating_mul(self.room);
            let source = if has_room && !is_last { &drawn } else { &closed };
            let mut complete = Vec::new();
            select! {
                recv(source) -> batch => match batch {
                    Ok(batch) => complete = self.take(batch),
                    Err(_) => {
                        is_last = true;
                        drawn = never();
                    }
                },
                recv(self.findings) -> finding => match finding {
                    Ok(finding) => self.found(finding, &mut complete),
                    // The oracle is gone, and with it all hope.
                    Err(_) => return Ok(()),
                },
                default(LOOK) => if records.is_closed() {
                    return Ok(());
                },
            }
            while let Ok(finding) = self.findings.try_recv() {
                self.found(finding, &mut complete);
            }
            if !complete.is_empty() {
                let sent =
                    self.progress.waiting(Edge::Queue, || records.blocking_send(complete).is_ok());
                if !sent {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Asks for a batch's objects, and returns the records of those whose values are known.
    fn take(&mut self, drawn: Drawn) -> Vec<Record> {
        let Drawn { policy, setting, candidates, answer } = drawn;
        let number = self.open.next_batch;
        self.open.next_batch += 1;
        let (left, answered) = (candidates.len(), vec![None; candidates.len()]);
        self.open.batches.insert(number, Batch { policy, setting, left, answer, answered });
        let (mut complete, mut questions) = (Vec::new(), Vec::new());
        for (place, candidate) in candidates.into_iter().enumerate() {
            let key = self.keys.key(&candidate.trajectory.object);
            let remembered = match &candidate.known {
                Some(raw) => Some(Some(raw.clone())),
                None => self.open.memory.get(&key),
            };
            let waiting = Waiting { candidate, batch: number, place };
            match remembered {
                Some(raw) => complete.extend(self.settle(waiting, raw, 0.0)),
                None => questions.extend(self.open.ask(key, waiting, policy)),
            }
        }
        if !questions.is_empty() {
            self.oracle.ask(questions);
        }
        complete
    }

    /// Settles all who wait for this. Only the first of them paid.
    fn found(&mut self, finding: Finding, complete: &mut Vec<Record>) {
        let Some(Asked { key, waiting }) = self.open.questions.remove(&finding.ticket) else {
            return;
        };
        self.open.tickets.remove(&key);
        self.open.waiting -= waiting.len();
        let (raw, mut seconds) = match finding.outcome {
            Ok(Measured { raw, seconds }) => {
                self.open.memory.keep(key, Some(raw.clone()));
                (Some(raw), seconds)
            }
            Err(failure) => (self.failed(key, &failure, &waiting), failure.seconds),
        };
        for waiting in waiting {
            complete.extend(self.settle(waiting, raw.clone(), std::mem::take(&mut seconds)));
        }
    }

    /// Says that an object has no value; returns what is to stand for it.
    fn failed(
        &mut self,
        key: ObjectKey,
        failure: &Failure,
        waiting: &[Waiting],
    ) -> Option<Vec<f64>> {
        if !failure.kind.is_of_the_object() {
            return None;
        }
        self.open.memory.keep(key, self.refused.clone());
        self.progress.failed.fetch_add(waiting.len() as u64, Relaxed);
        let object = waiting.first().map(|waiting| waiting.candidate.trajectory.object.to_string());
        tracing::warn!(object, %failure, "the object has no value");
        self.refused.clone()
    }

    /// The record of a trajectory whose object measures this; none if that is nothing.
    fn settle(&mut self, waiting: Waiting, raw: Option<Vec<f64>>, seconds: f32) -> Option<Record> {
        let Waiting { candidate, batch: number, place: at } = waiting;
        let batch = self.open.batches.get_mut(&number)?;
        batch.left -= 1;
        batch.answered[at].clone_from(&raw);
        let (policy, setting) = (batch.policy, batch.setting);
        if batch.left == 0
            && let Some(Batch { answer: Some(answer), answered, .. }) =
                self.open.batches.remove(&number)
        {
            // Nobody waits any more at the end of a run.
            let _ = answer.try_send(answered);
        }
        let raw = raw?;
        let Candidate { trajectory, kind, place, .. } = candidate;
        let Trajectory { actions, object, log_mu } = trajectory;
        self.known.offer(&object, &raw);
        let log_mu = log_mu as f32;
        Some(Record { actions, raw, seconds, kind, policy, setting, log_mu, place })
    }
}

impl Open {
    /// A question for the object with this key, unless it is open already.
    fn ask(&mut self, key: ObjectKey, waiting: Waiting, policy: PolicyVersion) -> Option<Question> {
        self.waiting += 1;
        if let Some(asked) = self.tickets.get(&key).and_then(|open| self.questions.get_mut(open)) {
            asked.waiting.push(waiting);
            return None;
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let object = waiting.candidate.trajectory.object.clone();
        self.tickets.insert(key, ticket);
        self.questions.insert(ticket, Asked { key, waiting: vec![waiting] });
        Some(Question { ticket, key, object, policy })
    }
}

/// The last values.
#[derive(Default)]
struct Memory {
    values: HashMap<ObjectKey, Option<Vec<f64>>>,
    order: VecDeque<ObjectKey>,
}

impl Memory {
    fn get(&self, key: &ObjectKey) -> Option<Option<Vec<f64>>> {
        self.values.get(key).cloned()
    }

    fn keep(&mut self, key: ObjectKey, raw: Option<Vec<f64>>) {
        if self.values.insert(key, raw).is_none() {
            self.order.push_back(key);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.values.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests;
