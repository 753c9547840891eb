//! A learner that does not get on: who is held back, who is told, and that nothing is lost.

use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tributary_common::session::Resume;
use tributary_common::session::refusal::RefusalCode;
use tributary_proto::convert::actor::{Attempt, Hello};
use tributary_proto::convert::learner::LearnerEvent;
use tributary_proto::credentials::Line;
use tributary_proto::limits;
use tributary_proto::v1::{ActorState, DrainRequest, StatusReply, StatusRequest};

use super::actor::{TestActor, greet, hello};
use super::control::get;
use super::{GOOD, GRID, TestLearner, assert_balance};

type Control = tributary_proto::v1::control_client::ControlClient<Line>;

async fn control(learner: &TestLearner) -> Control {
    learner.control().await
}

/// Asks for the status until it is as it should be.
async fn status(control: &mut Control, is_it: impl Fn(&StatusReply) -> bool) -> StatusReply {
    let start = std::time::Instant::now();
    loop {
        let status = control.status(StatusRequest {}).await.unwrap().into_inner();
        if is_it(&status) {
            return status;
        }
        assert!(start.elapsed() < super::PATIENCE, "{status:#?}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trainer_that_stops_holds_actors_back_and_nothing_is_dropped() {
    const ACTORS: usize = 12;
    // A window of four records for each actor; replay lets the trainer be eight behind.
    let sets = ["actor.batch=4", "learner.batch=2", "learner.generated=48"];
    let mut learner = TestLearner::start(GRID, &sets).await;
    let gate = learner.gate.clone();
    let closed = gate.lock().await;
    let mut control = control(&learner).await;
    let mut actors = Vec::new();
    for _ in 0..ACTORS {
        let mut actor = TestActor::join(&learner.url, None).await;
        actor.send(&[GOOD; 4]).await;
        actors.push(actor);
    }
    let held_back = |status: &StatusReply| {
        let states = status.actors.iter().map(|actor| actor.state());
        let held = states.filter(|state| *state == ActorState::Backpressured).count();
        let books = status.books.clone().unwrap();
        books.received == 48
            && held >= ACTORS - 3
            && status.waited_seconds.contains_key("trainer.data")
    };
    let held = status(&mut control, held_back).await;
    let books = held.books.unwrap();
    assert!(books.accepted <= 10, "{books:?}");
    assert_eq!(books.pending + books.accepted, 48, "{books:?}");

    drop(closed);
    for mut actor in actors {
        assert_eq!(actor.acked().await, []);
        actor.leave_when_drained().await;
    }
    let (_, summary) = learner.end().await;
    assert_balance(&summary);
    assert_eq!((&summary["trajectories"], &summary["books"]["pending"]), (&48.into(), &0.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_ends_is_alive_and_not_ready() {
    let mut learner = TestLearner::start(GRID, &["learner.generated=1000"]).await;
    assert!(get(&learner, "/readyz").await.starts_with("HTTP/1.1 200"));
    let channel = limits::endpoint(&learner.url).unwrap().connect().await.unwrap();
    let mut health = HealthClient::new(channel);
    let actor = TestActor::join(&learner.url, None).await;
    let reason = "enough".to_owned();
    control(&learner).await.drain(DrainRequest { reason }).await.unwrap();
    // The run cannot end before its actor leaves.
    let start = std::time::Instant::now();
    let page = loop {
        let page = get(&learner, "/readyz").await;
        if page.starts_with("HTTP/1.1 503") {
            break page;
        }
        assert!(start.elapsed() < super::PATIENCE, "{page}");
    };
    assert!(page.ends_with("stopping: intake is over\n"), "{page}");
    assert!(get(&learner, "/healthz").await.ends_with("ok\n"));
    let mut updates = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    loop {
        let now = updates.message().await.unwrap().unwrap().status();
        if now == ServingStatus::NotServing {
            break;
        }
    }
    drop(updates);
    actor.leave_when_drained().await;
    learner.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hello_that_was_given_up_does_not_fence_the_session_that_counts() {
    let mut learner = TestLearner::start(GRID, &["learner.generated=1000"]).await;
    let attempt = |number| Some(Attempt { program: 5, number });
    let first = Hello { attempt: attempt(1), ..hello(None) };
    let (_, _, answer) = greet(&learner.url, first).await;
    let LearnerEvent::Welcome(welcome) = answer else { panic!("not welcome: {answer:?}") };
    let identity = welcome.identity;
    let resume = || {
        let (actor, secret, leftovers) = (identity.actor, identity.secret, Vec::new());
        Some(Resume { actor, secret, acked_records: 0, leftovers })
    };
    // The third is heard before the second, which its program no longer waits for.
    let third = Hello { attempt: attempt(3), ..hello(resume()) };
    let mut actor = TestActor::join_with(&learner.url, third).await;
    let second = Hello { attempt: attempt(2), ..hello(resume()) };
    let (_, _, answer) = greet(&learner.url, second).await;
    let LearnerEvent::Refused(refusal, _) = answer else { panic!("not refused: {answer:?}") };
    assert_eq!((refusal.code, refusal.field.as_str()), (RefusalCode::Full, "hello"));

    actor.send(&[GOOD; 20]).await;
    assert_eq!(actor.acked().await, [], "the session was fenced");
    // Another start of the program counts anew.
    let restarted = Hello { attempt: Some(Attempt { program: 6, number: 1 }), ..hello(resume()) };
    let (outgoing, incoming, answer) = greet(&learner.url, restarted).await;
    assert!(matches!(answer, LearnerEvent::Welcome(_)), "{answer:?}");
    drop((outgoing, incoming));
    learner.interrupt.cancel();
    let (_, summary) = learner.end().await;
    assert_balance(&summary);
}
