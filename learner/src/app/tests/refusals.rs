//! Who and what is refused, before and after the start.

use std::fs;

use tokio::net::TcpListener;
use tributary_common::ids::RunId;
use tributary_common::registry::Registry;
use tributary_common::session::refusal::RefusalCode;
use tributary_proto::convert::actor::{ActorEvent, Hello};
use tributary_proto::convert::learner::LearnerEvent;

use super::actor::{TestActor, greet, hello};
use super::{GOOD, GRID, TestLearner, options};
use crate::error::LearnerError;
use crate::options::Options;
use crate::prepare::Prepared;

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_with_another_environment_is_refused_by_name() {
    let mut learner = TestLearner::start(GRID, &["learner.generated=16"]).await;
    for field in ["environment", "reward", "architecture"] {
        let (outgoing, mut incoming, answer) = greet(&learner.url, hello(None)).await;
        let LearnerEvent::Welcome(welcome) = answer else { panic!("not welcome: {answer:?}") };
        let mut theirs = welcome.fingerprints;
        match field {
            "environment" => theirs.environment = [7; 32],
            "reward" => theirs.reward = [7; 32],
            _ => theirs.architecture = [7; 32],
        }
        outgoing.send(ActorEvent::Ready(theirs).into()).await.unwrap();
        let answer = incoming.message().await.unwrap().unwrap();
        let LearnerEvent::Refused(refusal, _) = answer.try_into().unwrap() else {
            panic!("not refused")
        };
        assert_eq!((refusal.code, refusal.field.as_str()), (RefusalCode::Fingerprint, field));
        assert_eq!(refusal.theirs, "0707070707070707");
    }
    let mut actor = TestActor::join(&learner.url, None).await;
    actor.send(&[GOOD; 16]).await;
    actor.leave_when_drained().await;
    let (_, summary) = learner.end().await;
    assert_eq!(summary["books"]["received"], 16);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_of_another_protocol_or_run_is_refused() {
    let learner = TestLearner::start(GRID, &[]).await;
    for (hello, code, field) in [
        (Hello { protocol: (7, 9), ..hello(None) }, RefusalCode::Protocol, "protocol"),
        (Hello { run: Some(RunId([9; 16])), ..hello(None) }, RefusalCode::Run, "run"),
    ] {
        let (_, _, answer) = greet(&learner.url, hello).await;
        let LearnerEvent::Refused(refusal, _) = answer else { panic!("not refused: {answer:?}") };
        assert_eq!((refusal.code, refusal.field.as_str()), (code, field));
    }
    learner.interrupt.cancel();
}

#[tokio::test]
async fn what_is_wrong_is_said_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let good = options(folder.path(), GRID, &[]);
    let mut cases = Vec::new();
    let mut bad = good.clone();
    bad.listen = Some(taken.local_addr().unwrap());
    cases.push((bad, 75, "another port"));
    let mut bad = good.clone();
    bad.listen = Some("0.0.0.0:0".parse().unwrap());
    cases.push((bad, 78, "tributary certs"));
    let mut bad = good.clone();
    bad.http = Some("10.1.2.3:80".parse().unwrap());
    cases.push((bad, 78, "TLS"));
    let mut bad = good.clone();
    bad.run_file = Some(folder.path().join("missing.toml"));
    cases.push((bad, 78, "missing.toml"));
    let mut bad = good.clone();
    bad.overrides = vec![("learner.bach".into(), "3".into())];
    cases.push((bad, 78, "batch"));
    let mut bad = good.clone();
    bad.overrides = vec![("replay.capacity".into(), "2".into())];
    cases.push((bad, 78, "replay.capacity"));
    let mut bad = good.clone();
    bad.overrides = vec![("replay.initial".into(), "words.tsv".into())];
    cases.push((bad, 78, "line 2: object \"AA\""));
    let mut bad = good.clone();
    bad.overrides = vec![("replay.initial".into(), "nowhere.csv".into())];
    cases.push((bad, 78, "nowhere.csv"));
    for (options, code, text) in cases {
        let error = failure(Prepared::new(&options, &Registry::builtin()).await);
        assert_eq!(error.exit_code(), code, "{error}");
        assert!(error.to_string().contains(text), "{error}");
    }
    assert!(!good.run_dir.exists(), "nothing was written");
}

#[tokio::test]
async fn a_directory_is_one_learner_s_at_a_time_and_its_run_keeps_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path(), GRID, &[]);
    let registry = Registry::builtin();
    let first = Prepared::new(&options, &registry).await.unwrap();
    let before = fs::read(options.run_dir.join("run.toml")).unwrap();
    let error = failure(Prepared::new(&options, &registry).await);
    assert_eq!(error.exit_code(), 75, "{error}");
    assert!(error.to_string().contains("another learner is at work"), "{error}");

    drop(first);
    let set = |key: &str, value: &str| vec![(key.to_owned(), value.to_owned())];
    let other = Options { overrides: set("environment.side", "5"), ..options.clone() };
    let error = failure(Prepared::new(&other, &registry).await);
    assert_eq!(error.exit_code(), 78, "{error}");
    assert!(error.to_string().contains("environment.side: the run has 4, given is 5"), "{error}");
    assert_eq!(fs::read(options.run_dir.join("run.toml")).unwrap(), before);

    // What is not given is as the run has it, and what is given is kept for the next start.
    let more = Options { run_file: None, overrides: set("learner.generated", "7"), ..options };
    let second = Prepared::new(&more, &registry).await.unwrap();
    assert_eq!((second.facts.incarnation.0, second.facts.run_file.learner.generated), (2, Some(7)));
    drop(second);
    let third = Prepared::new(&Options { overrides: vec![], ..more.clone() }, &registry).await;
    let third = third.unwrap();
    assert_eq!((third.facts.incarnation.0, third.facts.run_file.learner.generated), (3, Some(7)));

    // A run that never started leaves room for the next try.
    third.directory.give_up();
    drop(third);
    let error = failure(Prepared::new(&more, &registry).await);
    assert_eq!(error.exit_code(), 64, "{error}");
    assert!(error.to_string().contains("--run-file"), "{error}");
    let again = Options { run_file: Some(folder.path().join("input.toml")), ..more };
    assert_eq!(Prepared::new(&again, &registry).await.unwrap().facts.incarnation.0, 1);
}

#[tokio::test]
async fn data_is_known_by_what_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path(), super::WORDS, &[]);
    let registry = Registry::builtin();
    drop(Prepared::new(&options, &registry).await.unwrap());
    let second = Prepared::new(&options, &registry).await.unwrap();
    assert_eq!(second.facts.assets[0].0.name, "data/words.tsv");
    drop(second);
    let other = super::WORDS_TABLE.replace("BB\t4", "BB\t5");
    fs::write(folder.path().join("words.tsv"), other).unwrap();
    let error = failure(Prepared::new(&options, &registry).await);
    assert!(error.to_string().contains("words.tsv was kept when the run began"), "{error}");
}

fn failure(result: Result<Prepared, LearnerError>) -> LearnerError {
    match result {
        Ok(_) => panic!("it was accepted"),
        Err(error) => error,
    }
}
