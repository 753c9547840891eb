//! The directory in which one run lives.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tributary_common::ids::{Incarnation, RunId};
use tributary_common::ledger;

use crate::files;

const RUN: &str = "run.json";
const DATA: &str = "data";

/// A run directory that belongs to this learner.
#[derive(Clone, Debug)]
pub struct RunDirectory {
    path: PathBuf,
    /// The run that lives here.
    pub run_id: RunId,
    /// This start of its learner; on disk before anybody hears of it.
    pub incarnation: Incarnation,
}

/// What `run.json` holds.
#[derive(Serialize, Deserialize)]
struct Owner {
    schema: u32,
    run_id: RunId,
    name: String,
    incarnation: Incarnation,
}

/// A directory that this run cannot live in.
#[derive(Debug, thiserror::Error)]
pub enum RunDirectoryError {
    /// It holds a run already.
    #[error(
        "the run directory {} holds another run ({run}); give another --run-dir \
         (continuing a run is not built yet)", path.display()
    )]
    Occupied {
        /// The directory.
        path: PathBuf,
        /// Its run's name and id, as far as they can be read.
        run: String,
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

impl RunDirectory {
    /// Makes the directory if need be and takes it for a new run. Two learners that try at the same
    /// time do not both succeed.
    ///
    /// # Errors
    /// [`RunDirectoryError::Occupied`] if it holds a run, or the file system's.
    pub fn claim(path: &Path, run_id: RunId, name: &str) -> Result<Self, RunDirectoryError> {
        let in_path = |source| RunDirectoryError::Io { path: path.to_owned(), source };
        fs::create_dir_all(path).map_err(in_path)?;
        let incarnation = Incarnation(1);
        let owner = Owner { schema: 1, run_id, name: name.to_owned(), incarnation };
        let text = serde_json::to_vec_pretty(&owner).map_err(io::Error::from).map_err(in_path)?;
        let directory = Self { path: path.to_owned(), run_id, incarnation };
        match files::create(&directory.join(RUN), &text) {
            Ok(()) => Ok(directory),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let run = occupant(&directory.join(RUN));
                Err(RunDirectoryError::Occupied { path: path.to_owned(), run })
            }
            Err(error) => Err(in_path(error)),
        }
    }

    /// Takes back the claim of a run that never started.
    pub fn give_up(&self) {
        let ledger = ["", "-wal", "-shm"].map(|end| self.join(format!("{}{end}", ledger::FILE)));
        for path in [self.join(RUN), self.join(DATA)].into_iter().chain(ledger) {
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

    /// Keeps a copy of a data file and returns its name relative to the directory, so that the
    /// directory's run file and its data are all that `tributary evaluate` and `sample` need.
    ///
    /// # Errors
    /// A name that is taken, or the file system's.
    pub fn keep_data_file(&self, name: &str, bytes: &[u8]) -> Result<String, RunDirectoryError> {
        let short = Path::new(name).file_name().unwrap_or_default().to_string_lossy();
        let relative = format!("{DATA}/{short}");
        let path = self.join(&relative);
        let io = |source| RunDirectoryError::Io { path: path.clone(), source };
        fs::create_dir_all(self.join(DATA)).map_err(io)?;
        match files::create(&path, bytes) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                Err(RunDirectoryError::NameTaken { name: short.into_owned() })
            }
            other => other.map(|()| relative).map_err(io),
        }
    }
}

fn ignore_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

fn occupant(path: &Path) -> String {
    let owner = fs::read(path).ok().and_then(|text| serde_json::from_slice::<Owner>(&text).ok());
    owner.map_or_else(
        || format!("{} cannot be read", path.display()),
        |owner| format!("\"{}\", id {}", owner.name, owner.run_id),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_directory_belongs_to_one_run() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs/a");
        let first = RunDirectory::claim(&path, RunId([1; 16]), "first").unwrap();
        assert_eq!(first.incarnation, Incarnation(1));
        let owner = fs::read(first.join("run.json")).unwrap();

        let error = RunDirectory::claim(&path, RunId([2; 16]), "second").unwrap_err();
        let message = error.to_string();
        assert!(message.contains("holds another run (\"first\", id 0101"), "{message}");
        assert!(message.contains("--run-dir"), "{message}");
        assert_eq!(fs::read(first.join("run.json")).unwrap(), owner);
    }

    #[test]
    fn data_files_are_kept_with_the_run() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDirectory::claim(folder.path(), RunId([1; 16]), "a").unwrap();
        let name = run.keep_data_file("/elsewhere/x.tsv", b"object\tvalue\n").unwrap();
        assert_eq!(name, "data/x.tsv");
        assert_eq!(fs::read(run.join(name)).unwrap(), b"object\tvalue\n");
        let error = run.keep_data_file("tables/x.tsv", b"object").unwrap_err();
        assert!(error.to_string().contains("\"x.tsv\""), "{error}");
    }
}
