//! Where spools are: `FOLDER/RUN/ACTOR`, each locked by the process that uses it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use tributary_common::ids::{ActorId, RunId};

pub(super) const LOCK: &str = "lock";

/// The folder of one spool, locked until this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    folder: PathBuf,
    /// The system lets go of it with the process, however that ends.
    _lock: File,
}

impl Place {
    /// Makes the folder of an actor that is new; for this user only, because of its secret. It is locked
    /// before it has its name: who looks for spools that nobody uses never finds it.
    pub(crate) fn create(root: &Path, run: RunId, actor: ActorId) -> io::Result<Self> {
        let run = root.join(run.to_string());
        let (new, folder) = (run.join(format!("{actor}.new")), run.join(actor.to_string()));
        DirBuilder::new().recursive(true).mode(0o700).create(&new)?;
        let place = Self::lock(&new)?;
        let place = place
            .ok_or_else(|| io::Error::new(io::ErrorKind::ResourceBusy, "another actor uses it"))?;
        fs::rename(&new, &folder)?;
        Ok(Self { folder, ..place })
    }

    /// Locks a folder that is there; none if another process has it.
    pub(crate) fn lock(folder: &Path) -> io::Result<Option<Self>> {
        let mut options = OpenOptions::new();
        let lock =
            options.write(true).create(true).truncate(false).mode(0o600).open(folder.join(LOCK))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(Self { folder: folder.to_owned(), _lock: lock })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The names of its files are on disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }

    /// Removes it, and the run's folder if it was the last in it.
    pub(super) fn remove(self) -> io::Result<()> {
        fs::remove_dir_all(&self.folder)?;
        if let Some(run) = self.folder.parent() {
            // Fails while there are others.
            let _ = fs::remove_dir(run);
        }
        Ok(())
    }

    /// Gives it a name under which no actor finds it.
    pub(crate) fn set_aside(self) -> io::Result<PathBuf> {
        let aside = self.folder.with_extension("refused");
        fs::rename(&self.folder, &aside)?;
        Ok(aside)
    }
}

/// The folders of all spools of a run, or of all runs: used by others or not.
pub(crate) fn spools(root: &Path, run: Option<RunId>) -> Vec<(RunId, PathBuf)> {
    let runs = entries(root)
        .into_iter()
        .filter_map(|(name, path)| Some((RunId::try_from(name).ok()?, path)));
    let wanted = runs.filter(|(found, _)| run.is_none_or(|run| run == *found));
    let actors = |(run, path): (RunId, PathBuf)| {
        let actors = entries(&path).into_iter().filter(|(name, _)| name.parse::<u64>().is_ok());
        actors.map(move |(_, path)| (run, path)).collect::<Vec<_>>()
    };
    wanted.flat_map(actors).collect()
}

/// In the order of their names. A folder that cannot be read holds nothing for us.
fn entries(folder: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let named =
        entries.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())));
    let mut named: Vec<_> = named.collect();
    named.sort();
    named
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    use std::thread;

    use super::*;

    #[test]
    fn who_looks_for_spools_takes_none_that_is_being_made() {
        let root = tempfile::tempdir().unwrap();
        let (run, is_over) = (RunId([1; 16]), AtomicBool::new(false));
        let made = thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !is_over.load(Relaxed) {
                        for (_, folder) in spools(root.path(), None) {
                            assert!(!matches!(Place::lock(&folder), Ok(Some(_))), "it was free");
                        }
                    }
                });
            }
            let create = |actor| Place::create(root.path(), run, ActorId(actor));
            let made: Vec<_> = (1..=500).map(create).collect();
            is_over.store(true, Relaxed);
            made
        });
        let failed: Vec<_> = made.iter().filter_map(|place| place.as_ref().err()).collect();
        assert!(failed.is_empty(), "{failed:?}");
    }
}
