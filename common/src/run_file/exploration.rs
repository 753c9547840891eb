//! `[exploration]`: how actors leave the policy to find what it does not know yet.

use super::keys::{Config, Keys};
use super::portfolio::Portfolio;
use super::schedule::Schedule;
use crate::choices;

/// `[exploration]`
#[derive(Clone, Debug, PartialEq)]
pub struct Exploration {
    /// Probability of a uniformly random action at each step, in [0, 1].
    pub epsilon: Portfolio,
    /// Divides the forward logits; above 1 flattens the policy.
    pub temperature: Portfolio,
    /// Part of a trajectory undone and done again.
    pub local_search: LocalSearch,
    /// Probability that a trajectory is drawn backward from a known object, in [0, 1).
    pub backward: Portfolio,
    /// A file of objects that actors start from.
    pub initial: Option<String>,
}

impl Exploration {
    /// The most settings of a run: each has its own figures.
    pub const MOST_SETTINGS: usize = 64;

    /// Settings that the learner spreads over the actors, from 0; at least 1.
    #[must_use]
    pub fn settings(&self) -> usize {
        let lists = [self.epsilon.len(), self.temperature.len(), self.backward.len()];
        lists.into_iter().fold(self.local_search.rounds.len(), usize::max)
    }

    /// A setting in words: "epsilon 0.1, temperature 1", and what else it does.
    #[must_use]
    pub fn describe(&self, setting: usize) -> String {
        let (epsilon, temperature) = (self.epsilon.of(setting), self.temperature.of(setting));
        let mut text = format!("epsilon {epsilon}, temperature {temperature}");
        let LocalSearch { rounds, steps, accept } = &self.local_search;
        let rounds = rounds.of(setting);
        if rounds > 0 {
            let accept = accept.name().replace('_', "-");
            text += &format!(", local search of {rounds} rounds x {steps} steps ({accept})");
        }
        let backward = self.backward.of(setting);
        if backward != Schedule::Constant(0.0) {
            text += &format!(", backward {backward}");
        }
        text
    }
}

impl Default for Exploration {
    fn default() -> Self {
        let constant = |value| Portfolio::from(Schedule::Constant(value));
        Self {
            epsilon: constant(0.0),
            temperature: constant(1.0),
            local_search: LocalSearch::default(),
            backward: constant(0.0),
            initial: None,
        }
    }
}

impl Config for Exploration {
    fn declare(&mut self, keys: &mut Keys<'_>) {
        let few = format!("have at most {} entries", Self::MOST_SETTINGS);
        let epsilon = "probability of a uniformly random action at each step; a list gives each \
                       actor one of its entries";
        keys.key("epsilon", &mut self.epsilon, epsilon)
            .must("lie from 0 to 1", |all| all.ends(|value| (0.0..=1.0).contains(&value)))
            .must(&few, |all| all.len() <= Self::MOST_SETTINGS);
        let temperature = "what the forward logits are divided by; a list gives each actor one of \
                           its entries";
        keys.key("temperature", &mut self.temperature, temperature)
            .must("be greater than 0", |all| all.ends(|value| value > 0.0))
            .must(&few, |all| all.len() <= Self::MOST_SETTINGS);
        keys.table("local_search", &mut self.local_search);
        let backward = "probability that a trajectory is drawn backward from one of the actor's \
                        best objects; a list gives each actor one of its entries";
        keys.key("backward", &mut self.backward, backward)
            .must("be at least 0 and less than 1", |all| {
                all.ends(|value| (0.0..1.0).contains(&value))
            })
            .must(&few, |all| all.len() <= Self::MOST_SETTINGS);
        let initial = "objects that every actor starts from: TSV or CSV, a header line, the object \
                       and, where they are known, its raw values";
        keys.key("initial", &mut self.initial, initial);
        self.pair(keys);
    }
}

impl Exploration {
    /// Lists give each setting its entry: they are as long as one another.
    fn pair(&self, keys: &mut Keys<'_>) {
        let lists = [
            ("epsilon", self.epsilon.len()),
            ("temperature", self.temperature.len()),
            ("local_search.rounds", self.local_search.rounds.len()),
            ("backward", self.backward.len()),
        ];
        let mut lists = lists.into_iter().filter(|(_, entries)| *entries > 1);
        let Some((first, entries)) = lists.next() else { return };
        for (name, other) in lists.filter(|(_, other)| *other != entries) {
            let one = "must have one entry or as many as";
            keys.refuse(name, &format!("has {other} entries: {one} `{first}`, {entries}"));
        }
    }
}

