//! Hello, Welcome, Ready: what the learner tells an actor that knows nothing but its address.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::Streaming;
use tributary_common::network::Network;
use tributary_common::random::{Purpose, Stream};
use tributary_common::registry::{data_files, redirect};
use tributary_common::run_file::{self, RunFile, RunFileError};
use tributary_common::session::record_bytes;
use tributary_common::session::refusal::Fingerprints;
use tributary_proto::convert::actor::{ActorEvent, Hello};
use tributary_proto::convert::learner::{LearnerEvent, Welcome};
use tributary_proto::credentials::Line;
use tributary_proto::limits;
use tributary_proto::v1::{self, ActorMessage, LearnerMessage};

use super::{Break, Link, Work};
use crate::data_files::{self, FetchError};
use crate::error::ActorError;
use crate::pipeline::Order;
use crate::shared::{Inquiry, SharedRewards};
use crate::surroundings::Works;
use crate::weights::Subscription;

/// Messages to the learner that wait for the transport.
const OUTBOX: usize = 4;
/// Bounds of the learner's wish for progress reports.
const REPORTS: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(60)];

/// A welcomed connection.
pub(super) struct Connection {
    pub(super) up: mpsc::Sender<ActorMessage>,
    pub(super) down: Streaming<LearnerMessage>,
    /// How often the learner wants progress.
    pub(super) report_every: Duration,
}

/// The learner's run, built in this program.
struct Task {
    run_file: RunFile,
    order: Order,
    network: Arc<Network>,
    fingerprints: Fingerprints,
}

impl Link {
    /// Connects, says hello, builds the run's task at the first time, and says ready.
    pub(super) async fn connect(&mut self) -> Result<Connection, Break> {
        self.take_over();
        let (surroundings, dialer) = (self.surroundings.clone(), self.dialer.clone());
        let connect =
            async move { timeout(limits::HELLO_TIMEOUT, surroundings.connect(&dialer)).await };
        let line = self.meanwhile(connect).await?;
        // The system bounds neither a look-up of names nor what stands between it and the learner.
        let line = line.map_err(|_| Break::lost("no connection comes about"))?;
        let channel = line.map_err(|error| Break::lost(self.dialer.explained(&error)))?;
        let line = channel.clone();
        let (up, outbox) = mpsc::channel(OUTBOX);
        let hello = self.hello()?;
        say(&up, ActorEvent::Hello(hello)).await?;
        let mut sessions = limits::sessions_client(channel.clone());
        let open = async move {
            let mut down = sessions.open(ReceiverStream::new(outbox)).await?.into_inner();
            let welcome = next(&mut down).await?;
            Ok::<_, Break>((down, welcome))
        };
        let (down, welcome) = self
            .meanwhile(timeout(limits::HELLO_TIMEOUT, open))
            .await?
            .map_err(|_| Break::lost("the learner does not answer hello"))??;
        let welcome = match welcome {
            LearnerEvent::Welcome(welcome) => welcome,
            LearnerEvent::Refused(refusal, after) => return Err(self.refused_hello(refusal, after)),
            _ => return Err(Break::protocol("something else came instead of Welcome")),
        };
        self.welcomed(&welcome)?;
        self.count_records();
        let (actor, epoch) = (welcome.identity.actor, welcome.identity.epoch);
        tracing::info!(run = welcome.run_name, %actor, %epoch, "welcomed by the learner");
        let fingerprints = match &self.work {
            Some(work) => {
                self.progress.reconnects.fetch_add(1, Relaxed);
                work.fingerprints
            }
            None => {
                let task = self.build(&welcome, channel).await?;
                let fingerprints = task.fingerprints;
                self.work = Some(self.start(&welcome, task)?);
                fingerprints
            }
        };
        say(&up, ActorEvent::Ready(fingerprints)).await?;
        self.questions.send_replace(Some((welcome.identity, line)));
        self.lost_since = Instant::now();
        self.back_off.succeeded();
        let report_every = welcome.progress_every.clamp(REPORTS[0], REPORTS[1]);
        Ok(Connection { up, down, report_every })
    }

    fn hello(&mut self) -> Result<Hello, Break> {
        let resume = self.session.hello()?;
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Ok(Hello {
            protocol: limits::PROTOCOL,
            run: self.work.as_ref().map(|work| work.run).or_else(|| self.run_of_adopted()),
            software: concat!("tributary ", env!("CARGO_PKG_VERSION")).to_owned(),
            name: self.config.name.clone(),
            host: host.trim().to_owned(),
            process: std::process::id(),
            threads: self.config.threads.unwrap_or_default() as u32,
            resume,
            attempt: Some(self.next_attempt()),
            claims: self
                .work
                .as_ref()
                .and_then(|work| work.shared.as_ref())
                .map_or_else(Vec::new, |shared| shared.running()),
        })
    }

