//! Which kinds a registry has, each with the keys that it declares.

use std::path::Path;
use std::sync::Arc;

use super::{Registry, RewardContext};
use crate::environment::{Environment, Hypergrid};
use crate::run_file::{Description, Section};

/// A kind of environment or reward.
#[derive(Clone, Debug, PartialEq)]
pub struct Kind {
    /// Its name in the run file.
    pub name: String,
    /// Its keys; none are known of a kind that does not read its section by [`Section::parse`].
    pub description: Description,
}

impl Registry {
    /// The kinds that a section can have, in the order of their names: of "environment" and
    /// "reward", and none of other sections. Each factory is asked what it would parse, so that a
    /// kind describes itself, whoever registered it.
    pub fn kinds(&self, section: &str) -> Vec<Kind> {
        let kind = |section: Section, description| Kind { name: section.kind, description };
        match section {
            "environment" => {
                let sections = self.environments.keys().map(|kind| empty("environment", kind));
                sections.map(|s| kind(s.clone(), self.describe_environment(&s))).collect()
            }
            "reward" => {
                let sections = self.rewards.keys().map(|kind| empty("reward", kind));
                sections.map(|s| kind(s.clone(), self.describe_reward(&s))).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The keys of an environment's kind, with their values in its section.
    pub fn describe_environment(&self, section: &Section) -> Description {
        let make = self.environments.get(&section.kind);
        // What is asked for comes through the section, not as a result.
        let description = make.and_then(|make| section.described_by(|asked| drop(make(asked))));
        description.unwrap_or_default()
    }

    /// The keys of a reward's kind, with their values in its section.
    pub fn describe_reward(&self, section: &Section) -> Description {
        // Rewards parse their section before they look at the environment; any will do.
        let Ok(grid) = Hypergrid::new(1, 2) else { return Description::default() };
        let environment: Arc<dyn Environment> = Arc::new(grid);
        let context = RewardContext { environment: &environment, files: Path::new("") };
        let make = self.rewards.get(&section.kind);
        let description =
            make.and_then(|make| section.described_by(|asked| drop(make(asked, &context))));
        description.unwrap_or_default()
    }
}

fn empty(name: &'static str, kind: &str) -> Section {
    Section::new(name, kind, Default::default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::run_file::{Config, Keys};

    fn keys(kinds: &[Kind], name: &str) -> Vec<String> {
        let kind = kinds.iter().find(|kind| kind.name == name).unwrap();
        kind.description.keys.iter().map(|key| key.name.clone()).collect()
    }

    #[test]
    fn every_built_in_kind_explains_itself_and_its_keys() {
        let registry = Registry::builtin();
        let (environments, rewards) = (registry.kinds("environment"), registry.kinds("reward"));
        assert!(environments.len() >= 2 && rewards.len() >= 7);
        for Kind { name, description } in environments.iter().chain(&rewards) {
            assert!(!description.about.is_empty(), "{name} does not say what it is");
            assert!(!description.about.ends_with('.'), "{name}: {}", description.about);
            for key in &description.keys {
                assert!(!key.meaning.is_empty() && !key.meaning.ends_with('.'), "{name}: {key:?}");
            }
        }
        assert_eq!(keys(&environments, "hypergrid"), ["dimensions", "side"]);
        assert_eq!(keys(&rewards, "cosine"), ["r0", "r1"]);
        assert_eq!(keys(&rewards, "sparse"), [""; 0]);
        assert!(registry.kinds("learner").is_empty());
    }

    #[test]
    fn a_kind_is_described_with_the_values_of_a_section() {
        let keys = "kind = 'bit_sequence'\nmodes = 7\ndistance_scale = 'raw'\nexponent = 2";
        let section = Section::from_toml("reward", keys).unwrap();
        let description = Registry::builtin().describe_reward(&section);
        let pair = |key: &crate::run_file::KeyDescription| {
            let text =
                |value: &Option<crate::run_file::Toml>| value.as_ref().map(|v| v.to_string());
            (key.name.clone(), text(&key.value).unwrap(), text(&key.default))
        };
        let found: Vec<_> = description.keys.iter().map(pair).collect();
        let expected = [
            ("modes", "7", Some("60")),
            ("seed", "0", Some("0")),
            ("distance_scale", "\"raw\"", None),
            ("exponent", "2.0", None),
        ];
        let expected = expected.map(|(name, value, default)| {
            (name.to_owned(), value.to_owned(), default.map(str::to_owned))
        });
        assert_eq!(found, expected);
    }

    #[derive(Clone, Default)]
    struct Ring(usize);

    impl Config for Ring {
        fn declare(&mut self, keys: &mut Keys<'_>) {
            keys.key("cells", &mut self.0, "cells around the ring").required();
        }
    }

    #[test]
    fn a_kind_of_somebody_else_describes_itself() {
        let registry = Registry::default()
            .with_environment("ring", |section| {
                section.parse::<Ring>()?;
                Ok(Arc::new(Hypergrid::new(1, 2).map_err(|e| vec![e.in_section(section)])?))
            })
            .with_environment("silent", |section| Err(vec![section.problem("kind", "is no use")]));
        let kinds = registry.kinds("environment");
        assert_eq!(keys(&kinds, "ring"), ["cells"]);
        assert_eq!(keys(&kinds, "silent"), [""; 0]);
    }
}
