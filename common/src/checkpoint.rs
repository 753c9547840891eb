//! Reading the checkpoints of a run: `checkpoints/<incarnation>-<step>/` in its directory.
//!
//! A checkpoint is a folder of files with a manifest that names each, its size and its hash, and a
//! seal, which is the manifest's hash. The learner writes it beside and renames it when it is whole;
//! nothing is used before its hash was checked, and a damaged checkpoint gives way to the next older
//! one.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::ids::{PolicyVersion, RunId};
use crate::network::weights::InvalidWeights;
use crate::network::{Network, Weights};
use crate::run_file;
use crate::schema::{self, UnknownSchema};

/// The folder of checkpoints in a run directory.
pub const FOLDER: &str = "checkpoints";
/// The manifest in a checkpoint.
pub const MANIFEST: &str = "manifest.json";
/// The manifest's hash, hexadecimal, written last. Whatever the manifest's form, this stays.
pub const SEAL: &str = "manifest.blake3";
/// Weights as trained.
pub const RAW: &str = "raw.safetensors";
/// Their moving average.
pub const EMA: &str = "ema.safetensors";
/// The target network's weights, where there is one.
pub const TARGET: &str = "target.safetensors";

/// The newest form of a checkpoint that this program writes and reads.
pub const SCHEMA: u32 = 1;

/// What a checkpoint consists of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Of the checkpoint's form, [`SCHEMA`].
    pub schema: u32,
    /// The run that it belongs to.
    pub run_id: RunId,
    /// The step at which it was taken.
    pub version: PolicyVersion,
    /// Its place among the checkpoints of the run, from 1.
    #[serde(default)]
    pub number: u64,
    /// Every other file of the folder by its name, but for the seal.
    pub files: BTreeMap<String, FileEntry>,
}

/// One file of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its size.
    pub bytes: u64,
    /// Its hash, hexadecimal.
    pub blake3: String,
}

impl FileEntry {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self { bytes: bytes.len() as u64, blake3: blake3::hash(bytes).to_hex().to_string() }
    }
}

/// The seal of a manifest.
pub fn seal(manifest: &[u8]) -> String {
    blake3::hash(manifest).to_hex().to_string()
}

/// A checkpoint whose files were read and are what its manifest says.
#[derive(Debug)]
pub struct Checkpoint {
    /// Where it is.
    pub path: PathBuf,
    /// What it says of itself.
    pub manifest: Manifest,
    /// The contents of its files by name.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Newer ones that are damaged.
    pub damaged: Vec<CheckpointError>,
}

/// A checkpoint that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// There is none.
    #[error(
        "{} holds no checkpoint; the learner writes the first after learner.checkpoint_every \
         and one at the end", .0.display()
    )]
    None(PathBuf),
    /// All are damaged.
    #[error("none of the checkpoints in {} can be used; the newest: {newest}", folder.display())]
    AllDamaged {
        /// The folder of checkpoints.
        folder: PathBuf,
        /// What is wrong with the newest.
        newest: Box<CheckpointError>,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not what the manifest says.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A newer release wrote it. It is not damaged: nothing older is taken in its place.
    #[error("{}: {source}", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// Its number and ours.
        source: UnknownSchema,
    },
    /// Another run wrote it.
    #[error("{} belongs to the run {theirs}, this is the run {ours}", path.display())]
    OtherRun {
        /// The file.
        path: PathBuf,
        /// The run of the directory.
        ours: RunId,
        /// The run that the checkpoint names.
        theirs: RunId,
    },
    /// Its weights are not this network's.
    #[error("{}: {source}", path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: InvalidWeights,
    },
}

impl CheckpointError {
    /// Whether an older checkpoint may take its place.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Damaged { .. } => true,
            Self::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
            _ => false,
        }
    }
}

/// The folder name of a checkpoint; names sort by age.
pub fn name(version: PolicyVersion) -> String {
    format!("{:06}-{:012}", version.incarnation.0, version.step)
}

