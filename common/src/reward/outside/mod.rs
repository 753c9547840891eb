//! Rewards that programs outside of Tributary measure: commands that actors start, or services that
//! they call. Here is what all programs of a run know of them: their keys, and what their values
//! mean. Who asks them is the actor.

mod asking;
mod command;
mod services;
mod worth;

pub use asking::Asking;
pub use command::Command;
pub use services::Services;
pub use worth::{Values, Worth};

use std::path::Path;

use serde::Serialize;

use super::{InvalidRaw, Output, Reward, RewardError, Role};
use crate::environment::Identity;
use crate::log_space::LogReward;
use crate::object::Object;
use crate::run_file::{Problem, Section};

/// Who measures.
#[derive(Clone, Debug, PartialEq)]
pub enum Outside {
    /// Processes that each actor starts.
    Command(Command),
    /// Services that each actor calls.
    Services(Services),
}

impl Outside {
    /// How objects are asked for.
    pub fn asking(&self) -> &Asking {
        match self {
            Self::Command(command) => &command.asking,
            Self::Services(services) => &services.asking,
        }
    }
}

/// A reward that is measured outside.
pub struct OutsideReward {
    kind: &'static str,
    /// Names what is measured, in the ledger too.
    oracle: String,
    version: u32,
    outside: Outside,
    worth: Worth,
}

#[derive(Serialize)]
struct Canonical<'a> {
    oracle: &'a str,
    outputs: &'a [String],
    #[serde(flatten)]
    worth: &'a Worth,
}

impl OutsideReward {
    /// `kind` of a reward that commands measure.
    pub const COMMAND: &str = "command";
    /// `kind` of a reward that services measure.
    pub const GRPC: &str = "grpc";

    /// The command that `[reward]` describes; relative paths start in `files`.
    ///
    /// # Errors
    /// Every problem with the keys.
    pub fn command(section: &Section, files: &Path) -> Result<Self, Vec<Problem>> {
        let command::Written { mut command, oracle, version, worth } = section.parse()?;
        let oracle = oracle.unwrap_or_else(|| command.command.join(" "));
        command.folder = files.join(command.folder);
        let outside = Outside::Command(command);
        Ok(Self { kind: Self::COMMAND, oracle, version, outside, worth })
    }

    /// The services that `[reward]` describes; relative paths start in `files`.
    ///
    /// # Errors
    /// Every problem with the keys.
    pub fn services(section: &Section, files: &Path) -> Result<Self, Vec<Problem>> {
        let services::Written { mut services, version, worth } = section.parse()?;
        let oracle = services.service.clone();
        services.endpoints_file = services.endpoints_file.map(|file| files.join(file));
        services.outputs.clone_from(&worth.outputs);
        let outside = Outside::Services(services);
        Ok(Self { kind: Self::GRPC, oracle, version, outside, worth })
    }
}

impl Reward for OutsideReward {
    fn identity(&self) -> Identity {
        let outputs = &self.worth.outputs;
        let canonical = Canonical { oracle: &self.oracle, outputs, worth: &self.worth };
        // Texts and numbers always have a JSON form.
        let configuration = serde_json::to_string(&canonical).unwrap_or_default();
        Identity { kind: self.kind.to_owned(), version: self.version, configuration }
    }

    fn outputs(&self) -> Vec<Output> {
        let role = |place| if place == 0 { Role::Objective } else { Role::Info };
        let names = self.worth.outputs.iter().cloned().enumerate();
        names.map(|(place, name)| Output { name, role: role(place) }).collect()
    }

    /// Always fails: whoever wants values has to ask who measures, [`Reward::outside`].
    fn evaluate(&self, _: &[Object], _: &mut Vec<f64>) -> Result<(), RewardError> {
        let reason = "it is measured by programs outside, which only actors ask".to_owned();
        Err(RewardError::Failed { kind: self.kind.to_owned(), reason })
    }

    fn transform(&self, raw: &[f64]) -> Result<LogReward, InvalidRaw> {
        self.worth.log_reward(raw)
    }

    /// Of what is measured and the object: all commands are of one kind.
    fn key(&self, object: &Object, key: &mut Vec<u8>) {
        // Texts and numbers always have a JSON form, and a vector takes it.
        let _ = serde_json::to_writer(key, &(&self.oracle, &self.worth.outputs, object));
    }

    fn outside(&self) -> Option<&Outside> {
        Some(&self.outside)
    }

    fn is_logarithmic(&self) -> bool {
        self.worth.values == Values::LogReward
    }
}

#[cfg(test)]
mod tests;
