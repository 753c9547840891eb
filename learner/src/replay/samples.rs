//! A batch of training as replay gives it.

use tributary_common::ids::PolicyVersion;

/// Where a sample's path comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// As an actor drew it, trained on for the first time.
    #[default]
    Fresh,
    /// As an actor drew it, trained on before.
    Replayed,
    /// As an actor drew it, backward from an object that it knew.
    Backward,
    /// To be drawn backward from an object that an actor found.
    Redrawn,
    /// To be drawn backward from an object of `[replay] initial`.
    Initial,
}

impl Source {
    /// Every source.
    pub const ALL: [Self; 5] =
        [Self::Fresh, Self::Replayed, Self::Backward, Self::Redrawn, Self::Initial];

    /// The name in files and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Replayed => "replayed",
            Self::Backward => "backward",
            Self::Redrawn => "redrawn",
            Self::Initial => "initial",
        }
    }

    /// Whether its path is drawn backward before it is trained on.
    pub fn is_redrawn(self) -> bool {
        matches!(self, Self::Redrawn | Self::Initial)
    }

    /// Whether P_B drew its path, here or in an actor.
    pub fn is_of_backward_policy(self) -> bool {
        self == Self::Backward || self.is_redrawn()
    }
}

/// Trajectories drawn from replay, in columns; a batch of training. Reused between draws.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    /// The place of each among all that were ever inserted, from 0; [`Samples::NEVER_INSERTED`] for
    /// those of a data set.
    pub ordinals: Vec<u64>,
    /// The actions of all, one trajectory after the other, without the exit. Where the source is
    /// redrawn they name the object until another path to it is drawn.
    pub actions: Vec<u32>,
    /// Where the actions of each end.
    pub ends: Vec<usize>,
    /// log R of each; at least finite.
    pub log_rewards: Vec<f64>,
    /// The weights that drew each.
    pub policies: Vec<PolicyVersion>,
    /// Where the path of each comes from.
    pub sources: Vec<Source>,
}

impl Samples {
    /// The ordinal of what no actor sent.
    pub const NEVER_INSERTED: u64 = u64::MAX;

    /// Number of trajectories.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The actions of each in order.
    pub fn iter_actions(&self) -> impl Iterator<Item = &[u32]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.actions[start..end])
    }

    /// Removes all, keeping the memory.
    pub fn clear(&mut self) {
        self.ordinals.clear();
        self.actions.clear();
        self.ends.clear();
        self.log_rewards.clear();
        self.policies.clear();
        self.sources.clear();
    }

    /// Appends a fresh one.
    pub fn push(
        &mut self,
        ordinal: u64,
        actions: impl IntoIterator<Item = u32>,
        log_reward: f64,
        policy: PolicyVersion,
    ) {
        self.push_from(Source::Fresh, ordinal, actions, log_reward, policy);
    }

    /// Appends one.
    pub fn push_from(
        &mut self,
        source: Source,
        ordinal: u64,
        actions: impl IntoIterator<Item = u32>,
        log_reward: f64,
        policy: PolicyVersion,
    ) {
        self.push_with(source, ordinal, |out| out.extend(actions), log_reward, policy);
    }

    /// Appends one whose actions `write` appends.
    pub(super) fn push_with(
        &mut self,
        source: Source,
        ordinal: u64,
        write: impl FnOnce(&mut Vec<u32>),
        log_reward: f64,
        policy: PolicyVersion,
    ) {
        self.ordinals.push(ordinal);
        write(&mut self.actions);
        self.ends.push(self.actions.len());
        self.log_rewards.push(log_reward);
        self.policies.push(policy);
        self.sources.push(source);
    }

    /// Replaces the actions of each by what `path` says, if it says something, and their policy.
    pub fn replace_paths<'a>(
        &mut self,
        policy: PolicyVersion,
        mut path: impl FnMut(usize) -> Option<&'a [u32]>,
    ) {
        let old = std::mem::take(&mut self.actions);
        let mut start = 0;
        for i in 0..self.ends.len() {
            let end = self.ends[i];
            match path(i) {
                Some(actions) => {
                    self.actions.extend_from_slice(actions);
                    self.policies[i] = policy;
                }
                None => self.actions.extend_from_slice(&old[start..end]),
            }
            self.ends[i] = self.actions.len();
            start = end;
        }
    }

    /// The mean of these figures, one for each sample, over the samples of each source.
    pub fn mean_by_source(&self, figures: &[f64]) -> Vec<(Source, f64)> {
        let mean = |source: Source| {
            let of_source = self.sources.iter().zip(figures).filter(|(other, _)| **other == source);
            let (count, sum) = of_source.fold((0u32, 0.0), |(n, sum), (_, x)| (n + 1, sum + x));
            (count > 0).then(|| (source, sum / f64::from(count)))
        };
        Source::ALL.into_iter().filter_map(mean).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_replaced_where_there_is_another() {
        let mut samples = Samples::default();
        let old = PolicyVersion::default();
        samples.push(0, [1, 2], 0.5, old);
        samples.push_from(Source::Redrawn, 1, [3], 0.6, old);
        samples.push_from(Source::Replayed, 2, [4, 5, 6], 0.7, old);
        let new = PolicyVersion { step: 9, ..old };
        samples.replace_paths(new, |i| (i == 1).then_some(&[7, 8, 9][..]));
        let paths: Vec<_> = samples.iter_actions().collect();
        assert_eq!(paths, [&[1, 2][..], &[7, 8, 9], &[4, 5, 6]]);
        assert_eq!(samples.policies, [old, new, old]);
        assert_eq!(samples.ordinals, [0, 1, 2]);
        let means = samples.mean_by_source(&[1.0, 3.0, 5.0]);
        let named: Vec<_> = means.iter().map(|(source, mean)| (source.name(), *mean)).collect();
        assert_eq!(named, [("fresh", 1.0), ("replayed", 5.0), ("redrawn", 3.0)]);
    }
}
