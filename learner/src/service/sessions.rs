//! The door for actors: each stream becomes a session.

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use tributary_proto::v1::sessions_server::Sessions;
use tributary_proto::v1::{ActorMessage, LearnerMessage};

use super::ServiceDeps;
use super::session::Conversation;

/// Messages ready to be sent in a session; further news wait in its outbox and are coalesced.
const READY_MESSAGES: usize = 16;

pub(super) struct SessionsService(ServiceDeps);

impl SessionsService {
    pub(super) fn new(deps: ServiceDeps) -> Self {
        Self(deps)
    }
}

#[tonic::async_trait]
impl Sessions for SessionsService {
    type OpenStream = ReceiverStream<Result<LearnerMessage, Status>>;

    async fn open(
        &self,
        request: Request<Streaming<ActorMessage>>,
    ) -> Result<Response<Self::OpenStream>, Status> {
        let (messages, stream) = mpsc::channel(READY_MESSAGES);
        let conversation = Conversation::new(self.0.clone(), request.into_inner(), messages);
        tokio::spawn(conversation.hold());
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}
