//! A bare session: hello, weights, small batches that are acked.

use std::sync::Mutex;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::Streaming;
use tributary_common::ids::{PolicyVersion, Seq};
use tributary_common::trajectory::{TrajectoryBatch, TrajectoryKind, TrajectoryView};
use tributary_proto::convert::actor::{ActorEvent, Hello};
use tributary_proto::convert::batch::StampedBatch;
use tributary_proto::convert::learner::{LearnerEvent, Welcome};
use tributary_proto::credentials::Dialer;
use tributary_proto::limits;
use tributary_proto::v1::{ActorMessage, LearnerMessage, SubscribeRequest, WeightSet};

/// Trajectories in a batch.
const BATCH: u64 = 4;

/// Seconds from each batch to its ack.
#[derive(Default)]
pub(super) struct Tally(Mutex<Vec<f64>>);

impl Tally {
    fn add(&self, seconds: f64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(seconds);
    }

    /// Those that come in so many seconds from now.
    pub(super) async fn during(&self, seconds: u64) -> Vec<f64> {
        let take = || std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        take();
        sleep(Duration::from_secs(seconds)).await;
        take()
    }
}

/// An actor that streams.
pub(super) struct Session {
    up: mpsc::Sender<ActorMessage>,
    down: Streaming<LearnerMessage>,
    welcome: Welcome,
    _weights: AbortOnDropHandle<()>,
}

impl Session {
    /// Until the first credit.
    pub(super) async fn join(dialer: Dialer) -> Result<Self> {
        let line = dialer.connect().await?;
        let (up, messages) = mpsc::channel(16);
        let hello = Hello {
            attempt: None,
            protocol: limits::PROTOCOL,
            run: None,
            software: "bench".to_owned(),
            name: "bare".to_owned(),
            host: "here".to_owned(),
            process: std::process::id(),
            threads: 1,
            resume: None,
            claims: vec![],
        };
        up.send(ActorEvent::Hello(hello).into()).await?;
        let open = limits::sessions_client(line).open(ReceiverStream::new(messages)).await?;
        let mut down = open.into_inner();
        let LearnerEvent::Welcome(welcome) = hear(&mut down).await? else { bail!("not welcome") };
        up.send(ActorEvent::Ready(welcome.fingerprints).into()).await?;
        while !matches!(hear(&mut down).await?, LearnerEvent::Credit(_)) {}
        let weights = tokio::spawn(follow(dialer, welcome.clone()));
        let _weights = AbortOnDropHandle::new(weights);
        Ok(Self { up, down, welcome: *welcome, _weights })
    }

    /// Sends until its stream ends, which it should not.
    pub(super) async fn work(mut self, every: Duration, tally: Arc<Tally>) -> Result<()> {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut next = 0;
        loop {
            ticks.tick().await;
            let start = Instant::now();
            let mut batch = TrajectoryBatch::default();
            for _ in 0..BATCH {
                batch.push(&self.trajectory(Seq(next)));
                next += 1;
            }
            let epoch = self.welcome.identity.epoch;
            self.up.send(ActorEvent::Batch(StampedBatch { epoch, batch }).into()).await?;
            loop {
                if let LearnerEvent::Ack(ack) = hear(&mut self.down).await?
                    && ack.acked.below == Seq(next)
                {
                    break;
                }
            }
            tally.add(start.elapsed().as_secs_f64());
        }
    }

    fn trajectory(&self, seq: Seq) -> TrajectoryView<'static> {
        TrajectoryView {
            seq,
            actions: &[0, 1, 0],
            raw: &[0.6],
            policy: PolicyVersion { incarnation: self.welcome.incarnation, step: 0 },
            kind: TrajectoryKind::Forward,
            setting: self.welcome.exploration_setting,
            log_mu: 0.0,
            seconds: 0.0,
        }
    }
}

async fn hear(down: &mut Streaming<LearnerMessage>) -> Result<LearnerEvent> {
    let message = down.message().await?.context("the learner ended the session")?;
    Ok(message.try_into()?)
}

/// Reads the weights, as every actor does on a connection of its own.
async fn follow(dialer: Dialer, welcome: Box<Welcome>) {
    let request = SubscribeRequest {
        run_id: welcome.run.0.to_vec(),
        actor_id: welcome.identity.actor.0,
        set: WeightSet::Ema.into(),
        newer_than: None,
    };
    let Ok(line) = dialer.connect().await else { return };
    let Ok(stream) = limits::weights_client(line).subscribe(request).await else { return };
    let mut stream = stream.into_inner();
    while let Ok(Some(_)) = stream.message().await {}
}
