//! The run file: TOML with overrides, read into typed sections with every problem reported at
//! once.
//!
//! [`RunFile::parse`] reads it. The keys of `[environment]` and `[reward]` depend on their `kind`:
//! they stay a [`Section`] until whoever knows the kinds calls [`Section::parse`] with the kind's
//! own [`Config`]. A key is declared in one place, its section's [`Config::declare`].

mod architecture;
mod description;
mod document;
mod effective;
mod evaluation;
mod exploration;
mod keys;
mod learner;
mod nesting;
mod objective;
mod optimizer;
mod portfolio;
mod problem;
mod reader;
mod reference;
mod replay;
mod resume;
mod schedule;
mod section;
mod sections;
#[cfg(test)]
mod tests;
mod units;
mod value;

pub use architecture::{ActivationKind, Architecture, NetworkKind};
pub use description::{Choice, Description, Form, KeyDescription, described};
pub use document::parse_override;
pub use effective::Effective;
pub use evaluation::Evaluation;
pub use exploration::{Acceptance, Exploration, LocalSearch};
pub use keys::{Config, Key, Keys, written};
pub use learner::{Device, Learner};
pub use objective::{FlowTarget, Objective, ObjectiveKind, Residual, Weighting};
pub use optimizer::{Decay, LogZInitial, Optimizer, OptimizerKind};
pub use portfolio::Portfolio;
pub use problem::{Origin, Problem, RunFileError, suggestion};
pub use reference::{SectionDescription, sections};
pub use replay::{Duplicates, Keep, Priority, Replay, Selector, Stale};
pub use resume::{MAY_CHANGE, OtherRun};
pub use schedule::Schedule;
pub use section::Section;
pub use sections::{
    Actor, AfterWait, Backward, BackwardNetwork, OnLearnerLoss, Policy, Run, Weights,
};
pub use toml::Value as Toml;
pub use units::ByteSize;
pub use value::{Value, expected_one_of};

use crate::reward::Average;
use document::Document;
use reader::{NoKeys, Reader, SharedRewardKeys};
use std::fmt;
use std::fmt::Write as _;
use std::time::Duration;

/// Every section, in the order of the file.
const SECTIONS: [&str; 10] = [
    "run",
    "environment",
    "reward",
    "policy",
    "objective",
    "exploration",
    "replay",
    "learner",
    "actor",
    "evaluation",
];

/// `[reward]`: the keys that every kind shares, and the kind with its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Reward {
    /// The kind and its own keys.
    pub section: Section,
    /// Whether accepted trajectories survive the learner's death; the kind decides when not given.
    pub durable: Option<bool>,
    /// Whether actors ask before they measure.
    pub shared: Option<bool>,
    /// What one evaluation costs; its seconds when not given.
    pub cost: Option<f64>,
    /// The share of known objects that is measured again by another actor.
    pub audit: Option<f64>,
    /// By what share of the larger value two actors may differ.
    pub audit_tolerance: Option<f64>,
    /// Sleep for every object that is evaluated, to stand for an expensive reward.
    pub delay: Option<Duration>,
    /// How often an object is measured.
    pub repeats: Option<u32>,
    /// How what that gives is averaged.
    pub average: Option<Average>,
}

impl Reward {
    /// Whether actors ask the learner's ledger before they measure.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.durable == Some(true) && self.shared == Some(true)
    }

    /// The share of known objects that another actor measures again, of those that took so long.
    #[must_use]
    pub fn audited(&self, seconds: f32) -> f64 {
        const USUAL: f64 = 1e-3;
        self.audit.unwrap_or(if seconds <= 1.0 { USUAL } else { 0.0 })
    }

    /// Measurements of each object.
    #[must_use]
    pub fn measurements(&self) -> u64 {
        u64::from(self.repeats.unwrap_or(1).max(1))
    }

    /// By what share of the larger value two actors may differ before that is an alarm.
    #[must_use]
    pub fn tolerance(&self) -> f64 {
        self.audit_tolerance.unwrap_or(1e-6)
    }

    fn shared_keys(&self) -> SharedRewardKeys {
        let Self { durable, shared, cost, audit, audit_tolerance, delay, repeats, average, .. } =
            *self;
        SharedRewardKeys { durable, shared, cost, audit, audit_tolerance, delay, repeats, average }
    }
}

/// What a run is, as the user wrote it, with the defaults filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct RunFile {
    /// `[run]`
    pub run: Run,
    /// `[environment]`, to be parsed by its kind.
    pub environment: Section,
    /// `[reward]`, to be parsed by its kind.
    pub reward: Reward,
    /// `[policy]`
    pub policy: Policy,
    /// `[objective]`
    pub objective: Objective,
    /// `[exploration]`
    pub exploration: Exploration,
    /// `[replay]`
    pub replay: Replay,
    /// `[learner]`
    pub learner: Learner,
    /// `[actor]`
    pub actor: Actor,
    /// `[evaluation]`
    pub evaluation: Evaluation,
}

/// A key whose effective value differs between two run files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// `section.key`
    pub key: String,
    /// The value before, as TOML; `None` where there was none.
    pub before: Option<String>,
    /// The value after, likewise.
    pub after: Option<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "not set".to_owned());
        write!(out, "{}: {} -> {}", self.key, shown(&self.before), shown(&self.after))
    }
}

/// Updates between two broadcasts of weights; see [`RunFile::publish_every`].
const PUBLISH_EVERY: u64 = 4;

