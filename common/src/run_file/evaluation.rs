//! The section about evaluation.

use std::time::Duration;

use super::keys::{Config, Keys};

/// `[evaluation]`
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Time between two evaluations beside the training.
    pub every: Duration,
    /// Environments with more states are not compared exactly.
    pub max_states: u64,
    /// The least log-reward, after the reward's transform, of an object that counts as good;
    /// without it none is counted.
    pub good_log_reward: Option<f64>,
    /// A file of objects on which log p and log R are correlated.
    pub test_set: Option<String>,
    /// At most so many objects of the test set are used in each evaluation.
    pub test_objects: usize,
    /// Paths drawn for each object whose log p is estimated.
    pub paths: usize,
    /// Trajectories drawn in each evaluation for ELBO and effective log Z; see
    /// [`Evaluation::samples_or`].
    pub samples: Option<usize>,
    /// A file of samples of the target, for EUBO.
    pub target_samples: Option<String>,
    /// A file of modes to be found.
    pub modes: Option<String>,
    /// A mode is found when an object is at most so far from it.
    pub mode_distance: f64,
    /// So many best objects are looked at.
    pub top_k: usize,
    /// A file of objects that were known before.
    pub reference: Option<String>,
    /// The empirical distance from the target is over so many accepted objects.
    pub recent_objects: usize,
    /// Updates between two measurements of interference; none are done without.
    pub interference_every: Option<u64>,
    /// Trajectories of a batch that such a measurement compares.
    pub interference_trajectories: usize,
}

impl Evaluation {
    /// Samples of an evaluation where nothing is said and there is no exact comparison.
    pub const SAMPLES: usize = 1_000;

    /// The trajectories that an evaluation draws: as many as the run file says, or else 1,000 where
    /// there is no exact comparison and none where there is one.
    #[must_use]
    pub fn samples_or(&self, has_exact: bool) -> usize {
        self.samples.unwrap_or(if has_exact { 0 } else { Self::SAMPLES })
    }

    /// The data files that it names, each with its key. Only the learner needs them.
    pub fn data_files(&mut self) -> [(&'static str, &mut Option<String>); 4] {
        [
            ("test_set", &mut self.test_set),
            ("target_samples", &mut self.target_samples),
            ("modes", &mut self.modes),
            ("reference", &mut self.reference),
        ]
    }
}

impl Default for Evaluation {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(10),
            max_states: 2_000_000,
            good_log_reward: None,
            test_set: None,
            test_objects: 1_000,
            paths: 10,
            samples: None,
            target_samples: None,
            modes: None,
            mode_distance: 0.0,
            top_k: 100,
            reference: None,
            recent_objects: 200_000,
            interference_every: None,
            interference_trajectories: 16,
        }
    }
}

impl Config for Evaluation {
    fn declare(&mut self, keys: &mut Keys<'_>) {
        keys.key("every", &mut self.every, "time between two evaluations beside the training")
            .above(Duration::ZERO);
        let max_states = "environments with more states are not compared exactly";
        keys.key("max_states", &mut self.max_states, max_states);
        let good =
            "objects of at least this log-reward are counted as good, by exploration setting";
        keys.key("good_log_reward", &mut self.good_log_reward, good);
        let test_set = "file of objects on which log p and log R are correlated; without it the \
                        reward's own, if it has one";
        keys.key("test_set", &mut self.test_set, test_set);
        let test_objects = "objects of the test set that each evaluation uses, spread over it";
        keys.key("test_objects", &mut self.test_objects, test_objects).at_least(1);
        let paths = "paths drawn backward for each object whose log p is estimated";
        keys.key("paths", &mut self.paths, paths).at_least(1).at_most(10_000);
        let samples = "trajectories that each evaluation draws and measures, for ELBO and \
                       effective log Z; 1000 if not given and there is no exact comparison";
        keys.key("samples", &mut self.samples, samples)
            .must("be at most 1000000", |samples| samples.is_none_or(|count| count <= 1_000_000));
        let target_samples = "file of samples of the target, for EUBO; not needed where there is \
                              an exact comparison";
        keys.key("target_samples", &mut self.target_samples, target_samples);
        let modes = "file of modes to be found; without it the reward's own, if it has some";
        keys.key("modes", &mut self.modes, modes);
        let distance = "how far an object may be from a mode that it finds, in the environment's \
                        own distance";
        keys.key("mode_distance", &mut self.mode_distance, distance).at_least(0.0);
        keys.key("top_k", &mut self.top_k, "best objects whose rewards and distances are shown")
            .at_most(1_000);
        let reference = "file of objects known before, or else `replay.initial`: the novelty of \
                         the best objects is their distance to it";
        keys.key("reference", &mut self.reference, reference);
        let recent = "accepted objects whose empirical distance from the target is shown, where \
                      there is an exact comparison";
        keys.key("recent_objects", &mut self.recent_objects, recent).at_most(10_000_000);
        let interference = "updates between two measurements of how gradients of trajectories \
                            agree; they take time from the training";
        keys.key("interference_every", &mut self.interference_every, interference)
            .must("be at least 1", |every| every.is_none_or(|updates| updates > 0));
        let is_measured = self.interference_every.is_some();
        let trajectories = "trajectories of a batch that such a measurement compares";
        keys.key("interference_trajectories", &mut self.interference_trajectories, trajectories)
            .at_least(2)
            .at_most(256)
            .only(is_measured, "with `interference_every`");
    }
}
