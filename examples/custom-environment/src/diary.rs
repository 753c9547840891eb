//! A reward that takes its time and writes down what it does: to see what is paid for, and how often.

use std::fs::OpenOptions;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;
use std::{process, thread};

use tributary_common::environment::{Environment, Identity};
use tributary_common::log_space::LogReward;
use tributary_common::object::Object;
use tributary_common::reward::{InvalidRaw, Output, Reward, RewardError, Role};
use tributary_common::run_file::{Config, Keys, Problem, Section};

/// R = 1 for every object.
#[derive(Clone, Debug, Default)]
pub struct Diary {
    file: String,
    takes: Duration,
}

impl Config for Diary {
    fn about() -> &'static str {
        "R = 1 for every object, slowly, and a line in a file before and after each"
    }

    fn declare(&mut self, keys: &mut Keys<'_>) {
        let file = "where \"begin\" or \"end\", the process and the object are written";
        keys.key("diary", &mut self.file, file).required();
        keys.key("takes", &mut self.takes, "how long measuring one object takes");
    }
}

impl Diary {
    /// Its `kind` in the run file.
    pub const KIND: &str = "diary";

    /// The reward that `[reward]` of a run file describes.
    ///
    /// # Errors
    /// Every problem with its keys.
    pub fn from_section(section: &Section, _: &Arc<dyn Environment>) -> Result<Self, Vec<Problem>> {
        section.parse()
    }

    fn write(&self, word: &str, object: &Object) -> Result<(), RewardError> {
        // One write for a line, so that lines of several processes stay whole.
        let line = format!("{word} {} {object}\n", process::id());
        let file = OpenOptions::new().create(true).append(true).open(&self.file);
        let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
        written.map_err(|error| RewardError::Failed {
            kind: Self::KIND.to_owned(),
            reason: format!("{}: {error}", self.file),
        })
    }
}

impl Reward for Diary {
    fn identity(&self) -> Identity {
        Identity { kind: Self::KIND.into(), version: 1, configuration: String::new() }
    }

    fn outputs(&self) -> Vec<Output> {
        vec![Output { name: "one".into(), role: Role::Objective }]
    }

    fn evaluate(&self, objects: &[Object], raw: &mut Vec<f64>) -> Result<(), RewardError> {
        for object in objects {
            self.write("begin", object)?;
            thread::sleep(self.takes);
            self.write("end", object)?;
            raw.push(1.0);
        }
        Ok(())
    }

    fn transform(&self, raw: &[f64]) -> Result<LogReward, InvalidRaw> {
        let invalid = |reason: String| InvalidRaw { raw: raw.to_vec(), reason };
        match raw {
            [value] => LogReward::from_reward(*value).map_err(|error| invalid(error.to_string())),
            _ => Err(invalid("one value is expected".to_owned())),
        }
    }
}
