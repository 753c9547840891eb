//! Questions to the learner before anything is paid for: who knows an object's value, and who may
//! measure it.
//!
//! Whoever wants values hands objects in ([`SharedRewards::want`]) and is told of each: its value, or
//! that it is his to measure, which he answers with [`SharedRewards::done`]. What is asked and told is
//! decided by [`Asker`]; `inquiry` carries it over streams to the learner, one after the other.

mod inquiry;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use tokio::sync::Notify;
use tributary_common::claims::asker::{Asker, Evaluated, Message};
use tributary_common::claims::{Answer, LeaseId};
use tributary_common::object::Object;
use tributary_common::reward::{KeyMaker, ObjectKey, Reward};
use tributary_proto::limits;

pub(crate) use inquiry::{Inquiry, Session};
pub use tributary_common::claims::asker::Told;

/// Where one who wants an object's value is told, and which of his objects it is.
pub type Waiter = (usize, Sender<(usize, Told)>);

/// Shared by the threads that measure and the task that asks.
pub struct SharedRewards {
    keys: KeyMaker,
    asker: Mutex<Asker<Waiter>>,
    /// There is something to say.
    wake: Notify,
    start: Instant,
}

impl SharedRewards {
    /// Of objects that this reward measures.
    pub fn new(reward: Arc<dyn Reward>) -> Self {
        Self {
            keys: KeyMaker::new(reward),
            asker: Mutex::new(Asker::new(limits::RUNNING_CLAIMS, limits::RESULTS_BYTES)),
            wake: Notify::new(),
            start: Instant::now(),
        }
    }

    /// What an object's measurement is called.
    pub fn key(&self, object: &Object) -> ObjectKey {
        self.keys.key(object)
    }

    /// Wants the values of objects, each with its number. `to` needs room for one message for each: the
    /// value (also that it cannot be measured), or the word to measure it.
    pub fn want<'a>(
        &self,
        objects: impl IntoIterator<Item = (usize, &'a Object)>,
        to: &Sender<(usize, Told)>,
    ) {
        let objects = objects.into_iter();
        self.want_keys(objects.map(|(i, one)| (i, self.key(one))).collect(), to);
    }

    /// Wants the values of objects with these keys.
    pub fn want_keys(&self, keys: Vec<(usize, ObjectKey)>, to: &Sender<(usize, Told)>) {
        let mut asker = self.asker();
        for (number, key) in keys {
            asker.want(key, (number, to.clone()));
        }
        drop(asker);
        self.wake.notify_one();
    }

    /// What came of an object that was to be measured. One that failed for now is wanted by nobody
    /// until somebody says so.
    pub fn done(&self, evaluated: Evaluated) {
        let told = self.asker().done(evaluated);
        tell(told);
        self.wake.notify_one();
    }

    /// Evaluations that the learner has not acked.
    pub fn unacked(&self) -> usize {
        self.asker().unacked()
    }

    /// What is being measured here.
    pub fn running(&self) -> Vec<(ObjectKey, LeaseId)> {
        self.asker().running()
    }

    pub(crate) fn answered(&self, answers: Vec<(ObjectKey, Answer)>) {
        let now = self.start.elapsed();
        let mut asker = self.asker();
        let told = answers.into_iter().flat_map(|(key, answer)| asker.answered(key, answer, now));
        let told: Vec<_> = told.collect();
        drop(asker);
        tell(told);
    }

    pub(crate) fn next(&self) -> Option<Message> {
        self.asker().next(self.start.elapsed())
    }

    /// How long there is nothing to say by itself.
    fn quiet(&self) -> Duration {
        let deadline = self.asker().next_deadline();
        let quiet = deadline.map(|deadline| deadline.saturating_sub(self.start.elapsed()));
        quiet.unwrap_or(Duration::MAX).min(Duration::from_secs(3_600))
    }

    fn asker(&self) -> MutexGuard<'_, Asker<Waiter>> {
        self.asker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell(told: Vec<(Waiter, Told)>) {
    for ((number, to), told) in told {
        // It has room, unless nobody wants to know any more.
        let _ = to.try_send((number, told));
    }
}
