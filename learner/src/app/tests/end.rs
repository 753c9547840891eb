//! How runs end: by each goal, by a signal, and in spite of failing updates.

use std::fs;
use std::sync::Arc;

use tributary_common::checkpoint::{Checkpoint, TARGET};
use tributary_common::network::{self, Network};
use tributary_common::registry::Registry;
use tributary_common::run_file::Weights;

use super::actor::TestActor;
use super::{GOOD, GRID, TestLearner, assert_balance, until};
use crate::app::Outcome;
use crate::locks::lock;

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_run_takes_what_is_finished_and_leaves_a_checkpoint() {
    let mut learner = TestLearner::start(GRID, &["learner.updates=1000000"]).await;
    let mut actor = TestActor::join(&learner.url, None).await;
    actor.send(&[GOOD; 40]).await;
    actor.acked().await;
    until("two updates of 16", || lock(&learner.seen).len() == 32).await;
    learner.interrupt.cancel();
    while !actor.drained {
        actor.hear().await.unwrap();
    }
    actor.send(&[GOOD; 10]).await;
    assert_eq!(actor.acked().await, [], "what was finished is taken");
    actor.leave_when_drained().await;
    let (outcome, summary) = learner.end().await;
    assert_eq!(outcome, Outcome::Interrupted);
    assert_eq!(summary["interrupted"], true);
    assert_eq!((&summary["trajectories"], &summary["steps"]), (&50.into(), &2.into()));
    assert_balance(&summary);
    let metrics = fs::read_to_string(learner.path("metrics.jsonl")).unwrap();
    let last: serde_json::Value = serde_json::from_str(metrics.lines().last().unwrap()).unwrap();
    assert_eq!((&last["gradient_norm"], &last["learning_rate"]), (&1.0.into(), &1e-3.into()));

    let run = learner.path("");
    let checkpoint = Checkpoint::newest(&run).unwrap();
    assert_eq!(checkpoint.manifest.version.step, 2);
    let text = fs::read_to_string(run.join("run.toml")).unwrap();
    let (run_file, task) = Registry::builtin().read(&text, &[], &run).unwrap();
    let network = Arc::new(Network::of_run(&run_file, task.environment.as_ref()));
    for set in [Weights::Raw, Weights::Ema] {
        assert!(checkpoint.weights(set, &network).unwrap().values.iter().all(|v| *v == 2.0));
    }
    let target = network::Weights::from_bytes(&network, &checkpoint.files[TARGET]).unwrap();
    assert!(target.values.iter().all(|v| *v == 2.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_ends_at_its_updates_its_objects_or_its_time() {
    for (set, name, expected) in [
        ("learner.updates=3", "updates", 3),
        ("learner.paid=2", "paid", 2),
        ("learner.time=50ms", "generated", 20),
    ] {
        let run_file = GRID.replace("generated = 100", "");
        let mut learner = TestLearner::start(&run_file, &[set, "learner.batch=4"]).await;
        let mut actor = TestActor::join(&learner.url, None).await;
        let other: (&[u32], f64) = (&[1], 0.1);
        let mut batch = [GOOD; 20];
        batch[10] = other;
        actor.send(&batch).await;
        actor.leave_when_drained().await;
        let (outcome, summary) = learner.end().await;
        assert_eq!(outcome, Outcome::Complete, "{set}");
        assert_eq!(summary["counters"][name], expected, "{set}: {summary:#}");
        assert_balance(&summary);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failing_updates_are_skipped_dumped_and_counted() {
    let sets = ["learner.generated=160", "actor.batch=256"];
    let mut learner = TestLearner::start_with(GRID, &sets, &[2], &[4, 5]).await;
    let mut actor = TestActor::join(&learner.url, None).await;
    actor.send(&[GOOD; 160]).await;
    actor.acked().await;
    actor.leave_when_drained().await;
    let (outcome, summary) = learner.end().await;
    assert_eq!(outcome, Outcome::Complete);
    assert_eq!((&summary["steps"], &summary["skipped_batches"]), (&7.into(), &3.into()));
    let mut causes = Vec::new();
    for file in fs::read_dir(learner.path("skipped")).unwrap() {
        let dump: serde_json::Value =
            serde_json::from_slice(&fs::read(file.unwrap().path()).unwrap()).unwrap();
        assert_eq!(dump["trajectories"].as_array().unwrap().len(), 16);
        assert_eq!(dump["trajectories"][0]["actions"], serde_json::json!(GOOD.0));
        causes.push(dump["cause"].as_str().unwrap().to_owned());
    }
    causes.sort();
    let expected = ["panic: an operator failed", "panic: an operator failed", "the loss is NaN"];
    assert_eq!(causes, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn training_that_goes_back_takes_no_step_back() {
    let sets = ["learner.generated=160", "actor.batch=256"];
    let mut learner = TestLearner::start_with(GRID, &sets, &[], &[4, 5, 6]).await;
    let mut actor = TestActor::join(&learner.url, None).await;
    actor.send(&[GOOD; 160]).await;
    actor.leave_when_drained().await;
    let (outcome, summary) = learner.end().await;
    assert_eq!(outcome, Outcome::Complete);
    assert_eq!((&summary["steps"], &summary["skipped_batches"]), (&7.into(), &3.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_three_checkpoints_are_kept() {
    let sets = ["learner.checkpoint_every=1ms", "learner.updates=50", "learner.batch=1"];
    let mut learner = TestLearner::start(&GRID.replace("generated = 100", ""), &sets).await;
    let mut actor = TestActor::join(&learner.url, None).await;
    actor.send(&[GOOD; 50]).await;
    actor.leave_when_drained().await;
    learner.end().await;
    let names = || fs::read_dir(learner.path("checkpoints")).unwrap().count();
    until("old checkpoints to be removed", || names() <= 3).await;
    assert_eq!(Checkpoint::newest(&learner.path("")).unwrap().manifest.version.step, 50);
}
