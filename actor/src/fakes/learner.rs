//! A learner without training: the real session machine behind real services on a port of its own.

use std::collections::VecDeque;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_stream::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};
use tributary_common::ids::{ActorId, Epoch, Incarnation, PolicyVersion, RunId, Seq};
use tributary_common::network::{Network, Weights};
use tributary_common::registry::Registry;
use tributary_common::session::books::Books;
use tributary_common::session::learner::{Incoming, Settlement};
use tributary_common::session::refusal::{Fingerprints, Refusal, RefusalCode, common_protocol};
use tributary_common::session::sessions::{Sessions, SessionsConfig};
use tributary_common::session::{Secret, SessionKey, batch_bytes, random_stream};
use tributary_common::trajectory::TrajectoryKind;
use tributary_proto::convert::actor::{ActorEvent, Hello};
use tributary_proto::convert::batch::StampedBatch;
use tributary_proto::convert::chunks::{
    Chunk, Manifest, Subscription, WeightSet, WeightsEvent, chunks,
};
use tributary_proto::convert::learner::{Ack, Asset, LearnerEvent, Welcome};
use tributary_proto::v1::assets_server::Assets;
use tributary_proto::v1::sessions_server::Sessions as SessionsService;
use tributary_proto::v1::weights_server::Weights as WeightsService;
use tributary_proto::v1::{self, ActorMessage, LearnerMessage, WeightsMessage};
use tributary_proto::{code::Code, limits};

pub(crate) const RUN: RunId = RunId([7; 16]);
/// Of all credit: a few hundred trajectories.
pub(crate) const BUDGET: u64 = 64 << 10;

/// What becomes of received records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acks {
    /// Accepted and acked.
    Send,
    /// Accepted, but the ack never arrives.
    Lose,
    /// Held: neither accepted nor acked, and no credit comes back.
    Hold,
}

/// An accepted trajectory.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Accepted {
    pub(crate) key: (ActorId, Epoch, Seq),
    pub(crate) actions: Vec<u32>,
    pub(crate) raw: Vec<f64>,
    pub(crate) policy: PolicyVersion,
    pub(crate) kind: TrajectoryKind,
    pub(crate) seconds: f32,
}

/// What a test asks of the learner.
pub(crate) struct Setting {
    pub(crate) run_file: String,
    /// Data files: name and content.
    pub(crate) files: Vec<(String, Vec<u8>)>,
    /// Changes what the learner offers and expects, to be refused.
    pub(crate) change: fn(&mut Offer),
}

/// What the learner offers and expects.
pub(crate) struct Offer {
    pub(crate) protocol: (u32, u32),
    pub(crate) fingerprints: Fingerprints,
    pub(crate) assets: Vec<Asset>,
    pub(crate) durable: bool,
}

/// A running learner; its services end with it.
pub(crate) struct FakeLearner {
    pub(crate) address: String,
    state: Arc<State>,
    stop: CancellationToken,
}

struct State {
    run_file: String,
    offer: Offer,
    files: Vec<Vec<u8>>,
    network: Network,
    weights: watch::Sender<(PolicyVersion, Vec<u8>)>,
    inner: Mutex<Inner>,
}

struct Inner {
    sessions: Sessions,
    acks: Acks,
    accepted: Vec<Accepted>,
    pending: VecDeque<(SessionKey, StampedBatch, u64)>,
    streams: Vec<(SessionKey, mpsc::Sender<Down>, CancellationToken)>,
    progress: v1::Progress,
    goodbyes: Vec<u64>,
    hellos: u64,
    subscribed: Vec<WeightSet>,
}