choices! {
    /// Which proposals of a local search take the place of the object that they came from.
    pub enum Acceptance {
        /// Those with a larger reward.
        Greedy = "greedy",
        /// So many that objects are found in proportion to their reward.
        MetropolisHastings = "metropolis_hastings",
    }
}

/// `[exploration] local_search`
#[derive(Clone, Debug, PartialEq)]
pub struct LocalSearch {
    /// Proposals for each trajectory; 0 for no local search.
    pub rounds: Portfolio<usize>,
    /// Actions undone, at most.
    pub steps: usize,
    /// Which proposals are gone on from.
    pub accept: Acceptance,
}

impl LocalSearch {
    const MOST_ROUNDS: usize = 10_000;
}

impl Default for LocalSearch {
    fn default() -> Self {
        Self { rounds: Portfolio::from(0), steps: 4, accept: Acceptance::Greedy }
    }
}

impl Config for LocalSearch {
    fn declare(&mut self, keys: &mut Keys<'_>) {
        let rounds = "proposals for each trajectory, 0 for none; a list gives each actor one of \
                      its entries";
        let few = format!("have at most {} entries", Exploration::MOST_SETTINGS);
        keys.key("rounds", &mut self.rounds, rounds)
            .must(&format!("be at most {}", Self::MOST_ROUNDS), |all| {
                all.all(|rounds| rounds <= Self::MOST_ROUNDS)
            })
            .must(&few, |all| all.len() <= Exploration::MOST_SETTINGS);
        keys.key("steps", &mut self.steps, "actions that a proposal undoes, at most").at_least(1);
        keys.key("accept", &mut self.accept, "which proposals the search goes on from");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::run_file::RunFile;

    fn parse(keys: &str) -> Result<Exploration, String> {
        let text = "[environment]\nkind = 'grid'\n[reward]\nkind = 'original'\n[learner]\n\
                    updates = 1\n[exploration]\n";
        let run_file = RunFile::parse(&format!("{text}{keys}"), &[]);
        run_file.map(|run_file| run_file.exploration).map_err(|error| error.to_string())
    }

    #[test]
    fn settings_take_their_entries_and_say_what_they_do() {
        let keys = "epsilon = [0, 0.1]\nbackward = [0.0, 0.25]\n\
                    local_search = { rounds = [7, 0], accept = 'metropolis_hastings' }";
        let exploration = parse(keys).unwrap();
        assert_eq!(exploration.settings(), 2);
        let local = "local search of 7 rounds x 4 steps (metropolis-hastings)";
        assert_eq!(exploration.describe(0), format!("epsilon 0, temperature 1, {local}"));
        assert_eq!(exploration.describe(1), "epsilon 0.1, temperature 1, backward 0.25");
        assert_eq!(parse("").unwrap(), Exploration::default());
        assert_eq!(parse("local_search = { rounds = [0, 3, 9] }").unwrap().settings(), 3);
    }

    #[test]
    fn what_cannot_be_is_named() {
        for (keys, expected) in [
            ("backward = 1", "`exploration.backward` = 1.0: must be at least 0 and less than 1"),
            ("local_search = { rounds = -1 }", "`exploration.local_search.rounds` = -1: expected"),
            ("local_search = { steps = 0 }", "`exploration.local_search.steps` = 0: must be at"),
            ("local_search = { accept = 'all' }", "\"greedy\", \"metropolis_hastings\""),
            ("local_search = { round = 1 }", "did you mean `rounds`?"),
            (
                "epsilon = [0, 0.1]\nlocal_search = { rounds = [0, 1, 2] }",
                "`exploration.local_search.rounds` has 3 entries: must have one entry or as many \
                 as `epsilon`, 2",
            ),
            ("epsilon = [0, 0.1]\ntemperature = [1, 2, 3]", "`exploration.temperature` has 3"),
        ] {
            let message = parse(keys).unwrap_err();
            assert!(message.contains(expected), "{keys}: {message}");
        }
    }
}
