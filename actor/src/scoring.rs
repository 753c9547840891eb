//! Measures finished objects, in calls short enough that none holds up the others for long.

mod sharing;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tributary_common::ids::PolicyVersion;
use tributary_common::object::Object;
use tributary_common::reward::{Reward, RewardError};
use tributary_common::rollout::Trajectory;
use tributary_common::session::work::Place;
use tributary_common::trajectory::TrajectoryKind;

use crate::error::ActorError;
use crate::gate::Gate;
use crate::known::KnownObjects;
use crate::progress::{Edge, Progress};
use crate::shared::SharedRewards;
use sharing::Sharing;

/// Trajectories of one lockstep batch, their objects not measured yet.
#[derive(Debug)]
pub struct Drawn {
    /// The weights that drew them.
    pub policy: PolicyVersion,
    /// The exploration setting that drew them.
    pub setting: u32,
    /// The trajectories.
    pub candidates: Vec<Candidate>,
    /// Where somebody waits for what their objects are worth; has room for it.
    pub answer: Option<Sender<Answer>>,
}

/// A trajectory on its way to become a record.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// What was drawn.
    pub trajectory: Trajectory,
    /// How.
    pub kind: TrajectoryKind,
    /// The raw values of its object, where they are known: it is not measured again.
    pub known: Option<Vec<f64>>,
    /// Its place in a lockstep run.
    pub place: Option<Place>,
}

/// The raw values of each of a batch's objects, none for those that could not be measured.
pub type Answer = Vec<Option<Vec<f64>>>;

/// A complete record: a trajectory with its object's raw reward values.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its actions; the exit at the end is implicit.
    pub actions: Vec<u32>,
    /// What the oracle said, one value for each output; not finite if the oracle said so.
    pub raw: Vec<f64>,
    /// Seconds that measuring the object took; 0 where its values were known.
    pub seconds: f32,
    /// How the trajectory came about.
    pub kind: TrajectoryKind,
    /// The weights that drew it.
    pub policy: PolicyVersion,
    /// The exploration setting.
    pub setting: u32,
    /// log of the behaviour's probability of the path.
    pub log_mu: f32,
    /// Its place in a lockstep run.
    pub place: Option<Place>,
}

/// A call of the reward should take no longer; the objects of a call are halved when it does.
const LONG_CALL: Duration = Duration::from_millis(500);
/// Objects of a call are doubled when it took less.
const SHORT_CALL: Duration = Duration::from_millis(50);
/// The learner is asked for so many objects at once, or for as many as a call has.
const ASKED: usize = 8;
/// So many objects in a row that cannot be measured end the actor.
const HOPELESS: u32 = 100;

/// Evaluates the reward of objects in batches.
pub struct Scoring {
    reward: Arc<dyn Reward>,
    outputs: usize,
    /// Measurements of each object.
    repeats: usize,
    progress: Arc<Progress>,
    /// Where measured objects may be kept.
    known: Arc<KnownObjects>,
    /// Objects in the next call.
    call: usize,
    failures_in_a_row: u32,
    /// So many end the actor.
    hopeless: u32,
    /// Shut while nothing may be paid for, with what ends that wait.
    gate: (Arc<Gate>, CancellationToken),
    /// Who is asked first, where rewards are shared, and until when.
    shared: Option<Sharing>,
}

impl Scoring {
    /// Measures with this reward.
    #[must_use]
    pub(crate) fn new(
        reward: Arc<dyn Reward>,
        progress: Arc<Progress>,
        known: Arc<KnownObjects>,
        gate: (Arc<Gate>, CancellationToken),
    ) -> Self {
        let outputs = reward.outputs().len();
        let repeats = reward.averaging().map_or(1, |averaging| averaging.repeats() as usize);
        let (call, failures_in_a_row, hopeless) = (1, 0, HOPELESS);
        let shared = None;
        Self {
            reward,
            outputs,
            repeats,
            progress,
            known,
            call,
            failures_in_a_row,
            hopeless,
            gate,
            shared,
        }
    }

    /// Asks the learner before it measures, and waits for nobody any more when `stop` is cancelled.
    pub(crate) fn sharing(
        self,
        shared: Option<Arc<SharedRewards>>,
        stop: CancellationToken,
    ) -> Self {
        Self { shared: shared.map(|rewards| Sharing { rewards, stop }), ..self }
    }

    /// Ends the actor at the first object that cannot be measured: a lockstep run would wait for it
    /// in vain.
    pub(crate) fn of_all_or_nothing(self) -> Self {
        Self { hopeless: 1, ..self }
    }

