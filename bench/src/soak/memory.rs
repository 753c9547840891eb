//! How much memory processes take, sampled while something is done to them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Result, anyhow};

use crate::usage::Usage;

const SAMPLE_EVERY: Duration = Duration::from_millis(100);

/// Samples until it is asked for what it saw.
pub(super) struct Sampler {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<BTreeMap<u32, Seen>>,
}

/// Resident memory of one process, in bytes.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    pub(super) first: u64,
    pub(super) most: u64,
    pub(super) samples: u64,
}

impl Sampler {
    /// Of these processes, from now on.
    pub(super) fn start(ids: Vec<u32>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut seen: BTreeMap<u32, Seen> = BTreeMap::new();
            while !stopped.load(Relaxed) {
                for &id in &ids {
                    let Ok(Usage { resident: bytes, .. }) = Usage::of(id) else { continue };
                    let new = Seen { first: bytes, most: bytes, samples: 0 };
                    let one = seen.entry(id).or_insert(new);
                    one.most = one.most.max(bytes);
                    one.samples += 1;
                }
                std::thread::sleep(SAMPLE_EVERY);
            }
            seen
        });
        Self { stop, thread }
    }

    /// What was seen of each.
    pub(super) fn end(self) -> Result<BTreeMap<u32, Seen>> {
        self.stop.store(true, Relaxed);
        self.thread.join().map_err(|_| anyhow!("the sampler of memory panicked"))
    }
}
