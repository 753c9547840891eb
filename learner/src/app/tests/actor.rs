//! An actor of the tests: it says over gRPC whatever it is told to say.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use tributary_common::ids::{Incarnation, PolicyVersion, Seq};
use tributary_common::session::Resume;
use tributary_common::trajectory::{TrajectoryBatch, TrajectoryKind, TrajectoryView};
use tributary_proto::convert::actor::{ActorEvent, Hello};
use tributary_proto::convert::batch::StampedBatch;
use tributary_proto::convert::learner::{LearnerEvent, Rejection, Welcome};
use tributary_proto::credentials::{Credentials, Line};
use tributary_proto::limits;
use tributary_proto::v1::{ActorMessage, Goodbye, LearnerMessage};

pub(super) const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct TestActor {
    outgoing: mpsc::Sender<ActorMessage>,
    incoming: Streaming<LearnerMessage>,
    pub(super) welcome: Welcome,
    pub(super) next: u64,
    pub(super) drained: bool,
}

pub(super) fn hello(resume: Option<Resume>) -> Hello {
    Hello {
        protocol: limits::PROTOCOL,
        run: None,
        software: "test".into(),
        name: "tester".into(),
        host: "here".into(),
        process: 7,
        threads: 1,
        resume,
        attempt: None,
        claims: vec![],
    }
}

/// Opens a stream, says hello, and hears the answer.
pub(super) async fn greet(
    url: &str,
    hello: Hello,
) -> (mpsc::Sender<ActorMessage>, Streaming<LearnerMessage>, LearnerEvent) {
    let line = Credentials::default().dialer(url).unwrap().connect().await.unwrap();
    greet_on(line, hello).await
}

async fn greet_on(
    line: Line,
    hello: Hello,
) -> (mpsc::Sender<ActorMessage>, Streaming<LearnerMessage>, LearnerEvent) {
    let (outgoing, messages) = mpsc::channel(16);
    outgoing.send(ActorEvent::Hello(hello).into()).await.unwrap();
    let mut client = limits::sessions_client(line);
    let mut incoming = client.open(ReceiverStream::new(messages)).await.unwrap().into_inner();
    let answer = hear(&mut incoming).await.unwrap();
    (outgoing, incoming, answer)
}

async fn hear(incoming: &mut Streaming<LearnerMessage>) -> Result<LearnerEvent, Status> {
    let message = timeout(PATIENCE, incoming.message()).await;
    let message = message.expect("the learner said nothing in time")?;
    Ok(message.expect("the learner ended the stream").try_into().unwrap())
}

impl TestActor {
    /// Welcomed, and ready with the learner's own fingerprints.
    pub(super) async fn join(url: &str, resume: Option<Resume>) -> Self {
        Self::join_with(url, hello(resume)).await
    }

    /// As [`join`](Self::join), with this hello.
    pub(super) async fn join_with(url: &str, hello: Hello) -> Self {
        let line = Credentials::default().dialer(url).unwrap().connect().await.unwrap();
        Self::join_on(line, hello).await
    }

    /// As `join_with`, on a connection that is there.
    pub(super) async fn join_on(line: Line, hello: Hello) -> Self {
        let (outgoing, incoming, answer) = greet_on(line, hello).await;
        let LearnerEvent::Welcome(welcome) = answer else { panic!("not welcome: {answer:?}") };
        let ready = ActorEvent::Ready(welcome.fingerprints);
        outgoing.send(ready.into()).await.unwrap();
        let mut actor = Self { outgoing, incoming, welcome: *welcome, next: 0, drained: false };
        while !matches!(actor.hear().await.unwrap(), LearnerEvent::Credit(_)) {}
        actor
    }

    pub(super) async fn say(&self, event: ActorEvent) {
        self.outgoing.send(event.into()).await.unwrap();
    }

    /// Sends trajectories (actions and one raw value each) under the next sequence numbers.
    pub(super) async fn send(&mut self, trajectories: &[(&[u32], f64)]) {
        self.send_as(TrajectoryKind::Forward, 0.0, trajectories).await;
    }

    /// As [`send`](Self::send), of a kind and with what measuring each object took.
    pub(super) async fn send_as(
        &mut self,
        kind: TrajectoryKind,
        seconds: f32,
        trajectories: &[(&[u32], f64)],
    ) {
        let mut batch = TrajectoryBatch::default();
        for (actions, raw) in trajectories {
            batch.push(&TrajectoryView {
                seq: Seq(self.next),
                actions,
                raw: &[*raw],
                policy: PolicyVersion { incarnation: Incarnation(1), step: 0 },
                kind,
                setting: self.welcome.exploration_setting,
                log_mu: 0.0,
                seconds,
            });
            self.next += 1;
        }
        let epoch = self.welcome.identity.epoch;
        self.say(ActorEvent::Batch(StampedBatch { epoch, batch })).await;
    }

    pub(super) async fn hear(&mut self) -> Result<LearnerEvent, Status> {
        let event = hear(&mut self.incoming).await;
        self.drained |= matches!(event, Ok(LearnerEvent::Drain { .. }));
        event
    }

    /// Waits until all that was sent is acked; returns what was rejected.
    pub(super) async fn acked(&mut self) -> Vec<Rejection> {
        let mut rejections = Vec::new();
        loop {
            if let LearnerEvent::Ack(ack) = self.hear().await.unwrap() {
                rejections.extend(ack.rejections);
                if ack.acked.below == Seq(self.next) {
                    return rejections;
                }
            }
        }
    }

    /// Waits for the learner's Drain and says goodbye.
    pub(super) async fn leave_when_drained(mut self) {
        while !self.drained {
            self.hear().await.unwrap();
        }
        let goodbye = Goodbye { reason: "drained".into(), unacked_records: 0 };
        self.say(ActorEvent::Goodbye(goodbye)).await;
        loop {
            let next = timeout(PATIENCE, self.incoming.message()).await;
            if next.expect("no end of the stream").unwrap().is_none() {
                return;
            }
        }
    }
}
