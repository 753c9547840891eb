//! Which keys may change when a run goes on.

use std::fmt;
use std::fmt::Write as _;

use super::{Change, RunFile};

/// The keys that may have another value when a run goes on; `section.*` stands for all of a section.
/// None of them changes what was learned, or what it means.
pub const MAY_CHANGE: &[&str] = &[
    "run.lockstep_patience",
    "run.tensorboard",
    "reward.cost",
    "learner.generated",
    "learner.paid",
    "learner.max_evaluations",
    "learner.max_cost",
    "learner.updates",
    "learner.time",
    "learner.publish_every",
    "learner.checkpoint_every",
    "learner.keep_every",
    "learner.device",
    "learner.threads",
    "learner.credit_budget",
    "actor.*",
    "reward.shared",
    "reward.audit",
    "reward.audit_tolerance",
    "evaluation.*",
];

/// Those of them that a lockstep run's weights depend on.
const NOT_IN_LOCKSTEP: &[&str] = &["learner.publish_every"];

/// A run file that a run cannot go on with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct OtherRun {
    /// The keys that may not change, with the value of the run and the one given now.
    pub changes: Vec<Change>,
}

impl fmt::Display for OtherRun {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text =
            "the run was started with another run file; these keys may not change:\n".to_owned();
        for Change { key, before, after } in &self.changes {
            let shown = |value: &Option<String>| value.clone().unwrap_or("not set".to_owned());
            // Writing to a String cannot fail.
            let _ =
                writeln!(text, "  {key}: the run has {}, given is {}", shown(before), shown(after));
        }
        let may = MAY_CHANGE.join(", ");
        write!(out, "{text}leave them as they are, or begin another run; what may change: {may}")
    }
}

impl RunFile {
    /// The keys that change if this run goes on with `later`.
    ///
    /// # Errors
    /// Those that may not.
    pub fn resumed_with(&self, later: &Self) -> Result<Vec<Change>, OtherRun> {
        let changes = self.difference(later);
        let (allowed, refused): (Vec<_>, Vec<_>) =
            changes.into_iter().partition(|change| self.may_change(&change.key));
        if refused.is_empty() { Ok(allowed) } else { Err(OtherRun { changes: refused }) }
    }

    fn may_change(&self, key: &str) -> bool {
        if self.run.lockstep && NOT_IN_LOCKSTEP.contains(&key) {
            return false;
        }
        MAY_CHANGE.iter().any(|may| match may.strip_suffix('*') {
            Some(section) => key.starts_with(section),
            None => *may == key,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn run_file(sets: &[(&str, &str)]) -> RunFile {
        let text = "[environment]\nkind = 'hypergrid'\ndimensions = 2\nside = 3\n[reward]\n\
                    kind = 'original'\n[learner]\ngenerated = 100\n";
        let sets: Vec<_> = sets.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        RunFile::parse(text, &sets).unwrap()
    }

    #[test]
    fn goals_and_sizes_may_change() {
        let run = run_file(&[]);
        assert_eq!(run.resumed_with(&run), Ok(vec![]));
        let sets = [
            ("learner.generated", "200"),
            ("learner.time", "'1h'"),
            ("learner.publish_every", "8"),
            ("actor.batch", "7"),
            ("evaluation.every", "'3s'"),
        ];
        let changes = run.resumed_with(&run_file(&sets)).unwrap();
        let mut keys: Vec<&str> = changes.iter().map(|change| change.key.as_str()).collect();
        let mut expected = sets.map(|(key, _)| key);
        keys.sort_unstable();
        expected.sort_unstable();
        assert_eq!(keys, expected);
        assert_eq!(changes[0].to_string(), "learner.generated: 100 -> 200");
    }

    #[test]
    fn what_was_learned_may_not_and_is_named_with_both_values() {
        let run = run_file(&[]);
        let later = run_file(&[
            ("run.seed", "9"),
            ("environment.side", "4"),
            ("reward.r0", "0.2"),
            ("learner.batch", "17"),
            ("learner.updates", "5"),
        ]);
        let error = run.resumed_with(&later).unwrap_err();
        let keys: Vec<&str> = error.changes.iter().map(|change| change.key.as_str()).collect();
        assert_eq!(keys, ["run.seed", "environment.side", "reward.r0", "learner.batch"]);
        let text = error.to_string();
        assert!(text.contains("environment.side: the run has 3, given is 4"), "{text}");
        assert!(text.contains("reward.r0: the run has not set, given is 0.2"), "{text}");
        assert!(text.contains("learner.generated"), "{text}");
    }

    #[test]
    fn a_lockstep_run_keeps_what_its_weights_depend_on() {
        let run = run_file(&[("run.lockstep", "true")]);
        let later = run_file(&[("run.lockstep", "true"), ("learner.publish_every", "8")]);
        let error = run.resumed_with(&later).unwrap_err();
        assert_eq!(error.changes[0].key, "learner.publish_every");
    }

    #[test]
    fn every_key_that_may_change_is_one_of_a_run_file() {
        let run = run_file(&[]);
        let keys: Vec<String> = run
            .entries()
            .into_iter()
            .flat_map(|(section, keys)| {
                keys.into_iter().map(move |(k, _)| format!("{section}.{k}"))
            })
            .chain(
                ["paid", "updates", "time", "threads", "publish_every"]
                    .map(|key| format!("learner.{key}")),
            )
            .chain(["max_evaluations", "max_cost"].map(|key| format!("learner.{key}")))
            .chain(["run.lockstep_patience", "reward.shared", "reward.cost"].map(str::to_owned))
            .chain(["audit", "audit_tolerance"].map(|key| format!("reward.{key}")))
            .collect();
        for may in MAY_CHANGE {
            let is_one = match may.strip_suffix('*') {
                Some(section) => keys.iter().any(|key| key.starts_with(section)),
                None => keys.iter().any(|key| key == may),
            };
            assert!(is_one, "{may} is not in {keys:?}");
        }
    }
}
