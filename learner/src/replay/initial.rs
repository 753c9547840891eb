//! The objects of a data set, trained on beside those that actors find; they stay to the end.

use tributary_common::data_set::Known;
use tributary_common::ids::PolicyVersion;
use tributary_common::random::Stream;

use super::{Samples, Source};

/// Objects from which some are drawn uniformly, with replacement.
#[derive(Debug, Default)]
pub(super) struct Initial(Vec<Known>);

impl Initial {
    pub(super) fn new(objects: Vec<Known>) -> Self {
        Self(objects)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Appends one to the samples, with log R of at least `log_reward_min`.
    pub(super) fn draw(&self, log_reward_min: f64, stream: &mut Stream, samples: &mut Samples) {
        if self.0.is_empty() {
            return;
        }
        let Known { actions, log_reward } = &self.0[stream.below(self.0.len())];
        let log_reward = log_reward.get().max(log_reward_min);
        let (ordinal, policy) = (Samples::NEVER_INSERTED, PolicyVersion::default());
        samples.push_from(Source::Initial, ordinal, actions.iter().copied(), log_reward, policy);
    }
}
