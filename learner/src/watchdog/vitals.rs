//! What the watchdog shares with the rest of the learner: who waits, when it looked, whether the run
//! gets on.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::rule::Stall;
use crate::edges::Edges;
use crate::figures::RunState;
use crate::locks::lock;

/// The watchdog looks each second and takes every lock on its way: if it has not for so long, the
/// learner does not live.
const ALIVE_WITHIN: Duration = Duration::from_secs(15);

/// Whether the run gets on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Readiness {
    /// Trajectories are taken and trained on.
    #[default]
    Ready,
    /// They are not, for this reason.
    NotReady(String),
}

impl Readiness {
    /// Of a run in this state with these stalls.
    pub fn of(state: RunState, stalls: &[Stall]) -> Self {
        let not = |text: &str| Self::NotReady(text.to_owned());
        match state {
            RunState::Recovering => not("recovering: checkpoint and ledger are being read"),
            RunState::Degraded => {
                not("degraded: nothing is acked, probably because the disk is full")
            }
            RunState::Stopping => not("stopping: intake is over"),
            RunState::Running => match stalls.iter().find(|stall| stall.edge.is_blocking()) {
                Some(Stall { edge, waited, reason }) => {
                    let (edge, seconds) = (edge.name(), waited.as_secs());
                    Self::NotReady(format!("stalled: {edge} for {seconds} s: {reason}"))
                }
                None => Self::Ready,
            },
        }
    }
}

/// Signs of life.
#[derive(Debug)]
pub struct Vitals {
    /// Who waits for whom.
    pub edges: Edges,
    readiness: watch::Sender<Readiness>,
    looked: Mutex<Instant>,
}

impl Default for Vitals {
    fn default() -> Self {
        let (edges, looked) = (Edges::default(), Mutex::new(Instant::now()));
        Self { edges, readiness: watch::channel(Readiness::default()).0, looked }
    }
}

impl Vitals {
    /// The watchdog has looked, and this is what it says.
    pub fn looked(&self, readiness: Readiness) {
        *lock(&self.looked) = Instant::now();
        self.readiness.send_if_modified(|before| {
            let is_new = *before != readiness;
            *before = readiness;
            is_new
        });
    }

    /// Whether the run gets on, as it changes.
    pub fn readiness(&self) -> watch::Receiver<Readiness> {
        self.readiness.subscribe()
    }

    /// How long ago the watchdog looked, if that is so long that the learner does not live.
    pub fn dead_for(&self) -> Option<Duration> {
        let silent = lock(&self.looked).elapsed();
        (silent > ALIVE_WITHIN).then_some(silent)
    }
}
