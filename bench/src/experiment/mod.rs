//! A run in one thread: the product's own rollouts, replay and trainer, with no network in between.
//!
//! The order of everything is fixed, so a run is a function of its run file, the number of simulated
//! actors and the injected lag. What it leaves out is what a benchmark of the product as a user runs
//! it must have: processes, messages, and lag as it comes.

mod actors;
pub(crate) mod correlation;
mod learner;
pub(crate) mod measure;
pub(crate) mod modes;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tributary_common::ids::PolicyVersion;
use tributary_common::network::cpu::Snapshot;
use tributary_common::object::Object;
use tributary_common::registry::{Registry, Task};
use tributary_common::run_file::{RunFile, RunFileError};

use self::actors::Actors;
use self::learner::Learner;

/// A run file that was read, and how its actors are simulated.
pub(crate) struct Experiment {
    pub(crate) run_file: RunFile,
    pub(crate) task: Task,
    /// Where names of data files start.
    pub(crate) files: PathBuf,
    /// Actors that take turns; each has its own exploration setting and random numbers.
    pub(crate) actors: usize,
    /// How many published versions an actor's weights are behind the newest.
    pub(crate) lag: usize,
}

/// An object as it was drawn in training.
pub(crate) struct Drawn<'a> {
    pub(crate) object: &'a Object,
    pub(crate) raw: &'a [f64],
    pub(crate) log_reward: f64,
}

/// Where a run stands when it is looked at.
pub(crate) struct Standing {
    pub(crate) updates: u64,
    /// Trajectories drawn and paid for.
    pub(crate) generated: u64,
    /// Of training, looking not counted.
    pub(crate) seconds: f64,
    /// The averaged weights.
    pub(crate) policy: Snapshot,
    pub(crate) log_z: f64,
    /// Mean updates between the weights that drew a trajectory and its use, so far.
    pub(crate) mean_lag: f64,
}

/// Who follows a run.
pub(crate) trait Watch {
    /// An object was drawn.
    fn drawn(&mut self, _drawn: &Drawn<'_>) {}

    /// Whether this update, of those at which the run is looked at, is worth a look.
    fn is_awaited(&self) -> bool {
        true
    }

    /// Whether nothing more is to be seen: the run ends.
    fn is_done(&self) -> bool {
        false
    }

    /// The run has come to one of the updates at which it is looked at.
    fn look(&mut self, standing: Standing) -> Result<()>;
}

impl Experiment {
    /// Reads a run file with changes of the form "section.key=value"; names of data files start in
    /// `files`. One actor without lag.
    ///
    /// # Errors
    /// As `tributary check` says them: also what cannot be trained.
    pub(crate) fn read(text: &str, changes: &[String], files: &Path) -> Result<Self, RunFileError> {
        let split = |change: &String| {
            let (key, value) = change.split_once('=').unwrap_or((change, ""));
            (key.to_owned(), value.to_owned())
        };
        let changes: Vec<_> = changes.iter().map(split).collect();
        let (run_file, task) = Registry::builtin().read(text, &changes, files)?;
        Ok(Self { run_file, task, files: files.to_owned(), actors: 1, lag: 0 })
    }

    /// Updates of the whole run: the goal of the run file, or as many as give each trajectory its
    /// uses.
    pub(crate) fn updates(&self) -> Result<u64> {
        let learner = &self.run_file.learner;
        if let Some(updates) = learner.updates {
            return Ok(updates);
        }
        let generated = learner.generated.context("the run needs `updates` or `generated`")?;
        let uses = generated as f64 * self.run_file.replay.samples_per_insert;
        Ok((uses / learner.batch as f64) as u64)
    }

    /// Trains to the end and looks after each of these numbers of updates, which ascend.
    ///
    /// # Errors
    /// An environment that breaks its laws, a reward that fails, training that cannot go on.
    pub(crate) fn run(&self, looks: &[u64], watch: &mut dyn Watch) -> Result<()> {
        let updates = self.updates()?;
        let mut learner = Learner::new(self)?;
        let mut actors = Actors::new(self);
        let mut looks = looks.iter().copied().peekable();
        let (start, mut looking) = (Instant::now(), Duration::ZERO);
        while learner.step() < updates && !watch.is_done() {
            if learner.update_if_due()? {
                while looks.next_if(|&look| look <= learner.step()).is_some() {
                    if !watch.is_awaited() {
                        continue;
                    }
                    let look = Instant::now();
                    let seconds = (look.duration_since(start) - looking).as_secs_f64();
                    watch.look(learner.standing(seconds)?)?;
                    looking += look.elapsed();
                }
                continue;
            }
            let weights = learner.weights_behind(self.lag);
            let (drawn, setting) = actors.draw(&weights, learner.generated())?;
            for drawn in &drawn {
                let log_reward = drawn.log_reward.get();
                watch.drawn(&Drawn { object: &drawn.object, raw: &drawn.raw, log_reward });
                let version: PolicyVersion = weights.weights().version;
                learner.insert(drawn, version, setting)?;
            }
        }
        Ok(())
    }
}

/// Fails unless the product takes this run file.
pub(crate) fn ensure_taken(read: &Result<Experiment, RunFileError>) -> Result<()> {
    let problems = read.as_ref().err().map(ToString::to_string).unwrap_or_default();
    ensure!(problems.is_empty(), "{problems}");
    Ok(())
}

/// A snapshot shared by whoever draws with it.
type Shared = Arc<Snapshot>;
