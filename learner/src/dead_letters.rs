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

/// The file of rejected trajectories; made when the first comes, continued by a later start.
#[derive(Debug)]
pub struct DeadLetters {
    path: PathBuf,
    file: Option<BufWriter<File>>,
    bytes: u64,
    most_bytes: u64,
    not_written: u64,
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
        let bytes = path.metadata().map_or(0, |file| file.len());
        Self { path: path.to_owned(), file: None, bytes, most_bytes: MOST_BYTES, not_written: 0 }
    }

    /// How many were not added, because the file is full.
    pub fn not_written(&self) -> u64 {
        self.not_written
    }

    /// Adds one, unless the file is full: then it is only counted.
    ///
    /// # Errors
    /// The file system's.
    pub fn add(
        &mut self,
        actor: ActorId,
        rejection: &Rejection,
        trajectory: &TrajectoryView<'_>,
    ) -> io::Result<()> {
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
        if self.bytes + line.len() as u64 > self.most_bytes {
            self.not_written += 1;
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(BufWriter::new(
                File::options().create(true).append(true).open(&self.path)?,
            )),
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tributary_common::ids::{Epoch, PolicyVersion, Seq};
    use tributary_common::session::books::RejectionReason;
    use tributary_common::trajectory::TrajectoryKind;

    fn add(letters: &mut DeadLetters) {
        let (epoch, detail) = (Epoch::default(), "too long".to_owned());
        let reason = RejectionReason::TooLong;
        let rejection = Rejection { epoch, seq: Seq(3), reason, detail, step: None };
        let trajectory = TrajectoryView {
            seq: Seq(3),
            actions: &[1, 2],
            raw: &[f64::NAN],
            policy: PolicyVersion::default(),
            kind: TrajectoryKind::Forward,
            setting: 0,
            log_mu: 0.0,
            seconds: 0.0,
        };
        letters.add(ActorId(1), &rejection, &trajectory).unwrap();
    }

    #[test]
    fn a_full_file_grows_no_further_and_what_is_left_out_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rejected.jsonl");
        let mut letters = DeadLetters { most_bytes: 1_000, ..DeadLetters::new(&path) };
        (0..50).for_each(|_| add(&mut letters));
        letters.flush().unwrap();
        let written = path.metadata().unwrap().len();
        assert!((800..=1_000).contains(&written), "{written}");
        let lines = std::fs::read_to_string(&path).unwrap().lines().count() as u64;
        assert_eq!(lines + letters.not_written(), 50);
        let mut later = DeadLetters { most_bytes: 1_000, ..DeadLetters::new(&path) };
        add(&mut later);
        assert_eq!(later.not_written(), 1, "a later start continues the file");
    }
}
