//! What an actor has done so far and whom it waited for; counted by all of its threads.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tributary_common::plain_text::plain_up_to;

use crate::oracle::FailureKind;

/// A hand-over at which somebody waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// Finished records wait for the learner's credit (or for the learner to come back).
    Credit,
    /// Finished records, with credit, wait for the connection to the learner.
    Network,
    /// Rollout threads wait for the first weights.
    Weights,
    /// The session, with credit in hand, waits for measured objects, or a local search for the
    /// rewards of its proposals.
    Reward,
    /// Rollout threads wait for a free place before the reward, or the reward for one before the
    /// session.
    Queue,
    /// Nothing is measured because the spool is full or cannot be written.
    Spool,
    /// The reward waits to hear from the learner who knows an object or may measure it, or for
    /// somebody else's value.
    Ledger,
}

impl Edge {
    pub(crate) const ALL: [Self; 7] = [
        Self::Credit,
        Self::Network,
        Self::Weights,
        Self::Reward,
        Self::Queue,
        Self::Spool,
        Self::Ledger,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Credit => "credit",
            Self::Network => "network",
            Self::Weights => "weights",
            Self::Reward => "reward",
            Self::Queue => "queue",
            Self::Spool => "spool",
            Self::Ledger => "ledger",
        }
    }
}

/// Counters of one actor process; they only grow.
#[derive(Debug, Default)]
pub struct Progress {
    /// Trajectories drawn.
    pub trajectories: AtomicU64,
    /// Objects measured.
    pub evaluations: AtomicU64,
    /// Objects whose value somebody else had paid for.
    pub reused: AtomicU64,
    evaluation_nanoseconds: AtomicU64,
    /// Raw values that were not finite.
    pub non_finite: AtomicU64,
    /// Objects that the reward could not measure; their trajectories were not sent.
    pub failed: AtomicU64,
    /// Records completed: acked or held.
    pub stamped: AtomicU64,
    /// Records that the learner took care of.
    pub acked: AtomicU64,
    /// Times that the actor connected again.
    pub reconnects: AtomicU64,
    waited_nanoseconds: [AtomicU64; Edge::ALL.len()],
    reward_failures: [AtomicU64; FailureKind::ALL.len()],
    reward_trouble: Mutex<Option<String>>,
}

impl Progress {
    /// Adds `objects` measured in `time`.
    pub fn measured(&self, objects: usize, time: Duration) {
        self.evaluations.fetch_add(objects as u64, Relaxed);
        self.evaluation_nanoseconds.fetch_add(time.as_nanos() as u64, Relaxed);
    }

    /// Counts a request to a program that failed, or an object that it could not measure.
    pub(crate) fn reward_failed(&self, kind: FailureKind) {
        if kind == FailureKind::NotFinite {
            self.non_finite.fetch_add(1, Relaxed);
        }
        self.reward_failures[kind as usize].fetch_add(1, Relaxed);
    }

    /// How often each kind of failure was met, for those that were.
    #[must_use]
    pub fn reward_failures(&self) -> BTreeMap<String, u64> {
        let counted = |kind: FailureKind| {
            let count = self.reward_failures[kind as usize].load(Relaxed);
            (kind.name().to_owned(), count)
        };
        FailureKind::ALL.into_iter().map(counted).filter(|(_, count)| *count > 0).collect()
    }

    /// Says what keeps the reward from working, or that nothing does.
    pub(crate) fn set_reward_trouble(&self, trouble: Option<String>) {
        // It travels.
        let trouble = trouble.map(|trouble| plain_up_to(&trouble, 200));
        *self.reward_trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// What keeps the reward from working now.
    #[must_use]
    pub fn reward_trouble(&self) -> Option<String> {
        self.reward_trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Seconds that measuring took, summed over threads.
    #[must_use]
    pub fn evaluation_seconds(&self) -> f64 {
        self.evaluation_nanoseconds.load(Relaxed) as f64 * 1e-9
    }

    /// Adds a wait.
    pub fn waited(&self, edge: Edge, time: Duration) {
        self.waited_nanoseconds[edge as usize].fetch_add(time.as_nanos() as u64, Relaxed);
    }

    /// Runs `wait` and adds the time that it took.
    pub fn waiting<T>(&self, edge: Edge, wait: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = wait();
        self.waited(edge, start.elapsed());
        result
    }

    /// Seconds waited, summed over threads, for each edge by its name.
    #[must_use]
    pub fn waited_seconds(&self) -> BTreeMap<String, f64> {
        let seconds = self.seconds_by_edge();
        let named = |edge: Edge| (edge.name().to_owned(), seconds[edge as usize]);
        Edge::ALL.into_iter().map(named).collect()
    }

    /// The same by the edges' places in [`Edge::ALL`].
    pub(crate) fn seconds_by_edge(&self) -> [f64; Edge::ALL.len()] {
        self.waited_nanoseconds.each_ref().map(|waited| waited.load(Relaxed) as f64 * 1e-9)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_edge_counts_for_itself() {
        let progress = Progress::default();
        progress.waited(Edge::Credit, Duration::from_millis(1_500));
        progress.waited(Edge::Credit, Duration::from_millis(500));
        progress.waited(Edge::Queue, Duration::from_millis(250));
        progress.measured(3, Duration::from_millis(30));
        let waited = progress.waited_seconds();
        assert_eq!((waited["credit"], waited["queue"], waited["weights"]), (2.0, 0.25, 0.0));
        assert_eq!(waited.len(), 7);
        assert_eq!(progress.evaluations.load(Relaxed), 3);
        assert!((progress.evaluation_seconds() - 0.03).abs() < 1e-9);
    }
}
