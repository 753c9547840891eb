//! Batches that gave no step, written to `skipped/` for whoever looks for the reason.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tributary_common::ids::PolicyVersion;

use crate::files;

/// No more files than this are written.
const MOST_FILES: u64 = 100;

/// One trajectory of a batch.
#[derive(Debug, Serialize)]
pub struct Dumped<'a> {
    /// Its actions, without the exit.
    pub actions: &'a [u32],
    /// log R, as text: JSON has no infinities.
    pub log_reward: String,
    /// The weights that drew it.
    pub policy: PolicyVersion,
    /// Where its path comes from.
    pub source: &'static str,
}

#[derive(Serialize)]
struct Dump<'a> {
    schema: u32,
    step: u64,
    cause: &'a str,
    trajectories: &'a [Dumped<'a>],
}

/// The folder of skipped batches; made when the first comes.
#[derive(Debug)]
pub struct SkippedBatches {
    folder: PathBuf,
    written: u64,
}

impl SkippedBatches {
    /// In this folder.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), written: 0 }
    }

    /// Writes one, unless there are many already; returns the file.
    ///
    /// # Errors
    /// The file system's.
    pub fn add(
        &mut self,
        step: u64,
        cause: &str,
        trajectories: &[Dumped<'_>],
    ) -> io::Result<Option<PathBuf>> {
        if self.written >= MOST_FILES {
            return Ok(None);
        }
        std::fs::create_dir_all(&self.folder)?;
        self.written += 1;
        let path = self.folder.join(format!("batch-{}-step-{step}.json", self.written));
        let dump = Dump { schema: 1, step, cause, trajectories };
        files::write_synced(&path, &serde_json::to_vec(&dump)?)?;
        Ok(Some(path))
    }
}
