//! How rollouts leave the policy to find what it does not know yet.

use crate::run_file;

/// The behaviour's settings for one batch of trajectories: at each step a mixture of the tempered
/// policy and of the uniform distribution over the legal actions and the exit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exploration {
    /// Weight of the uniform distribution, in [0, 1].
    pub epsilon: f64,
    /// Divides the forward logits, above 0; 1 leaves the policy as it is.
    pub temperature: f64,
    /// Proposals of local search that follow each trajectory.
    pub rounds: usize,
    /// Probability that a trajectory is drawn backward from a known object instead, in [0, 1).
    pub backward: f64,
    /// Which of the run's settings this is; travels with each trajectory.
    pub setting: u32,
}

impl Exploration {
    /// No exploration: the policy itself.
    pub const NONE: Self =
        Self { epsilon: 0.0, temperature: 1.0, rounds: 0, backward: 0.0, setting: 0 };

    /// A setting of the run file once the learner has accepted so many trajectories.
    #[must_use]
    pub fn at(schedules: &run_file::Exploration, setting: u32, generated: u64) -> Self {
        let index = setting as usize;
        Self {
            epsilon: schedules.epsilon.at(index, generated),
            temperature: schedules.temperature.at(index, generated),
            rounds: schedules.local_search.rounds.of(index),
            backward: schedules.backward.at(index, generated),
            setting,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::run_file::Schedule;

    #[test]
    fn follows_the_learners_count() {
        let schedules = run_file::Exploration {
            epsilon: Schedule::Linear { start: 0.5, end: 0.1, over: 100 }.into(),
            temperature: Schedule::Constant(2.0).into(),
            ..run_file::Exploration::default()
        };
        let halfway = Exploration::at(&schedules, 3, 50);
        assert!((halfway.epsilon - 0.3).abs() < 1e-12, "{halfway:?}");
        assert_eq!((halfway.temperature, halfway.setting), (2.0, 3));
        assert_eq!(Exploration::at(&schedules, 0, 1_000).epsilon, 0.1);
    }

    #[test]
    fn a_setting_takes_its_own_entries() {
        let text = "[environment]\nkind = 'grid'\n[reward]\nkind = 'original'\n[exploration]\n\
                    epsilon = [0.0, 0.01, 0.1]\ntemperature = 1.5\n[learner]\nupdates = 1\n";
        let schedules = run_file::RunFile::parse(text, &[]).unwrap().exploration;
        let drawn = |setting| Exploration::at(&schedules, setting, 9);
        assert_eq!([0, 1, 2].map(|setting| drawn(setting).epsilon), [0.0, 0.01, 0.1]);
        let one = Exploration { epsilon: 0.01, temperature: 1.5, setting: 1, ..Exploration::NONE };
        assert_eq!(drawn(1), one);
    }
}
