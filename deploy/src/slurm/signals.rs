//! The signals by which Slurm speaks to a job.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::CommandError;

/// What somebody wants of the learner.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// Its time is nearly up.
    Return,
    /// To leave: cancelled or preempted, which Slurm follows up by itself.
    Leave,
}

/// Those that a job listens for.
pub(super) struct Signals {
    ends: [Signal; 2],
    warning: Signal,
}

impl Signals {
    /// Listens from now on.
    pub(super) fn new() -> Result<Self, CommandError> {
        let listen = |kind| signal(kind).map_err(CommandError::system("listen for signals"));
        Ok(Self {
            ends: [listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?],
            warning: listen(SignalKind::user_defined1())?,
        })
    }

    /// The next of those that end a job.
    pub(super) async fn end(&mut self) {
        let [terminate, interrupt] = &mut self.ends;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }

    /// The next of any.
    pub(super) async fn next(&mut self) -> Asked {
        let [terminate, interrupt] = &mut self.ends;
        tokio::select! {
            biased;
            _ = terminate.recv() => Asked::Leave,
            _ = interrupt.recv() => Asked::Leave,
            _ = self.warning.recv() => Asked::Return,
        }
    }
}
