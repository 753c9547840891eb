//! A bare session: hello, weights, small batches that are acked.

use std::sync::Mutex;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::task::AbortOnDropHandle;
use tonic::Streaming;
use tributary_common::ids::{PolicyVersion, Seq};
use tributary_common::trajectory::{TrajectoryBatch, TrajectoryKind, TrajectoryView};
use tributary_proto::convert::actor::ActorEvent;
use tributary_proto::convert::batch::StampedBatch;
use tributary_proto::convert::learner::{LearnerEvent, Welcome};
use tributary_proto::credentials::Dialer;
use tributary_proto::v1::{ActorMessage, LearnerMessage};

use crate::bare::{Bare, follow, hear};

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
        let Bare { up, down, welcome, .. } =
            Bare::join(&dialer, "bench", "bare".to_owned(), 16).await?;
        let weights = tokio::spawn(follow(dialer, welcome.clone(), |_| ()));
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
