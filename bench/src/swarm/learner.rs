//! The learner's program, and what the kernel says of it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use tempfile::TempDir;
use tokio::task::spawn_blocking;

use crate::run::Tributary;
use crate::soak::crowd::listening;
use crate::soak::process::{Process, resident};

/// Ticks of processor time in a second, as Linux reports them to programs.
const TICKS: f64 = 100.0;

/// A running learner, in a folder of its own.
pub(super) struct Learner {
    process: Process,
    folder: TempDir,
    /// Where it listens.
    pub(super) address: String,
}

impl Learner {
    /// Starts it and waits until it listens.
    pub(super) async fn start(run_file: String) -> Result<Self> {
        spawn_blocking(move || Self::launch(&run_file)).await?
    }

    fn launch(text: &str) -> Result<Self> {
        let tributary = Tributary::find()?;
        let folder = tempfile::tempdir()?;
        let run_file = folder.path().join("run.toml");
        fs::write(&run_file, text)?;
        let mut command = Command::new(tributary.path().with_file_name("tributary-learner"));
        command.arg("--run-file").arg(&run_file);
        command.arg("--run-dir").arg(folder.path().join("run"));
        let mut process = Process::start(command, &folder.path().join("learner.log"))?;
        let address = listening(&mut process, folder.path())?;
        Ok(Self { process, folder, address })
    }

    pub(super) fn run_file(&self) -> PathBuf {
        self.folder.path().join("run.toml")
    }

    /// What all its threads have computed so far.
    pub(super) fn processor_seconds(&self) -> Result<f64> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        processor_ticks(&text)
            .map(|ticks| ticks / TICKS)
            .context("a /proc/PID/stat of another form")
    }

    /// Resident memory.
    pub(super) fn mebibytes(&self) -> Result<f64> {
        let bytes = resident(self.process.id()).context("the learner is gone")?;
        Ok(bytes as f64 / f64::from(1 << 20))
    }
}

/// The 14th and 15th field, behind the name, which may hold anything.
fn processor_ticks(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
}

/// The run of `swarm`, with credit for a few batches of this size at once.
pub(super) fn run_file(durable: bool, batch: usize) -> String {
    let rollouts = (2 * batch).max(128);
    format!(
        r#"[run]
name = "swarm"
seed = 1
[environment]
kind = "hypergrid"
dimensions = 4
side = 8
[reward]
kind = "original"
r0 = 0.1
durable = {durable}
[policy]
hidden = [64, 64]
[actor]
batch = {rollouts}
[replay]
selector = "uniform"
capacity = 100_000
samples_per_insert = 0.02
[learner]
time = "2h"
batch = 64
threads = 1
publish_every = 16
checkpoint_every = "1h"
[evaluation]
every = "1h"
max_states = 1
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_behind_any_name() {
        let stat = "7 (a) R 1 ) S 1 2 3 4 5 6 7 8 9 10 120 30 0 0 20";
        assert_eq!(processor_ticks(stat), Some(150.0));
        assert_eq!(processor_ticks("7 (a"), None);
    }
}
