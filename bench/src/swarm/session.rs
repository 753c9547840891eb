//! A session that sends what was drawn before, within its credit.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::task::AbortOnDropHandle;
use tonic::Streaming;
use tributary_common::ids::{PolicyVersion, Seq};
use tributary_common::session::Credit;
use tributary_proto::convert::actor::ActorEvent;
use tributary_proto::convert::batch::StampedBatch;
use tributary_proto::convert::learner::{Ack, LearnerEvent, Welcome};
use tributary_proto::credentials::Dialer;
use tributary_proto::v1::{ActorMessage, LearnerMessage, Progress, WeightsMessage};

use super::pool::{Pool, Stamp};
use crate::bare::{Bare, follow, hear};

/// What all sessions do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Work {
    Nothing,
    /// Batches as credit allows.
    Full {
        batch: usize,
    },
    /// A batch now and then.
    Paced {
        batch: usize,
        every: Duration,
    },
}

/// What all sessions together have seen.
#[derive(Default)]
pub(super) struct Tally {
    /// Trajectories.
    pub(super) acked: AtomicU64,
    /// Bytes.
    pub(super) weights: AtomicU64,
    latencies: Mutex<Vec<f32>>,
}

impl Tally {
    /// Seconds from when each batch was due to its ack, since the last call.
    pub(super) fn take_latencies(&self) -> Vec<f32> {
        std::mem::take(&mut *self.latencies.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// An actor that draws nothing.
pub(super) struct Session {
    up: mpsc::Sender<ActorMessage>,
    down: Streaming<LearnerMessage>,
    welcome: Box<Welcome>,
    stamp: Stamp,
    pool: Arc<Pool>,
    tally: Arc<Tally>,
    credit: Credit,
    spent: u64,
    /// The number of the next record, and of the first that is not acked.
    next: u64,
    acked: u64,
    /// When batches that are not acked were due, each with the number behind its last record.
    due: VecDeque<(u64, Instant)>,
    /// When the next one is due.
    next_due: Instant,
    _weights: AbortOnDropHandle<()>,
}

impl Session {
    /// Until the first credit; `weights` is told all that is heard of weights.
    pub(super) async fn join(
        dialer: Dialer,
        number: usize,
        pool: Arc<Pool>,
        tally: Arc<Tally>,
        weights: impl FnMut(WeightsMessage) + Send + 'static,
    ) -> Result<Self> {
        let Bare { up, down, welcome, credit } =
            Bare::join(&dialer, "swarm", format!("swarm-{number}"), 4).await?;
        let weights = tokio::spawn(follow(dialer, welcome.clone(), weights));
        let stamp = Stamp {
            offset: 97 * number as u64,
            policy: PolicyVersion { incarnation: welcome.incarnation, step: 0 },
            setting: welcome.exploration_setting,
        };
        Ok(Self {
            up,
            down,
            welcome,
            stamp,
            pool,
            tally,
            credit,
            spent: 0,
            next: 0,
            acked: 0,
            due: VecDeque::new(),
            next_due: Instant::now(),
            _weights: AbortOnDropHandle::new(weights),
        })
    }

    /// Does what is ordered until its stream ends, which it should not.
    pub(super) async fn work(mut self, mut orders: watch::Receiver<Work>) -> Result<()> {
        let mut reports = interval(self.welcome.progress_every);
        reports.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let work = *orders.borrow_and_update();
            if let Work::Paced { every, .. } = work {
                // Not all at the same moment.
                let part = (self.stamp.offset % 101) as f64 / 101.0;
                self.next_due = Instant::now() + every.mul_f64(part);
            }
            while !orders.has_changed()? {
                self.send(work).await?;
                let next_due = self.next_due;
                tokio::select! {
                    biased;
                    changed = orders.changed() => { changed?; orders.mark_changed(); }
                    heard = hear(&mut self.down) => self.take(heard?)?,
                    _ = reports.tick() => self.report().await?,
                    () = sleep_until(next_due), if next_due > Instant::now() && is_paced(work) => {}
                }
            }
        }
    }

    /// Sends all that is due and that credit allows.
    async fn send(&mut self, work: Work) -> Result<()> {
        loop {
            let (count, due) = match work {
                Work::Nothing => return Ok(()),
                Work::Full { batch } => (batch, Instant::now()),
                Work::Paced { .. } if self.next_due > Instant::now() => return Ok(()),
                Work::Paced { batch, .. } => (batch, self.next_due),
            };
            let cost = self.pool.cost(count, self.next, self.stamp);
            let sent = self.next + count as u64;
            let in_count = self.credit.records.is_none_or(|records| sent <= records);
            if self.spent + cost > self.credit.bytes || !in_count {
                return Ok(());
            }
            let epoch = self.welcome.identity.epoch;
            let batch = self.pool.batch(count, self.next, self.stamp);
            self.up.send(ActorEvent::Batch(StampedBatch { epoch, batch }).into()).await?;
            self.spent += cost;
            self.next = sent;
            self.due.push_back((sent, due));
            if let Work::Paced { every, .. } = work {
                self.next_due += every;
            }
        }
    }

    fn take(&mut self, heard: LearnerEvent) -> Result<()> {
        match heard {
            LearnerEvent::Ack(ack) => self.acked(&ack),
            LearnerEvent::Credit(credit) => self.credit = credit,
            LearnerEvent::Drain { reason, .. } => bail!("the learner drains: {reason}"),
            _ => {}
        }
        Ok(())
    }

    fn acked(&mut self, ack: &Ack) {
        let Seq(below) = ack.acked.below;
        self.tally.acked.fetch_add(below.saturating_sub(self.acked), Relaxed);
        self.acked = self.acked.max(below);
        if let Some(credit) = ack.credit {
            self.credit = credit;
        }
        let now = Instant::now();
        let mut latencies = self.tally.latencies.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((_, due)) = self.due.pop_front_if(|(last, _)| *last <= below) {
            latencies.push(now.duration_since(due).as_secs_f32());
        }
    }

    /// As an actor does every second.
    async fn report(&self) -> Result<()> {
        let unacked_records = self.next - self.acked;
        let progress = Progress { unacked_records, ..Progress::default() };
        Ok(self.up.send(ActorEvent::Progress(progress).into()).await?)
    }
}

fn is_paced(work: Work) -> bool {
    matches!(work, Work::Paced { .. })
}
