//! Writing checkpoints: beside the training, whole or not at all, the newest three kept.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use crossbeam_channel::Receiver;
use safetensors::tensor::{Dtype, TensorView};
use tributary_common::checkpoint::{
    self, EMA, FOLDER, FileEntry, MANIFEST, Manifest, RAW, SEAL, TARGET,
};
use tributary_common::crash;
use tributary_common::ids::{Incarnation, PolicyVersion, RunId};
use tributary_common::ledger::LedgerReader;
use tributary_common::network::weights::InvalidWeights;
use tributary_common::network::{Network, Weights};

use super::state::State;
use super::{Contents, FINDINGS, OPTIMIZER, REPLAY, RUN_FILE, STATE};
use crate::edges::Edge;
use crate::figures::Board;
use crate::files;
use crate::replay::BadColumns;
use crate::training::{Moments, TrainingState};

/// The newest checkpoints that are always kept.
const KEPT: usize = 3;
/// How the folder of a checkpoint begins while it is not whole.
const TEMPORARY: &str = ".tmp-";

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
    /// A number that no learner could go on from.
    #[error("the {0} of a checkpoint is not finite")]
    NotFinite(&'static str),
    /// Replay that cannot be written.
    #[error("cannot write the replay of a checkpoint: {0}")]
    Replay(#[from] BadColumns),
    /// Moments that cannot be written.
    #[error("cannot write the optimizer's moments of a checkpoint: {0}")]
    Moments(#[from] safetensors::SafeTensorError),
    /// Figures that cannot be written.
    #[error("cannot write the state of a checkpoint: {0}")]
    State(#[from] serde_json::Error),
    /// Another learner of the run has started since.
    #[error("this learner is {ours} of its run, and {newest} has started: it writes no checkpoint")]
    Fenced {
        /// This one.
        ours: Incarnation,
        /// The newest.
        newest: Incarnation,
    },
    /// Nobody can say whether that is so.
    #[error("cannot see whether another learner of the run has started: {0}")]
    Unfenced(String),
}

/// Says which learner of the run is the newest, or why that cannot be known.
pub type NewestLearner = Box<dyn Fn() -> Result<Incarnation, String> + Send>;

/// What a writer of checkpoints needs to know.
pub struct CheckpointConfig {
    /// Where the run lives.
    pub run_directory: PathBuf,
    /// The run.
    pub run_id: RunId,
    /// The learner.
    pub incarnation: Incarnation,
    /// What its weights are of.
    pub network: Network,
    /// The run file as text, kept with each checkpoint.
    pub run_file: String,
    /// Of so many checkpoints one stays for ever; 0 for none.
    pub keep_every: u64,
    /// Asked before a checkpoint gets its name.
    pub newest_learner: NewestLearner,
}

/// Asks the ledger of a run.
pub fn newest_learner_of(ledger: PathBuf) -> NewestLearner {
    Box::new(move || {
        let reader = LedgerReader::open(&ledger).map_err(|error| error.to_string())?;
        reader.newest_incarnation().map_err(|error| error.to_string())
    })
}

/// Writes the checkpoints of one run.
pub struct CheckpointWriter {
    config: CheckpointConfig,
    /// Passes a named point.
    pass: Pass,
}

type Pass = fn(&'static str) -> io::Result<()>;

impl CheckpointWriter {
    /// For a run.
    pub fn new(config: CheckpointConfig) -> Self {
        Self { config, pass: crash::point }
    }

    /// With other points, which fail when a test wants it.
    #[cfg(test)]
    pub(super) fn passing(self, pass: Pass) -> Self {
        Self { pass, ..self }
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
            let start = Instant::now();
            let outcome = self.write(&contents);
            let seconds = start.elapsed().as_secs_f64();
            board.update(|figures| {
                let checkpoints = &mut figures.checkpoints;
                checkpoints.written += u64::from(outcome.is_ok());
                checkpoints.failures += u64::from(outcome.is_err());
                checkpoints.write_seconds = seconds;
                checkpoints.trouble = outcome.as_ref().err().map(ToString::to_string);
            });
            match outcome {
                Ok(folder) => {
                    tracing::info!(folder = %folder.display(), seconds, "checkpoint");
                    written(&folder, &contents);
                }
                Err(error) => tracing::error!(%error, "no checkpoint; training goes on"),
            }
        }
    }

    /// Writes one and removes those that need not be kept any more; returns its folder.
    ///
    /// # Errors
    /// The file system's, or a newer learner has started; what was written is removed and the older
    /// checkpoints stay.
    pub fn write(&self, contents: &Contents) -> Result<PathBuf, WriteError> {
        let step = contents.training.step;
        let version = PolicyVersion { incarnation: self.config.incarnation, step };
        let files = self.files(version, contents)?;
        let folder = self.config.run_directory.join(FOLDER);
        let path = folder.join(checkpoint::name(version));
        let temporary = folder.join(format!("{TEMPORARY}{}", checkpoint::name(version)));
        let in_path = |source| WriteError::Io { path: path.clone(), source };
        let written = self.manifest(version, &files).and_then(|manifest| {
            write_folder(&temporary, &files, &manifest, self.pass).map_err(in_path)?;
            self.check_fence()?;
            name_folder(&temporary, &path, self.pass).map_err(in_path)
        });
        if let Err(error) = written {
            if let Err(error) = remove_folder(&temporary) {
                tracing::warn!(%error, folder = %temporary.display(), "left behind");
            }
            return Err(error);
        }
        self.remove_oldest(&folder);
        Ok(path)
    }

    fn files(
        &self,
        version: PolicyVersion,
        contents: &Contents,
    ) -> Result<BTreeMap<&'static str, Vec<u8>>, WriteError> {
        let Contents { training, generated, replay, findings, .. } = contents;
        let TrainingState { log_z, moments, .. } = &**training;
        if !log_z.is_finite() {
            return Err(WriteError::NotFinite("log Z"));
        }
        let weights = |values: &Vec<f32>| {
            if !values.iter().all(|value| value.is_finite()) {
                return Err(WriteError::NotFinite("weights"));
            }
            let (log_z, generated) = (*log_z, *generated);
            let weights = Weights { version, log_z, generated, values: values.clone() };
            Ok(weights.to_bytes(&self.config.network)?)
        };
        let state = State::of(contents, self.config.run_id, version);
        let mut files = BTreeMap::from([
            (RAW, weights(&training.weights)?),
            (EMA, weights(&training.ema)?),
            (OPTIMIZER, moments_bytes(moments)?),
            (REPLAY, replay.to_bytes()?),
            (FINDINGS, serde_json::to_vec(findings)?),
            (RUN_FILE, self.config.run_file.clone().into_bytes()),
            (STATE, serde_json::to_vec_pretty(&state)?),
        ]);
        if !training.target.is_empty() {
            files.insert(TARGET, weights(&training.target)?);
        }
        Ok(files)
    }

    fn manifest(
        &self,
        version: PolicyVersion,
        files: &BTreeMap<&'static str, Vec<u8>>,
    ) -> Result<Vec<u8>, WriteError> {
        let folders = checkpoint::list(&self.config.run_directory).unwrap_or_default();
        let numbers = folders.iter().filter_map(|folder| Some(Manifest::read(folder).ok()?.number));
        let number = numbers.max().unwrap_or(0) + 1;
        let entry = |(name, bytes): (&&str, &Vec<u8>)| ((*name).to_owned(), FileEntry::of(bytes));
        let files = files.iter().map(entry).collect();
        let (schema, run_id) = (checkpoint::SCHEMA, self.config.run_id);
        Ok(serde_json::to_vec_pretty(&Manifest { schema, run_id, version, number, files })?)
    }

    /// An old learner that is still alive takes nothing from the one that has its place.
    fn check_fence(&self) -> Result<(), WriteError> {
        let ours = self.config.incarnation;
        match (self.config.newest_learner)() {
            Ok(newest) if newest == ours => Ok(()),
            Ok(newest) => Err(WriteError::Fenced { ours, newest }),
            Err(reason) => Err(WriteError::Unfenced(reason)),
        }
    }

    /// Removes all but the newest three and every so many-th, and what a learner that died did not
    /// finish.
    fn remove_oldest(&self, folder: &Path) {
        let folders = checkpoint::list(&self.config.run_directory).unwrap_or_default();
        let older = folders.iter().take(folders.len().saturating_sub(KEPT)).cloned();
        let is_kept = |path: &PathBuf| {
            let every = self.config.keep_every;
            every > 0 && Manifest::read(path).is_ok_and(|of| of.number.is_multiple_of(every))
        };
        for old in older.filter(|path| !is_kept(path)).chain(unfinished(folder)) {
            let removed = (self.pass)(crash::CHECKPOINT_BEFORE_REMOVE)
                .and_then(|()| fs::remove_dir_all(&old));
            if let Err(error) = removed {
                tracing::warn!(%error, folder = %old.display(), "old checkpoint not removed");
            }
        }
    }
}

/// What a learner that died had begun to write.
pub fn unfinished(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_unfinished = |name: &str| name.starts_with(TEMPORARY);
    let unfinished =
        entries.filter(move |entry| entry.file_name().to_str().is_some_and(is_unfinished));
    unfinished.map(|entry| entry.path())
}

fn moments_bytes(moments: &Moments<Vec<f32>>) -> Result<Vec<u8>, safetensors::SafeTensorError> {
    let bytes =
        |values: &[f32]| -> Vec<u8> { values.iter().flat_map(|v| v.to_le_bytes()).collect() };
    let (mean, square) = (bytes(&moments.mean), bytes(&moments.square));
    let mean = TensorView::new(Dtype::F32, vec![moments.mean.len()], &mean)?;
    let square = TensorView::new(Dtype::F32, vec![moments.square.len()], &square)?;
    safetensors::serialize([("mean", mean), ("square", square)], None)
}

fn write_folder(
    folder: &Path,
    files: &BTreeMap<&'static str, Vec<u8>>,
    manifest: &[u8],
    pass: Pass,
) -> io::Result<()> {
    remove_folder(folder)?;
    fs::create_dir_all(folder)?;
    let seal = checkpoint::seal(manifest);
    let files = files.iter().map(|(name, bytes)| (*name, bytes.as_slice()));
    for (name, bytes) in files.chain([(MANIFEST, manifest), (SEAL, seal.as_bytes())]) {
        pass(crash::CHECKPOINT_BEFORE_WRITE)?;
        let mut file = File::create(folder.join(name))?;
        file.write_all(bytes)?;
        pass(crash::CHECKPOINT_BEFORE_SYNC)?;
        file.sync_all()?;
        pass(crash::CHECKPOINT_AFTER_SYNC)?;
    }
    files::sync_directory(&folder.join(SEAL))
}

fn name_folder(temporary: &Path, path: &Path, pass: Pass) -> io::Result<()> {
    pass(crash::CHECKPOINT_BEFORE_RENAME)?;
    // The same step again (at the end, or after a skipped batch) replaces it.
    remove_folder(path)?;
    fs::rename(temporary, path)?;
    pass(crash::CHECKPOINT_AFTER_RENAME)?;
    files::sync_directory(path)?;
    pass(crash::CHECKPOINT_AFTER_RENAME_SYNC)
}

fn remove_folder(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
