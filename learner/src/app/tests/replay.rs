//! Replay from end to end: redrawn paths, data sets, old paths, merged duplicates, offline runs.

use serde_json::Value;
use tributary_common::environment::{Environment, Hypergrid};
use tributary_common::trajectory::walk;
use tributary_proto::v1::StatusRequest;

use super::actor::TestActor;
use super::{GOOD, GRID, TestLearner, WORDS, assert_balance};
use crate::locks::lock;

/// Runs to the end with these trajectories from one actor; the learner and its summary.
async fn run(run_file: &str, sets: &[&str], sent: &[(&[u32], f64)]) -> (TestLearner, Value) {
    let mut learner = TestLearner::start(run_file, sets).await;
    let mut actor = TestActor::join(&learner.url, None).await;
    actor.send(sent).await;
    actor.leave_when_drained().await;
    let (_, summary) = learner.end().await;
    assert_balance(&summary);
    (learner, summary)
}

#[tokio::test(flavor = "multi_thread")]
async fn kept_objects_reach_training_by_other_paths() {
    let sets = ["replay.keep=objects", "replay.samples_per_insert=3", "learner.generated=96"];
    let (learner, summary) = run(GRID, &sets, &[GOOD; 96]).await;
    let seen = lock(&learner.seen).clone();
    assert_eq!(seen.len(), 3 * 96);
    let grid = Hypergrid::new(2, 4).unwrap();
    let mut state = vec![0; grid.state_width()];
    for actions in &seen {
        walk(&grid, actions, &mut state).unwrap();
        assert_eq!(state, [2, 1], "{actions:?} leads elsewhere");
    }
    assert!(seen.iter().any(|actions| actions != GOOD.0), "no other path was drawn");
    assert_eq!(summary["replay"]["redrawn"], 2 * 96);
    assert_eq!(summary["counters"]["samples"], 3 * 96);
    assert_eq!(summary["replay"]["loss"], serde_json::json!({"fresh": 2.0, "redrawn": 2.0}));
    assert!(summary["waited_seconds"]["trainer.redraw"].as_f64().unwrap() > 0.0);
    let metrics = std::fs::read_to_string(learner.path("metrics.jsonl")).unwrap();
    let last: Value = serde_json::from_str(metrics.lines().last().unwrap()).unwrap();
    assert_eq!((&last["loss.redrawn"], &last["replay.redrawn"]), (&2.0.into(), &192.0.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_set_is_trained_on_beside_what_actors_find() {
    // The data set is the reward's own table here.
    let sets = ["replay.initial=words.tsv", "learner.generated=40", "learner.batch=4"];
    let (learner, summary) = run(WORDS, &sets, &[(&[0, 0][..], 1.0); 40]).await;
    let seen = lock(&learner.seen).clone();
    assert_eq!(seen.len(), 80, "twenty batches, half of each from the actor");
    for word in [[0, 1], [1, 0], [1, 1]] {
        assert!(seen.iter().any(|actions| actions[..] == word), "{word:?} was never trained on");
    }
    assert_eq!(summary["replay"]["imported"], 4);
    assert_eq!(summary["replay"]["imported_sampled"], 40);
    assert_eq!(summary["books"]["accepted"], 40, "imported ones are no part of the books");
    assert!(learner.path("data/words.tsv").exists());
    assert_eq!(summary["warnings"], serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_older_than_max_lag_are_redrawn_and_counted() {
    // The actor's weights are those of step 0: from the sixth update on they are too old.
    let sets = ["replay.max_lag=4", "learner.batch=4", "learner.generated=40"];
    let (_, summary) = run(GRID, &sets, &[GOOD; 40]).await;
    let stale = summary["replay"]["stale"].as_array().unwrap();
    let sum = |name: &str| stale.iter().map(|row| row[name].as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum("inserted"), sum("redrawn"), sum("rejected")), (40, 20, 0));
    assert_eq!(summary["replay"]["redrawn"], 20);
    assert!(summary["lag_max"].as_u64().unwrap() <= 4, "{summary:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn merged_duplicates_are_in_the_books() {
    let sets = ["replay.duplicates=merge", "learner.batch=2", "learner.generated=40"];
    // Two ways to one object, and another object.
    let sent: Vec<(&[u32], f64)> = [(&[0, 1][..], 0.6), (&[1, 0], 0.6), (&[0], 0.1), (&[0], 0.1)]
        .into_iter()
        .cycle()
        .take(40)
        .collect();
    let (_, summary) = run(GRID, &sets, &sent).await;
    assert_eq!(summary["books"]["merged"], 38);
    assert_eq!(summary["books"]["resident"], 2);
    assert_eq!(summary["counters"]["samples"], 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_offline_says_so() {
    let sets = [
        "replay.initial=words.tsv",
        "replay.initial_fraction=1",
        "replay.selector=uniform",
        "replay.online_fraction=0",
        "learner.updates=50",
    ];
    let mut learner = TestLearner::start(&WORDS.replace("generated = 4", ""), &sets).await;
    let status = async { learner.control().await.status(StatusRequest {}).await.ok() };
    let status = status.await;
    let (_, summary) = learner.end().await;
    assert_eq!((&summary["steps"], &summary["trajectories"]), (&50.into(), &0.into()));
    let warning = summary["warnings"][0].as_str().unwrap();
    assert!(warning.contains("log Z is not identified offline"), "{warning}");
    // Training waits for nobody and may be over before it was asked.
    if let Some(status) = status {
        assert_eq!(status.into_inner().warnings, [warning]);
    }
}
