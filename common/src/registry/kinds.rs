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
        match section {
            "environment" => self.kinds_of_environment(),
            "reward" => self.kinds_of_reward(),
            _ => Vec::new(),
        }
    }

    fn kinds_of_environment(&self) -> Vec<Kind> {
        let kind = |(name, make): (&String, &super::EnvironmentFactory)| {
            // What is asked for comes through the section, not as a result.
            let ask = |section: &Section| drop(make(section));
            let description = Section::keys_of("environment", name, ask).unwrap_or_default();
            Kind { name: name.clone(), description }
        };
        self.environments.iter().map(kind).collect()
    }

    fn kinds_of_reward(&self) -> Vec<Kind> {
        // Rewards parse their section before they look at the environment; any will do.
        let Ok(grid) = Hypergrid::new(1, 2) else { return Vec::new() };
        let environment: Arc<dyn Environment> = Arc::new(grid);
        let context = RewardContext { environment: &environment, files: Path::new("") };
        let kind = |(name, make): (&String, &super::RewardFactory)| {
            let ask = |section: &Section| drop(make(section, &context));
            let description = Section::keys_of("reward", name, ask).unwrap_or_default();
            Kind { name: name.clone(), description }
        };
        self.rewards.iter().map(kind).collect()
    }
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
