//! The distribution that a policy should learn: p(x) = R(x) / Z.

use super::{ExactError, listed};
use crate::environment::Environment;
use crate::log_space::log_sum_exp;
use crate::reward::Reward;

/// Objects whose reward is evaluated at a time.
const BATCH: usize = 4096;

/// log R of every finished object, and their log Z.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    states: u64,
    log_rewards: Vec<f64>,
    log_z: f64,
}

impl Target {
    /// Evaluates the reward (without its delay: `Task::undelayed`) of every object of an
    /// environment of at most `most_states` states. `keep_going` is asked before each batch.
    ///
    /// # Errors
    /// An environment that cannot list its states or has too many, and a reward that fails or is 0
    /// everywhere.
    pub fn new(
        environment: &dyn Environment,
        reward: &dyn Reward,
        most_states: u64,
        keep_going: &mut dyn FnMut() -> bool,
    ) -> Result<Self, ExactError> {
        let list = listed(environment, most_states)?;
        let mut state = vec![0; environment.state_width()];
        let (mut objects, mut log_rewards) = (Vec::with_capacity(BATCH), Vec::new());
        for start in (0..list.states()).step_by(BATCH) {
            if !keep_going() {
                return Err(ExactError::Stopped);
            }
            objects.clear();
            for index in start..list.states().min(start + BATCH as u64) {
                list.state(index, &mut state);
                if environment.can_stop(&state) {
                    objects.push(environment.object(&state));
                }
            }
            let mut raw = Vec::new();
            reward.evaluate(&objects, &mut raw)?;
            for (object, raw) in objects.iter().zip(raw.chunks_exact(reward.outputs().len())) {
                let refused = |error| ExactError::Raw { object: object.to_string(), error };
                log_rewards.push(reward.transform(raw).map_err(refused)?.get());
            }
        }
        let log_z = log_sum_exp(log_rewards.iter().copied());
        if log_z == f64::NEG_INFINITY {
            return Err(ExactError::NoReward);
        }
        Ok(Self { states: list.states(), log_rewards, log_z })
    }

    /// States of the environment, finished or not.
    pub fn states(&self) -> u64 {
        self.states
    }

    /// log R of each finished object, in the order of the enumeration; minus infinity for R = 0.
    pub fn log_rewards(&self) -> &[f64] {
        &self.log_rewards
    }

    /// log Z: the log of the sum of all rewards.
    pub fn log_z(&self) -> f64 {
        self.log_z
    }
}
