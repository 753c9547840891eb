//! The reference of the run file: its sections, each with what is declared in it.

use super::description::{Description, described};
use super::reader::{NoKeys, SharedRewardKeys};
use super::{Actor, Evaluation, Exploration, Learner, Objective, Policy, Replay, Run, SECTIONS};

/// A section of the run file.
#[derive(Clone, Debug, PartialEq)]
pub struct SectionDescription {
    /// Its name.
    pub name: &'static str,
    /// What it is about: a sentence without a full stop.
    pub about: &'static str,
    /// Its keys; of `[environment]` and `[reward]` those that every kind has.
    pub description: Description,
}

/// All sections with their keys, in the order of the file. The kinds of environments and rewards
/// are known to the registry: [`Registry::kinds`](crate::registry::Registry::kinds).
#[must_use]
pub fn sections() -> Vec<SectionDescription> {
    let descriptions = [
        described(&Run::default()),
        described(&NoKeys),
        described(&SharedRewardKeys::default()),
        described(&Policy::default()),
        described(&Objective::default()),
        described(&Exploration::default()),
        described(&Replay::default()),
        described(&Learner::default()),
        described(&Actor::default()),
        described(&Evaluation::default()),
    ];
    let section =
        |(name, description)| SectionDescription { name, about: about(name), description };
    SECTIONS.into_iter().zip(descriptions).map(section).collect()
}

fn about(section: &str) -> &'static str {
    match section {
        "run" => "the run as a whole",
        "environment" => "how objects are built; the other keys are those of the `kind`",
        "reward" => "what objects are worth; the other keys are those of the `kind`",
        "policy" => "the network and the backward policy P_B",
        "objective" => "the loss: what the policy is trained to balance",
        "exploration" => "how actors draw other than the policy alone would",
        "replay" => "which trajectories are kept, and which of them a batch is made of",
        "learner" => "when the run stops, and how the weights are updated",
        "actor" => "how actors draw trajectories",
        "evaluation" => "what is measured beside the training",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_section_and_every_key_is_explained() {
        let sections = sections();
        assert_eq!(sections.len(), SECTIONS.len());
        for section in &sections {
            assert!(!section.about.is_empty(), "{} says nothing", section.name);
            for key in &section.description.keys {
                let (name, meaning) = (format!("{}.{}", section.name, key.name), key.meaning);
                assert!(meaning.len() > 3 && !meaning.ends_with('.'), "{name}: {meaning:?}");
                let dumb: Vec<_> =
                    key.form.choices.iter().filter(|choice| choice.meaning.is_empty()).collect();
                assert!(dumb.is_empty(), "{name}: no documentation of {dumb:?}");
            }
        }
        let keys = sections.iter().map(|section| section.description.keys.len()).sum::<usize>();
        assert!(keys >= 45, "only {keys} keys are described");
    }
}
