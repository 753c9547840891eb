//! How much memory a program takes, all of its processes together.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Result, anyhow};

use crate::usage::Usage;

const SAMPLE_EVERY: Duration = Duration::from_millis(200);

/// Samples until it is asked for what it saw.
pub(super) struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Watch {
    /// Of this process and all that come from it.
    pub(super) fn start(root: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut most = 0;
            while !stopped.load(Relaxed) {
                most = most.max(Usage::of_tree(root).resident);
                std::thread::sleep(SAMPLE_EVERY);
            }
            most
        });
        Self { stop, thread }
    }

    /// The largest sum of resident bytes; pages that two processes share count twice.
    pub(super) fn end(self) -> Result<u64> {
        self.stop.store(true, Relaxed);
        self.thread.join().map_err(|_| anyhow!("the sampler of memory panicked"))
    }
}
