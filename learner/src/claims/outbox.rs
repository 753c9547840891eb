//! What one stream of questions has to be told.

use std::sync::Mutex;

use tokio::sync::Notify;
use tributary_common::claims::Answer;
use tributary_common::reward::ObjectKey;

use crate::locks::lock;

/// The news of a stream since they were last taken.
#[derive(Debug, Default, PartialEq)]
pub struct ClaimNews {
    /// Answers. Bounded by what the actor may wait for and by one question: the next is not heard
    /// before these are sent.
    pub answers: Vec<(ObjectKey, Answer)>,
    /// Results up to this message are on disk.
    pub acked: Option<u64>,
    /// The actor has a newer stream.
    pub is_over: bool,
}

/// News waiting to be sent in one stream.
#[derive(Debug, Default)]
pub struct ClaimOutbox {
    news: Mutex<ClaimNews>,
    wake: Notify,
}

impl ClaimOutbox {
    /// Adds news.
    pub fn post(&self, change: impl FnOnce(&mut ClaimNews)) {
        change(&mut lock(&self.news));
        self.wake.notify_one();
    }

    /// Waits for news and takes them.
    pub async fn take(&self) -> ClaimNews {
        loop {
            let news = std::mem::take(&mut *lock(&self.news));
            if news != ClaimNews::default() {
                return news;
            }
            self.wake.notified().await;
        }
    }
}
