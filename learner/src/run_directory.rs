//! The directory in which one run lives.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tributary_common::ids::{Incarnation, RunId};
use tributary_common::ledger;
use tributary_common::schema::{self, UnknownSchema};

use crate::files;

/// The run file of the run, as it is in effect.
pub const RUN_FILE: &str = "run.toml";
const RUN: &str = "run.json";
const LOCK: &str = "run.lock";
const DATA: &str = "data";
const SCHEMA: u32 = 1;

/// A run directory that belongs to this learner.
#[derive(Clone, Debug)]
pub struct RunDirectory {
    path: PathBuf,
    /// The run that lives here.
    pub run_id: RunId,
    /// This start of its learner; on disk before anybody hears of it.
    pub incarnation: Incarnation,
    /// Locked while this learner lives; the kernel unlocks it, however the learner ends.
    _lock: Arc<File>,
}

/// A run directory in which a run lives; this learner has locked it and changed nothing.
#[derive(Debug)]
pub struct Inhabited {
    directory: RunDirectory,
    owner: Owner,
}

/// What `run.json` holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Owner {
    schema: u32,
    run_id: RunId,
    name: String,
    incarnation: Incarnation,
}

/// A directory that this run cannot live in.
#[derive(Debug, thiserror::Error)]
pub enum RunDirectoryError {
    /// Another learner took it just now.
    #[error("the run directory {} was just taken by another learner", path.display())]
    Taken {
        /// The directory.
        path: PathBuf,
    },
    /// A learner is at work there.
    #[error(
        "another learner is at work in the run directory {}; wait until it has ended, or give \
         another --run-dir", path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// Nobody can tell which run lives there.
    #[error("{} does not say which run lives there: {reason}", path.display())]
    Unreadable {
        /// The file that should.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A newer release wrote it.
    #[error("{}: {source}", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// Its number and ours.
        source: UnknownSchema,
    },
    /// A data file of the run has other contents now.
    #[error(
        "{} was kept when the run began, and the file of this name that is given now holds \
         something else; a run keeps its data: give the old file, or another --run-dir",
        path.display()
    )]
    OtherData {
        /// What was kept.
        path: PathBuf,
    },
    /// Two data files have the same name.
    #[error("two data files of the run are called \"{name}\"; rename one")]
    NameTaken {
        /// Without its folder.
        name: String,
    },
    /// The file system refused.
    #[error("cannot write {}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Inhabited {
    /// Looks whether a run lives in a directory, and locks it if so.
    ///
    /// # Errors
    /// A learner that is at work there, or a file that cannot be read.
    pub fn look(path: &Path) -> Result<Option<Self>, RunDirectoryError> {
        let file = path.join(RUN);
        if !file.exists() {
            return Ok(None);
        }
        let lock = lock(path)?;
        let unreadable = |reason: String| {
            let path = file.clone();
            RunDirectoryError::Unreadable { path, reason }
        };
        let text = fs::read(&file).map_err(|error| unreadable(error.to_string()))?;
        schema::check_json("the run", &text, SCHEMA)
            .map_err(|source| RunDirectoryError::Schema { path: file.clone(), source })?;
        let owner: Owner =
            serde_json::from_slice(&text).map_err(|error| unreadable(error.to_string()))?;
        let incarnation = Incarnation(owner.incarnation.0.saturating_add(1));
        let (path, run_id) = (path.to_owned(), owner.run_id);
        let directory = RunDirectory { path, run_id, incarnation, _lock: Arc::new(lock) };
        Ok(Some(Self { directory, owner }))
    }

    /// Whether the run got as far as to have its run file: else nothing of it ever ran.
    pub fn has_begun(&self) -> bool {
        self.directory.join(RUN_FILE).exists()
    }

    /// A path in the directory.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.directory.join(name)
    }

    /// Its directory, as the next start will have it.
    pub fn directory(&self) -> &RunDirectory {
        &self.directory
    }

    /// Takes it for a new incarnation, which is on disk when this returns.
    ///
    /// # Errors
    /// The file system's.
    pub fn reopen(self) -> Result<RunDirectory, RunDirectoryError> {
        let Self { directory, owner } = self;
        let owner = Owner { incarnation: directory.incarnation, ..owner };
        directory.write(RUN, &text_of(&owner, &directory.path)?)?;
        Ok(directory)
    }
}

