//! Writing checkpoints: beside the training, whole or not at all, the newest three kept.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crossbeam_channel::Receiver;
use safetensors::tensor::{Dtype, TensorView};
use tributary_common::checkpoint::{self, EMA, FOLDER, FileEntry, MANIFEST, Manifest, RAW, TARGET};
use tributary_common::ids::{Incarnation, PolicyVersion, RunId};
use tributary_common::network::weights::InvalidWeights;
use tributary_common::network::{Network, Weights};

use super::state::State;
use super::{Contents, OPTIMIZER, REPLAY, STATE};
use crate::edges::Edge;
use crate::figures::Board;
use crate::files;
use crate::replay::BadColumns;
use crate::training::{Moments, TrainingState};

const KEPT: usize = 3;

/// A checkpoint that was not written; the older ones are untouched.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The file system refused.
    #[error("cannot write the checkpoint {}: {source}", path.display())]
    Io {
        /// The checkpoint.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Weights that cannot be written.
    #[error("cannot write the weights of a checkpoint: {0}")]
    Weights(#[from] InvalidWeights),
    /// Replay that cannot be written.
    #[error("cannot write the replay of a checkpoint: {0}")]
    Replay(#[from] BadColumns),
    /// Moments that cannot be written.
    #[error("cannot write the optimizer's moments of a checkpoint: {0}")]
    Moments(#[from] safetensors::SafeTensorError),
    /// Figures that cannot be written.
    #[error("cannot write the state of a checkpoint: {0}")]
    State(#[from] serde_json::Error),
}

/// Writes the checkpoints of one run.
pub struct CheckpointWriter {
    run_directory: PathBuf,
    run_id: RunId,
    incarnation: Incarnation,
    network: Network,
}

impl CheckpointWriter {
    /// Into a run directory.
    pub fn new(
        run_directory: &Path,
        run_id: RunId,
        incarnation: Incarnation,
        network: Network,
    ) -> Self {
        Self { run_directory: run_directory.to_owned(), run_id, incarnation, network }
    }

    /// Writes what comes until nobody can send any more, and tells `written` of each.
    pub fn run(
        &self,
        contents: &Receiver<Contents>,
        board: &Board,
        mut written: impl FnMut(&Path, &Contents),
    ) {
        for contents in contents {
            let _waiting = board.wait(Edge::CheckpointsDisk);
            match self.write(&contents) {
                Ok(folder) => {
                    tracing::info!(folder = %folder.display(), "checkpoint");
                    written(&folder, &contents);
                }
                Err(error) => tracing::error!(%error, "no checkpoint; training goes on"),
            }
        }
    }

    /// Writes one and removes the oldest beyond three; returns its folder.
    ///
    /// # Errors
    /// The file system's; what was written is removed and the older checkpoints stay.
    pub fn write(&self, contents: &Contents) -> Result<PathBuf, WriteError> {
        let version = PolicyVersion { incarnation: self.incarnation, step: contents.training.step };
        let files = self.files(version, contents)?;
        let folder = self.run_directory.join(FOLDER);
        let path = folder.join(checkpoint::name(version));
        let temporary = folder.join(format!(".tmp-{}", checkpoint::name(version)));
        let written = write_folder(&temporary, &files).and_then(|()| {
            // The same step again (at the end, or after a skipped batch) replaces it.
            remove_folder(&path)?;
            fs::rename(&temporary, &path)?;
            files::sync_directory(&path)
        });
        if let Err(source) = written {
            if let Err(error) = remove_folder(&temporary) {
                tracing::warn!(%error, folder = %temporary.display(), "left behind");
            }
            return Err(WriteError::Io { path, source });
        }
        self.remove_oldest();
        Ok(path)
    }

    fn files(
        &self,
        version: PolicyVersion,
        contents: &Contents,
    ) -> Result<BTreeMap<String, Vec<u8>>, WriteError> {
        let Contents { training, generated, replay, .. } = contents;
        let TrainingState { log_z, moments, .. } = training;
        let weights = |values: &Vec<f32>| {
            let (log_z, generated) = (*log_z, *generated);
            Weights { version, log_z, generated, values: values.clone() }.to_bytes(&self.network)
        };
        let state = State::of(contents, self.run_id, version);
        let mut files = BTreeMap::from([
            (RAW.to_owned(), weights(&training.weights)?),
            (EMA.to_owned(), weights(&training.ema)?),
            (OPTIMIZER.to_owned(), moments_bytes(moments)?),
            (REPLAY.to_owned(), replay.to_bytes()?),
            (STATE.to_owned(), serde_json::to_vec_pretty(&state)?),
        ]);
        if !training.target.is_empty() {
            files.insert(TARGET.to_owned(), weights(&training.target)?);
        }
        let entries = files.iter().map(|(name, bytes)| (name.clone(), FileEntry::of(bytes)));
        let manifest =
            Manifest { schema: 1, run_id: self.run_id, version, files: entries.collect() };
        files.insert(MANIFEST.to_owned(), serde_json::to_vec_pretty(&manifest)?);
        Ok(files)
    }

    fn remove_oldest(&self) {
        let folders = checkpoint::list(&self.run_directory).unwrap_or_default();
        for old in folders.iter().take(folders.len().saturating_sub(KEPT)) {
            if let Err(error) = fs::remove_dir_all(old) {
                tracing::warn!(%error, folder = %old.display(), "old checkpoint not removed");
            }
        }
    }
}

fn moments_bytes(moments: &Moments<Vec<f32>>) -> Result<Vec<u8>, safetensors::SafeTensorError> {
    let bytes =
        |values: &[f32]| -> Vec<u8> { values.iter().flat_map(|v| v.to_le_bytes()).collect() };
    let (mean, square) = (bytes(&moments.mean), bytes(&moments.square));
    let mean = TensorView::new(Dtype::F32, vec![moments.mean.len()], &mean)?;
    let square = TensorView::new(Dtype::F32, vec![moments.square.len()], &square)?;
    safetensors::serialize([("mean", mean), ("square", square)], None)
}

fn write_folder(folder: &Path, files: &BTreeMap<String, Vec<u8>>) -> io::Result<()> {
    remove_folder(folder)?;
    fs::create_dir_all(folder)?;
    for (name, bytes) in files {
        files::write_synced(&folder.join(name), bytes)?;
    }
    files::sync_directory(&folder.join(MANIFEST))
}

fn remove_folder(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
