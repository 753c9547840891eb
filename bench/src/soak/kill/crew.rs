//! A learner and its actors, each of which may be killed and started again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tributary_proto::v1::{RunState, StatusReply};

use super::calls::Death;
use crate::soak::control::Control;
use crate::soak::crowd::listening;
use crate::soak::process::Process;

/// How long programs may take to start and to end; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// A durable run on a grid of 4,096 objects that ends with so many trajectories. The learner measures
/// nothing: it compares with no exact target.
fn run_file(seed: u64, generated: u64) -> String {
    format!(
        r#"[run]
name = "kill"
seed = {seed}
[environment]
kind = "hypergrid"
dimensions = 4
side = 8
[reward]
kind = "counted"
durable = true
[policy]
hidden = [64, 64]
[replay]
capacity = 20_000
samples_per_insert = 4.0
[learner]
generated = {generated}
batch = 64
threads = 1
checkpoint_every = "1s"
[actor]
batch = 8
[evaluation]
every = "1h"
max_states = 1
"#
    )
}

/// The processes of one run.
pub(super) struct Crew {
    pub(super) learner: Process,
    pub(super) actors: Vec<Process>,
    control: Control,
    programs: PathBuf,
    folder: TempDir,
    address: String,
    /// Milliseconds that an object takes; none: quick, and not written down.
    delay: Option<u64>,
}

impl Crew {
    /// Starts a learner and so many actors.
    pub(super) fn start(
        actors: usize,
        seed: u64,
        generated: u64,
        delay: Option<u64>,
    ) -> Result<Self> {
        let own = std::env::current_exe()?;
        let programs = own.parent().context("this program lies in no folder")?.to_owned();
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("run.toml"), run_file(seed, generated))?;
        let mut command = Command::new(programs.join("counted-tributary-learner"));
        command.arg("--run-file").arg(folder.path().join("run.toml"));
        let mut learner = start_learner(command, folder.path(), delay)?;
        let address = listening(&mut learner, folder.path())?;
        let control = Control::new(&address, &folder.path().join("run"))?;
        let mut crew =
            Self { learner, actors: Vec::new(), control, programs, folder, address, delay };
        for number in 0..actors {
            let actor = crew.start_actor(number)?;
            crew.actors.push(actor);
        }
        Ok(crew)
    }

    /// The run's directory.
    pub(super) fn run(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    /// Where the reward writes its calls down.
    pub(super) fn calls(&self) -> PathBuf {
        calls(self.folder.path())
    }

    fn start_actor(&self, number: usize) -> Result<Process> {
        let mut command = Command::new(self.programs.join("counted-tributary"));
        command.args(["actor", "--learner", &self.address, "--name", &format!("kill-{number}")]);
        command.arg("--spool").arg(self.folder.path().join("spool"));
        command.env("TRIBUTARY_CACHE", self.folder.path());
        count(&mut command, self.folder.path(), self.delay);
        Process::start(command, &self.folder.path().join(format!("actor-{number}.log")))
    }

    /// Kills an actor.
    pub(super) fn kill_actor(&mut self, number: usize) -> Result<Death> {
        let actor = &mut self.actors[number];
        actor.signal(Signal::SIGKILL)?;
        let at = super::now();
        let status = actor.end(PATIENCE)?;
        ensure!(status.code().is_none(), "actor {number} had ended with {status}");
        Ok(Death { who: actor.id(), at })
    }

    /// Starts an actor again.
    pub(super) fn restart_actor(&mut self, number: usize) -> Result<()> {
        self.actors[number] = self.start_actor(number)?;
        Ok(())
    }

    /// Kills the learner.
    pub(super) fn kill_learner(&mut self) -> Result<()> {
        self.learner.signal(Signal::SIGKILL)?;
        let status = self.learner.end(PATIENCE)?;
        ensure!(
            status.code().is_none(),
            "the learner had ended with {status}:\n{}",
            self.learner.last_words()
        );
        Ok(())
    }

    /// Starts the learner again, on its directory.
    pub(super) fn restart_learner(&mut self) -> Result<()> {
        let command = Command::new(self.programs.join("counted-tributary-learner"));
        self.learner = start_learner(command, self.folder.path(), self.delay)?;
        Ok(())
    }

    /// Waits until the run is so far; looks at each status on the way, and that nobody has died by
    /// himself.
    pub(super) fn until(
        &mut self,
        what: &str,
        mut is_it: impl FnMut(&StatusReply) -> Result<bool>,
    ) -> Result<()> {
        let mut fault = None;
        let waited = self.control.until(what, PATIENCE, |status| {
            is_it(status).unwrap_or_else(|error| {
                fault = Some(error);
                true
            })
        });
        if let Some(error) = fault {
            return Err(error);
        }
        for process in self.actors.iter_mut().chain([&mut self.learner]) {
            if let Some(status) = process.ended()? {
                bail!("a process ended with {status}:\n{}", process.last_words());
            }
        }
        waited.map_err(|error| error.context(self.learner.last_words()))?;
        Ok(())
    }

    /// Waits until the learner runs.
    pub(super) fn running(
        &mut self,
        mut look: impl FnMut(&StatusReply) -> Result<()>,
    ) -> Result<()> {
        self.until("the learner to run", |status| {
            look(status)?;
            Ok(status.state() == RunState::Running)
        })
    }

    /// Waits for the end of the run, which must be in order; its summary.
    pub(super) fn finish(&mut self) -> Result<Value> {
        for process in [&mut self.learner].into_iter().chain(&mut self.actors) {
            let status = process.end(PATIENCE * 5)?;
            ensure!(status.success(), "a process ended with {status}:\n{}", process.last_words());
        }
        let text = fs::read_to_string(self.run().join("summary.json"))?;
        Ok(serde_json::from_str(&text)?)
    }

    /// The exact total variation of the last weights, by a process whose measuring is not counted.
    pub(super) fn total_variation(&self) -> Result<f64> {
        let path = self.run().join("run.toml");
        let text = fs::read_to_string(&path)?;
        fs::write(&path, text.replace("max_states = 1", "max_states = 10_000"))?;
        let mut command = Command::new(self.programs.join("counted-tributary"));
        let output = command.arg("evaluate").arg(self.run()).arg("--json").output()?;
        let words = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "tributary evaluate: {words}");
        let figures: Value = serde_json::from_slice(&output.stdout)?;
        figures["total_variation"].as_f64().with_context(|| format!("no distance in {figures:#}"))
    }
}

fn calls(folder: &Path) -> PathBuf {
    folder.join("calls")
}

fn start_learner(mut command: Command, folder: &Path, delay: Option<u64>) -> Result<Process> {
    command.arg("--run-dir").arg(folder.join("run"));
    count(&mut command, folder, delay);
    Process::start(command, &folder.join("learner.log"))
}

fn count(command: &mut Command, folder: &Path, delay: Option<u64>) {
    if let Some(milliseconds) = delay {
        command.env("TRIBUTARY_COUNTED_CALLS", calls(folder));
        command.env("TRIBUTARY_COUNTED_MS", milliseconds.to_string());
    }
}
