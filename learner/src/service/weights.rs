//! Weights down: the newest at once, then each newer one that the subscriber is quick enough for.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tributary_common::ids::PolicyVersion;
use tributary_common::run_file;
use tributary_proto::code::Code;
use tributary_proto::convert::chunks::{Manifest, Subscription, WeightSet, WeightsEvent, chunks};
use tributary_proto::v1::weights_server::Weights;
use tributary_proto::v1::{SubscribeRequest, WeightsMessage};

use super::ServiceDeps;
use crate::publish::{Encoded, Newest};

/// Parameters of a network that is encoded in less time than handing it to a thread takes.
const SMALL_NETWORK: usize = 4_096;

pub(super) struct WeightsService(ServiceDeps);

impl WeightsService {
    pub(super) fn new(deps: ServiceDeps) -> Self {
        Self(deps)
    }
}

type Messages = mpsc::Sender<Result<WeightsMessage, Status>>;

#[tonic::async_trait]
impl Weights for WeightsService {
    type SubscribeStream = ReceiverStream<Result<WeightsMessage, Status>>;

    async fn subscribe(
        &self,
        request: Request<SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let subscription = Subscription::try_from(request.into_inner())?;
        let ours = self.0.facts.run_id;
        if let Some(theirs) = subscription.run.filter(|theirs| *theirs != ours) {
            let message = format!("this learner trains run {ours}, not {theirs}");
            return Err(Code::Mismatch.status(message));
        }
        // One chunk is on its way, one is ready: a slow subscriber holds no more.
        let (messages, stream) = mpsc::channel(1);
        let deps = self.0.clone();
        tokio::spawn(async move {
            let stop = deps.stop.clone();
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = send_newest(deps, subscription, messages) => {}
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

async fn send_newest(deps: ServiceDeps, subscription: Subscription, messages: Messages) {
    let ServiceDeps { facts, mut newest, .. } = deps;
    let set = subscription.set;
    let mut have = subscription.newer_than;
    loop {
        let published = newest.borrow_and_update().clone();
        let is_newer = |version: PolicyVersion| have.is_none_or(|have| version > have);
        let superseded = published.as_ref().map(|published| published.superseded.clone());
        if let Some(published) = published.filter(|published| is_newer(published.version)) {
            let version = published.version;
            let network = Arc::clone(&facts.network);
            let encode = move || published.encoded(domain(set), &network);
            let is_small = facts.network.parameter_count() <= SMALL_NETWORK;
            // Encoding takes milliseconds for a large network.
            let encoded = match is_small {
                true => Ok(encode()),
                false => tokio::task::spawn_blocking(encode).await,
            };
            let sent = match encoded {
                Ok(Ok(encoded)) => {
                    send(version, set, facts.fingerprints.architecture, &encoded, &messages).await
                }
                Ok(Err(error)) => messages.send(Err(Code::Bug.status(error))).await.is_ok(),
                Err(_) => return,
            };
            if !sent {
                return;
            }
            have = Some(version);
        }
        let ended = tokio::select! {
            biased;
            () = messages.closed() => true,
            is_newer = newer(superseded, &mut newest) => !is_newer,
        };
        if ended {
            return;
        }
    }
}

/// Waits for other weights than those that `superseded` belongs to; false if there will be none.
async fn newer(superseded: Option<CancellationToken>, newest: &mut Newest) -> bool {
    let Some(superseded) = superseded else { return newest.changed().await.is_ok() };
    superseded.cancelled().await;
    true
}

/// Sends one version whole; false when the subscriber is gone.
async fn send(
    version: PolicyVersion,
    set: WeightSet,
    architecture: [u8; 32],
    encoded: &Encoded,
    messages: &Messages,
) -> bool {
    let total_bytes = encoded.bytes.len() as u64;
    let blake3 = encoded.blake3;
    let manifest = Manifest { version, set, architecture, total_bytes, blake3 };
    let pieces = chunks(encoded.bytes.clone()).map(WeightsEvent::Data);
    for event in std::iter::once(WeightsEvent::Manifest(manifest)).chain(pieces) {
        if messages.send(Ok(event.into())).await.is_err() {
            return false;
        }
    }
    true
}

fn domain(set: WeightSet) -> run_file::Weights {
    match set {
        WeightSet::Raw => run_file::Weights::Raw,
        WeightSet::Ema => run_file::Weights::Ema,
    }
}
