//! Batches that gave no step, written to `skipped/` for whoever looks for the reason.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tributary_common::ids::PolicyVersion;

use crate::files;

/// No more files than this are written.
const MOST_FILES: u64 = 100;
/// Nor more bytes in all of them.
const MOST_BYTES: u64 = 64 << 20;

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
    files: u64,
    bytes: u64,
    not_written: u64,
}

impl SkippedBatches {
    /// In this folder.
    pub fn new(folder: &Path) -> Self {
        let (files, bytes) = contents(folder);
        Self { folder: folder.to_owned(), files, bytes, not_written: 0 }
    }

    /// How many have no file, because there are too many.
    pub fn not_written(&self) -> u64 {
        self.not_written
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
        let text = serde_json::to_vec(&Dump { schema: 1, step, cause, trajectories })?;
        let bytes = text.len() as u64;
        if self.files >= MOST_FILES || self.bytes + bytes > MOST_BYTES {
            self.not_written += 1;
            return Ok(None);
        }
        std::fs::create_dir_all(&self.folder)?;
        self.files += 1;
        self.bytes += bytes;
        let path = self.folder.join(format!("batch-{}-step-{step}.json", self.files));
        files::write_synced(&path, &text)?;
        Ok(Some(path))
    }
}

/// Files and bytes that an earlier start left.
fn contents(folder: &Path) -> (u64, u64) {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = files.map(|file| file.metadata().map_or(0, |file| file.len()));
    bytes.fold((0, 0), |(files, sum), bytes| (files + 1, sum + bytes))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_hundred_files_are_written_over_all_starts_and_the_others_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("skipped");
        let mut first = SkippedBatches::new(&path);
        for step in 0..60 {
            assert!(first.add(step, "a loss of NaN", &[]).unwrap().is_some());
        }
        let mut second = SkippedBatches::new(&path);
        let written = (0..60).filter(|step| second.add(*step, "", &[]).unwrap().is_some()).count();
        assert_eq!((written, second.not_written()), (40, 20));
        assert_eq!(contents(&path).0, MOST_FILES);
    }
}
