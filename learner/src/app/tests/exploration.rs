//! Exploration settings spread over actors, and what each of them brings.

use tributary_common::ids::Seq;
use tributary_common::session::{Leftover, Resume};
use tributary_common::trajectory::TrajectoryKind;
use tributary_proto::convert::learner::LearnerEvent;
use tributary_proto::v1::{KindYield, StatusRequest};

use super::actor::TestActor;
use super::{GRID, TestLearner, assert_balance};

const SETS: [&str; 4] = [
    "exploration.epsilon=[0.0, 0.01, 0.1]",
    "exploration.temperature=1.5",
    "learner.generated=9",
    "learner.batch=3",
];

#[tokio::test(flavor = "multi_thread")]
async fn three_actors_take_three_settings_and_the_yields_add_up() {
    let sets = [&SETS[..], &["evaluation.good_log_reward=-1"]].concat();
    let mut learner = TestLearner::start(GRID, &sets).await;
    let mut actors = Vec::new();
    for expected in [0, 1, 2] {
        let actor = TestActor::join(&learner.url, None).await;
        assert_eq!(actor.welcome.exploration_setting, expected);
        actors.push(actor);
    }
    // log R is -0.51 for 0.6 and -2.3 for 0.1; the object of [0, 1] is that of [1, 0].
    let sent: [&[(&[u32], f64)]; 3] = [
        &[(&[], 0.6), (&[0], 0.1), (&[0, 1], 0.6)],
        &[(&[], 0.6), (&[1, 0], 0.6)],
        &[(&[1], 0.6), (&[1], 0.6), (&[0, 0], 0.1), (&[1, 1], 0.6)],
    ];
    for (actor, trajectories) in actors.iter_mut().zip(sent) {
        actor.send(trajectories).await;
        assert!(actor.acked().await.is_empty());
    }

    let expected = [(3, 3, 2), (2, 0, 0), (4, 3, 2)];
    let status = learner.control().await.status(StatusRequest {}).await.unwrap();
    let status = status.into_inner();
    assert_eq!(status.yields[1].description, "epsilon 0.01, temperature 1.5");
    let rows = status.yields.iter().map(|row| (row.generated, row.objects, row.good_objects));
    let told = expected.map(|(generated, objects, good)| (generated, objects, Some(good)));
    assert_eq!(rows.collect::<Vec<_>>(), told);
    for actor in actors {
        actor.leave_when_drained().await;
    }

    let (_, summary) = learner.end().await;
    let of = |setting: usize, name: &str| summary["yields"][setting][name].as_u64().unwrap();
    let ended = [0, 1, 2].map(|i| (of(i, "generated"), of(i, "objects"), of(i, "good_objects")));
    assert_eq!(ended, expected);
    assert_eq!(summary["yields"][2]["exploration"], "epsilon 0.1, temperature 1.5");
    assert_eq!(summary["counters"]["paid"], 6, "the settings' objects add up");
    assert_eq!(summary["evaluation"]["modes.good_objects"], 4.0, "and so do the good ones");
    assert_balance(&summary);
    let metrics = std::fs::read_to_string(learner.path("metrics.jsonl")).unwrap();
    let last: serde_json::Value = serde_json::from_str(metrics.lines().last().unwrap()).unwrap();
    let figures = ["generated", "objects", "good_objects"].map(|name| format!("yield.2.{name}"));
    assert_eq!(figures.map(|name| last[name].as_f64()), [Some(4.0), Some(3.0), Some(2.0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn kinds_are_told_apart_and_what_a_file_knew_is_not_paid() {
    let sets = ["learner.generated=6", "learner.batch=3", "evaluation.good_log_reward=-1"];
    let mut learner = TestLearner::start(GRID, &sets).await;
    let mut actor = TestActor::join(&learner.url, None).await;
    actor.send(&[(&[0], 0.1)]).await;
    // [1, 1] and [0, 0] from a file; [1, 1] is measured later.
    actor.send_as(TrajectoryKind::Backward, 0.0, &[(&[0, 1], 0.6), (&[], 0.6)]).await;
    actor.send_as(TrajectoryKind::LocalSearch, 0.5, &[(&[1, 0], 0.6), (&[0, 0], 0.1)]).await;
    actor.send_as(TrajectoryKind::LocalSearch, 0.0, &[(&[0, 0], 0.1)]).await;
    assert!(actor.acked().await.is_empty());
    let status = learner.control().await.status(StatusRequest {}).await.unwrap();
    let kinds = &status.get_ref().yields[0].kinds;
    let row = |row: &KindYield| (row.generated, row.objects, row.good_objects);
    let named: Vec<_> = kinds.iter().map(|kind| (kind.kind.as_str(), row(kind))).collect();
    let expected = [
        ("forward", (1, 1, Some(0))),
        ("local_search", (3, 1, Some(0))),
        ("backward", (2, 2, Some(2))),
    ];
    assert_eq!(named, expected);
    actor.leave_when_drained().await;

    let (_, summary) = learner.end().await;
    assert_eq!(summary["counters"]["paid"], 3, "[0, 0] was never measured: {summary:#}");
    let yields = &summary["yields"][0];
    assert_eq!((&yields["objects"], &yields["good_objects"]), (&4.into(), &2.into()));
    assert_eq!(yields["kinds"]["local_search"]["generated"], 3, "{yields}");
    let metrics = std::fs::read_to_string(learner.path("metrics.jsonl")).unwrap();
    let last: serde_json::Value = serde_json::from_str(metrics.lines().last().unwrap()).unwrap();
    assert_eq!(last["yield.0.backward.good_objects"], 2.0, "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_keeps_its_setting_and_who_is_new_fills_the_gap() {
    let mut learner = TestLearner::start(GRID, &SETS).await;
    let first = TestActor::join(&learner.url, None).await;
    let second = TestActor::join(&learner.url, None).await;
    let third = TestActor::join(&learner.url, None).await;
    let identity = third.welcome.identity;
    drop(third);
    drop(second);
    let mut control = learner.control().await;
    loop {
        let status = control.status(StatusRequest {}).await.unwrap().into_inner();
        let lost = status.actors.iter().filter(|row| row.state().as_str_name().ends_with("LOST"));
        if lost.count() == 2 {
            break;
        }
    }
    let leftover = Leftover { epoch: identity.epoch, acked_below: Seq(0), next: Seq(0) };
    let resume = Resume {
        actor: identity.actor,
        secret: identity.secret,
        acked_records: 0,
        leftovers: vec![leftover],
    };
    let back = TestActor::join(&learner.url, Some(resume)).await;
    assert_eq!(back.welcome.exploration_setting, 2);
    let new = TestActor::join(&learner.url, None).await;
    assert_eq!(new.welcome.exploration_setting, 1);
    let fourth = TestActor::join(&learner.url, None).await;
    assert_eq!(fourth.welcome.exploration_setting, 0, "all are taken once: round again");
    drop((first, back, new, fourth));
    learner.interrupt.cancel();
    let (_, summary) = learner.end().await;
    assert!(summary["yields"][0].get("good_objects").is_none(), "{summary:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_that_the_run_does_not_have_ends_the_session() {
    let mut learner = TestLearner::start(GRID, &SETS).await;
    let mut actor = TestActor::join(&learner.url, None).await;
    actor.welcome.exploration_setting = 3;
    actor.send(&[(&[0], 0.1)]).await;
    let refusal = loop {
        if let LearnerEvent::Refused(refusal, _) = actor.hear().await.unwrap() {
            break refusal.to_string();
        }
    };
    assert!(refusal.contains("exploration setting 3 of a run that has 3"), "{refusal}");
    learner.interrupt.cancel();
    let (_, summary) = learner.end().await;
    assert_eq!(summary["books"]["received"], 0);
}
