//! A seat at a reward service: one stream of requests, one request at a time.

use std::pin::Pin;

use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status, Streaming};
use tributary_common::object::Object;
use tributary_common::plain_text::plain_up_to;
use tributary_common::reward::outside::Services;
use tributary_proto::credentials::explained;
use tributary_proto::v1::reward_service_client::RewardServiceClient;
use tributary_proto::v1::{DescribeRequest, EvaluateReply, EvaluateRequest, EvaluationStatus};
use tributary_proto::{limits, v1};

use super::reply::{Refusal, Reply};
use super::seat::{Opens, Seated, slow};
use crate::oracle::{Failure, FailureKind};

/// How streams to one address are opened.
#[derive(Clone)]
pub(super) struct Dial {
    address: String,
    services: Services,
}

impl Dial {
    pub(super) fn new(address: &str, services: &Services) -> Self {
        Self { address: address.to_owned(), services: services.clone() }
    }

    /// Connects, and sees that it measures what the run wants.
    async fn dial(&self) -> Result<Stream, Failure> {
        let endpoint = Endpoint::from_shared(self.address.clone());
        let endpoint = endpoint.map_err(unavailable)?;
        let endpoint = endpoint
            .connect_timeout(self.services.connect_timeout)
            .http2_keep_alive_interval(limits::KEEP_ALIVE)
            .keep_alive_timeout(limits::KEEP_ALIVE_TIMEOUT);
        let channel = endpoint.connect().await.map_err(|error| unavailable(explained(&error)))?;
        let mut client = RewardServiceClient::<Channel>::new(channel)
            .max_decoding_message_size(limits::MESSAGE_BYTES);
        let described = client.describe(DescribeRequest {}).await;
        let described = described.map_err(|status| unavailable(said(&status)))?.into_inner();
        self.check(&described)?;
        // One request at a time.
        let (up, requests) = mpsc::channel(1);
        // Some servers, those in Python among them, answer the call with their first reply only.
        let down = Down::Opening(Box::pin(async move {
            client.evaluate(ReceiverStream::new(requests)).await.map(Response::into_inner)
        }));
        Ok(Stream { dial: self.clone(), up, down, requests: 0 })
    }

    fn check(&self, described: &v1::DescribeReply) -> Result<(), Failure> {
        let Services { service, outputs, .. } = &self.services;
        if described.kind != *service {
            let found = plain_up_to(&described.kind, 100);
            return Err(unavailable(format!("it measures {found:?}, the run {service:?}")));
        }
        let names: Vec<String> =
            described.outputs.iter().map(|output| plain_up_to(&output.name, 100)).collect();
        if names != *outputs {
            let reason = format!("its outputs are {names:?}, those of the run {outputs:?}");
            return Err(unavailable(reason));
        }
        Ok(())
    }
}

fn unavailable(reason: impl ToString) -> Failure {
    Failure::new(FailureKind::Unavailable, reason.to_string())
}

impl Opens for Dial {
    type Seated = Stream;

    async fn open(&mut self) -> Result<Stream, Failure> {
        let limit = self.services.connect_timeout.saturating_mul(2);
        let late = |_| unavailable(format!("no answer within {} s", limit.as_secs_f64()));
        timeout(limit, self.dial()).await.map_err(late)?
    }
}

type Opening = Pin<Box<dyn Future<Output = Result<Streaming<EvaluateReply>, Status>>>>;

/// The way back, which is there once the first request is on its way.
enum Down {
    Opening(Opening),
    Open(Box<Streaming<EvaluateReply>>),
}

impl Down {
    async fn message(&mut self) -> Result<Option<EvaluateReply>, Status> {
        loop {
            match self {
                Self::Opening(opening) => *self = Self::Open(Box::new(opening.await?)),
                Self::Open(replies) => return replies.message().await,
            }
        }
    }
}

/// An open stream.
pub(super) struct Stream {
    dial: Dial,
    up: mpsc::Sender<EvaluateRequest>,
    down: Down,
    /// Answered.
    requests: u64,
}

impl Stream {
    async fn exchange(&mut self, request: EvaluateRequest) -> Result<EvaluateReply, Failure> {
        // When the stream is gone, the other direction says why.
        let _ = self.up.send(request).await;
        match self.down.message().await {
            Ok(Some(reply)) => Ok(reply),
            Ok(None) => Err(Failure::new(FailureKind::Crash, "it ended the stream")),
            Err(status) => Err(Failure::new(kind(&status), said(&status))),
        }
    }
}

impl Seated for Stream {
    fn is_there(&mut self) -> bool {
        !self.up.is_closed()
    }

    fn has_answered(&self) -> bool {
        self.requests > 0
    }

    async fn ask(&mut self, objects: &[&Object]) -> Result<Vec<Reply>, Failure> {
        let Services { asking, outputs, .. } = &self.dial.services;
        let (limit, outputs) = (asking.limit(objects.len()), outputs.len());
        let slow = slow(&self.dial.address, asking, objects);
        let id = self.requests;
        // Texts and numbers always have a JSON form.
        let json = |object: &&Object| serde_json::to_string(object).unwrap_or_default();
        let request = EvaluateRequest { id, objects: objects.iter().map(json).collect() };
        let reply = tokio::select! {
            biased;
            reply = self.exchange(request) => reply?,
            () = sleep(limit) => {
                let reason = format!("no answer within {} s", limit.as_secs_f64());
                return Err(Failure::new(FailureKind::TimeOut, reason));
            }
            never = slow => match never {},
        };
        let garbage = |reason: String| Failure::new(FailureKind::Garbage, reason);
        if reply.id != id {
            return Err(garbage(format!("a reply to request {} came to {id}", reply.id)));
        }
        if reply.measured.len() != objects.len() {
            let (found, expected) = (reply.measured.len(), objects.len());
            return Err(garbage(format!("it measured {found} of {expected} objects")));
        }
        let replies = reply.measured.into_iter().map(|measured| read(measured, outputs));
        let replies = replies.collect::<Result<Vec<Reply>, String>>().map_err(garbage)?;
        self.requests += 1;
        Ok(replies)
    }

    async fn end(self) {}

    async fn kill(self) {}
}

fn read(measured: v1::Measured, outputs: usize) -> Result<Reply, String> {
    match measured.status() {
        EvaluationStatus::Measured if measured.raw.len() == outputs => Ok(Ok(measured.raw)),
        EvaluationStatus::Measured => {
            Err(format!("it gave {} values, not {outputs}", measured.raw.len()))
        }
        EvaluationStatus::Failed => {
            let (reason, is_transient) = (plain_up_to(&measured.error, 500), measured.transient);
            Ok(Err(Refusal { reason, is_transient }))
        }
        status => Err(format!("{} says nothing of an object", status.as_str_name())),
    }
}

/// Whose fault a status is: an address that nobody answers at, or a program that failed at what it
/// was asked.
fn kind(status: &Status) -> FailureKind {
    match status.code() {
        Code::Unavailable
        | Code::Unimplemented
        | Code::PermissionDenied
        | Code::Unauthenticated => FailureKind::Unavailable,
        Code::DeadlineExceeded => FailureKind::TimeOut,
        Code::OutOfRange | Code::ResourceExhausted => FailureKind::Garbage,
        _ => FailureKind::Crash,
    }
}

fn said(status: &Status) -> String {
    plain_up_to(&format!("{:?}: {}", status.code(), status.message()), 500)
}

#[cfg(test)]
mod tests;
