//! A run that was stopped goes on in its directory.

use std::fs;

use super::actor::TestActor;
use super::{GOOD, GRID, TestLearner, assert_balance, options};
use crate::app::Outcome;
use crate::options::Options;

/// Starts a learner on the directory of one that has ended.
pub(super) async fn again(learner: TestLearner, sets: &[&str]) -> TestLearner {
    let folder = learner.folder;
    // The next one writes it when it listens.
    fs::remove_file(folder.path().join("run/address.json")).unwrap();
    let options = Options { run_file: None, ..options(folder.path(), GRID, sets) };
    TestLearner::start_as(folder, options, &[], &[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_and_books_go_on() {
    for durable in ["reward.durable=false", "reward.durable=true"] {
        let mut learner = TestLearner::start(GRID, &[durable]).await;
        let mut actor = TestActor::join(&learner.url, None).await;
        actor.send(&[GOOD; 20]).await;
        actor.send(&[GOOD; 20]).await;
        actor.acked().await;
        learner.interrupt.cancel();
        actor.leave_when_drained().await;
        let (outcome, before) = learner.end().await;
        assert_eq!((outcome, &before["trajectories"]), (Outcome::Interrupted, &40.into()));

        let mut learner = again(learner, &[]).await;
        let mut actor = TestActor::join(&learner.url, None).await;
        for _ in 0..4 {
            actor.send(&[GOOD; 20]).await;
        }
        actor.acked().await;
        actor.leave_when_drained().await;
        let (outcome, after) = learner.end().await;
        assert_eq!((outcome, &after["trajectories"]), (Outcome::Complete, &100.into()));
        assert_eq!(after["books"]["received"], 120, "{after:#}");
        assert_eq!(after["rejected"]["run_complete"], 20, "{after:#}");
        assert_eq!(after["books"]["resident"], 100, "{after:#}");
        assert_eq!(after["steps"], 6, "six full batches of 16, whichever learner trained on them");
        assert_eq!(after["counters"]["samples"], 96, "{after:#}");
        assert_eq!(after["counters"]["paid"], 1, "{after:#}");
        assert_balance(&after);

        // All goals are reached: it ends at once, and takes nothing more.
        let mut learner = again(learner, &[]).await;
        let (outcome, over) = learner.end().await;
        assert_eq!((outcome, &over["trajectories"]), (Outcome::Complete, &100.into()));
        assert_balance(&over);

        let mut learner = again(learner, &["learner.generated=120"]).await;
        let mut actor = TestActor::join(&learner.url, None).await;
        actor.send(&[GOOD; 20]).await;
        actor.acked().await;
        actor.leave_when_drained().await;
        let (_, raised) = learner.end().await;
        assert_eq!((&raised["trajectories"], &raised["steps"]), (&120.into(), &7.into()));
        assert_balance(&raised);
    }
}
