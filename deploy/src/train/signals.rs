//! The signals by which users and systems end a run.

use std::task::Poll;
use std::time::Instant;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tributary_proto::limits;

use crate::error::CommandError;

/// Ctrl-C, SIGTERM, and the hang-up of a terminal that is closed, unless it is to be ignored (`nohup`).
pub(crate) struct Signals {
    all: Vec<Signal>,
    /// The last one, and when it came.
    last: Option<(usize, Instant)>,
}

impl Signals {
    /// Listens from now on.
    pub(crate) fn new() -> Result<Self, CommandError> {
        let mut kinds = vec![SignalKind::interrupt(), SignalKind::terminate()];
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        if !ignores(&status, SignalKind::hangup()) {
            kinds.push(SignalKind::hangup());
        }
        let all = kinds.into_iter().map(signal).collect::<Result<_, _>>();
        Ok(Self { all: all.map_err(CommandError::system("listen for signals"))?, last: None })
    }

    /// The next of any of them.
    pub(crate) async fn next(&mut self) {
        std::future::poll_fn(|context| {
            for (kind, signal) in self.all.iter_mut().enumerate() {
                while signal.poll_recv(context).is_ready() {
                    let came = (kind, Instant::now());
                    if !self.last.is_some_and(|last| is_one_wish(last, came)) {
                        self.last = Some(came);
                        return Poll::Ready(());
                    }
                }
            }
            Poll::Pending
        })
        .await;
    }
}

/// Whether the second of two signals is not meant as one more.
fn is_one_wish(first: (usize, Instant), second: (usize, Instant)) -> bool {
    first.0 == second.0 && second.1.duration_since(first.1) < limits::SAME_SIGNAL
}

/// Whether the process was started with this signal ignored, by its `/proc/PID/status`.
fn ignores(status: &str, kind: SignalKind) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.unwrap_or_default() >> (kind.as_raw_value() - 1) & 1 == 1
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_same_signal_at_once_is_the_same_wish() {
        let (now, soon) = (Instant::now(), Duration::from_millis(20));
        assert!(is_one_wish((0, now), (0, now + soon)));
        assert!(!is_one_wish((0, now), (1, now + soon)));
        assert!(!is_one_wish((0, now), (0, now + limits::SAME_SIGNAL)));
    }

    #[test]
    fn what_nohup_ignores_is_ignored() {
        let status = "Name:\ttributary\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n";
        assert!(ignores(status, SignalKind::hangup()));
        assert!(!ignores(status, SignalKind::interrupt()));
        assert!(!ignores("Name:\ttributary\n", SignalKind::hangup()));
    }
}