impl RunDirectory {
    /// Makes the directory if need be and takes it for a new run. Two learners that try at the same
    /// time do not both succeed.
    ///
    /// # Errors
    /// A directory that was taken meanwhile, or the file system's.
    pub fn claim(path: &Path, run_id: RunId, name: &str) -> Result<Self, RunDirectoryError> {
        let in_path = |source| RunDirectoryError::Io { path: path.to_owned(), source };
        fs::create_dir_all(path).map_err(in_path)?;
        let lock = Arc::new(lock(path)?);
        let incarnation = Incarnation(1);
        let owner = Owner { schema: SCHEMA, run_id, name: name.to_owned(), incarnation };
        let text = text_of(&owner, path)?;
        let directory = Self { path: path.to_owned(), run_id, incarnation, _lock: lock };
        match files::create(&directory.join(RUN), &text) {
            Ok(()) => Ok(directory),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                Err(RunDirectoryError::Taken { path: path.to_owned() })
            }
            Err(error) => Err(in_path(error)),
        }
    }

    /// Takes back the claim of a run that never started.
    pub fn give_up(&self) {
        let ledger = ["", "-wal", "-shm"].map(|end| self.join(format!("{}{end}", ledger::FILE)));
        let ours = [RUN, RUN_FILE, DATA, LOCK].map(|name| self.join(name));
        for path in ours.into_iter().chain(ledger) {
            let removed =
                if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            if let Err(error) = removed.or_else(ignore_missing) {
                tracing::warn!(%error, path = %path.display(), "left behind");
            }
        }
    }

    /// A path in the directory.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    /// Writes one of its files, whole or not at all.
    ///
    /// # Errors
    /// The file system's.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, RunDirectoryError> {
        let path = self.join(name);
        files::replace(&path, bytes)
            .map_err(|source| RunDirectoryError::Io { path: path.clone(), source })?;
        Ok(path)
    }

    /// The name under which a data file is kept, relative to the directory.
    pub fn data_name(name: &str) -> String {
        let short = Path::new(name).file_name().unwrap_or_default().to_string_lossy();
        format!("{DATA}/{short}")
    }

    /// Keeps a copy of a data file under [its name](Self::data_name), so that the directory's run file
    /// and its data are all that a later start, `tributary evaluate` and `sample` need.
    ///
    /// # Errors
    /// Other data has that name, or the file system's.
    pub fn keep_data_file(&self, name: &str, bytes: &[u8]) -> Result<(), RunDirectoryError> {
        let path = self.join(name);
        let io = |source| RunDirectoryError::Io { path: path.clone(), source };
        fs::create_dir_all(self.join(DATA)).map_err(io)?;
        match files::create(&path, bytes) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                match fs::read(&path).map_err(io)? == bytes {
                    true => Ok(()),
                    false => Err(RunDirectoryError::OtherData { path }),
                }
            }
            other => other.map_err(io),
        }
    }
}

/// Locks a run directory for as long as the file is open.
fn lock(path: &Path) -> Result<File, RunDirectoryError> {
    let file = path.join(LOCK);
    let opened = File::options().create(true).truncate(false).write(true).open(&file);
    let opened = opened.map_err(|source| RunDirectoryError::Io { path: file, source })?;
    match opened.try_lock() {
        Ok(()) => Ok(opened),
        Err(TryLockError::WouldBlock) => Err(RunDirectoryError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => {
            // Some shared file systems know no locks: there the ledger alone fences older learners.
            tracing::warn!(%error, path = %path.display(), "the run directory cannot be locked");
            Ok(opened)
        }
    }
}

fn text_of(owner: &Owner, path: &Path) -> Result<Vec<u8>, RunDirectoryError> {
    let in_path = |source| RunDirectoryError::Io { path: path.to_owned(), source };
    serde_json::to_vec_pretty(owner).map_err(io::Error::from).map_err(in_path)
}

fn ignore_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_directory_belongs_to_one_learner_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs/a");
        assert!(Inhabited::look(&path).unwrap().is_none());
        let first = RunDirectory::claim(&path, RunId([1; 16]), "first").unwrap();
        assert_eq!(first.incarnation, Incarnation(1));
        let error = Inhabited::look(&path).unwrap_err().to_string();
        assert!(error.contains("another learner is at work"), "{error}");
        assert!(error.contains("--run-dir"), "{error}");
        let error = RunDirectory::claim(&path, RunId([2; 16]), "second").unwrap_err();
        assert!(matches!(error, RunDirectoryError::InUse { .. }), "{error}");

        drop(first);
        let error = RunDirectory::claim(&path, RunId([2; 16]), "second").unwrap_err();
        assert!(matches!(error, RunDirectoryError::Taken { .. }), "{error}");
        let inhabited = Inhabited::look(&path).unwrap().unwrap();
        assert!(!inhabited.has_begun());
        let again = inhabited.reopen().unwrap();
        assert_eq!((again.run_id, again.incarnation), (RunId([1; 16]), Incarnation(2)));
        drop(again);
        // A start that finds something wrong uses no incarnation up.
        for _ in 0..2 {
            let next = Inhabited::look(&path).unwrap().unwrap();
            assert_eq!(next.directory().incarnation, Incarnation(3));
        }
    }

    #[test]
    fn a_directory_of_a_newer_release_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(RUN), br#"{"schema": 9, "new": []}"#).unwrap();
        let error = Inhabited::look(folder.path()).unwrap_err().to_string();
        assert!(error.contains("run.json") && error.contains("has schema 9"), "{error}");
        fs::write(folder.path().join(RUN), b"{").unwrap();
        let error = Inhabited::look(folder.path()).unwrap_err().to_string();
        assert!(error.contains("does not say which run"), "{error}");
    }

    #[test]
    fn data_files_are_kept_with_the_run() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDirectory::claim(folder.path(), RunId([1; 16]), "a").unwrap();
        let name = RunDirectory::data_name("/elsewhere/x.tsv");
        assert_eq!(name, "data/x.tsv");
        run.keep_data_file(&name, b"object\tvalue\n").unwrap();
        assert_eq!(fs::read(run.join(&name)).unwrap(), b"object\tvalue\n");
        run.keep_data_file(&name, b"object\tvalue\n").unwrap();
        let error = run.keep_data_file(&name, b"object").unwrap_err();
        assert!(error.to_string().contains("data/x.tsv was kept"), "{error}");
    }
}
