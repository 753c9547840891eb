//! The distribution that a policy should learn: p(x) = R(x) / Z.

use super::{ExactError, listed};
use crate::environment::Environment;
use crate::log_space::log_sum_exp;
use crate::random::Stream;
use crate::reward::{Known, Reward};

/// Objects whose reward is evaluated at a time.
const BATCH: usize = 4096;

/// log R of every finished object, and their log Z.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    pub(super) states: u64,
    pub(super) log_rewards: Vec<f64>,
    pub(super) log_z: f64,
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

    /// Independent samples of the target, in the order of the enumeration.
    ///
    /// # Errors
    /// An environment that cannot list its states.
    pub fn samples(
        &self,
        environment: &dyn Environment,
        count: usize,
        stream: &mut Stream,
    ) -> Result<Vec<Known>, ExactError> {
        let list = listed(environment, u64::MAX)?;
        let mut drawn: Vec<f64> = (0..count).map(|_| stream.uniform()).collect();
        drawn.sort_unstable_by(f64::total_cmp);
        let mut left = drawn.into_iter().peekable();
        let mut state = vec![0; environment.state_width()];
        let (mut objects, mut below) = (self.log_rewards.iter(), 0.0);
        let mut samples = Vec::with_capacity(count);
        for index in 0..list.states() {
            list.state(index, &mut state);
            if !environment.can_stop(&state) {
                continue;
            }
            let Some(&log_reward) = objects.next() else { break };
            below += (log_reward - self.log_z).exp();
            while left.next_if(|share| *share < below).is_some() {
                let object = environment.object(&state);
                samples.push(Known { object, state: state.clone(), log_reward });
            }
        }
        Ok(samples)
    }
}
