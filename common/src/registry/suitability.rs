//! Whether an objective can be trained on an environment, with the wanted P_B, and the network can
//! read its states: what no section of the run file can tell alone.

use super::lockstep;
use crate::environment::Environment;
use crate::random::{Purpose, Stream};
use crate::run_file::{Backward, NetworkKind, ObjectiveKind, Origin, Problem, RunFile};

/// Why the objective cannot be trained on this environment, with this reward (an `outside` one?), in
/// these batches.
pub(super) fn problems(
    run_file: &RunFile,
    environment: &dyn Environment,
    outside: bool,
) -> Vec<Problem> {
    let objective = &run_file.objective;
    let kind = objective.kind.name();
    let mut problems = Vec::new();
    let mut refuse = |key: &str, why: String| {
        let (path, message) = (format!("objective.{key}"), format!("`objective.{key}` = {why}"));
        problems.push(Problem { path, origin: Origin::Absent, message });
    };
    if objective.kind == ObjectiveKind::LogPartitionVariance && run_file.learner.batch < 2 {
        refuse("kind", format!("{kind:?}: `learner.batch` must be at least 2"));
    }
    let is_measured = run_file.evaluation.interference_every.is_some();
    if objective.kind == ObjectiveKind::LogPartitionVariance && is_measured {
        let why = "has no loss of a single trajectory: not with `evaluation.interference_every`";
        refuse("kind", format!("{kind:?}: {why}"));
    }
    if objective.needs_state_rewards() {
        let (key, value) = if objective.forward_looking {
            ("forward_looking", "true".to_owned())
        } else {
            ("kind", format!("{kind:?}"))
        };
        let is_expensive = run_file.reward.durable == Some(true) || run_file.reward.delay.is_some();
        if is_expensive || outside {
            let why = "needs log R of every state on the way, which the learner asks for in every \
                       update: not with `reward.durable` = true or a `reward.delay`, nor with a program as the \
                       reward";
            refuse(key, format!("{value}: {why}"));
        }
        if let Some(actions) = unfinished_after(environment) {
            let why = "needs log R of every state, but in this environment not every state is a \
                       finished object";
            refuse(key, format!("{value}: {why}: not after {actions} actions"));
        }
    }
    problems.extend(unasked(run_file, outside));
    problems.extend(no_backward(run_file));
    problems.extend(uncounted_paths(run_file, environment));
    problems.extend(unreadable(run_file, environment));
    problems.extend(unshared(run_file, outside));
    problems.extend(uncounted_evaluations(run_file, outside));
    problems.extend(lockstep::problems(run_file, outside));
    problems
}

/// Why actors cannot ask before they measure.
fn unshared(run_file: &RunFile, outside: bool) -> Option<Problem> {
    let durable = run_file.reward.durable.unwrap_or(outside);
    if durable || run_file.reward.shared != Some(true) {
        return None;
    }
    let path = "reward.shared".to_owned();
    let message = format!(
        "`{path}` = true: what was paid for is to be on disk before anybody is told: give \
         `reward.durable` = true, too"
    );
    Some(Problem { path, origin: Origin::Absent, message })
}

