//! A learner and its actors, each a process, in a folder of their own.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::control::{Control, Streaming};
use super::process::Process;
use crate::run::Tributary;
use crate::usage::Usage;

/// How long programs may take to start and to end; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// The processes of one run.
pub(super) struct Crowd {
    pub(super) learner: Process,
    pub(super) actors: Vec<Process>,
    pub(super) control: Control,
    /// Resident memory of the learner when it began to listen: libtorch, mostly.
    pub(super) bare: u64,
    tributary: Tributary,
    folder: TempDir,
    address: String,
}

/// What a run trains on.
pub(super) struct Task {
    pub(super) hidden: &'static str,
    pub(super) batch: usize,
    pub(super) samples_per_insert: f64,
    /// Trajectories in replay.
    pub(super) capacity: usize,
}

impl Task {
    /// Small enough that actors and learner are both busy.
    pub(super) const USUAL: Self =
        Self { hidden: "[64, 64]", batch: 64, samples_per_insert: 1.0, capacity: 20_000 };

    pub(super) fn run_file(&self, seed: u64) -> String {
        let Self { hidden, batch, samples_per_insert, capacity } = self;
        format!(
            r#"[run]
name = "soak"
seed = {seed}
[environment]
kind = "hypergrid"
dimensions = 4
side = 8
[reward]
kind = "original"
r0 = 0.1
[policy]
hidden = {hidden}
[replay]
capacity = {capacity}
samples_per_insert = {samples_per_insert}
[learner]
time = "2h"
batch = {batch}
threads = 1
checkpoint_every = "2s"
[actor]
batch = 32
[evaluation]
every = "1h"
max_states = 1
"#
        )
    }
}

impl Crowd {
    /// Starts a learner and so many actors, and waits until all of them send.
    pub(super) fn start(task: &Task, actors: usize, seed: u64) -> Result<Self> {
        let tributary = Tributary::find()?;
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("run.toml"), task.run_file(seed))?;
        let mut command = learner(&tributary);
        command.arg("--run-file").arg(folder.path().join("run.toml"));
        command.arg("--run-dir").arg(folder.path().join("run"));
        let mut learner = Process::start(command, &folder.path().join("learner.log"))?;
        let address = listening(&mut learner, folder.path())?;
        let bare = Usage::of(learner.id())?.resident;
        let control = Control::new(&address, &folder.path().join("run"))?;
        let mut crowd =
            Self { learner, actors: Vec::new(), control, bare, tributary, folder, address };
        for _ in 0..actors {
            let actor = crowd.actor()?;
            crowd.actors.push(actor);
        }
        crowd.all_stream("all actors to send", PATIENCE)?;
        Ok(crowd)
    }

    /// Starts one more actor.
    pub(super) fn actor(&self) -> Result<Process> {
        let number = self.actors.len();
        let mut command = Command::new(self.tributary.path());
        command.args(["actor", "--learner", &self.address, "--name", &format!("soak-{number}")]);
        command.env("TRIBUTARY_CACHE", self.folder.path());
        Process::start(command, &self.folder.path().join(format!("actor-{number}.log")))
    }

    /// Waits until all actors send; how long that took.
    pub(super) fn all_stream(&self, what: &str, patience: Duration) -> Result<Duration> {
        let mut streaming = Streaming::default();
        let is_it = |status: &_| streaming.all(status, self.actors.len());
        Ok(self.control.until(what, patience, is_it)?.1)
    }

    /// Kills the learner and starts it again where it listened, on its run directory.
    pub(super) fn restart_learner(&mut self) -> Result<()> {
        self.learner.signal(Signal::SIGKILL)?;
        self.learner.end(PATIENCE)?;
        let mut command = learner(&self.tributary);
        command.arg("--run-dir").arg(self.folder.path().join("run"));
        let listen = self.address.strip_prefix("http://").context("an address of http")?;
        command.args(["--listen", listen]);
        self.learner = Process::start(command, &self.folder.path().join("learner.log"))?;
        Ok(())
    }

    /// Whether a checkpoint is on disk.
    pub(super) fn has_checkpoint(&self) -> bool {
        let folder = fs::read_dir(self.folder.path().join("run/checkpoints"));
        folder
            .into_iter()
            .flatten()
            .flatten()
            .any(|entry| entry.file_name().to_str().is_some_and(|name| !name.starts_with('.')))
    }

    /// Bytes of `metrics.jsonl` so far.
    pub(super) fn metrics_bytes(&self) -> Result<u64> {
        Ok(fs::metadata(self.folder.path().join("run/metrics.jsonl"))?.len())
    }

    /// The bound on its memory that the learner stated, with all actors and replay, beside `bare`.
    pub(super) fn stated_bound(&self) -> Result<u64> {
        let words = self.learner.words();
        let line = words.lines().find(|line| line.contains("memory: at most"));
        let line = line.context("the learner stated no bound on its memory")?;
        let text = line.split("memory: at most").nth(1).unwrap_or_default();
        let numbers: Vec<u64> = text
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|part| part.parse().ok())
            .collect();
        let [fixed, each, _, replay] = numbers[..] else {
            bail!("four numbers expected in {line}")
        };
        Ok((fixed + each * self.actors.len() as u64 + replay) << 20)
    }

    /// Ends the run in order and returns its summary and what the actors said of their records:
    /// acked and unacked.
    pub(super) fn finish(mut self) -> Result<(Value, u64, u64)> {
        self.learner.signal(Signal::SIGTERM)?;
        let status = self.learner.end(PATIENCE)?;
        let words = self.learner.last_words();
        ensure!(status.code() == Some(130), "the learner ended with {status}:\n{words}");
        let (mut acked, mut unacked) = (0, 0);
        for actor in &mut self.actors {
            let status = actor.end(PATIENCE)?;
            ensure!(status.success(), "an actor ended with {status}:\n{}", actor.last_words());
            let words = actor.words();
            acked += said(&words, " acked=").context("an actor that says nothing at its end")?;
            unacked +=
                said(&words, " unacked=").context("an actor that says nothing at its end")?;
        }
        let text = fs::read_to_string(self.folder.path().join("run/summary.json"))?;
        Ok((serde_json::from_str(&text)?, acked, unacked))
    }
}

fn learner(tributary: &Tributary) -> Command {
    Command::new(tributary.path().with_file_name("tributary-learner"))
}

/// Waits until a learner listens; where.
pub(crate) fn listening(learner: &mut Process, folder: &Path) -> Result<String> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Some(status) = learner.ended()? {
            bail!("the learner ended with {status}:\n{}", learner.last_words());
        }
        let text = fs::read_to_string(folder.join("run/address.json")).unwrap_or_default();
        let file: Option<Value> = serde_json::from_str(&text).ok();
        if let Some(address) = file.as_ref().and_then(|file| file["grpc"].as_str()) {
            return Ok(address.to_owned());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    bail!("the learner does not listen:\n{}", learner.last_words())
}

/// The last number behind a word in a log.
fn said(words: &str, name: &str) -> Option<u64> {
    let digits = words.rsplit_once(name)?.1;
    digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
