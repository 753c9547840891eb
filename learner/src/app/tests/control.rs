//! What can be seen of a run from outside.

use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tributary_common::network::{Network, Weights};
use tributary_common::registry::Registry;
use tributary_proto::convert::chunks::{Subscription, WeightSet, WeightsEvent};
use tributary_proto::limits;
use tributary_proto::v1::{
    DrainRequest, StatusRequest, SubscribeRequest, WatchRequest, WeightsMessage,
};

use super::actor::{PATIENCE, TestActor};
use super::training::EMA_OFFSET;
use super::{GOOD, GRID, TestLearner};
use crate::app::Outcome;

#[tokio::test(flavor = "multi_thread")]
async fn status_watch_metrics_and_drain() {
    let mut learner = TestLearner::start(GRID, &["learner.generated=1000"]).await;
    let mut control = learner.control().await;
    let prefixes = vec!["generated".to_owned()];
    let mut records = control.watch(WatchRequest { prefixes }).await.unwrap().into_inner();
    let mut actor = TestActor::join(&learner.url, None).await;
    actor.send(&[GOOD; 40]).await;
    actor.acked().await;

    let status = control.status(StatusRequest {}).await.unwrap().into_inner();
    assert_eq!(status.run_name, "grid");
    assert_eq!(status.counters.unwrap().generated, 40);
    assert_eq!(status.books.unwrap().resident, 40);
    assert_eq!(status.goals.unwrap().generated, Some(1000));
    let row = &status.actors[0];
    assert_eq!((row.name.as_str(), row.accepted, row.process), ("tester", 40, 7));

    let record = loop {
        let next = tokio::time::timeout(PATIENCE, records.message()).await.unwrap();
        let record = next.unwrap().unwrap();
        if record.values["generated"] == 40.0 {
            break record;
        }
    };
    assert_eq!(record.values.len(), 1, "only what was asked for: {:?}", record.values);

    let expected = [
        "tributary_learner_trajectories_accepted_total 40.0",
        "tributary_learner_actors_connected 1.0",
        "tributary_learner_updates_total 2.0",
        "# EOF",
    ];
    let start = Instant::now();
    loop {
        let metrics = get(&learner, "/metrics").await;
        match expected.iter().find(|line| !metrics.contains(**line)) {
            None => break,
            Some(line) => assert!(start.elapsed() < PATIENCE, "{line} is not in\n{metrics}"),
        }
    }
    assert!(get(&learner, "/healthz").await.ends_with("ok\n"));

    let reason = "enough".to_owned();
    let reply = control.drain(DrainRequest { reason }).await.unwrap().into_inner();
    assert!(reply.started);
    actor.leave_when_drained().await;
    assert_eq!(learner.end().await.0, Outcome::Interrupted);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_weights_that_are_asked_for_come_whole_and_never_go_back() {
    for (set, offset) in [(WeightSet::Raw, 0.0), (WeightSet::Ema, EMA_OFFSET)] {
        follow(set, offset).await;
    }
}

/// Follows one of the sets, whose values are the step and an offset, to the end of a run.
async fn follow(set: WeightSet, offset: f32) {
    let sets = ["learner.updates=9", "learner.publish_every=2", "learner.batch=1"];
    let mut learner = TestLearner::start(&GRID.replace("generated = 100", ""), &sets).await;
    let channel = limits::endpoint(&learner.url).unwrap().connect().await.unwrap();
    let mut client = limits::weights_client(channel);
    let subscription = Subscription { run: None, actor: None, set, newer_than: None };
    let mut stream =
        client.subscribe(SubscribeRequest::from(subscription)).await.unwrap().into_inner();
    let first = receive(&mut stream, set).await;
    assert_eq!((first.version.step, first.values[0]), (0, offset));

    let mut actor = TestActor::join(&learner.url, None).await;
    actor.send(&[GOOD; 9]).await;
    let mut last = first.version;
    while last.step < 9 {
        let weights = receive(&mut stream, set).await;
        assert!(weights.version > last, "{} after {last}", weights.version);
        assert!(weights.values.iter().all(|v| *v == weights.version.step as f32 + offset));
        last = weights.version;
    }
    actor.leave_when_drained().await;
    learner.end().await;
}

async fn receive(stream: &mut tonic::Streaming<WeightsMessage>, set: WeightSet) -> Weights {
    let mut expected = None;
    let mut bytes = Vec::new();
    loop {
        let message = tokio::time::timeout(PATIENCE, stream.message()).await.unwrap();
        match message.unwrap().unwrap().try_into().unwrap() {
            WeightsEvent::Manifest(manifest) => expected = Some(manifest),
            WeightsEvent::Data(chunk) => {
                assert_eq!(chunk.offset, bytes.len() as u64);
                bytes.extend_from_slice(&chunk.data);
            }
        }
        let manifest = expected.unwrap();
        if bytes.len() as u64 == manifest.total_bytes {
            assert_eq!(manifest.set, set);
            assert_eq!(manifest.blake3, *blake3::hash(&bytes).as_bytes());
            let (run_file, task) =
                Registry::builtin().read(GRID, &[], std::path::Path::new("")).unwrap();
            let network = Network::of_run(&run_file, task.environment.as_ref());
            assert_eq!(manifest.architecture, network.fingerprint());
            let weights = Weights::from_bytes(&network, &bytes).unwrap();
            assert_eq!(weights.version, manifest.version);
            return weights;
        }
    }
}

pub(super) async fn get(learner: &TestLearner, path: &str) -> String {
    let address = learner.http.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let token = learner.token();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
        token.reveal()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}
