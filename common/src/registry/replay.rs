//! Whether the replay that a run file asks for can be had with its environment and its learner.

use crate::environment::Environment;
use crate::random::{Purpose, Stream};
use crate::run_file::{Origin, Problem, RunFile, Selector};

/// Why this replay cannot be had.
pub(super) fn problems(run_file: &RunFile, environment: &dyn Environment) -> Vec<Problem> {
    let (replay, learner) = (&run_file.replay, &run_file.learner);
    let mut problems = Vec::new();
    let mut refuse = |key: &str, why: String| {
        let (path, message) = (format!("replay.{key}"), format!("`replay.{key}` = {why}"));
        problems.push(Problem { path, origin: Origin::Absent, message });
    };
    if let Some(distance) = replay.diversity_distance
        && !has_distance(environment)
    {
        let kind = environment.identity().kind;
        let why = "has no distance between objects; leave it out";
        refuse("diversity_distance", format!("{distance}: the environment {kind:?} {why}"));
    }
    if let Some(max_lag) = replay.max_lag
        && max_lag + 1 < run_file.publish_every()
    {
        let every = run_file.publish_every();
        let why = "paths are drawn with weights that are up to `learner.publish_every` - 1 updates \
                   old; make it at least";
        refuse("max_lag", format!("{max_lag}: {why} {}", every - 1));
    }
    if (0.0..1.0).contains(&replay.initial_fraction)
        && replay.initial.is_some()
        && learner.batch < 2
    {
        let why = "a batch of 1 has no room for both; make `learner.batch` at least 2";
        refuse("initial_fraction", format!("{}: {why}", replay.initial_fraction));
    }
    if replay.initial_fraction >= 1.0 {
        let alone = "leaves no room for what actors draw; to train offline on purpose give";
        if replay.selector == Selector::Fifo {
            let why = "another `replay.selector` and `replay.online_fraction` = 0";
            refuse("initial_fraction", format!("1: {alone} {why}"));
        } else if replay.online_fraction > 0.0 {
            refuse("initial_fraction", format!("1: {alone} `replay.online_fraction` = 0"));
        }
    }
    problems
}

/// Whether the environment gives the distance between two objects, asked on the end of a walk.
fn has_distance(environment: &dyn Environment) -> bool {
    let mut state = vec![0; environment.state_width()];
    let mut stream = Stream::new(0, Purpose::Walk, 2, 0);
    let mut legal = Vec::new();
    environment.reset(&mut state);
    while !environment.can_stop(&state) {
        legal.clear();
        environment.legal_forward(&state, &mut legal);
        if legal.is_empty() {
            return false;
        }
        environment.step(&mut state, legal[stream.below(legal.len())]);
    }
    let object = environment.object(&state);
    environment.distance(&object, &object).is_some()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;
    use std::sync::Arc;

    use crate::environment::{Environment, Hypergrid, Identity, NotAnObject};
    use crate::object::Object;
    use crate::registry::Registry;

    /// A hypergrid that knows no distance.
    struct NoDistance(Hypergrid);

    impl Environment for NoDistance {
        fn identity(&self) -> Identity {
            self.0.identity()
        }
        fn forward_actions(&self) -> usize {
            self.0.forward_actions()
        }
        fn backward_actions(&self) -> usize {
            self.0.backward_actions()
        }
        fn max_steps(&self) -> usize {
            self.0.max_steps()
        }
        fn state_width(&self) -> usize {
            self.0.state_width()
        }
        fn reset(&self, state: &mut [u32]) {
            self.0.reset(state);
        }
        fn legal_forward(&self, state: &[u32], actions: &mut Vec<u32>) {
            self.0.legal_forward(state, actions);
        }
        fn legal_backward(&self, state: &[u32], actions: &mut Vec<u32>) {
            self.0.legal_backward(state, actions);
        }
        fn can_stop(&self, state: &[u32]) -> bool {
            self.0.can_stop(state)
        }
        fn step(&self, state: &mut [u32], action: u32) {
            self.0.step(state, action);
        }
        fn undo(&self, state: &mut [u32], backward: u32) {
            self.0.undo(state, backward);
        }
        fn inverse(&self, state: &[u32], action: u32) -> u32 {
            self.0.inverse(state, action)
        }
        fn forward_of(&self, state: &[u32], backward: u32) -> u32 {
            self.0.forward_of(state, backward)
        }
        fn features(&self) -> usize {
            self.0.features()
        }
        fn active_features(&self, state: &[u32], features: &mut Vec<u32>) {
            self.0.active_features(state, features);
        }
        fn object(&self, state: &[u32]) -> Object {
            self.0.object(state)
        }
        fn state_of(&self, object: &Object) -> Result<Vec<u32>, NotAnObject> {
            self.0.state_of(object)
        }
    }

    fn refused(replay: &str, overrides: &[(&str, &str)]) -> Option<String> {
        let text = format!(
            "[environment]\nkind = 'hypergrid'\ndimensions = 2\nside = 8\n[reward]\n\
             kind = 'original'\n[replay]\n{replay}\n[learner]\nupdates = 1\n"
        );
        let own = |&(key, value): &(&str, &str)| (key.to_owned(), value.to_owned());
        let overrides: Vec<_> = overrides.iter().map(own).collect();
        let mut registry = Registry::builtin();
        if replay.contains("diversity_among") {
            let grid = || NoDistance(Hypergrid::new(2, 8).unwrap());
            registry = registry.with_environment("hypergrid", move |_| Ok(Arc::new(grid())));
        }
        let read = registry.read(&text, &overrides, Path::new("."));
        read.err().map(|error| error.to_string())
    }

    #[test]
    fn diversity_needs_a_distance() {
        let diverse = "selector = 'top_fraction'\ndiversity_distance = 3";
        assert_eq!(refused(diverse, &[]), None);
        let without = refused(&format!("{diverse}\ndiversity_among = 9"), &[]).unwrap();
        assert!(without.contains("has no distance between objects; leave it out"), "{without}");
    }

    #[test]
    fn a_lag_below_that_of_the_newest_weights_is_refused() {
        let every = |publish_every: &'static str| [("learner.publish_every", publish_every)];
        assert_eq!(refused("max_lag = 0", &every("1")), None);
        assert_eq!(refused("max_lag = 3", &every("4")), None);
        let error = refused("max_lag = 3", &every("5")).unwrap();
        assert!(
            error.contains("`replay.max_lag` = 3: ") && error.ends_with("at least 4"),
            "{error}"
        );
    }

    #[test]
    fn an_offline_run_has_to_be_asked_for() {
        let offline = "initial = 'data.csv'\ninitial_fraction = 1\nselector = ";
        let none = ("replay.online_fraction", "0");
        assert_eq!(refused(&format!("{offline}'uniform'"), &[none]), None);
        let error = refused(&format!("{offline}'uniform'"), &[]).unwrap();
        assert!(error.ends_with("give `replay.online_fraction` = 0"), "{error}");
        let error = refused(&format!("{offline}'fifo'"), &[]).unwrap();
        assert!(error.ends_with("another `replay.selector` and `replay.online_fraction` = 0"));
        let error = refused("initial = 'data.csv'", &[("learner.batch", "1")]).unwrap();
        assert!(error.ends_with("make `learner.batch` at least 2"), "{error}");
    }
}
