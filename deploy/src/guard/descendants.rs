//! What a command left behind.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

/// Ends this process's children, those that become its children by that, and so on, until there is
/// none. Their parent is the subreaper, so nobody gets away.
pub(super) fn end_all() {
    loop {
        for child in children() {
            let _ = kill(child, Signal::SIGKILL);
        }
        // Waits for one; whatever that one started is a child now.
        if waitpid(None, None).is_err() {
            return;
        }
    }
}

fn children() -> Vec<Pid> {
    let own = std::process::id();
    let listed = fs::read_to_string(format!("/proc/self/task/{own}/children"));
    let numbers = match listed {
        Ok(numbers) => numbers.split_whitespace().filter_map(|n| n.parse().ok()).collect(),
        // A kernel without this list.
        Err(_) => scanned(own),
    };
    numbers.into_iter().map(Pid::from_raw).collect()
}

fn scanned(parent: u32) -> Vec<i32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let number = |entry: fs::DirEntry| entry.file_name().to_string_lossy().parse::<i32>().ok();
    let is_child = |process: &i32| {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        // "1 (name, which may hold anything) S 0 ...": state and parent follow the last parenthesis.
        let fields = stat.rsplit(')').next().unwrap_or_default();
        fields.split_whitespace().nth(1).and_then(|field| field.parse().ok()) == Some(parent)
    };
    processes.filter_map(number).filter(is_child).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::process::Command;

    #[test]
    fn children_are_found_either_way() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let number = i32::try_from(child.id()).unwrap();
        let by_scan = scanned(std::process::id());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(by_scan.contains(&number), "{number} is not among {by_scan:?}");
    }
}
