//! A run goes on: from its newest checkpoint that is whole, and from the ledger.

use std::fs;
use std::path::{Path, PathBuf};

use tributary_common::checkpoint::{self, Checkpoint, CheckpointError, FOLDER};
use tributary_common::ids::RunId;
use tributary_common::network::Network;
use tributary_common::session::sessions::SavedSessions;

use crate::checkpoint::{Contents, unfinished};
use crate::error::LearnerError;
use crate::figures::SavedFigures;
use crate::files;
use crate::findings::SavedFindings;
use crate::lockstep::rounds::SavedRounds;
use crate::prepare::Prepared;
use crate::run_directory::Inhabited;

/// Where a learner begins: at nothing, or where its run was.
#[derive(Debug, Default)]
pub struct Beginning {
    /// Trajectories that replay has been given.
    pub generated: u64,
    /// Batches drawn from it.
    pub draws: u64,
    /// Of a lockstep run: the rounds that are over.
    pub rounds: SavedRounds,
    /// Marks and books of all actors.
    pub sessions: SavedSessions,
    /// What was counted and measured.
    pub figures: SavedFigures,
    /// What was found.
    pub findings: SavedFindings,
}

impl Beginning {
    /// Puts the checkpoint's replay back, and takes the actors' books from it, or in a durable run from
    /// the ledger.
    ///
    /// # Errors
    /// A replay that is not this run's.
    pub fn of(prepared: &mut Prepared) -> Result<Self, LearnerError> {
        let Prepared { resumed, replay, task, ledger, sessions: config, .. } = prepared;
        let mut beginning = Self::default();
        if let Some(contents) = resumed.take() {
            replay.restore(&contents.replay, &*task.environment)?;
            let Contents { generated, draws, rounds, sessions, figures, findings, .. } = contents;
            let rounds = rounds.unwrap_or_default();
            beginning = Self { generated, draws, rounds, sessions, figures, findings };
        }
        if config.durable {
            beginning.sessions = ledger.sessions();
            return Ok(beginning);
        }
        // Acked, of a round of a lockstep run that was not whole: it is drawn again.
        let lost = beginning.sessions.forget_beyond(beginning.generated);
        if lost > 0 {
            tracing::warn!(lost, "acked trajectories were not in the checkpoint: lost in restart");
        }
        Ok(beginning)
    }
}

/// The end of the name of a checkpoint that was set aside.
const SET_ASIDE: &str = "corrupt";

/// What the newest whole checkpoint of a run holds; nothing if the run died before its first. Newer
/// ones that are damaged are named and set aside.
///
/// # Errors
/// There are checkpoints, but none is whole; a newer release wrote the newest; or one cannot be read
/// for another reason than damage.
pub fn newest(run: &Inhabited, network: &Network) -> Result<Option<Contents>, CheckpointError> {
    newest_in(&run.join(""), run.directory().run_id, network)
}

fn newest_in(
    run: &Path,
    run_id: RunId,
    network: &Network,
) -> Result<Option<Contents>, CheckpointError> {
    let folder = run.join(FOLDER);
    remove_unfinished(&folder);
    let in_folder = |source| CheckpointError::Io { path: folder.clone(), source };
    let mut damaged: Vec<(PathBuf, CheckpointError)> = Vec::new();
    for path in checkpoint::list(run).map_err(in_folder)?.into_iter().rev() {
        let read = Checkpoint::read(&path).and_then(|checkpoint| {
            if checkpoint.manifest.run_id != run_id {
                let (theirs, path) = (checkpoint.manifest.run_id, path.join(checkpoint::MANIFEST));
                return Err(CheckpointError::OtherRun { path, ours: run_id, theirs });
            }
            Contents::read(&checkpoint, network)
        });
        match read {
            Ok(contents) => {
                damaged.iter().for_each(|(path, error)| set_aside(path, error));
                tracing::info!(checkpoint = %path.display(), "the run goes on");
                return Ok(Some(contents));
            }
            Err(error) if error.is_damage() => damaged.push((path, error)),
            Err(error) => return Err(error),
        }
    }
    let all_damaged = |newest| CheckpointError::AllDamaged { folder: folder.clone(), newest };
    match damaged.into_iter().next() {
        Some((_, newest)) => Err(all_damaged(Box::new(newest))),
        // A run must not begin anew because all of its checkpoints were set aside.
        None => match aside(&folder).map_err(in_folder)? {
            Some(path) => {
                let reason = "it was set aside as damaged".to_owned();
                Err(all_damaged(Box::new(CheckpointError::Damaged { path, reason })))
            }
            None => {
                tracing::info!("the run died before its first checkpoint and begins anew");
                Ok(None)
            }
        },
    }
}

/// Removes what a learner that died had begun to write.
fn remove_unfinished(folder: &Path) {
    for path in unfinished(folder) {
        if let Err(error) = fs::remove_dir_all(&path) {
            tracing::warn!(%error, path = %path.display(), "left behind");
        }
    }
}

/// Renames a damaged checkpoint, so that nobody takes it for one.
fn set_aside(path: &Path, error: &CheckpointError) {
    let to = (0_u32..).map(|number| match number {
        0 => path.with_extension(SET_ASIDE),
        _ => path.with_extension(format!("{SET_ASIDE}-{number}")),
    });
    let Some(to) = to.into_iter().find(|to| !to.exists()) else { return };
    let renamed = fs::rename(path, &to).and_then(|()| files::sync_directory(&to));
    match renamed {
        Ok(()) => {
            tracing::error!(%error, aside = %to.display(), "a damaged checkpoint is set aside")
        }
        Err(source) => {
            tracing::error!(%error, %source, "a damaged checkpoint cannot be set aside");
        }
    }
}

/// A checkpoint that was set aside, if there is one.
fn aside(folder: &Path) -> std::io::Result<Option<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        entries => entries?,
    };
    let is_aside = |path: &PathBuf| {
        let end = path.extension().and_then(|end| end.to_str());
        end.is_some_and(|end| end.starts_with(SET_ASIDE))
    };
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    paths.retain(is_aside);
    Ok(paths.into_iter().max())
}

#[cfg(test)]
mod tests;