    /// Measures batch after batch until the rollouts or the session are gone.
    ///
    /// # Errors
    /// The reward fails on everything.
    pub fn run(
        mut self,
        drawn: &Receiver<Drawn>,
        records: &mpsc::Sender<Vec<Record>>,
    ) -> Result<(), ActorError> {
        for batch in drawn {
            let Drawn { policy, setting, candidates, answer } = batch;
            let mut answered = Vec::new();
            let mut left = VecDeque::from(candidates);
            while !left.is_empty() {
                let (gate, stop) = &self.gate;
                if !self.progress.waiting(Edge::Queue, || gate.wait(stop)) {
                    return Ok(());
                }
                let most = if self.shared.is_some() { self.call.max(ASKED) } else { self.call };
                let call: Vec<Candidate> = left.drain(..most.min(left.len())).collect();
                let measured = match self.shared.clone() {
                    Some(shared) => self.share(&shared, call, policy, setting)?,
                    None => self.measure(call, policy, setting)?,
                };
                if answer.is_some() {
                    let raw = |record: &Option<Record>| record.as_ref().map(|one| one.raw.clone());
                    answered.extend(measured.iter().map(raw));
                }
                let complete = measured.into_iter().flatten().collect();
                let sent =
                    self.progress.waiting(Edge::Queue, || records.blocking_send(complete).is_ok());
                if !sent {
                    return Ok(());
                }
            }
            if let Some(answer) = answer {
                // Nobody waits any more at the end of a run.
                let _ = answer.try_send(answered);
            }
        }
        Ok(())
    }

    /// Measures one call's objects, those whose values are known left out. An object that cannot be
    /// measured is logged and counted, and there is no record of its trajectory; the others of the
    /// call are measured one by one.
    fn measure(
        &mut self,
        candidates: Vec<Candidate>,
        policy: PolicyVersion,
        setting: u32,
    ) -> Result<Vec<Option<Record>>, ActorError> {
        let unknown = candidates.iter().filter(|candidate| candidate.known.is_none());
        let objects: Vec<Object> = unknown.map(|one| one.trajectory.object.clone()).collect();
        let mut raw = Vec::with_capacity(objects.len() * self.outputs);
        let mut seconds = 0.0;
        if !objects.is_empty() {
            let start = Instant::now();
            let result = self.evaluate(&objects, &mut raw);
            let time = start.elapsed();
            self.adapt(objects.len(), time);
            match result {
                Ok(()) => {
                    self.failures_in_a_row = 0;
                    self.progress.measured(objects.len() * self.repeats, time);
                }
                Err(_) if candidates.len() > 1 => {
                    let mut records = Vec::with_capacity(candidates.len());
                    for candidate in candidates {
                        records.extend(self.measure(vec![candidate], policy, setting)?);
                    }
                    return Ok(records);
                }
                Err(error) => {
                    self.failed(&objects[0], error)?;
                    return Ok(vec![None]);
                }
            }
            seconds = time.as_secs_f32() / objects.len() as f32;
        }
        let mut measured = raw.chunks_exact(self.outputs);
        let record = |candidate: Candidate| {
            let Candidate { trajectory, kind, known, place } = candidate;
            let Trajectory { actions, object, log_mu } = trajectory;
            let (raw, seconds) = match known {
                Some(raw) => (raw, 0.0),
                None => (measured.next()?.to_vec(), seconds),
            };
            self.known.offer(&object, &raw);
            let log_mu = log_mu as f32;
            Some(Record { actions, raw, seconds, kind, policy, setting, log_mu, place })
        };
        Ok(candidates.into_iter().map(record).collect())
    }

    /// Calls the reward and counts values that are not finite.
    fn evaluate(&self, objects: &[Object], raw: &mut Vec<f64>) -> Result<(), RewardError> {
        self.reward.evaluate(objects, raw)?;
        let expected = objects.len() * self.outputs;
        if raw.len() != expected {
            let kind = self.reward.identity().kind;
            let reason = format!(
                "it gave {} raw values for {} objects, not {} for each",
                raw.len(),
                objects.len(),
                self.outputs
            );
            return Err(RewardError::Failed { kind, reason });
        }
        for (object, values) in objects.iter().zip(raw.chunks_exact(self.outputs)) {
            if values.iter().any(|value| !value.is_finite()) {
                self.progress.non_finite.fetch_add(1, Relaxed);
                tracing::warn!(%object, raw = ?values, "the reward is not finite");
            }
        }
        Ok(())
    }

    fn failed(&mut self, object: &Object, source: RewardError) -> Result<(), ActorError> {
        tracing::error!(%object, error = %source, "the object could not be measured");
        self.progress.failed.fetch_add(1, Relaxed);
        self.failures_in_a_row += 1;
        if self.failures_in_a_row < self.hopeless {
            return Ok(());
        }
        let object = object.to_string();
        Err(ActorError::Reward { failures: self.failures_in_a_row, object, source })
    }

