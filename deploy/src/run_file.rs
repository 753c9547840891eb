//! A run file, read and made into an environment and a reward.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use tributary_common::data_set;
use tributary_common::registry::{Registry, Task};
use tributary_common::run_file::{RunFile, RunFileError, parse_override};

use crate::error::CommandError;

/// Where keys are explained: the end of `--help` where a run file is read.
pub(crate) const KEYS: &str = "\
Every key of the run file, with its choices, default and range:
  tributary keys                     all of them, a line each (the same as a page: docs/run-file.md)
  tributary keys objective           one section; tributary keys replay.selector explains one key

Any key can be changed for one run:
  --set objective.kind=sub_trajectory_balance --set objective.lambda=0.8
  --set replay.selector=prioritized --set replay.samples_per_insert=4";

/// Which run file, and what to change in it.
#[derive(Args)]
pub(crate) struct RunFileOptions {
    /// The run file (TOML)
    #[arg(value_name = "RUN.toml")]
    pub(crate) path: PathBuf,
    /// Changes a value of the run file, for example --set learner.batch=128
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE", value_parser = parse_override)]
    pub(crate) overrides: Vec<(String, String)>,
}

impl RunFileOptions {
    /// Reads the run file and makes what it describes.
    ///
    /// # Errors
    /// A file that cannot be read, or all of its problems.
    pub(crate) fn read(&self, registry: &Registry) -> Result<Described, CommandError> {
        read(&self.path, &self.overrides, registry)
    }
}

/// A run file and what it describes.
pub(crate) struct Described {
    /// Its effective values.
    pub(crate) run_file: RunFile,
    /// Its environment and reward.
    pub(crate) task: Task,
}

impl Described {
    /// Reads the objects that training starts with, relative to the run file; returns how many.
    ///
    /// # Errors
    /// All that is wrong with their file.
    pub(crate) fn initial(&self, path: &Path) -> Result<usize, CommandError> {
        let files = path.parent().unwrap_or(Path::new(""));
        let known = data_set::initial(&self.run_file, &self.task, files);
        let known = known.map_err(|problems| RunFileError::from(problems).in_file(path))?;
        Ok(known.len())
    }
}

/// Reads a run file and makes what it describes; data files are found relative to it.
pub(crate) fn read(
    path: &Path,
    overrides: &[(String, String)],
    registry: &Registry,
) -> Result<Described, CommandError> {
    let text = fs::read_to_string(path)
        .map_err(|source| CommandError::Unreadable { path: path.to_owned(), source })?;
    let files = path.parent().unwrap_or(Path::new(""));
    let (run_file, task) =
        registry.read(&text, overrides, files).map_err(|error| error.in_file(path))?;
    Ok(Described { run_file, task })
}
