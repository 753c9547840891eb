//! What a lockstep run refuses: choices that would make its weights depend on who draws what, or when.

use crate::run_file::{Device, Exploration, Origin, Problem, RunFile, Schedule};

/// Why this run cannot be one in lockstep, if it is to be one.
pub(super) fn problems(run_file: &RunFile, outside: bool) -> Vec<Problem> {
    if !run_file.run.lockstep {
        return Vec::new();
    }
    let RunFile { exploration, replay, learner, reward, .. } = run_file;
    let refusals = [
        (
            starts_from_its_best(exploration),
            "exploration.backward",
            "goes back from the best objects that one actor has seen; leave it out",
        ),
        (
            exploration.initial.is_some(),
            "exploration.initial",
            "is started from by each actor in its own order; give the file as `replay.initial`",
        ),
        (
            !exploration.local_search.rounds.all(|rounds| rounds == 0),
            "exploration.local_search.rounds",
            "makes trajectories that no work order asks for; leave it out",
        ),
        (
            outside,
            "reward.kind",
            "a program outside may fail, and a round would wait for its objects in vain",
        ),
        (
            reward.durable == Some(true),
            "reward.durable",
            "does not go together with it yet: a restart draws the same trajectories again",
        ),
        (
            learner.threads.is_some_and(|threads| threads > 1),
            "learner.threads",
            "must be 1: sums of several threads depend on how they are divided",
        ),
        (
            learner.device == Device::Cuda,
            "learner.device",
            "must be \"cpu\" (\"auto\" means that, too): CUDA adds in any order",
        ),
        (
            replay.initial_fraction >= 1.0,
            "replay.initial_fraction",
            "must be below 1: nothing that actors draw would be trained on",
        ),
    ];
    let mut problems: Vec<Problem> = refusals
        .into_iter()
        .filter(|(is_so, ..)| *is_so)
        .map(|(_, key, why)| refusal(key, why))
        .collect();
    problems.extend(too_small(run_file));
    problems
}

fn starts_from_its_best(exploration: &Exploration) -> bool {
    !exploration.backward.all(|share| share == Schedule::Constant(0.0))
}

/// A replay that does not hold a round would lose of it before it was trained on.
fn too_small(run_file: &RunFile) -> Option<Problem> {
    let RunFile { replay, learner, .. } = run_file;
    let samples = run_file.publish_every() as f64 * learner.batch as f64;
    let round = (samples / replay.samples_per_insert).ceil();
    (replay.capacity as f64 <= round).then(|| {
        let why = format!(
            "must be more than {round}, the trajectories of a round: `learner.publish_every` x \
             `learner.batch` / `replay.samples_per_insert`"
        );
        refusal("replay.capacity", &why)
    })
}

fn refusal(key: &str, why: &str) -> Problem {
    let message = format!("`{key}` with `run.lockstep` = true: {why}");
    Problem { path: key.to_owned(), origin: Origin::Absent, message }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    use crate::registry::Registry;

    fn check(overrides: &[(&str, &str)]) -> Result<(), String> {
        let text = "[run]\nlockstep = true\n[environment]\nkind = 'hypergrid'\ndimensions = 2\n\
                    side = 8\n[reward]\nkind = 'cosine'\n[learner]\nupdates = 1\nbatch = 16\n";
        let own = |&(key, value): &(&str, &str)| (key.to_owned(), value.to_owned());
        let overrides: Vec<_> = overrides.iter().map(own).collect();
        let read = Registry::builtin().read(text, &overrides, Path::new("/nowhere"));
        read.map(|_| ()).map_err(|error| error.to_string())
    }

    #[test]
    fn what_depends_on_who_draws_is_refused_by_name() {
        let free = [
            ("exploration.epsilon", "[0.0, 0.1]"),
            ("exploration.temperature", "2.0"),
            ("learner.threads", "1"),
            ("learner.device", "'auto'"),
            ("replay.samples_per_insert", "2.0"),
        ];
        assert_eq!(check(&free), Ok(()));
        for (key, value, expected) in [
            ("exploration.backward", "[0.0, 0.1]", "the best objects that one actor has seen"),
            ("exploration.initial", "'best.tsv'", "give the file as `replay.initial`"),
            ("exploration.local_search.rounds", "3", "no work order asks for"),
            ("learner.threads", "2", "must be 1"),
            ("learner.device", "'cuda'", "CUDA adds in any order"),
            ("replay.capacity", "64", "must be more than 64, the trajectories of a round"),
        ] {
            let message = check(&[(key, value)]).unwrap_err();
            let named = format!("`{key}` with `run.lockstep` = true: ");
            assert!(message.contains(&named) && message.contains(expected), "{message}");
            let without = check(&[(key, value), ("run.lockstep", "false")]);
            let without = without.err().unwrap_or_default();
            assert!(!without.contains("lockstep"), "{without}");
        }
    }
}
