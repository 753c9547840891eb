//! The examination of a trajectory that came over the network: it is replayed, its reward is
//! transformed, and only then is it a thing to train on.

use std::fmt::Write;
use std::sync::Arc;

use tributary_common::environment::Environment;
use tributary_common::ids::PolicyVersion;
use tributary_common::log_space::LogReward;
use tributary_common::object::Object;
use tributary_common::reward::{KeyMaker, ObjectKey, Reward};
use tributary_common::session::books::RejectionReason;
use tributary_common::trajectory::{IllegalTrajectory, TrajectoryKind, TrajectoryView, walk};
use twox_hash::XxHash3_64;

/// A trajectory that happened: legal, finished, with a log-reward.
#[derive(Clone, Debug, PartialEq)]
pub struct Sound {
    /// Its actions, without the exit.
    pub actions: Vec<u32>,
    /// log R of its object.
    pub log_reward: LogReward,
    /// The weights that drew it.
    pub policy: PolicyVersion,
    /// What was built.
    pub built: Object,
    /// A hash of it, the same in every version: checkpoints keep it.
    pub object: u64,
    /// What its measurement is called in the ledger.
    pub key: ObjectKey,
    /// How its path came about.
    pub kind: TrajectoryKind,
    /// Seconds that measuring its object took.
    pub seconds: f32,
}

/// Why a trajectory is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsound {
    /// For the books.
    pub reason: RejectionReason,
    /// For people.
    pub detail: String,
    /// The step at fault, if there is one.
    pub step: Option<u32>,
}

/// Examines trajectories of one run.
pub struct Examiner {
    environment: Arc<dyn Environment>,
    reward: Arc<dyn Reward>,
    keys: KeyMaker,
    outputs: usize,
    state: Vec<u32>,
    /// Of the object.
    text: String,
}

impl Examiner {
    /// For trajectories of this environment with raw values of this reward.
    pub fn new(environment: Arc<dyn Environment>, reward: Arc<dyn Reward>) -> Self {
        let state = vec![0; environment.state_width()];
        let outputs = reward.outputs().len();
        let keys = KeyMaker::new(Arc::clone(&reward));
        Self { environment, reward, keys, outputs, state, text: String::new() }
    }

    /// Replays a trajectory and makes its log-reward.
    ///
    /// # Errors
    /// The reason why it cannot have happened, or why its raw values give no log-reward.
    pub fn examine(&mut self, trajectory: &TrajectoryView<'_>) -> Result<Sound, Unsound> {
        walk(&*self.environment, trajectory.actions, &mut self.state).map_err(Unsound::from)?;
        let log_reward = self.log_reward(trajectory.raw)?;
        let built = self.environment.object(&self.state);
        self.text.clear();
        // A text takes whatever is written.
        let _ = write!(self.text, "{built}");
        Ok(Sound {
            actions: trajectory.actions.to_vec(),
            log_reward,
            policy: trajectory.policy,
            key: self.keys.key(&built),
            built,
            object: XxHash3_64::oneshot(self.text.as_bytes()),
            kind: trajectory.kind,
            seconds: trajectory.seconds,
        })
    }

    fn log_reward(&self, raw: &[f64]) -> Result<LogReward, Unsound> {
        let invalid = |detail: String| {
            let reason = RejectionReason::InvalidReward;
            Err(Unsound { reason, detail, step: None })
        };
        if raw.len() != self.outputs {
            return invalid(format!("{} raw values, the reward has {}", raw.len(), self.outputs));
        }
        if let Some(value) = raw.iter().find(|value| value.is_nan() || **value == f64::INFINITY) {
            return invalid(format!("raw value {value}"));
        }
        self.reward.transform(raw).or_else(|error| invalid(error.to_string()))
    }
}

impl From<IllegalTrajectory> for Unsound {
    fn from(error: IllegalTrajectory) -> Self {
        let (reason, step) = match error {
            IllegalTrajectory::IllegalAction { step, .. } => {
                (RejectionReason::IllegalAction, u32::try_from(step).ok())
            }
            IllegalTrajectory::TooLong { .. } => (RejectionReason::TooLong, None),
            IllegalTrajectory::Unfinished { .. } => (RejectionReason::Unfinished, None),
        };
        Self { reason, detail: error.to_string(), step }
    }
}

#[cfg(test)]
mod mutations;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::path::Path;
    use tributary_common::ids::Seq;
    use tributary_common::random::{Purpose, Stream};
    use tributary_common::registry::Registry;

    const GRID: &str = "[environment]\nkind = \"hypergrid\"\ndimensions = 2\nside = 3\n\
                        [reward]\nkind = \"original\"\n[learner]\nupdates = 1\n";

    fn view<'a>(actions: &'a [u32], raw: &'a [f64]) -> TrajectoryView<'a> {
        TrajectoryView {
            seq: Seq(0),
            actions,
            raw,
            policy: PolicyVersion::default(),
            kind: TrajectoryKind::Forward,
            setting: 0,
            log_mu: 0.0,
            seconds: 0.0,
        }
    }

    fn examiner() -> Examiner {
        let (_, task) = Registry::builtin().read(GRID, &[], Path::new("")).unwrap();
        Examiner::new(task.environment, task.reward)
    }

    #[test]
    fn of_random_actions_only_those_that_can_happen_are_sound() {
        let seed = 11;
        let mut stream = Stream::new(seed, Purpose::Walk, 0, 0);
        let mut examiner = examiner();
        let mut sound = 0;
        for _ in 0..20_000 {
            let length = stream.below(7);
            let mut actions: Vec<u32> = (0..length).map(|_| stream.below(2) as u32).collect();
            if stream.below(4) == 0 && length > 0 {
                actions[stream.below(length)] = stream.bits() as u32;
            }
            // On a grid of side 3 two steps are possible along each of the two dimensions.
            let steps = |dimension| actions.iter().filter(|a| **a == dimension).count();
            let is_possible = steps(0) <= 2 && steps(1) <= 2 && steps(0) + steps(1) == length;
            let examined = examiner.examine(&view(&actions, &[1.0]));
            assert_eq!(examined.is_ok(), is_possible, "seed {seed}: {actions:?}: {examined:?}");
            sound += u32::from(is_possible);
        }
        assert!(sound > 1_000, "{sound}");
    }

    #[test]
    fn raw_values_without_a_log_reward_are_named() {
        let mut examiner = examiner();
        for raw in [&[f64::NAN][..], &[f64::INFINITY], &[-1.0], &[], &[1.0, 1.0]] {
            let unsound = examiner.examine(&view(&[0], raw)).unwrap_err();
            assert_eq!(unsound.reason, RejectionReason::InvalidReward, "{raw:?}");
        }
        let zero = examiner.examine(&view(&[0], &[0.0])).unwrap();
        assert_eq!(zero.log_reward.get(), f64::NEG_INFINITY);
    }

    #[test]
    fn the_same_object_by_another_way_is_the_same() {
        let mut examiner = examiner();
        let mut object = |actions: &[u32]| examiner.examine(&view(actions, &[1.0])).unwrap().object;
        assert_eq!(object(&[0, 1]), object(&[1, 0]));
        assert_ne!(object(&[0, 1]), object(&[0, 0]));
    }
}
