//! The signals by which users and systems end a run.

use std::task::Poll;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::CommandError;

/// Ctrl-C, SIGTERM, and the hang-up of a terminal that is closed.
pub(crate) struct Signals([Signal; 3]);

impl Signals {
    /// Listens from now on.
    pub(crate) fn new() -> Result<Self, CommandError> {
        let listen = |kind| signal(kind).map_err(CommandError::system("listen for signals"));
        Ok(Self([
            listen(SignalKind::interrupt())?,
            listen(SignalKind::terminate())?,
            listen(SignalKind::hangup())?,
        ]))
    }

    /// The next of any of them.
    pub(crate) async fn next(&mut self) {
        std::future::poll_fn(|context| {
            let came = self.0.iter_mut().any(|signal| signal.poll_recv(context).is_ready());
            if came { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}
