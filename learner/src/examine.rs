//! The examination of a trajectory that came over the network: it is replayed, its reward is
//! transformed, and only then is it a thing to train on.

use std::sync::Arc;

use tributary_common::environment::Environment;
use tributary_common::ids::PolicyVersion;
use tributary_common::log_space::LogReward;
use tributary_common::reward::Reward;
use tributary_common::session::books::RejectionReason;
use tributary_common::trajectory::{IllegalTrajectory, TrajectoryView, replay};

/// A trajectory that happened: legal, finished, with a log-reward.
#[derive(Clone, Debug, PartialEq)]
pub struct Sound {
    /// Its actions, without the exit.
    pub actions: Vec<u32>,
    /// log R of its object.
    pub log_reward: LogReward,
    /// The weights that drew it.
    pub policy: PolicyVersion,
    /// A hash of its object.
    pub object: u64,
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
    outputs: usize,
    state: Vec<u32>,
}

impl Examiner {
    /// For trajectories of this environment with raw values of this reward.
    pub fn new(environment: Arc<dyn Environment>, reward: Arc<dyn Reward>) -> Self {
        let state = vec![0; environment.state_width()];
        let outputs = reward.outputs().len();
        Self { environment, reward, outputs, state }
    }

    /// Replays a trajectory and makes its log-reward.
    ///
    /// # Errors
    /// The reason why it cannot have happened, or why its raw values give no log-reward.
    pub fn examine(&mut self, trajectory: &TrajectoryView<'_>) -> Result<Sound, Unsound> {
        let environment = &*self.environment;
        replay(environment, trajectory.actions, &mut self.state, |_, _| {})
            .map_err(Unsound::from)?;
        let log_reward = self.log_reward(trajectory.raw)?;
        let object = self.environment.object(&self.state).to_string();
        let hash = blake3::hash(object.as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&hash.as_bytes()[..8]);
        Ok(Sound {
            actions: trajectory.actions.to_vec(),
            log_reward,
            policy: trajectory.policy,
            object: u64::from_le_bytes(first),
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