impl RunFile {
    /// How many evaluations may be paid for, where that is known beforehand: by their number, or by
    /// what each costs.
    #[must_use]
    pub fn most_evaluations(&self) -> Option<u64> {
        // A multiple of the cost may be a little less than it should be.
        let affordable = |(most, each): (f64, f64)| (most / each * (1.0 + 1e-9)).floor() as u64;
        let affordable = self.learner.max_cost.zip(self.reward.cost).map(affordable);
        self.learner.max_evaluations.into_iter().chain(affordable).min()
    }

    /// Updates between two broadcasts of weights. Where the run file gives none: 4, or as many
    /// as the trajectories that a thread of an actor draws at once are enough for, if that is more, since
    /// nobody could use all of them; but no more than paths may be old. Rounds of a lockstep run are not
    /// made larger.
    #[must_use]
    pub fn publish_every(&self) -> u64 {
        let Self { run, learner, replay, .. } = self;
        let batches = self.actor_batch() / learner.batch.max(1);
        let at_once = if run.lockstep { 0 } else { batches as u64 };
        let oldest = replay.max_lag.map_or(u64::MAX, |lag| lag.saturating_add(1));
        let usual = PUBLISH_EVERY.max(at_once.min(oldest));
        learner.publish_every.unwrap_or(usual)
    }

    /// Trajectories that each rollout thread builds in lockstep. Where the run file gives no number:
    /// four batches of the learner, since more only makes paths older before they are trained on;
    /// but enough for a matrix product, and no more than make one faster.
    #[must_use]
    pub fn actor_batch(&self) -> usize {
        let usual = self.learner.batch.saturating_mul(4).clamp(16, 128);
        self.actor.batch.unwrap_or(usual)
    }

    /// Reads a run file; `overrides` are pairs of `section.key` and a value (TOML, or a bare word
    /// for text), later ones win.
    ///
    /// # Errors
    /// All problems, but those inside the kinds of `[environment]` and `[reward]`: see
    /// [`RunFile::parse_with`].
    pub fn parse(text: &str, overrides: &[(String, String)]) -> Result<Self, RunFileError> {
        Self::parse_with(text, overrides, |_, _| Vec::new())
    }

    /// Reads a run file together with whoever knows its kinds: `check` is called once with the
    /// environment's and the reward's sections, also when other sections have problems, so that the
    /// user sees all of them at once. A section without a kind is not checked.
    ///
    /// # Errors
    /// All problems, those of `check` included.
    pub fn parse_with(
        text: &str,
        overrides: &[(String, String)],
        check: impl FnOnce(Option<&Section>, Option<&Section>) -> Vec<Problem>,
    ) -> Result<Self, RunFileError> {
        let mut reader = Reader::new(Document::parse(text, overrides)?);
        let run_file = Self {
            run: reader.section("run"),
            environment: reader.kinded("environment", &mut NoKeys),
            reward: reader.reward(),
            policy: reader.section("policy"),
            objective: reader.section("objective"),
            exploration: reader.section("exploration"),
            replay: reader.section("replay"),
            learner: reader.section("learner"),
            actor: reader.section("actor"),
            evaluation: reader.section("evaluation"),
        };
        let known = |section: &'_ Section| !section.kind.is_empty();
        let environment = Some(&run_file.environment).filter(|section| known(section));
        let reward = Some(&run_file.reward.section).filter(|section| known(section));
        reader.problems.extend(check(environment, reward));
        if reader.problems.is_empty() { Ok(run_file) } else { Err(reader.problems.into()) }
    }

    /// The effective values as a run file that parses to the same.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        for (name, entries) in self.entries() {
            let separator = if text.is_empty() { "" } else { "\n" };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{separator}[{name}]");
            for (key, value) in entries {
                let _ = writeln!(text, "{} = {value}", quoted(&key));
            }
        }
        text
    }

    /// The keys whose effective values changed from this run file to a later one.
    #[must_use]
    pub fn difference(&self, later: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        for ((name, before), (_, after)) in self.entries().into_iter().zip(later.entries()) {
            let find = |entries: &[(String, Toml)], key: &str| {
                entries.iter().find(|(name, _)| name == key).map(|(_, value)| value.to_string())
            };
            let only_after = after.iter().filter(|(key, _)| find(&before, key).is_none());
            for (key, _) in before.iter().chain(only_after) {
                let (old, new) = (find(&before, key), find(&after, key));
                if old != new {
                    let key = format!("{name}.{key}");
                    changes.push(Change { key, before: old, after: new });
                }
            }
        }
        changes
    }

    /// Each section with its keys and effective values, in the order of [`SECTIONS`].
    fn entries(&self) -> [(&'static str, Vec<(String, Toml)>); 10] {
        let shared = self.reward.shared_keys();
        let entries = [
            written(&self.run),
            self.environment.entries(Vec::new()),
            self.reward.section.entries(written(&shared)),
            written(&self.policy),
            written(&self.objective),
            written(&self.exploration),
            written(&self.replay),
            written(&self.learner),
            written(&self.actor),
            written(&self.evaluation),
        ];
        let mut names = SECTIONS.into_iter();
        entries.map(|entries| (names.next().unwrap_or_default(), entries))
    }
}

/// A TOML key, quoted where it must be.
fn quoted(key: &str) -> String {
    if !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)) {
        return key.to_owned();
    }
    let escaped = key.chars().map(|c| match c {
        '"' | '\\' => format!("\\{c}"),
        c if c.is_control() => format!("\\u{:04X}", u32::from(c)),
        c => c.to_string(),
    });
    format!("\"{}\"", escaped.collect::<String>())
}
