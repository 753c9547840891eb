//! The data that an evaluation looks at: files of the run file, or what the reward itself knows.

use std::path::Path;

use super::{Row, measure, read_objects};
use crate::object::Object;
use crate::registry::Task;
use crate::reward::Known;
use crate::run_file::{Origin, Problem, RunFile};

/// What a run is evaluated on. All may be empty.
#[derive(Clone, Debug, Default)]
pub struct EvaluationData {
    /// Objects on which log p and log R are correlated.
    pub test_set: Vec<Known>,
    /// Samples of the target.
    pub target_samples: Vec<Known>,
    /// Objects that are to be found, each once.
    pub modes: Vec<Object>,
    /// Objects that were known before.
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
        let reference: Vec<Object> =
            rows("reference", &evaluation.reference).map(objects).unwrap_or_default();
        let mut measured = |key: &str, rows: Vec<Row>| {
            measure(environment, reward, rows).unwrap_or_else(|error| {
                problems.push(problem(key, &format!("needs the reward of its objects: {error}")));
                Vec::new()
            })
        };
        let test_set = measured("test_set", test_rows);
        let target_samples = measured("target_samples", target_rows);
        let target_samples: Vec<Known> = target_samples;
        if target_samples.iter().any(|known| !known.log_reward.is_finite()) {
            problems.push(problem(
                "target_samples",
                "has objects with R = 0: no samples of the target",
            ));
        }
        if evaluation.mode_distance > 0.0 && modes.is_empty() {
            let why = "needs modes: give `evaluation.modes`, the reward knows none";
            problems.push(problem("mode_distance", why));
        }
        let has_distance = |objects: &[Object]| {
            objects.first().is_none_or(|x| environment.distance(x, x).is_some())
        };
        if evaluation.mode_distance > 0.0 && !has_distance(&modes) {
            problems.push(problem("mode_distance", "needs an environment with distances"));
        }
        if !has_distance(&reference) {
            problems.push(problem("reference", "needs an environment with distances"));
        }
        let data = Self { test_set, target_samples, modes, reference };
        if problems.is_empty() { Ok(data) } else { Err(problems) }
    }
}

fn problem(key: &str, message: &str) -> Problem {
    let path = format!("evaluation.{key}");
    Problem { origin: Origin::Absent, message: format!("`{path}` {message}"), path }
}
