//! A run directory as readers find it: the run file, its data, the newest checkpoint.

use std::path::Path;
use std::sync::Arc;

use clap::ValueEnum;
use tributary_common::checkpoint::Checkpoint;
use tributary_common::network::Network;
use tributary_common::network::cpu::Snapshot;
use tributary_common::registry::{Registry, Task};
use tributary_common::run_file::{RunFile, Weights};

use crate::error::CommandError;
use crate::run_file::{self, Described};

/// One of the two named sets of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WeightSet {
    /// The exponential moving average
    Ema,
    /// As trained
    Raw,
}

impl From<WeightSet> for Weights {
    fn from(set: WeightSet) -> Self {
        match set {
            WeightSet::Ema => Self::Ema,
            WeightSet::Raw => Self::Raw,
        }
    }
}

/// A run with weights that were trained.
pub(crate) struct Trained {
    /// The run file in effect.
    pub(crate) run_file: RunFile,
    /// Its environment and reward.
    pub(crate) task: Task,
    /// The policy of the newest valid checkpoint.
    pub(crate) snapshot: Snapshot,
}

impl Trained {
    /// Opens a run directory.
    ///
    /// # Errors
    /// A directory without a run or without a checkpoint, weights of another network.
    pub(crate) fn open(
        directory: &Path,
        weights: WeightSet,
        registry: &Registry,
    ) -> Result<Self, CommandError> {
        let path = directory.join("run.toml");
        if !path.is_file() {
            let reason = if directory.is_dir() {
                "holds no run: it has no run.toml".to_owned()
            } else {
                "does not exist".to_owned()
            };
            return Err(CommandError::RunDirectory { path: directory.to_owned(), reason });
        }
        let Described { run_file, task } = run_file::read(&path, &[], registry)?;
        let checkpoint = Checkpoint::newest(directory)?;
        for damage in &checkpoint.damaged {
            eprintln!("warning: {damage}; using {}", checkpoint.path.display());
        }
        let network = Network::of_run(&run_file, task.environment.as_ref());
        let weights = checkpoint.weights(weights.into(), &network)?;
        let snapshot = Snapshot::new(Arc::new(network), weights);
        Ok(Self { run_file, task, snapshot })
    }
}
