//! What the kernel says of a process, and of all that came from it.

use std::collections::HashMap;
use std::fs;
use std::iter::Sum;
use std::ops::Add;

use anyhow::{Context, Result};

/// Ticks of processor time in a second, as Linux reports them to programs.
const TICKS: f64 = 100.0;
/// Bytes of a page of memory on x86-64.
const PAGE: u64 = 4_096;

/// What processes take.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Usage {
    /// Bytes of memory; pages that two processes share count twice.
    pub(crate) resident: u64,
    /// Seconds that all threads have computed so far.
    pub(crate) processor: f64,
}

impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            resident: self.resident + other.resident,
            processor: self.processor + other.processor,
        }
    }
}

impl Sum for Usage {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

impl Usage {
    /// Of one process.
    pub(crate) fn of(id: u32) -> Result<Self> {
        let process = Process::of(id).with_context(|| format!("process {id} is gone"))?;
        Ok(process.usage)
    }

    pub(crate) fn mebibytes(&self) -> f64 {
        mib(self.resident)
    }

    /// Of a process and all below it.
    pub(crate) fn of_tree(root: u32) -> Self {
        of_tree(root, &processes())
    }
}

/// For people.
pub(crate) fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Process {
    parent: u32,
    usage: Usage,
}

impl Process {
    fn of(id: u32) -> Option<Self> {
        Self::read(&fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
    }

    /// From `/proc/PID/stat`: its fields come behind the name, which may hold anything.
    fn read(stat: &str) -> Option<Self> {
        let (_, rest) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        // The first of them is the third of all.
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        let processor = (number(14)? + number(15)?) as f64 / TICKS;
        let usage = Usage { resident: PAGE * number(24)?, processor };
        Some(Self { parent: u32::try_from(number(4)?).ok()?, usage })
    }
}

fn of_tree(root: u32, processes: &HashMap<u32, Process>) -> Usage {
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
    processes.iter().filter(|(id, _)| belongs(**id)).map(|(_, process)| process.usage).sum()
}

/// All that run now.
fn processes() -> HashMap<u32, Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return HashMap::new() };
    let ids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter_map(|id: u32| Some((id, Process::of(id)?))).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_tree_is_a_process_and_all_that_came_from_it() {
        let list = [(1, 0, 5), (10, 1, 100), (11, 10, 20), (12, 11, 3), (13, 1, 1_000)];
        let usage = |resident| Usage { resident, processor: 2.0 * resident as f64 };
        let of = |(id, parent, resident)| (id, Process { parent, usage: usage(resident) });
        let processes = list.into_iter().map(of).collect();
        assert_eq!(of_tree(10, &processes), usage(123));
        assert_eq!(of_tree(12, &processes), usage(3));
        assert_eq!(of_tree(99, &processes), usage(0));
    }

    #[test]
    fn fields_are_read_behind_any_name() {
        let stat =
            "7 (a) R 1 ) S 6 2 3 4 5 6 7 8 9 10 120 30 0 0 20 0 1 0 9 4096 5 18446744073709551615";
        let usage = Usage { resident: 5 * 4_096, processor: 1.5 };
        assert_eq!(Process::read(stat), Some(Process { parent: 6, usage }));
        assert_eq!(Process::read("7 (a"), None);
    }

    #[test]
    fn this_process_takes_memory() {
        let id = std::process::id();
        assert!(Usage::of(id).unwrap().resident > 1 << 20);
        assert!(Usage::of_tree(id).resident > 1 << 20);
        assert!(Usage::of(u32::MAX).is_err());
    }
}
