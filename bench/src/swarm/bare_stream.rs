//! The same messages over the same stream to nobody: decoded, answered, and nothing done with them. What
//! the transport alone carries, beside which a learner is seen.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming, async_trait};
use tributary_common::ids::{Epoch, Incarnation, PolicyVersion};
use tributary_proto::convert::actor::ActorEvent;
use tributary_proto::convert::batch::StampedBatch;
use tributary_proto::credentials::{Credentials, Dialer};
use tributary_proto::limits;
use tributary_proto::v1::learner_message::Message;
use tributary_proto::v1::sessions_server::Sessions;
use tributary_proto::v1::{Ack, ActorMessage, LearnerMessage};

use super::SETTLES;
use super::pool::{Pool, Stamp};

/// Messages of a stream that may wait to be sent.
const ROOM: usize = 4;

/// Trajectories a second from so many streams, in batches of this size.
pub(super) async fn measure(
    pool: &Arc<Pool>,
    sessions: usize,
    batch: usize,
    seconds: u64,
) -> Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}", listener.local_addr()?);
    let server = limits::server(Server::builder()).add_service(limits::sessions_server(Nobody));
    let mut tasks = JoinSet::new();
    tasks.spawn(
        async move { Ok(server.serve_with_incoming(TcpListenerStream::new(listener)).await?) },
    );
    let answered = Arc::new(AtomicU64::new(0));
    let dialer = Credentials::default().dialer(&address)?;
    for number in 0..sessions {
        let (pool, answered) = (Arc::clone(pool), Arc::clone(&answered));
        tasks.spawn(stream(dialer.clone(), number, pool, batch, answered));
    }
    sleep(SETTLES).await;
    let (start, before) = (Instant::now(), answered.load(Relaxed));
    sleep(Duration::from_secs(seconds)).await;
    let rate = (answered.load(Relaxed) - before) as f64 / start.elapsed().as_secs_f64();
    if let Some(ended) = tasks.try_join_next() {
        ended??;
    }
    Ok(rate)
}

/// Sends for ever.
async fn stream(
    dialer: Dialer,
    number: usize,
    pool: Arc<Pool>,
    batch: usize,
    answered: Arc<AtomicU64>,
) -> Result<()> {
    let (up, messages) = mpsc::channel(ROOM);
    let mut sessions = limits::sessions_client(dialer.connect().await?);
    let mut down = sessions.open(ReceiverStream::new(messages)).await?.into_inner();
    let incarnation = Incarnation(1);
    let policy = PolicyVersion { incarnation, step: 0 };
    let (epoch, stamp) = (
        Epoch { incarnation, counter: 1 },
        Stamp { offset: 97 * number as u64, policy, setting: 0 },
    );
    let send = async {
        let mut next = 0;
        loop {
            let batch = StampedBatch { epoch, batch: pool.batch(batch, next, stamp) };
            next += batch.batch.len() as u64;
            up.send(ActorEvent::Batch(batch).into()).await?;
        }
    };
    let hear = async {
        while down.message().await?.is_some() {
            answered.fetch_add(batch as u64, Relaxed);
        }
        Ok(())
    };
    tokio::select! {
        sent = send => sent,
        heard = hear => heard,
    }
}

/// Answers every message.
struct Nobody;

#[async_trait]
impl Sessions for Nobody {
    type OpenStream = ReceiverStream<Result<LearnerMessage, Status>>;

    async fn open(
        &self,
        request: Request<Streaming<ActorMessage>>,
    ) -> Result<Response<Self::OpenStream>, Status> {
        let mut messages = request.into_inner();
        let (down, answers) = mpsc::channel(ROOM);
        tokio::spawn(async move {
            while let Ok(Some(message)) = messages.message().await {
                drop(message);
                let ack = LearnerMessage { message: Some(Message::Ack(Ack::default())) };
                if down.send(Ok(ack)).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(answers)))
    }
}
