//! What actors send, and what becomes of it.

use std::fs;

use serde_json::Value;
use tributary_common::ids::Seq;
use tributary_common::session::{Leftover, Resume, books::RejectionReason};
use tributary_proto::limits;
use tributary_proto::v1::{ActorMessage, Goodbye, actor_message};

use super::actor::{TestActor, greet, hello};
use super::{GOOD, GRID, TestLearner, WORDS, WORDS_TABLE, assert_balance};
use crate::app::Outcome;
use crate::locks::lock;
use tributary_proto::convert::actor::ActorEvent;
use tributary_proto::v1::FetchRequest;

#[tokio::test(flavor = "multi_thread")]
async fn a_run_stops_at_exactly_its_count_and_the_books_balance() {
    let mut learner = TestLearner::start(GRID, &[]).await;
    let mut actor = TestActor::join(&learner.url, None).await;
    for _ in 0..7 {
        actor.send(&[GOOD; 20]).await;
    }
    let rejections = actor.acked().await;
    assert!(rejections.iter().all(|r| r.reason == RejectionReason::RunComplete));
    assert_eq!(rejections.first().map(|r| r.seq), Some(Seq(100)));
    actor.leave_when_drained().await;

    let (outcome, summary) = learner.end().await;
    assert_eq!(outcome, Outcome::Complete);
    assert_eq!(summary["schema"], 1);
    assert_eq!(summary["trajectories"], 100);
    assert_eq!(summary["steps"], 6, "six full batches of 16");
    assert_eq!(summary["counters"]["samples"], 96);
    assert_eq!(summary["counters"]["paid"], 1, "all are the same object");
    assert_eq!(summary["rejected"]["run_complete"], 40);
    assert_eq!(summary["books"]["received"], 140);
    assert_eq!(summary["lag_max"], 5);
    assert_eq!(summary["lag_mean"], 2.5);
    assert!(summary["total_variation"].as_f64().unwrap() < 1.0);
    assert_balance(&summary);
    assert_eq!(lock(&learner.seen).len(), 96);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_have_happened_is_rejected_and_never_reaches_replay() {
    let mut learner = TestLearner::start(GRID, &["learner.generated=2", "learner.batch=1"]).await;
    let mut actor = TestActor::join(&learner.url, None).await;
    let nan = f64::NAN;
    actor
        .send(&[
            GOOD,
            (&[0, 9], 1.0),
            (&[1, 1, 1, 1], 1.0),
            (&[0, 0, 0, 1, 1, 1, 0], 1.0),
            (&[0], nan),
            (&[0], f64::INFINITY),
            (&[0], -1.0),
            GOOD,
        ])
        .await;
    let told: Vec<_> =
        actor.acked().await.iter().map(|r| (r.seq.0, r.reason.name(), r.step)).collect();
    let expected = [
        (1, "illegal_action", Some(1)),
        (2, "illegal_action", Some(3)),
        (3, "too_long", None),
        (4, "invalid_reward", None),
        (5, "invalid_reward", None),
        (6, "invalid_reward", None),
    ];
    assert_eq!(told, expected);
    actor.leave_when_drained().await;

    let (_, summary) = learner.end().await;
    assert_eq!(summary["rejected"]["illegal_action"], 2);
    assert_eq!(summary["rejected"]["too_long"], 1);
    assert_eq!(summary["rejected"]["invalid_reward"], 3);
    assert_eq!(summary["books"]["resident"], 2);
    assert_balance(&summary);
    assert!(lock(&learner.seen).iter().all(|actions| actions == GOOD.0));

    let letters = fs::read_to_string(learner.path("rejected.jsonl")).unwrap();
    let letters: Vec<Value> =
        letters.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(letters.len(), 6);
    assert_eq!((&letters[0]["reason"], &letters[0]["seq"]), (&"illegal_action".into(), &1.into()));
    assert_eq!(letters[3]["raw"][0], "NaN");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_of_the_wrong_length_is_rejected_and_data_files_are_served() {
    let mut learner = TestLearner::start(WORDS, &[]).await;
    let mut actor = TestActor::join(&learner.url, None).await;
    let asset = actor.welcome.assets[0].clone();
    assert_eq!((asset.name.as_str(), asset.size), ("data/words.tsv", WORDS_TABLE.len() as u64));
    assert!(actor.welcome.run_file.contains("data/words.tsv"), "{}", actor.welcome.run_file);
    let channel = limits::endpoint(&learner.url).unwrap().connect().await.unwrap();
    let request = FetchRequest { blake3: asset.blake3.to_vec(), offset: 5 };
    let mut assets = limits::assets_client(channel);
    let mut file = assets.fetch(request.clone()).await.unwrap().into_inner();
    let piece = file.message().await.unwrap().unwrap();
    assert_eq!((piece.offset, &piece.data[..]), (5, &WORDS_TABLE.as_bytes()[5..]));
    let unknown = FetchRequest { blake3: vec![0; 32], ..request };
    assert_eq!(assets.fetch(unknown).await.unwrap_err().code(), tonic::Code::NotFound);

    actor.send(&[(&[0], 1.0), (&[0, 1, 1], 2.0), (&[0, 1], 2.0), (&[1, 1], 4.0)]).await;
    let told: Vec<_> = actor.acked().await.iter().map(|r| r.reason.name()).collect();
    assert_eq!(told, ["unfinished", "too_long"]);
    actor.send(&[(&[0, 0], 1.0), (&[1, 0], 3.0)]).await;
    actor.leave_when_drained().await;
    let (_, summary) = learner.end().await;
    assert_eq!((&summary["trajectories"], &summary["counters"]["paid"]), (&4.into(), &4.into()));
    let log_z = summary["log_z_target"].as_f64().unwrap();
    assert!((log_z - 10f64.ln()).abs() < 1e-12, "R is the value: {log_z}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_sent_again_is_counted_once() {
    let mut learner = TestLearner::start(GRID, &["learner.generated=30"]).await;
    let mut actor = TestActor::join(&learner.url, None).await;
    actor.send(&[GOOD; 20]).await;
    actor.acked().await;
    let identity = actor.welcome.identity;
    // The ack is taken as lost: the connection breaks, and all is sent again.
    drop(actor);
    let leftover = Leftover { epoch: identity.epoch, acked_below: Seq(0), next: Seq(20) };
    let resume = Resume {
        actor: identity.actor,
        secret: identity.secret,
        acked_records: 0,
        leftovers: vec![leftover],
    };
    let mut actor = TestActor::join(&learner.url, Some(resume)).await;
    assert_eq!(actor.welcome.identity.actor, identity.actor);
    assert_eq!(actor.welcome.acked[0].below, Seq(20));
    let new_epoch = actor.welcome.identity.epoch;
    assert!(new_epoch > identity.epoch);
    actor.welcome.identity.epoch = identity.epoch;
    actor.send(&[GOOD; 20]).await;
    actor.welcome.identity.epoch = new_epoch;
    actor.next = 0;
    actor.send(&[GOOD; 10]).await;
    actor.leave_when_drained().await;
    let (_, summary) = learner.end().await;
    assert_eq!(summary["trajectories"], 30);
    assert_eq!(summary["books"]["duplicate"], 20);
    assert_eq!(summary["actors"], 1);
    assert_balance(&summary);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oversize_message_ends_its_session_and_nothing_else() {
    let mut learner = TestLearner::start(GRID, &["learner.generated=16"]).await;
    let (outgoing, mut incoming, _) = greet(&learner.url, hello(None)).await;
    let reason = "x".repeat(limits::SESSION_MESSAGE_BYTES + 1);
    let goodbye = Goodbye { reason, unacked_records: 0 };
    let message = ActorMessage { message: Some(actor_message::Message::Goodbye(goodbye)) };
    // The client's own limit refuses it, or the server's.
    outgoing.send(message).await.unwrap();
    let end = tokio::time::timeout(super::PATIENCE, incoming.message()).await.unwrap();
    assert!(end.is_err(), "{end:?}");

    let mut actor = TestActor::join(&learner.url, None).await;
    actor.send(&[GOOD; 16]).await;
    actor.leave_when_drained().await;
    assert_eq!(learner.end().await.1["trajectories"], 16);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_the_credit_ends_the_session() {
    let mut learner =
        TestLearner::start(GRID, &["actor.batch=1", "learner.generated=1", "learner.batch=1"])
            .await;
    let mut actor = TestActor::join(&learner.url, None).await;
    actor.send(&[GOOD; 50]).await;
    let refused = loop {
        if let tributary_proto::convert::learner::LearnerEvent::Refused(refusal, _) =
            actor.hear().await.unwrap()
        {
            break refusal;
        }
    };
    assert!(refused.theirs.contains("were granted"), "{refused}");
    let mut actor = TestActor::join(&learner.url, None).await;
    actor.send(&[GOOD]).await;
    actor.leave_when_drained().await;
    let (_, summary) = learner.end().await;
    assert_eq!(summary["books"]["received"], 1, "nothing of the broken session counts");
}

#[tokio::test(flavor = "multi_thread")]
async fn hello_is_said_once() {
    let mut learner = TestLearner::start(GRID, &["learner.updates=1"]).await;
    let mut actor = TestActor::join(&learner.url, None).await;
    actor.say(ActorEvent::Hello(hello(None))).await;
    let event = actor.hear().await.unwrap();
    let text = format!("{event:?}");
    assert!(text.contains("ProtocolError") && text.contains("said once"), "{text}");
    learner.interrupt.cancel();
    assert_eq!(learner.end().await.0, Outcome::Interrupted);
}
