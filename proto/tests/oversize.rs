//! A message beyond its limit is refused by a real server, and by a client before it is sent.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::pin::Pin;
use std::time::Duration;

use tokio_stream::wrappers::TcpListenerStream;
use tokio_stream::{Stream, StreamExt};
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status, Streaming};
use tributary_proto::code::Code;
use tributary_proto::v1::sessions_client::SessionsClient;
use tributary_proto::v1::sessions_server::{Sessions, SessionsServer};
use tributary_proto::{limits, v1};

/// Answers each message with an empty one.
struct Echo;

#[tonic::async_trait]
impl Sessions for Echo {
    type OpenStream = Pin<Box<dyn Stream<Item = Result<v1::LearnerMessage, Status>> + Send>>;

    async fn open(
        &self,
        request: Request<Streaming<v1::ActorMessage>>,
    ) -> Result<Response<Self::OpenStream>, Status> {
        let answers = request.into_inner().map(|m| m.map(|_| v1::LearnerMessage::default()));
        Ok(Response::new(Box::pin(answers)))
    }
}

async fn learner() -> Channel {
    serve(limits::sessions_server(Echo)).await
}

async fn serve(service: SessionsServer<Echo>) -> Channel {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let server = limits::server(Server::builder()).add_service(service);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    limits::endpoint(&address).unwrap().connect().await.unwrap()
}

fn goodbye(bytes: usize) -> v1::ActorMessage {
    let goodbye = v1::Goodbye { reason: "x".repeat(bytes), unacked_records: 0 };
    v1::ActorMessage { message: Some(v1::actor_message::Message::Goodbye(goodbye)) }
}

async fn first_answer(
    mut client: SessionsClient<Channel>,
    message: v1::ActorMessage,
) -> Result<v1::LearnerMessage, Status> {
    let answer = async {
        let mut answers = client.open(tokio_stream::iter([message])).await?.into_inner();
        answers.message().await.map(|answer| answer.expect("an answer"))
    };
    tokio::time::timeout(Duration::from_secs(30), answer).await.expect("no answer in 30 s")
}

#[tokio::test]
async fn a_message_within_the_limit_passes() {
    let client = limits::sessions_client(learner().await);
    let message = goodbye(limits::SESSION_MESSAGE_BYTES - 100);
    assert_eq!(first_answer(client, message).await.unwrap(), v1::LearnerMessage::default());
}

#[tokio::test]
async fn the_server_refuses_a_message_beyond_it() {
    let unlimited = SessionsClient::new(learner().await);
    let status = first_answer(unlimited, goodbye(limits::SESSION_MESSAGE_BYTES)).await.unwrap_err();
    assert_eq!(Code::of_status(&status), Code::TooLarge, "{status}");
}

#[tokio::test]
async fn the_client_does_not_send_a_message_beyond_it() {
    let greedy = SessionsServer::new(Echo).max_decoding_message_size(usize::MAX);
    let channel = serve(greedy).await;
    let message = goodbye(limits::SESSION_MESSAGE_BYTES);
    assert!(first_answer(SessionsClient::new(channel.clone()), message.clone()).await.is_ok());
    assert!(first_answer(limits::sessions_client(channel), message).await.is_err());
}
