//! Peers of another version of the protocol.

use std::pin::Pin;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_stream::Stream;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};
use tributary_common::session::refusal::common_protocol;
use tributary_proto::convert::actor::ActorEvent;
use tributary_proto::convert::learner::LearnerEvent;
use tributary_proto::v1::sessions_server::Sessions;
use tributary_proto::{limits, v1};

use crate::programs::TRIBUTARY;

/// A learner that speaks protocols 2 to 3.
struct LaterLearner;

#[tonic::async_trait]
impl Sessions for LaterLearner {
    type OpenStream = Pin<Box<dyn Stream<Item = Result<v1::LearnerMessage, Status>> + Send>>;

    async fn open(
        &self,
        request: Request<Streaming<v1::ActorMessage>>,
    ) -> Result<Response<Self::OpenStream>, Status> {
        let message = request.into_inner().message().await?.expect("hello");
        let Ok(ActorEvent::Hello(hello)) = message.try_into() else { panic!("no hello") };
        let refusal = common_protocol((2, 3), hello.protocol).expect_err("nothing in common");
        let refused = LearnerEvent::Refused(refusal, Duration::ZERO);
        Ok(Response::new(Box::pin(tokio_stream::once(Ok(refused.into())))))
    }
}

#[test]
fn an_actor_refused_by_a_later_learner_says_both_protocols_and_exits_78() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let service = limits::sessions_server(LaterLearner);
    let server = limits::server(Server::builder()).add_service(service);
    runtime.spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    let Output { status, stderr, .. } = Command::new(TRIBUTARY)
        .args(["actor", "--learner", &address])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&stderr);
    assert_eq!(status.code(), Some(78), "{stderr}");
    for part in ["protocol is 1..1 here and 2..3 there", "same release"] {
        assert!(stderr.contains(part), "{part}: {stderr}");
    }
}