/// The folders of checkpoints in a run directory, oldest first.
///
/// # Errors
/// The file system's.
pub fn list(run_directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(run_directory.join(FOLDER)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut folders = Vec::new();
    for entry in entries {
        let entry = entry?;
        let is_ours = |name: &str| name.len() == 19 && name.as_bytes().get(6) == Some(&b'-');
        if entry.file_name().to_str().is_some_and(is_ours) {
            folders.push(entry.path());
        }
    }
    folders.sort();
    Ok(folders)
}

impl Manifest {
    /// The manifest of a checkpoint, checked against its seal; its files are not looked at.
    ///
    /// # Errors
    /// It is damaged, or a newer release wrote it.
    pub fn read(checkpoint: &Path) -> Result<Self, CheckpointError> {
        let text = read_file(checkpoint, MANIFEST)?;
        let damaged =
            |reason| Err(CheckpointError::Damaged { path: checkpoint.join(MANIFEST), reason });
        // First, so that a damaged number is not taken for that of a newer release.
        if read_file(checkpoint, SEAL)? != seal(&text).as_bytes() {
            return damaged(format!("{SEAL} is the hash of another one"));
        }
        schema::check_json("the checkpoint", &text, SCHEMA).map_err(|source| {
            CheckpointError::Schema { path: checkpoint.join(MANIFEST), source }
        })?;
        match serde_json::from_slice(&text) {
            Ok(manifest) => Ok(manifest),
            Err(error) => damaged(error.to_string()),
        }
    }
}

fn read_file(checkpoint: &Path, name: &str) -> Result<Vec<u8>, CheckpointError> {
    let path = checkpoint.join(name);
    fs::read(&path).map_err(|source| CheckpointError::Io { path, source })
}

impl Checkpoint {
    /// The newest of a run directory that is whole; damaged newer ones are named in `damaged`.
    ///
    /// # Errors
    /// There is none, all are damaged, or a newer release wrote the newest.
    pub fn newest(run_directory: &Path) -> Result<Self, CheckpointError> {
        let folder = run_directory.join(FOLDER);
        let folders = list(run_directory)
            .map_err(|source| CheckpointError::Io { path: folder.clone(), source })?;
        let mut damaged = Vec::new();
        for path in folders.iter().rev() {
            match Self::read(path) {
                Ok(checkpoint) => return Ok(Self { damaged, ..checkpoint }),
                Err(error @ CheckpointError::Schema { .. }) => return Err(error),
                Err(error) => damaged.push(error),
            }
        }
        match damaged.into_iter().next() {
            None => Err(CheckpointError::None(folder)),
            Some(newest) => Err(CheckpointError::AllDamaged { folder, newest: Box::new(newest) }),
        }
    }

    /// Reads and checks one.
    ///
    /// # Errors
    /// A file that is missing or not what the manifest says, a manifest that is not what the seal says,
    /// or one of a newer release.
    pub fn read(path: &Path) -> Result<Self, CheckpointError> {
        let read = |name: &str| read_file(path, name);
        let damaged = |name: &str, reason: String| {
            Err(CheckpointError::Damaged { path: path.join(name), reason })
        };
        let manifest = Manifest::read(path)?;
        let mut files = BTreeMap::new();
        for (name, entry) in &manifest.files {
            if Path::new(name).file_name() != Some(name.as_ref()) {
                return damaged(MANIFEST, format!("\"{name}\" is no file name"));
            }
            let bytes = read(name)?;
            let found = FileEntry::of(&bytes);
            if found != *entry {
                let (theirs, ours) = (found.bytes, entry.bytes);
                let reason = format!("{theirs} bytes, of {ours} with another hash in the manifest");
                return damaged(name, reason);
            }
            files.insert(name.clone(), bytes);
        }
        Ok(Self { path: path.to_owned(), manifest, files, damaged: Vec::new() })
    }

    /// One of the named sets of weights.
    ///
    /// # Errors
    /// Weights of another network.
    pub fn weights(
        &self,
        set: run_file::Weights,
        network: &Network,
    ) -> Result<Weights, CheckpointError> {
        let name = match set {
            run_file::Weights::Raw => RAW,
            run_file::Weights::Ema => EMA,
        };
        let path = self.path.join(name);
        let Some(bytes) = self.files.get(name) else {
            let reason = "the manifest does not name it".to_owned();
            return Err(CheckpointError::Damaged { path, reason });
        };
        Weights::from_bytes(network, bytes)
            .map_err(|source| CheckpointError::Weights { path, source })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ids::Incarnation;

    fn write(run: &Path, step: u64, content: &[u8]) -> PathBuf {
        let version = PolicyVersion { incarnation: Incarnation(1), step };
        let folder = run.join(FOLDER).join(name(version));
        fs::create_dir_all(&folder).unwrap();
        let files = BTreeMap::from([("a".to_owned(), FileEntry::of(content))]);
        let run_id = RunId([7; 16]);
        let manifest = Manifest { schema: 1, run_id, version, number: 1, files };
        fs::write(folder.join("a"), content).unwrap();
        write_manifest(&folder, &serde_json::to_vec(&manifest).unwrap());
        folder
    }

    fn write_manifest(folder: &Path, text: &[u8]) {
        fs::write(folder.join(MANIFEST), text).unwrap();
        fs::write(folder.join(SEAL), seal(text)).unwrap();
    }

    #[test]
    fn the_newest_whole_checkpoint_is_used() {
        let run = tempfile::tempdir().unwrap();
        let error = Checkpoint::newest(run.path()).unwrap_err();
        assert!(error.to_string().contains("holds no checkpoint"), "{error}");

        write(run.path(), 9, b"nine");
        write(run.path(), 100, b"hundred");
        let newest = write(run.path(), 2_000, b"two thousand");
        fs::create_dir(run.path().join(FOLDER).join(".tmp-7")).unwrap();
        assert_eq!(Checkpoint::newest(run.path()).unwrap().manifest.version.step, 2_000);

        fs::write(newest.join("a"), b"two thousanD").unwrap();
        let older = Checkpoint::newest(run.path()).unwrap();
        assert_eq!((older.manifest.version.step, older.damaged.len()), (100, 1));
        assert_eq!(older.files["a"], b"hundred");
        assert!(older.damaged[0].to_string().contains("is damaged"), "{}", older.damaged[0]);
    }

    #[test]
    fn a_checkpoint_of_a_newer_release_is_refused_and_no_older_one_taken() {
        let run = tempfile::tempdir().unwrap();
        write(run.path(), 1, b"one");
        let newest = write(run.path(), 2, b"two");
        write_manifest(&newest, br#"{"schema": 9, "parts": []}"#);
        let error = Checkpoint::newest(run.path()).unwrap_err().to_string();
        assert!(error.contains("has schema 9") && error.contains("up to 1"), "{error}");
        // A bit of the number has flipped.
        fs::write(newest.join(MANIFEST), br#"{"schema": 8, "parts": []}"#).unwrap();
        let older = Checkpoint::newest(run.path()).unwrap();
        assert_eq!((older.manifest.version.step, older.damaged.len()), (1, 1));
    }

    #[test]
    fn fields_of_a_later_release_are_ignored() {
        let run = tempfile::tempdir().unwrap();
        let folder = write(run.path(), 1, b"one");
        let mut manifest: serde_json::Value =
            serde_json::from_slice(&fs::read(folder.join(MANIFEST)).unwrap()).unwrap();
        manifest["later"] = 1.into();
        manifest["files"]["a"]["later"] = 1.into();
        write_manifest(&folder, &serde_json::to_vec(&manifest).unwrap());
        assert_eq!(Checkpoint::newest(run.path()).unwrap().files["a"], b"one");
    }

    #[test]
    fn a_manifest_names_no_file_elsewhere() {
        let run = tempfile::tempdir().unwrap();
        let folder = write(run.path(), 1, b"x");
        fs::write(run.path().join("secret"), b"x").unwrap();
        let mut manifest = Checkpoint::read(&folder).unwrap().manifest;
        manifest.files.insert("../../secret".to_owned(), FileEntry::of(b"x"));
        write_manifest(&folder, &serde_json::to_vec(&manifest).unwrap());
        let error = Checkpoint::read(&folder).unwrap_err();
        assert!(error.to_string().contains("no file name"), "{error}");
    }
}
