//! Rejected trajectories, kept for whoever looks for the reason: `rejected.jsonl`, bounded.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use tributary_common::ids::ActorId;
use tributary_common::trajectory::TrajectoryView;

use crate::outbox::Rejection;

/// The file grows no further than this.
const MOST_BYTES: u64 = 16 << 20;

/// The file of rejected trajectories; made when the first comes.
#[derive(Debug)]
pub struct DeadLetters {
    path: PathBuf,
    file: Option<BufWriter<File>>,
    bytes: u64,
}

#[derive(Serialize)]
struct Letter<'a> {
    schema: u32,
    actor: ActorId,
    epoch: String,
    seq: u64,
    reason: &'static str,
    detail: &'a str,
    actions: &'a [u32],
    /// As text: JSON has no NaN.
    raw: Vec<String>,
}

impl DeadLetters {
    /// Into this file.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), file: None, bytes: 0 }
    }

    /// Adds one, unless the file is full.
    ///
    /// # Errors
    /// The file system's.
    pub fn add(
        &mut self,
        actor: ActorId,
        rejection: &Rejection,
        trajectory: &TrajectoryView<'_>,
    ) -> io::Result<()> {
        if self.bytes >= MOST_BYTES {
            return Ok(());
        }
        let letter = Letter {
            schema: 1,
            actor,
            epoch: rejection.epoch.to_string(),
            seq: rejection.seq.0,
            reason: rejection.reason.name(),
            detail: &rejection.detail,
            actions: trajectory.actions,
            raw: trajectory.raw.iter().map(f64::to_string).collect(),
        };
        let mut line = serde_json::to_vec(&letter)?;
        line.push(b'\n');
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(BufWriter::new(File::create(&self.path)?)),
        };
        file.write_all(&line)?;
        self.bytes += line.len() as u64;
        Ok(())
    }

    /// Hands what was added to the file system.
    ///
    /// # Errors
    /// The file system's.
    pub fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }
}
