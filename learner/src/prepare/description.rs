//! What is to be trained: the run file, and what it describes. A run that goes on has its own.

use std::fs;
use std::path::Path;

use tributary_common::data_set;
use tributary_common::estimate::EvaluationData;
use tributary_common::registry::{Registry, Task};
use tributary_common::run_file::{Problem, RunFile, RunFileError};

use super::data::Data;
use crate::error::LearnerError;
use crate::options::Options;
use crate::run_directory::{Inhabited, RUN_FILE};

/// A run file and all that it names.
pub(super) struct Described {
    /// It names the copies of data files in the run directory.
    pub(super) run_file: RunFile,
    pub(super) task: Task,
    pub(super) data: Data,
    pub(super) evaluation: EvaluationData,
    /// What replay starts with.
    pub(super) initial: Vec<data_set::Known>,
}

impl Described {
    /// Reads the run file that is given, or the one of the run that goes on; overrides are on top.
    ///
    /// # Errors
    /// All that is wrong with it; keys that may not change in a run that goes on.
    pub(super) fn read(
        options: &Options,
        registry: &Registry,
        earlier: Option<&Inhabited>,
    ) -> Result<Self, LearnerError> {
        let kept = earlier.map(|run| run.join(RUN_FILE));
        let given = options.run_file.clone().or(kept.clone());
        let path = given.ok_or_else(|| LearnerError::NoRun(options.run_dir.clone()))?;
        let described = Self::of(&path, &options.all_overrides(), registry)?;
        if let Some(kept) = kept {
            let changes = read(&kept, &[], registry)?.0.resumed_with(&described.run_file)?;
            for change in changes {
                tracing::info!("the run file changes: {change}");
            }
        }
        Ok(described)
    }

    fn of(
        path: &Path,
        overrides: &[(String, String)],
        registry: &Registry,
    ) -> Result<Self, LearnerError> {
        let (mut run_file, task) = read(path, overrides, registry)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let in_file = |problems: Vec<Problem>| {
            LearnerError::RunFile(RunFileError::from(problems).in_file(path))
        };
        let evaluation = EvaluationData::load(&run_file, &task, folder).map_err(in_file)?;
        let initial = data_set::initial(&run_file, &task, folder).map_err(in_file)?;
        let data = Data::read(&mut run_file, folder)?;
        Ok(Self { run_file, task, data, evaluation, initial })
    }
}

fn read(
    path: &Path,
    overrides: &[(String, String)],
    registry: &Registry,
) -> Result<(RunFile, Task), LearnerError> {
    let text = fs::read_to_string(path)
        .map_err(|source| LearnerError::Read { path: path.to_owned(), source })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    registry.read(&text, overrides, folder).map_err(|e| LearnerError::RunFile(e.in_file(path)))
}
