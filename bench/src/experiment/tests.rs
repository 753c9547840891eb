#![allow(clippy::unwrap_used)]

use super::*;

const GRID: &str = "[environment]\nkind = 'hypergrid'\ndimensions = 2\nside = 4\n\
                    [reward]\nkind = 'original'\n[policy]\nhidden = [8]\n\
                    [exploration]\nepsilon = [0.0, 0.5]\n\
                    [actor]\nbatch = 4\n[learner]\nbatch = 4\nupdates = 20\npublish_every = 1\n\
                    device = 'cpu'\n";

/// What a run drew, and where it stood at the end.
#[derive(Default)]
struct Notes {
    objects: Vec<String>,
    last: Option<Standing>,
}

impl Watch for Notes {
    fn drawn(&mut self, drawn: &Drawn<'_>) {
        self.objects.push(drawn.object.to_string());
    }

    fn look(&mut self, standing: Standing) -> Result<()> {
        self.last = Some(standing);
        Ok(())
    }
}

fn run(changes: &[&str], actors: usize, lag: usize) -> Notes {
    let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
    let read = Experiment::read(GRID, &changes, Path::new(".")).unwrap();
    let mut notes = Notes::default();
    Experiment { actors, lag, ..read }.run(&[20], &mut notes).unwrap();
    notes
}

#[test]
fn the_injected_lag_is_that_of_the_trajectories() {
    for (lag, expected) in [(0, 0.0), (3, (1.0 + 2.0 + 17.0 * 3.0) / 20.0)] {
        let last = run(&[], 1, lag).last.unwrap();
        assert_eq!((last.updates, last.generated), (20, 80));
        assert!((last.mean_lag - expected).abs() < 1e-12, "lag {lag}: {}", last.mean_lag);
    }
}

#[test]
fn a_run_is_a_function_of_its_run_file_and_its_actors() {
    let [one, same, other, more] =
        [(1, "run.seed=1"), (1, "run.seed=1"), (1, "run.seed=2"), (2, "run.seed=1")]
            .map(|(actors, seed)| run(&[seed], actors, 0));
    assert_eq!(one.objects, same.objects);
    let values = |notes: &Notes| notes.last.as_ref().unwrap().policy.weights().values.clone();
    assert_eq!(values(&one), values(&same));
    assert_ne!(one.objects, other.objects);
    // The first actor's first batch is the same, the second's is its own.
    assert_eq!(one.objects[..4], more.objects[..4]);
    assert_ne!(one.objects[4..8], more.objects[4..8]);
}

#[test]
fn what_local_search_proposes_is_drawn_and_trained_on() {
    let local_search = ["exploration.local_search.rounds=1", "exploration.local_search.steps=2"];
    let notes = run(&local_search, 1, 0);
    let last = notes.last.unwrap();
    // Half of the batches are forward trajectories, each followed by one of proposals.
    assert_eq!((last.updates, last.generated), (20, 80));
    assert_eq!(notes.objects.len(), 80);
    assert_ne!(notes.objects[..4], notes.objects[4..8]);
}