    /// Chooses the number of objects of the next call from the time of the last.
    fn adapt(&mut self, objects: usize, time: Duration) {
        if time > LONG_CALL {
            self.call = (objects / 2).max(1);
        } else if time < SHORT_CALL && objects == self.call {
            self.call = (objects * 2).min(1 << 16);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::fakes::Sum;
    use tributary_common::random::{Purpose, Stream};

    fn candidate(cell: [i64; 2]) -> Candidate {
        let object = Object::Integers(cell.to_vec());
        let trajectory = Trajectory { actions: vec![0; cell[0] as usize], object, log_mu: -1.5 };
        Candidate { trajectory, kind: TrajectoryKind::Forward, known: None, place: None }
    }

    type Scored = (Result<(), ActorError>, Vec<Record>, Arc<Progress>);

    fn score(reward: Sum, cells: &[[i64; 2]]) -> Scored {
        let candidates = cells.iter().copied().map(candidate).collect();
        score_batch(reward, candidates, None)
    }

    fn score_batch(
        reward: Sum,
        candidates: Vec<Candidate>,
        answer: Option<Sender<Answer>>,
    ) -> Scored {
        let progress = Arc::new(Progress::default());
        let mut order = Stream::new(1, Purpose::Backward, 0, 0);
        let known = KnownObjects::new(Arc::new(Sum::default()), false, &[], &mut order);
        let scoring =
            Scoring::new(Arc::new(reward), progress.clone(), Arc::new(known), Default::default());
        let (drawn, to_score) = crossbeam_channel::bounded(1);
        let (to_session, mut records) = mpsc::channel(1_000);
        let policy = PolicyVersion::default();
        drawn.send(Drawn { policy, setting: 4, candidates, answer }).unwrap();
        drop(drawn);
        let result = scoring.run(&to_score, &to_session);
        drop(to_session);
        let mut all = Vec::new();
        while let Some(batch) = records.blocking_recv() {
            all.extend(batch);
        }
        (result, all, progress)
    }

    #[test]
    fn what_is_known_is_not_measured_and_who_waits_is_told_of_all() {
        let mut candidates: Vec<Candidate> =
            [[1, 1], [2, 3], [4, 4], [0, 7]].map(candidate).to_vec();
        candidates[2].known = Some(vec![80.0]);
        candidates[2].kind = TrajectoryKind::Backward;
        let (answer, answers) = crossbeam_channel::bounded(1);
        let reward = Sum { unknown: Some(5), ..Sum::default() };
        let (result, records, progress) = score_batch(reward, candidates, Some(answer));
        result.unwrap();
        let expected = [Some(vec![2.0]), None, Some(vec![80.0]), Some(vec![7.0])];
        assert_eq!(answers.recv().unwrap(), expected);
        assert_eq!((records.len(), progress.evaluations.load(Relaxed)), (3, 2));
        assert_eq!((records[1].kind, records[1].seconds), (TrajectoryKind::Backward, 0.0));
        assert!(records[2].seconds > 0.0);
    }

    #[test]
    fn records_keep_order_and_provenance() {
        let cells: Vec<[i64; 2]> = (0..40).map(|i| [i % 7, i]).collect();
        let (result, records, progress) = score(Sum::default(), &cells);
        result.unwrap();
        assert_eq!(progress.evaluations.load(Relaxed), 40);
        let raw: Vec<f64> = records.iter().map(|r| r.raw[0]).collect();
        let expected: Vec<f64> = cells.iter().map(|c| (c[0] + c[1]) as f64).collect();
        assert_eq!(raw, expected);
        assert_eq!((records[5].actions.len(), records[5].setting), (5, 4));
        assert_eq!(records[5].log_mu, -1.5);
    }

    #[test]
    fn what_is_not_finite_is_counted_and_passed_on() {
        let reward = Sum { not_finite: Some(3), ..Sum::default() };
        let (result, records, progress) = score(reward, &[[1, 1], [1, 2], [0, 3], [2, 2]]);
        result.unwrap();
        let raw: Vec<bool> = records.iter().map(|r| r.raw[0].is_nan()).collect();
        assert_eq!(raw, [false, true, true, false]);
        assert_eq!(progress.non_finite.load(Relaxed), 2);
    }

    #[test]
    fn an_object_that_cannot_be_measured_takes_no_other_with_it() {
        let reward = Sum { unknown: Some(5), ..Sum::default() };
        let cells = [[1, 1], [2, 3], [0, 3], [5, 0], [2, 2]];
        let (result, records, progress) = score(reward, &cells);
        result.unwrap();
        let raw: Vec<f64> = records.iter().map(|r| r.raw[0]).collect();
        assert_eq!(raw, [2.0, 3.0, 4.0]);
        assert_eq!(progress.failed.load(Relaxed), 2);
    }

    #[test]
    fn a_hopeless_reward_ends_the_actor() {
        let reward = Sum { unknown: Some(2), ..Sum::default() };
        let (result, records, _) = score(reward, &[[1, 1]; 150]);
        let error = result.unwrap_err();
        assert!(error.to_string().contains("100 objects in a row"), "{error}");
        assert_eq!((records.len(), error.exit_code()), (0, 70));
    }
}
