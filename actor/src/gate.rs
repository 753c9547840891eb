//! Holds scoring back before it pays for a reward that could not be kept.

use std::sync::{Condvar, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::pipeline::LOOK;

/// Open at first.
#[derive(Debug, Default)]
pub struct Gate {
    shut: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    /// Opens or shuts it. What is being measured is measured to its end.
    pub fn set(&self, open: bool) {
        let mut shut = self.shut.lock().unwrap_or_else(PoisonError::into_inner);
        if *shut == open {
            *shut = !open;
            self.changed.notify_all();
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        !*self.shut.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it is open; false if `stop` is cancelled while it is shut.
    pub(crate) fn wait(&self, stop: &CancellationToken) -> bool {
        let mut shut = self.shut.lock().unwrap_or_else(PoisonError::into_inner);
        while *shut {
            if stop.is_cancelled() {
                return false;
            }
            let waited = self.changed.wait_timeout(shut, LOOK);
            shut = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::Arc;

    #[test]
    fn who_waits_goes_on_when_it_opens_and_gives_up_at_the_end() {
        let (gate, stop) = (Arc::new(Gate::default()), CancellationToken::new());
        assert!(gate.wait(&stop));
        for (open, goes_on) in [(true, true), (false, false)] {
            gate.set(false);
            let waiting = std::thread::spawn({
                let (gate, stop) = (gate.clone(), stop.clone());
                move || gate.wait(&stop)
            });
            if open {
                gate.set(true)
            } else {
                stop.cancel()
            }
            assert_eq!(waiting.join().unwrap(), goes_on);
        }
    }
}
