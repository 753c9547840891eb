//! The learner's program, and what the kernel says of it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use tempfile::TempDir;
use tokio::task::spawn_blocking;

use crate::run::Tributary;
use crate::soak::crowd::listening;
use crate::soak::process::Process;
use crate::usage::Usage;

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

    /// What it has taken so far.
    pub(super) fn usage(&self) -> Result<Usage> {
        Usage::of(self.process.id())
    }
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
