//! Measuring where rewards are shared: the learner is asked first, what somebody else knows is taken,
//! and what was measured is told at once.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use tokio_util::sync::CancellationToken;
use tributary_common::claims::Outcome;
use tributary_common::claims::asker::Evaluated;
use tributary_common::ids::PolicyVersion;
use tributary_common::object::Object;
use tributary_common::reward::RewardError;

use super::{Candidate, Record, Scoring};
use crate::error::ActorError;
use crate::pipeline::LOOK;
use crate::progress::Edge;
use crate::shared::{SharedRewards, Told};

/// Who is asked.
#[derive(Clone)]
pub(super) struct Sharing {
    /// The way to the learner.
    pub(super) rewards: Arc<SharedRewards>,
    /// Cancelled when nobody is waited for any more.
    pub(super) stop: CancellationToken,
}

/// Raw values and what they took; none where there are none.
type Values = Option<(Vec<f64>, f32)>;

impl Scoring {
    /// The records of these candidates in their order; none of an object that cannot be measured, or
    /// whose value did not come before the end.
    pub(super) fn share(
        &mut self,
        sharing: &Sharing,
        candidates: Vec<Candidate>,
        policy: PolicyVersion,
        setting: u32,
    ) -> Result<Vec<Option<Record>>, ActorError> {
        let known = |one: &Candidate| one.known.clone().map(|raw| (raw, 0.0));
        let mut values: Vec<Values> = candidates.iter().map(known).collect();
        let unknown = |(i, one): (usize, &Candidate)| one.known.is_none().then_some(i);
        let wanted: Vec<usize> = candidates.iter().enumerate().filter_map(unknown).collect();
        let object = |i: usize| &candidates[i].trajectory.object;
        let (to, told) = bounded(wanted.len().max(1));
        sharing.rewards.want(wanted.iter().map(|&i| (i, object(i))), &to);
        drop(to);
        let mut open = wanted.len();
        let mut mine = Vec::new();
        while open > 0 {
            let wait = || hear(&told, &sharing.stop);
            let heard = match mine.is_empty() {
                true => self.progress.waiting(Edge::Ledger, wait),
                false => told.try_recv().ok(),
            };
            match heard {
                Some((i, Told::Known(outcome))) => {
                    open -= 1;
                    self.progress.reused.fetch_add(1, Relaxed);
                    values[i] = match outcome {
                        Outcome::Measured(raw) => Some((raw, 0.0)),
                        Outcome::Failed(_) => None,
                    };
                }
                Some((i, Told::Measure)) => mine.push(i),
                None if mine.is_empty() => break,
                None => {
                    let call: Vec<usize> = mine.drain(..self.call.min(mine.len())).collect();
                    open -= call.len();
                    let objects: Vec<Object> = call.iter().map(|&i| object(i).clone()).collect();
                    let measured = self.pay(&sharing.rewards, &objects, policy)?;
                    call.into_iter().zip(measured).for_each(|(i, one)| values[i] = one);
                }
            }
        }
        let record = |(candidate, values): (Candidate, Values)| {
            let (raw, seconds) = values?;
            let Candidate { trajectory, kind, place, .. } = candidate;
            self.known.offer(&trajectory.object, &raw);
            let (actions, log_mu) = (trajectory.actions, trajectory.log_mu as f32);
            Some(Record { actions, raw, seconds, kind, policy, setting, log_mu, place })
        };
        Ok(candidates.into_iter().zip(values).map(record).collect())
    }

    /// Measures objects and tells what came of them.
    fn pay(
        &mut self,
        rewards: &SharedRewards,
        objects: &[Object],
        policy: PolicyVersion,
    ) -> Result<Vec<Values>, ActorError> {
        let mut raw = Vec::with_capacity(objects.len() * self.outputs);
        let start = Instant::now();
        let result = self.evaluate(objects, &mut raw);
        let time = start.elapsed();
        self.adapt(objects.len(), time);
        let seconds = time.as_secs_f32() / objects.len() as f32;
        let tell = |object: &Object, outcome, is_transient| {
            let (key, object) = (rewards.key(object), object.clone());
            let (lease, policy) = (None, Some(policy));
            rewards.done(Evaluated { key, object, outcome, is_transient, seconds, lease, policy });
        };
        match result {
            Ok(()) => {
                self.failures_in_a_row = 0;
                self.progress.measured(objects.len() * self.repeats, time);
                let values = objects.iter().zip(raw.chunks_exact(self.outputs));
                let value = |(object, raw): (&Object, &[f64])| {
                    tell(object, Outcome::Measured(raw.to_vec()), false);
                    Some((raw.to_vec(), seconds))
                };
                Ok(values.map(value).collect())
            }
            Err(_) if objects.len() > 1 => {
                let mut values = Vec::with_capacity(objects.len());
                for object in objects {
                    values.extend(self.pay(rewards, std::slice::from_ref(object), policy)?);
                }
                Ok(values)
            }
            Err(error) => {
                // Only an oracle that knows the object's fault would say the same to everybody.
                let is_transient = !matches!(error, RewardError::UnknownObject { .. });
                tell(&objects[0], Outcome::Failed(error.to_string()), is_transient);
                self.failed(&objects[0], error)?;
                Ok(vec![None])
            }
        }
    }
}

/// The next word; none when nobody is waited for any more.
fn hear(told: &Receiver<(usize, Told)>, stop: &CancellationToken) -> Option<(usize, Told)> {
    loop {
        match told.recv_timeout(LOOK) {
            Ok(told) => return Some(told),
            Err(RecvTimeoutError::Timeout) if stop.is_cancelled() => return None,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
}
