//! How much memory a program takes, all of its processes together.

use std::collections::HashMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Result, anyhow};

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
                most = most.max(of_tree(root, &processes()));
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

#[derive(Clone, Copy)]
struct Process {
    parent: u32,
    resident: u64,
}

/// Resident bytes of a process and all below it.
fn of_tree(root: u32, processes: &HashMap<u32, Process>) -> u64 {
    let belongs = |mut id: u32| {
        // A parent is older than its child; the bound is for lists that were read while they changed.
        for _ in 0..processes.len() {
            if id == root {
                return true;
            }
            let Some(process) = processes.get(&id) else { return false };
            id = process.parent;
        }
        false
    };
    processes.iter().filter(|(id, _)| belongs(**id)).map(|(_, process)| process.resident).sum()
}

/// All that run now.
fn processes() -> HashMap<u32, Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return HashMap::new() };
    let ids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter_map(|id: u32| {
        let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
        let number = |key: &str| -> Option<u64> {
            let value = status.lines().find_map(|line| line.strip_prefix(key))?;
            value.split_whitespace().next()?.parse().ok()
        };
        let parent = u32::try_from(number("PPid:")?).ok()?;
        // Threads of the kernel have none.
        Some((id, Process { parent, resident: number("VmRSS:").unwrap_or(0) << 10 }))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_a_process_and_all_that_came_from_it() {
        let list = [(1, 0, 5), (10, 1, 100), (11, 10, 20), (12, 11, 3), (13, 1, 1_000)];
        let processes = list
            .into_iter()
            .map(|(id, parent, resident)| (id, Process { parent, resident }))
            .collect();
        assert_eq!(of_tree(10, &processes), 123);
        assert_eq!(of_tree(12, &processes), 3);
        assert_eq!(of_tree(99, &processes), 0);
    }

    #[test]
    fn this_process_takes_memory() {
        assert!(of_tree(std::process::id(), &processes()) > 1 << 20);
    }
}