/// Why there is no budget for evaluations: nobody asks before they pay.
fn uncounted_evaluations(run_file: &RunFile, outside: bool) -> Vec<Problem> {
    let durable = run_file.reward.durable.unwrap_or(outside);
    let learner = &run_file.learner;
    if durable && run_file.reward.shared.unwrap_or(outside) {
        let message = "`learner.max_cost` is less than one evaluation costs: see `reward.cost`";
        let nothing = (run_file.most_evaluations() == Some(0)).then(|| Problem {
            path: "learner.max_cost".to_owned(),
            origin: Origin::Absent,
            message: message.to_owned(),
        });
        return nothing.into_iter().collect();
    }
    let keys = [
        ("max_evaluations", learner.max_evaluations.is_some()),
        ("max_cost", learner.max_cost.is_some()),
    ];
    let is_given = |(key, is_given): (&'static str, bool)| is_given.then_some(key);
    let keys = keys.into_iter().filter_map(is_given);
    keys.map(|key| {
        let path = format!("learner.{key}");
        let message = format!(
            "`{path}`: evaluations are counted where actors ask before they measure: give \
             `reward.durable` = true and `reward.shared` = true, or stop by `learner.paid`"
        );
        Problem { path, origin: Origin::Absent, message }
    })
    .collect()
}

/// Why samples cannot be evaluated.
fn unasked(run_file: &RunFile, outside: bool) -> Option<Problem> {
    let samples = run_file.evaluation.samples.filter(|&samples| samples > 0 && outside)?;
    let path = "evaluation.samples".to_owned();
    let message = format!(
        "`{path}` = {samples}: asks for the reward of objects that nobody trains on, and the learner \
         runs no programs; leave it out"
    );
    Some(Problem { path, origin: Origin::Absent, message })
}

/// Why there is no P_B to be fitted.
fn no_backward(run_file: &RunFile) -> Option<Problem> {
    let is_fitted = run_file.policy.backward == Backward::Pessimistic;
    (is_fitted && !run_file.objective.needs_backward()).then(|| {
        let kind = run_file.objective.kind.name();
        let message = format!(
            "`policy.backward` = \"pessimistic\": `objective.kind` = {kind:?} has no P_B to be fitted \
             to the trajectories seen; use \"uniform\""
        );
        Problem { path: "policy.backward".to_owned(), origin: Origin::Absent, message }
    })
}

/// Why P_B cannot follow the counts of paths.
fn uncounted_paths(run_file: &RunFile, environment: &dyn Environment) -> Option<Problem> {
    let mut initial = vec![0; environment.state_width()];
    environment.reset(&mut initial);
    if run_file.policy.backward != Backward::Maxent
        || environment.log_path_count(&initial).is_some()
    {
        return None;
    }
    let kind = environment.identity().kind;
    let message = format!(
        "`policy.backward` = \"maxent\": the environment {kind:?} does not count the paths to a \
         state (`log_path_count`); use \"uniform\", \"learned\" or \"pessimistic\""
    );
    Some(Problem { path: "policy.backward".to_owned(), origin: Origin::Absent, message })
}

/// Why the network cannot read the states of this environment.
fn unreadable(run_file: &RunFile, environment: &dyn Environment) -> Option<Problem> {
    let network = run_file.policy.architecture.network;
    if network != NetworkKind::Transformer || environment.tokens().is_some() {
        return None;
    }
    let kind = environment.identity().kind;
    let message = format!(
        "`policy.network` = {:?}: reads tokens at positions, and the states of \
         `environment.kind` = {kind:?} are none; take network = \"mlp\" (or, if the environment is \
         yours, implement `Environment::tokens`)",
        network.name()
    );
    Some(Problem { path: "policy.network".to_owned(), origin: Origin::Absent, message })
}

/// After how many actions seeded random walks first meet a state in which the construction may not
/// stop.
fn unfinished_after(environment: &dyn Environment) -> Option<usize> {
    let mut state = vec![0; environment.state_width()];
    let mut legal = Vec::new();
    for walk in 0..64 {
        let mut stream = Stream::new(0, Purpose::Walk, 1, walk);
        environment.reset(&mut state);
        for actions in 0.. {
            if !environment.can_stop(&state) {
                return Some(actions);
            }
            legal.clear();
            environment.legal_forward(&state, &mut legal);
            if legal.is_empty() {
                break;
            }
            environment.step(&mut state, legal[stream.below(legal.len())]);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    use crate::registry::Registry;
    use crate::run_file::RunFileError;

    const GRID: &str = "kind = 'hypergrid'\ndimensions = 2\nside = 8";

    #[test]
    fn an_objective_that_needs_the_rewards_of_states_needs_objects_everywhere() {
        let task = |environment: &str, reward: &str, overrides: &[(&str, &str)]| {
            let text =
                format!("[environment]\n{environment}\n[reward]\n{reward}\n[learner]\nupdates = 1");
            let own = |&(key, value): &(&str, &str)| (key.to_owned(), value.to_owned());
            let overrides: Vec<_> = overrides.iter().map(own).collect();
            Registry::builtin().read(&text, &overrides, Path::new("/nowhere"))
        };
        let modified = ("objective.kind", "modified_detailed_balance");
        assert!(task(GRID, "kind = 'cosine'", &[modified]).is_ok());
        let problems =
            |result: Result<_, RunFileError>| result.map(|_| ()).unwrap_err().to_string();
        let delayed = problems(task(GRID, "kind = 'cosine'\ndelay = '1s'", &[modified]));
        assert!(delayed.contains("not with `reward.durable` = true or a `reward.delay`"));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("words.tsv");
        std::fs::write(&file, "word\tvalue\nAA\t1\nAC\t1\nCA\t1\nCC\t2\n").unwrap();
        let words = "kind = 'sequence'\nalphabet = 'AC'\nlength = 2";
        let table = format!("kind = 'table'\nfile = '{}'", file.display());
        for overrides in [
            &[modified][..],
            &[("objective.kind", "detailed_balance"), ("objective.forward_looking", "true")][..],
        ] {
            let unfinished = problems(task(words, &table, overrides));
            assert!(unfinished.ends_with("finished object: not after 0 actions"), "{unfinished}");
        }
        let fitted = [("objective.kind", "flow_matching"), ("policy.backward", "pessimistic")];
        let fitted = problems(task(GRID, "kind = 'cosine'", &fitted));
        assert!(fitted.contains("= \"flow_matching\" has no P_B to be fitted"), "{fitted}");
        let alone = [("objective.kind", "log_partition_variance"), ("learner.batch", "1")];
        let alone = problems(task(GRID, "kind = 'cosine'", &alone));
        let measured =
            [("objective.kind", "log_partition_variance"), ("evaluation.interference_every", "10")];
        let measured = problems(task(GRID, "kind = 'cosine'", &measured));
        assert!(measured.contains("no loss of a single trajectory"), "{measured}");
        assert!(alone.ends_with("`learner.batch` must be at least 2"), "{alone}");
    }

    #[test]
    fn a_transformer_reads_tokens_at_positions() {
        let read = |environment: &str, reward: &str| {
            let text = format!(
                "[environment]\n{environment}\n[reward]\n{reward}\n[policy]\n\
                 network = 'transformer'\n[learner]\nupdates = 1"
            );
            Registry::builtin().read(&text, &[], Path::new("/nowhere")).map(|_| ())
        };
        let refusal = read(GRID, "kind = 'cosine'").unwrap_err().to_string();
        assert!(refusal.contains("`environment.kind` = \"hypergrid\""), "{refusal}");
        assert!(refusal.contains("take network = \"mlp\""), "{refusal}");
        for construction in ["append", "prepend_append", "insert", "any_position"] {
            let bits = format!(
                "kind = 'sequence'\nword_bits = 8\nlength = 1\nconstruction = '{construction}'"
            );
            assert_eq!(
                read(
                    &bits,
                    "kind = 'bit_sequence'\nmodes = 1\ndistance_scale = 'raw'\nexponent = 1.0"
                ),
                Ok(())
            );
        }
    }
}
