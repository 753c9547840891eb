//! What one session has to be told: coalesced, so that a slow actor costs a bounded memory and
//! nobody ever waits for it.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::Notify;
use tributary_common::ids::{Epoch, Seq};
use tributary_common::session::books::RejectionReason;
use tributary_common::session::work::WorkOrder;
use tributary_common::session::{Acked, Credit};
use tributary_proto::limits;

use crate::locks::lock;

/// Rejections kept for a session until they are sent; further ones are only counted.
const MOST_REJECTIONS: usize = limits::REPORT_ENTRIES;

/// A rejected record, as its actor is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Its epoch.
    pub epoch: Epoch,
    /// Its number.
    pub seq: Seq,
    /// Why.
    pub reason: RejectionReason,
    /// For people.
    pub detail: String,
    /// The step at fault, if there is one.
    pub step: Option<u32>,
}

/// The learner asks the actor to finish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrainNotice {
    /// For people.
    pub reason: String,
    /// How long the actor may wait for its acks.
    pub deadline: Duration,
}

/// The news of one session since they were last taken.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct News {
    /// For each epoch: all records below are taken care of.
    pub acked: BTreeMap<Epoch, Seq>,
    /// Newly rejected records.
    pub rejections: Vec<Rejection>,
    /// The newest grant.
    pub credit: Option<Credit>,
    /// What it shall draw in a lockstep run.
    pub work: Vec<WorkOrder>,
    /// The actor shall leave.
    pub drain: Option<DrainNotice>,
    /// A newer session exists; the last news of this one.
    pub fenced: Option<Epoch>,
}

/// News waiting to be sent in one session.
#[derive(Debug, Default)]
pub struct Outbox {
    news: Mutex<News>,
    wake: Notify,
}

impl Outbox {
    /// Adds news.
    pub fn post(&self, change: impl FnOnce(&mut News)) {
        change(&mut lock(&self.news));
        self.wake.notify_one();
    }

    /// Waits for news and takes them.
    pub async fn take(&self) -> News {
        loop {
            self.wake.notified().await;
            let news = std::mem::take(&mut *lock(&self.news));
            if news != News::default() {
                return news;
            }
        }
    }
}

impl News {
    /// Adds an ack and the rejections among the records that it covers.
    pub fn ack(&mut self, acked: Acked, rejections: &[Rejection]) {
        let below = self.acked.entry(acked.epoch).or_default();
        *below = acked.below.max(*below);
        let room = MOST_REJECTIONS.saturating_sub(self.rejections.len());
        self.rejections.extend(rejections.iter().take(room).cloned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tributary_common::ids::Incarnation;

    #[tokio::test]
    async fn news_are_coalesced() {
        let epoch = Epoch { incarnation: Incarnation(1), counter: 1 };
        let reason = RejectionReason::TooLong;
        let detail = String::new();
        let rejection = Rejection { epoch, seq: Seq(0), reason, detail, step: None };
        let outbox = Outbox::default();
        for below in 1..=5_000 {
            let acked = Acked { epoch, below: Seq(below) };
            outbox.post(|news| news.ack(acked, std::slice::from_ref(&rejection)));
        }
        outbox.post(|news| news.credit = Some(Credit { bytes: 7, records: None }));
        let news = outbox.take().await;
        assert_eq!(news.acked, BTreeMap::from([(epoch, Seq(5_000))]));
        assert_eq!(news.rejections.len(), MOST_REJECTIONS);
        assert_eq!(news.credit, Some(Credit { bytes: 7, records: None }));
    }
}