type Down = Result<LearnerMessage, Status>;
type Stream_<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl FakeLearner {
    /// Starts a learner on a port of its own, with weights of version 1.1.
    pub(crate) async fn start(setting: Setting, registry: &Registry, folder: &Path) -> Self {
        for (name, content) in &setting.files {
            std::fs::write(folder.join(name), content).unwrap();
        }
        let (run_file, task) = registry.read(&setting.run_file, &[], folder).unwrap();
        let network = Network::of_run(&run_file, &*task.environment);
        let of_task = task.fingerprints();
        let asset = |(name, content): &(String, Vec<u8>)| Asset {
            name: name.clone(),
            blake3: *blake3::hash(content).as_bytes(),
            size: content.len() as u64,
        };
        let mut offer = Offer {
            protocol: limits::PROTOCOL,
            fingerprints: Fingerprints {
                environment: of_task.environment,
                reward: of_task.reward,
                architecture: network.fingerprint(),
            },
            assets: setting.files.iter().map(asset).collect(),
            durable: false,
        };
        (setting.change)(&mut offer);
        let config = SessionsConfig {
            incarnation: Incarnation(1),
            durable: offer.durable,
            most_sessions: 8,
            most_remembered: 8,
            budget_bytes: BUDGET,
            window_bytes: BUDGET,
            record_bytes: 1 << 10,
        };
        let inner = Inner {
            sessions: Sessions::new(config),
            acks: Acks::Send,
            accepted: Vec::new(),
            pending: VecDeque::new(),
            streams: Vec::new(),
            progress: v1::Progress::default(),
            goodbyes: Vec::new(),
            hellos: 0,
            subscribed: Vec::new(),
        };
        let state = Arc::new(State {
            run_file: setting.run_file,
            offer,
            files: setting.files.into_iter().map(|(_, content)| content).collect(),
            weights: watch::Sender::new((PolicyVersion::default(), Vec::new())),
            network,
            inner: Mutex::new(inner),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let services = limits::server(Server::builder())
            .add_service(limits::sessions_server(Service(state.clone())))
            .add_service(limits::weights_server(Service(state.clone())))
            .add_service(limits::assets_server(Service(state.clone())))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(stop.clone().run_until_cancelled_owned(services));
        let learner = Self { address, state, stop };
        learner.publish(1, 0);
        learner
    }

    /// Publishes weights of version 1.`step`.
    pub(crate) fn publish(&self, step: u64, generated: u64) {
        let version = PolicyVersion { incarnation: Incarnation(1), step };
        let values = self.state.network.initial_values(step);
        let weights = Weights { version, log_z: 0.0, generated, values };
        let bytes = weights.to_bytes(&self.state.network).unwrap();
        self.state.weights.send_replace((version, bytes));
    }

    /// From now on.
    pub(crate) fn acks(&self, acks: Acks) {
        let mut inner = self.state.inner();
        inner.acks = acks;
        inner.settle();
    }

    /// Ends all sessions' streams.
    pub(crate) fn cut(&self) {
        self.state.inner().streams.iter().for_each(|(_, _, cut)| cut.cancel());
    }

    /// Asks all actors to drain.
    pub(crate) fn drain(&self) {
        let drain = LearnerEvent::Drain { reason: "test".into(), deadline: None };
        for (_, down, _) in &self.state.inner().streams {
            down.try_send(Ok(drain.clone().into())).unwrap();
        }
    }

    /// Ends the services at once.
    pub(crate) fn stop(&self) {
        self.cut();
        self.stop.cancel();
    }

    pub(crate) fn accepted(&self) -> Vec<Accepted> {
        self.state.inner().accepted.clone()
    }

    pub(crate) fn books(&self) -> Books {
        self.state.inner().sessions.books()
    }

    /// The sets of weights that were asked for.
    pub(crate) fn subscribed(&self) -> Vec<WeightSet> {
        self.state.inner().subscribed.clone()
    }

    /// The last progress report.
    pub(crate) fn progress(&self) -> v1::Progress {
        self.state.inner().progress.clone()
    }

    /// Unacked records that actors left behind, one for each goodbye.
    pub(crate) fn goodbyes(&self) -> Vec<u64> {
        self.state.inner().goodbyes.clone()
    }

    /// Sessions opened.
    pub(crate) fn hellos(&self) -> u64 {
        self.state.inner().hellos
    }
}

impl Drop for FakeLearner {
    fn drop(&mut self) {
        self.stop();
    }
}

impl State {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admit(&self, hello: &Hello) -> Result<Welcome, Refusal> {
        common_protocol(self.offer.protocol, hello.protocol)?;
        if let Some(theirs) = hello.run.filter(|theirs| *theirs != RUN) {
            return Err(Refusal::new(RefusalCode::Run, "run", RUN, theirs, "go elsewhere"));
        }
        let mut inner = self.inner();
        inner.hellos += 1;
        let admission = inner.sessions.hello(hello.resume.as_ref(), Secret([3; 16]))?;
        Ok(Welcome {
            protocol: 1,
            run: RUN,
            run_name: "test".into(),
            incarnation: Incarnation(1),
            identity: admission.identity,
            acked: admission.acked,
            run_file: self.run_file.clone(),
            assets: self.offer.assets.clone(),
            seed: 1,
            stream: random_stream(admission.identity.epoch),
            exploration_setting: 0,
            durable: self.offer.durable,
            lockstep: false,
            fingerprints: self.offer.fingerprints,
            progress_every: Duration::from_millis(100),
        })
    }

    /// One session, to its end.
    async fn session(
        &self,
        mut up: Streaming<ActorMessage>,
        down: mpsc::Sender<Down>,
    ) -> Result<(), Status> {
        let Some(ActorEvent::Hello(hello)) = hear(&mut up).await? else {
            return Err(Code::Invalid.status("no hello"));
        };
        let welcome = match self.admit(&hello) {
            Ok(welcome) => welcome,
            Err(refusal) => return say(&down, LearnerEvent::Refused(refusal, Duration::ZERO)),
        };
        let key = SessionKey { actor: welcome.identity.actor, epoch: welcome.identity.epoch };
        say(&down, LearnerEvent::Welcome(Box::new(welcome)))?;
        let cut = CancellationToken::new();
        self.inner().streams.push((key, down.clone(), cut.clone()));
        let result = tokio::select! {
            biased;
            () = cut.cancelled() => Err(Code::Unavailable.status("cut by the test")),
            result = self.stream(key, &mut up, &down) => result,
        };
        let mut inner = self.inner();
        inner.streams.retain(|(other, ..)| *other != key);
        inner.sessions.close(key);
        result
    }

    async fn stream(
        &self,
        key: SessionKey,
        up: &mut Streaming<ActorMessage>,
        down: &mpsc::Sender<Down>,
    ) -> Result<(), Status> {
        while let Some(event) = hear(up).await? {
            let mut inner = self.inner();
            match event {
                ActorEvent::Ready(theirs) => {
                    if let Err(refusal) = self.offer.fingerprints.agree(&theirs) {
                        return say(down, LearnerEvent::Refused(refusal, Duration::ZERO));
                    }
                    inner.sessions.ready(key).map_err(|error| Code::Invalid.status(error))?;
                    inner.grant();
                }
                ActorEvent::Batch(stamped) => {
                    let incoming = Incoming {
                        epoch: stamped.epoch,
                        first: stamped.batch.first_seq,
                        count: stamped.batch.len() as u64,
                        bytes: batch_bytes(&stamped.batch),
                    };
                    let duplicates = inner.sessions.receive(key, &incoming);
                    let duplicates = duplicates.map_err(|error| Code::Invalid.status(error))?;
                    inner.pending.push_back((key, stamped, duplicates));
                    inner.settle();
                }
                ActorEvent::Progress(progress) => inner.progress = progress,
                ActorEvent::Goodbye(goodbye) => {
                    inner.goodbyes.push(goodbye.unacked_records);
                    return Ok(());
                }
                ActorEvent::Hello(_) => return Err(Code::Invalid.status("a second hello")),
            }
        }
        Ok(())
    }
}

impl Inner {
    /// Accepts what is pending, unless it is held.
    fn settle(&mut self) {
        while self.acks != Acks::Hold {
            let Some((session, StampedBatch { epoch, batch }, duplicates)) =
                self.pending.pop_front()
            else {
                return;
            };
            let settlement = Settlement {
                epoch,
                accepted: batch.len() as u64 - duplicates,
                duplicate: 0,
                rejected: &[],
                bytes: batch_bytes(&batch),
            };
            let settled = self.sessions.settle(session, &settlement).unwrap();
            for view in batch.iter().skip(duplicates as usize) {
                self.accepted.push(Accepted {
                    key: (session.actor, epoch, view.seq),
                    actions: view.actions.to_vec(),
                    raw: view.raw.to_vec(),
                    policy: view.policy,
                    kind: view.kind,
                    seconds: view.seconds,
                });
            }
            if self.acks == Acks::Lose {
                continue;
            }
            let ack = Ack { acked: settled.acked, rejections: Vec::new(), credit: None };
            if let Some(to) = settled.to {
                self.tell(to, LearnerEvent::Ack(ack));
            }
            self.grant();
        }
    }

    fn grant(&mut self) {
        for (session, credit) in self.sessions.grants() {
            self.tell(session, LearnerEvent::Credit(credit));
        }
    }

    fn tell(&self, session: SessionKey, event: LearnerEvent) {
        if let Some((_, down, _)) = self.streams.iter().find(|(key, ..)| *key == session) {
            // A stream that is gone is made good by the next session.
            let _ = down.try_send(Ok(event.into()));
        }
    }
}

async fn hear(up: &mut Streaming<ActorMessage>) -> Result<Option<ActorEvent>, Status> {
    let message = up.message().await?;
    let event = message.map(ActorEvent::try_from).transpose();
    event.map_err(|error| Code::Invalid.status(error))
}

fn say(down: &mpsc::Sender<Down>, event: LearnerEvent) -> Result<(), Status> {
    down.try_send(Ok(event.into())).map_err(|_| Code::Unavailable.status("no room"))
}

struct Service(Arc<State>);

#[tonic::async_trait]
impl SessionsService for Service {
    type OpenStream = ReceiverStream<Down>;

    async fn open(
        &self,
        request: Request<Streaming<ActorMessage>>,
    ) -> Result<Response<Self::OpenStream>, Status> {
        let (down, stream) = mpsc::channel(4_096);
        let state = self.0.clone();
        tokio::spawn(async move {
            if let Err(status) = state.session(request.into_inner(), down.clone()).await {
                let _ = down.try_send(Err(status));
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

#[tonic::async_trait]
impl WeightsService for Service {
    type SubscribeStream = Stream_<WeightsMessage>;

    async fn subscribe(
        &self,
        request: Request<v1::SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let Subscription { set, .. } = request.into_inner().try_into()?;
        self.0.inner().subscribed.push(set);
        let architecture = self.0.network.fingerprint();
        let (sender, stream) = mpsc::channel(1);
        let mut weights = self.0.weights.subscribe();
        weights.mark_changed();
        tokio::spawn(async move {
            while weights.changed().await.is_ok() {
                let (version, bytes) = weights.borrow_and_update().clone();
                let manifest = Manifest {
                    version,
                    set,
                    architecture,
                    total_bytes: bytes.len() as u64,
                    blake3: *blake3::hash(&bytes).as_bytes(),
                };
                let pieces = chunks(bytes.into()).map(WeightsEvent::Data);
                for event in std::iter::once(WeightsEvent::Manifest(manifest)).chain(pieces) {
                    if sender.send(Ok(event.into())).await.is_err() {
                        return;
                    }
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}

#[tonic::async_trait]
impl Assets for Service {
    type FetchStream = Stream_<v1::AssetData>;

    async fn fetch(
        &self,
        request: Request<v1::FetchRequest>,
    ) -> Result<Response<Self::FetchStream>, Status> {
        let wanted = request.into_inner().blake3;
        let place = self.0.offer.assets.iter().position(|asset| asset.blake3[..] == wanted[..]);
        let place = place.ok_or_else(|| Code::NotFound.status("no such file"))?;
        let pieces = chunks(self.0.files[place].clone().into());
        let pieces: Vec<v1::AssetData> = pieces.map(Chunk::into).collect();
        Ok(Response::new(Box::pin(tokio_stream::iter(pieces).map(Ok))))
    }
}