    /// Fetches the run's data files and makes its environment, reward and network.
    async fn build(&self, welcome: &Welcome, channel: Line) -> Result<Task, Break> {
        let mut run_file = RunFile::parse(&welcome.run_file, &[]).map_err(ActorError::RunFile)?;
        let mut client = limits::assets_client(channel);
        for file in data_files(&run_file) {
            let asset = welcome.assets.iter().find(|asset| asset.name == file.name);
            let asset = asset.ok_or_else(|| ActorError::DataFile {
                name: file.name.clone(),
                reason: "the learner does not offer it".to_owned(),
            })?;
            match data_files::fetch(&mut client, asset, &self.config.cache).await {
                Ok(path) => redirect(&mut run_file, &file, &path),
                Err(FetchError::Lost(status)) => return Err(status.into()),
                Err(FetchError::Failed(error)) => return Err(error.into()),
            }
        }
        let task = self
            .registry
            .task(&run_file, Path::new(""))
            .map_err(|problems| ActorError::RunFile(RunFileError::from(problems)))?;
        let network = Arc::new(Network::of_run(&run_file, &*task.environment));
        let of_task = task.fingerprints();
        let fingerprints = Fingerprints {
            environment: of_task.environment,
            reward: of_task.reward,
            architecture: network.fingerprint(),
        };
        let largest = record_bytes(task.environment.max_steps(), task.reward.outputs().len());
        if largest > limits::RECORD_BYTES {
            return Err(ActorError::TooLarge { largest, most: limits::RECORD_BYTES }.into());
        }
        let shared = run_file.reward.is_shared();
        let shared = shared.then(|| Arc::new(SharedRewards::new(Arc::clone(&task.undelayed))));
        let order = Order {
            environment: task.environment,
            reward: task.reward,
            shared,
            exploration: run_file.exploration.clone(),
            setting: welcome.exploration_setting,
            seed: welcome.seed,
            stream: welcome.stream,
            batch: run_file.actor_batch(),
            threads: self.config.threads.unwrap_or(run_file.actor.threads).max(1),
            initial: task.initial,
            orders: welcome.lockstep.then(|| self.orders.clone()),
            commands: self.config.commands.clone(),
        };
        Ok(Task { run_file, order, network, fingerprints })
    }

    /// Starts the threads and the subscription to the weights.
    fn start(&mut self, welcome: &Welcome, task: Task) -> Result<Work, ActorError> {
        let works = Works {
            newest: &self.newest,
            progress: &self.progress,
            stop: &self.stop,
            gate: &self.gate,
        };
        self.set_gate();
        let pipeline = self.surroundings.start(&task.order, &works)?;
        self.loss = task.run_file.actor.on_learner_loss.clone();
        let set = match task.run_file.actor.weights {
            run_file::Weights::Raw => v1::WeightSet::Raw,
            run_file::Weights::Ema => v1::WeightSet::Ema,
        };
        let request = v1::SubscribeRequest {
            run_id: welcome.run.0.to_vec(),
            actor_id: welcome.identity.actor.0,
            set: set.into(),
            newer_than: None,
        };
        let subscription = Subscription {
            dialer: self.dialer.clone(),
            surroundings: self.surroundings.clone(),
            request,
            network: task.network,
            newest: self.newest.clone(),
            random: Stream::new(self.random.bits(), Purpose::Walk, 0, 0),
        };
        let weights = tokio::spawn(subscription.run());
        let shared = task.order.shared;
        let asking = shared.clone().map(|shared| {
            let session = self.questions.subscribe();
            let random = Stream::new(self.random.bits(), Purpose::Walk, 0, 0);
            AbortOnDropHandle::new(tokio::spawn(Inquiry { shared, session, random }.run()))
        });
        let fingerprints = task.fingerprints;
        Ok(Work { run: welcome.run, fingerprints, pipeline, weights, shared, _asking: asking })
    }
}

/// Hands a message to the transport.
pub(super) async fn say(up: &mpsc::Sender<ActorMessage>, event: ActorEvent) -> Result<(), Break> {
    up.send(event.into()).await.map_err(|_| Break::lost("the stream to the learner broke"))
}

/// The learner's next message.
pub(super) async fn next(down: &mut Streaming<LearnerMessage>) -> Result<LearnerEvent, Break> {
    let message = down.message().await?;
    let message = message.ok_or_else(|| Break::lost("the learner ended the session"))?;
    Ok(message.try_into()?)
}
