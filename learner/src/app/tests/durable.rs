//! Durable runs: what is acked is in the ledger on disk.

use rusqlite::Connection;
use tributary_common::ids::{Incarnation, RunId, Seq};
use tributary_common::ledger::{AcceptedRow, FILE, Ledger, LedgerReader};
use tributary_common::session::{Leftover, Resume};

use super::actor::TestActor;
use super::{GOOD, GRID, TestLearner, assert_balance};
use crate::app::Outcome;
use crate::error::LearnerError;

fn run_id(learner: &TestLearner) -> RunId {
    let text = std::fs::read(learner.path("run.json")).unwrap();
    let owner: serde_json::Value = serde_json::from_slice(&text).unwrap();
    RunId::try_from(owner["run_id"].as_str().unwrap().to_owned()).unwrap()
}

fn accepted(learner: &TestLearner, incarnation: u32) -> (Ledger, Vec<AcceptedRow>) {
    let path = learner.path(FILE);
    let ledger = Ledger::open(&path, run_id(learner), Incarnation(incarnation)).unwrap();
    let rows = ledger.accepted_from(0).collect::<Result<_, _>>().unwrap();
    (ledger, rows)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acked_is_in_the_ledger_once_and_the_books_balance() {
    let sets = ["reward.durable=true", "learner.generated=30"];
    let mut learner = TestLearner::start(GRID, &sets).await;
    let mut actor = TestActor::join(&learner.url, None).await;
    assert!(actor.welcome.durable);
    actor.send(&[GOOD, (&[0, 9], 1.0), (&[0], 0.25)]).await;
    assert_eq!(actor.acked().await.len(), 1);
    let reader = LedgerReader::open(&learner.path(FILE)).unwrap();
    assert_eq!(reader.count(None).unwrap(), 2, "as soon as the ack is there");
    // The ack is taken as lost: the connection breaks, and all is sent again.
    let identity = actor.welcome.identity;
    drop(actor);
    let leftover = Leftover { epoch: identity.epoch, acked_below: Seq(0), next: Seq(3) };
    let resume = Resume {
        actor: identity.actor,
        secret: identity.secret,
        acked_records: 0,
        leftovers: vec![leftover],
    };
    let mut actor = TestActor::join(&learner.url, Some(resume)).await;
    assert_eq!(actor.welcome.acked[0].below, Seq(3));
    let epoch = actor.welcome.identity.epoch;
    actor.welcome.identity.epoch = identity.epoch;
    actor.send(&[GOOD, (&[0, 9], 1.0), (&[0], 0.25)]).await;
    actor.welcome.identity.epoch = epoch;
    actor.next = 0;
    actor.send(&[GOOD; 35]).await;
    actor.leave_when_drained().await;
    let (outcome, summary) = learner.end().await;
    assert_eq!(outcome, Outcome::Complete);
    assert_eq!((&summary["trajectories"], &summary["counters"]["paid"]), (&30.into(), &2.into()));
    assert_eq!(summary["books"]["duplicate"], 3);
    assert_eq!(summary["rejected"]["run_complete"], 7);
    assert_balance(&summary);

    let (ledger, rows) = accepted(&learner, 2);
    assert_eq!(rows.len(), 30);
    assert_eq!((rows[0].accepted.actions.as_slice(), rows[0].raw[0]), GOOD);
    let books = ledger.sessions().books();
    assert_eq!((books.accepted, books.duplicate, books.rejected_total()), (30, 3, 8));
    let connection = Connection::open(learner.path(FILE)).unwrap();
    let integrity: String =
        connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(integrity, "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fenced_learner_ends_and_acks_nothing_more() {
    let learner = TestLearner::start(GRID, &["reward.durable=true"]).await;
    let mut actor = TestActor::join(&learner.url, None).await;
    actor.send(&[GOOD; 5]).await;
    actor.acked().await;
    let (ledger, rows) = accepted(&learner, 2);
    assert_eq!(rows.len(), 5);
    actor.send(&[GOOD; 5]).await;
    let ended = tokio::time::timeout(super::PATIENCE, learner.ended).await.unwrap().unwrap();
    let error = ended.unwrap_err();
    assert!(matches!(error, LearnerError::Ledger(_)) && error.exit_code() == 78, "{error}");
    assert!(error.to_string().contains("incarnation 2 of this run has taken"), "{error}");
    assert_eq!(ledger.accepted_from(0).count(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_runs_keep_the_values_of_their_objects_too() {
    let sets = ["learner.generated=20", "learner.batch=4"];
    let mut learner = TestLearner::start(GRID, &sets).await;
    let mut actor = TestActor::join(&learner.url, None).await;
    assert!(!actor.welcome.durable);
    actor.send(&[GOOD; 19]).await;
    actor.send(&[(&[0], 0.25)]).await;
    actor.leave_when_drained().await;
    learner.end().await;
    let reader = LedgerReader::open(&learner.path(FILE)).unwrap();
    assert_eq!(reader.count(Some("seen = 19 AND raw = '[0.6]' AND object = '[2,1]'")).unwrap(), 1);
    assert_eq!(reader.count(None).unwrap(), 2);
    drop(reader);
    assert_eq!(accepted(&learner, 2).1.len(), 0);
}
