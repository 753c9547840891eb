//! The data that an evaluation looks at: files of the run file, or what the reward itself knows.

use std::path::Path;

use super::{Row, measure, read_objects};
use crate::environment::Environment;
use crate::object::Object;
use crate::registry::Task;
use crate::reward::Known;
use crate::run_file::{Evaluation, Origin, Problem, RunFile};

/// What a run is evaluated on. All may be empty.
#[derive(Clone, Debug, Default)]
pub struct EvaluationData {
    /// Objects on which log p and log R are correlated.
    pub test_set: Vec<Known>,
    /// Samples of the target.
    pub target_samples: Vec<Known>,
    /// Objects that are to be found, each once.
    pub modes: Vec<Object>,
    /// Objects that were known before: of the file `reference`, or of the replay's initial data.
    pub reference: Vec<Object>,
}

impl EvaluationData {
    /// Reads the files that `[evaluation]` names, relative to `folder`; where there is none, takes the
    /// reward's own test set and modes.
    ///
    /// # Errors
    /// Every problem with the files, and keys that need what the task does not have.
    pub fn load(run_file: &RunFile, task: &Task, folder: &Path) -> Result<Self, Vec<Problem>> {
        let evaluation = &run_file.evaluation;
        let (environment, reward) = (task.environment.as_ref(), task.undelayed.as_ref());
        let mut problems = Vec::new();
        let mut rows = |key: &str, file: &Option<String>| {
            let read = file.as_ref().map(|name| read_objects(&folder.join(name), environment));
            read.transpose().unwrap_or_else(|error| {
                problems.push(problem(key, &error.to_string()));
                None
            })
        };
        let own = |objects: Vec<Object>| {
            objects.into_iter().map(|object| Row { object, raw: None }).collect()
        };
        let objects = |rows: Vec<Row>| rows.into_iter().map(|row| row.object).collect();
        let test_rows = rows("test_set", &evaluation.test_set);
        let test_rows = test_rows.unwrap_or_else(|| own(reward.test_set()));
        let target_rows = rows("target_samples", &evaluation.target_samples).unwrap_or_default();
        let modes = rows("modes", &evaluation.modes).map_or_else(|| reward.modes(), objects);
        let before = evaluation.reference.clone().or_else(|| run_file.replay.initial.clone());
        let reference: Vec<Object> = rows("reference", &before).map(objects).unwrap_or_default();
        let mut measured = |key: &str, rows: Vec<Row>| {
            measure(environment, reward, rows).unwrap_or_else(|error| {
                problems.push(problem(key, &format!("needs the reward of its objects: {error}")));
                Vec::new()
            })
        };
        let test_set = measured("test_set", test_rows);
        let target_samples: Vec<Known> = measured("target_samples", target_rows);
        if target_samples.iter().any(|known| !known.log_reward.is_finite()) {
            problems.push(problem(
                "target_samples",
                "has objects with R = 0: no samples of the target",
            ));
        }
        let data = Self { test_set, target_samples, modes, reference };
        problems.extend(data.without_distance(evaluation, environment));
        if problems.is_empty() { Ok(data) } else { Err(problems) }
    }

    /// The keys that need modes or distances that are not there.
    fn without_distance(
        &self,
        evaluation: &Evaluation,
        environment: &dyn Environment,
    ) -> Vec<Problem> {
        let mut problems = Vec::new();
        let has_distance = |objects: &[Object]| {
            objects.first().is_none_or(|x| environment.distance(x, x).is_some())
        };
        if evaluation.mode_distance > 0.0 && self.modes.is_empty() {
            let why = "needs modes: give `evaluation.modes`, the reward knows none";
            problems.push(problem("mode_distance", why));
        }
        let no_distance = "needs an environment with distances";
        if evaluation.mode_distance > 0.0 && !has_distance(&self.modes) {
            problems.push(problem("mode_distance", no_distance));
        }
        if evaluation.reference.is_some() && !has_distance(&self.reference) {
            problems.push(problem("reference", no_distance));
        }
        problems
    }
}

fn problem(key: &str, message: &str) -> Problem {
    let path = format!("evaluation.{key}");
    Problem { origin: Origin::Absent, message: format!("`{path}` {message}"), path }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;

    use super::*;
    use crate::registry::Registry;

    const BITS: &str = "[environment]\nkind = 'sequence'\nword_bits = 4\nlength = 2\n[reward]\n\
                        kind = 'bit_sequence'\nmodes = 3\ndistance_scale = 'raw'\nexponent = 2\n\
                        [learner]\nupdates = 1\n";

    fn load(more: &str) -> Result<EvaluationData, Vec<Problem>> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("data.csv"), "bits,distance\n00000000,4\n11110000,0\n")
            .unwrap();
        let text = format!("{BITS}{more}");
        let (run_file, task) = Registry::builtin().read(&text, &[], folder.path()).unwrap();
        EvaluationData::load(&run_file, &task, folder.path())
    }

    #[test]
    fn without_files_the_reward_brings_its_own() {
        let data = load("").unwrap();
        assert_eq!((data.test_set.len(), data.modes.len()), (24, 3));
        assert!(data.target_samples.is_empty() && data.reference.is_empty());
        assert!(data.test_set.iter().all(|known| (-16.0..=0.0).contains(&known.log_reward)));
    }

    #[test]
    fn files_come_first_and_initial_data_is_a_reference() {
        let files =
            "[evaluation]\ntest_set = 'data.csv'\ntarget_samples = 'data.csv'\nmodes = 'data.csv'";
        let data = load(&format!("{files}\n[replay]\ninitial = 'data.csv'\n")).unwrap();
        let log_rewards: Vec<f64> = data.test_set.iter().map(|known| known.log_reward).collect();
        assert_eq!(log_rewards, [-8.0, 0.0], "as the file measures them");
        assert_eq!((data.target_samples.len(), data.modes.len()), (2, 2));
        assert_eq!(data.reference, data.modes);
    }

    #[test]
    fn a_program_outside_is_asked_about_nothing() {
        let load = |evaluation: &str| {
            let text = format!(
                "[environment]\nkind = 'sequence'\nword_bits = 4\nlength = 2\n[reward]\n\
                 kind = 'command'\ncommand = ['python3']\n[learner]\nupdates = 1\n{evaluation}"
            );
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("data.csv"), "bits\n00000000\n").unwrap();
            fs::write(folder.path().join("values.csv"), "bits,value\n00000000,4\n").unwrap();
            let (run_file, task) = Registry::builtin().read(&text, &[], folder.path()).unwrap();
            EvaluationData::load(&run_file, &task, folder.path())
        };
        assert!(load("").unwrap().test_set.is_empty());
        assert_eq!(load("[evaluation]\ntest_set = 'values.csv'\n").unwrap().test_set.len(), 1);
        let problems = load("[evaluation]\ntest_set = 'data.csv'\n").unwrap_err();
        assert_eq!(problems[0].path, "evaluation.test_set", "{problems:?}");
    }

    #[test]
    fn all_problems_are_said_at_once() {
        let missing = "[evaluation]\nmodes = 'nowhere.csv'\ntest_set = 'nothing.csv'\n";
        let problems = load(missing).unwrap_err();
        let keys: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
        assert_eq!(keys, ["evaluation.test_set", "evaluation.modes"], "{problems:?}");
    }
}
