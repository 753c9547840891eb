//! The values that are in effect, each beside its default.

use super::description::{Description, described};
use super::{RunFile, SECTIONS, Section, Toml};

/// A key that applies in a run, with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Effective {
    /// Its name within the section.
    pub name: String,
    /// Its value.
    pub value: Toml,
    /// What the value would be if the key was left out; `None` where it has no default.
    pub default: Option<Toml>,
    /// Whether the value is one of a few words.
    pub is_choice: bool,
}

impl Effective {
    /// Whether the run would be another one without the key.
    #[must_use]
    pub fn differs(&self) -> bool {
        self.default.as_ref() != Some(&self.value)
    }
}

impl RunFile {
    /// Each section with the keys that apply and have a value, in the order of the file; the kinds of
    /// the environment and of the reward as the registry describes them
    /// ([`Registry::describe_environment`](crate::registry::Registry::describe_environment)).
    #[must_use]
    pub fn effective(
        &self,
        environment: Description,
        reward: Description,
    ) -> Vec<(&'static str, Vec<Effective>)> {
        let shared = self.reward.shared_keys();
        let (own, shared) = (in_effect(reward), in_effect(described(&shared)));
        let keys = [
            in_effect(described(&self.run)),
            [kind(&self.environment), in_effect(environment)].concat(),
            [kind(&self.reward.section), own, shared].concat(),
            in_effect(described(&self.policy)),
            in_effect(described(&self.objective)),
            in_effect(described(&self.exploration)),
            in_effect(described(&self.replay)),
            in_effect(described(&self.learner)),
            in_effect(described(&self.actor)),
            in_effect(described(&self.evaluation)),
        ];
        SECTIONS.into_iter().zip(keys).collect()
    }
}

fn in_effect(description: Description) -> Vec<Effective> {
    let applying = description.keys.into_iter().filter(|key| key.applies);
    let effective = applying.filter_map(|key| {
        let is_choice = !key.form.choices.is_empty();
        Some(Effective { name: key.name, value: key.value?, default: key.default, is_choice })
    });
    effective.collect()
}

fn kind(section: &Section) -> Vec<Effective> {
    let (name, value) = ("kind".to_owned(), Toml::String(section.kind.clone()));
    vec![Effective { name, value, default: None, is_choice: true }]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::registry::Registry;

    #[test]
    fn keys_that_apply_stand_beside_what_they_would_be() {
        let text = "[environment]\nkind = 'hypergrid'\ndimensions = 2\nside = 3\n[reward]\n\
                    kind = 'original'\nr0 = 0.01\ndelay = '1s'\n[replay]\nselector = 'prioritized'\nsamples_per_insert = 8\n\
                    [learner]\nupdates = 10\nlearning_rate = 1e-2\nbatch = 64\n";
        let (registry, run_file) = (Registry::builtin(), RunFile::parse(text, &[]).unwrap());
        let environment = registry.describe_environment(&run_file.environment);
        let reward = registry.describe_reward(&run_file.reward.section);
        let effective = run_file.effective(environment, reward);
        let of = |section: &str, name: &str| {
            let (_, keys) = effective.iter().find(|(name, _)| *name == section).unwrap();
            let key = keys.iter().find(|key| key.name == name);
            key.map(|key| (key.value.to_string(), key.default.as_ref().map(Toml::to_string)))
        };
        let pair = |value: &str, default: Option<&str>| {
            Some((value.to_owned(), default.map(str::to_owned)))
        };
        assert_eq!(of("environment", "side"), pair("3", None));
        assert_eq!(of("reward", "kind"), pair("\"original\"", None));
        assert_eq!(of("reward", "r0"), pair("0.01", Some("0.1")));
        assert_eq!(of("reward", "r2"), pair("2.0", Some("2.0")));
        assert_eq!(of("reward", "delay"), pair("\"1s\"", None));
        assert_eq!(of("replay", "selector"), pair("\"prioritized\"", Some("\"fifo\"")));
        assert_eq!(of("replay", "online_fraction"), pair("0.125", Some("0.125")));
        assert_eq!(of("replay", "top_share"), None);
        assert_eq!(of("learner", "updates"), pair("10", None));
        assert_eq!(of("learner", "log_z_learning_rate"), pair("1.0", Some("1.0")));
        assert_eq!(of("learner", "generated"), None);
        let differing = |section: &str| -> Vec<String> {
            let (_, keys) = effective.iter().find(|(name, _)| *name == section).unwrap();
            keys.iter().filter(|key| key.differs()).map(|key| key.name.clone()).collect()
        };
        assert_eq!(differing("learner"), ["updates", "learning_rate"]);
        assert_eq!(differing("replay"), ["selector", "samples_per_insert"]);
    }
}
