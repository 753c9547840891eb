//! How many actors are wanted while a training goes on: `tributary scale` writes the number into
//! `RUN_DIR/local`, and the trainer that holds the actors takes it from there.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::thread;
use std::time::{Duration, Instant};

use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::error::CommandError;

/// Between two looks for a wish.
const LOOK: Duration = Duration::from_millis(100);
/// How long a trainer may take to start the actors.
const PATIENCE: Duration = Duration::from_secs(20);

/// Locked while a trainer lives; the kernel unlocks it, however the trainer ends.
const LOCK: &str = "trainer.lock";
/// How many actors somebody wants; taken away by the trainer.
const WANTED: &str = "wanted";
/// How many the trainer keeps.
const KEPT: &str = "kept";

/// The trainer's end.
pub(super) struct Wishes {
    folder: PathBuf,
    ticks: Interval,
    _lock: File,
}

impl Wishes {
    /// Of a run directory; what was wished before is void.
    ///
    /// # Errors
    /// Another trainer has it, or the file system's.
    pub(super) fn open(run: &Path) -> Result<Self, CommandError> {
        let folder = folder(run);
        let cannot = || CommandError::system(format!("use {}", folder.display()));
        fs::create_dir_all(&folder).map_err(cannot())?;
        let (lock, locked) = lock(&folder).map_err(cannot())?;
        if let Err(TryLockError::WouldBlock) = locked {
            let reason = "is trained already, by another tributary train".to_owned();
            return Err(CommandError::RunDirectory { path: run.to_owned(), reason });
        }
        // It is rarely there.
        let _ = fs::remove_file(folder.join(WANTED));
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self { folder, ticks, _lock: lock })
    }

    /// The next number that is wanted.
    pub(super) async fn next(&mut self) -> usize {
        loop {
            self.ticks.tick().await;
            if let Some(wanted) = number(&self.folder.join(WANTED)) {
                return wanted;
            }
        }
    }

    /// Says how many are kept, which answers all wishes for `heard`.
    pub(super) fn answer(&self, kept: usize, heard: Option<usize>) -> Result<(), CommandError> {
        write(&self.folder, KEPT, kept)?;
        let path = self.folder.join(WANTED);
        if heard.is_some() && number(&path) == heard {
            // Somebody else may have another wish by now; the same one is granted.
            let _ = fs::remove_file(path);
        }
        Ok(())
    }
}

/// What came of a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Actors that were kept before.
    pub(crate) before: usize,
    /// That are kept now.
    pub(crate) now: usize,
}

/// Tells the trainer of a run how many actors are wanted, and waits until it has done that.
///
/// # Errors
/// No trainer runs, or it does not answer.
pub(crate) fn wish(run: &Path, actors: usize) -> Result<Answer, CommandError> {
    let folder = folder(run);
    let nobody = || CommandError::RunDirectory {
        path: run.to_owned(),
        reason: "is not trained now: no tributary train holds its actors on this machine"
            .to_owned(),
    };
    if !folder.is_dir() {
        return Err(nobody());
    }
    // Where files cannot be locked, a trainer that is not there does not answer.
    if let (_, Ok(())) = lock(&folder).map_err(CommandError::system("look for the trainer"))? {
        return Err(nobody());
    }
    let kept = || number(&folder.join(KEPT));
    let before = kept().unwrap_or_default();
    write(&folder, WANTED, actors)?;
    let deadline = Instant::now() + PATIENCE;
    while folder.join(WANTED).exists() {
        if Instant::now() > deadline {
            let source = io::Error::other(format!("no answer for {} s", PATIENCE.as_secs()));
            return Err(CommandError::system("ask tributary train for actors")(source));
        }
        thread::sleep(LOOK / 4);
    }
    Ok(Answer { before, now: kept().unwrap_or_default() })
}

fn folder(run: &Path) -> PathBuf {
    run.join("local")
}

/// Tries to lock the folder.
fn lock(folder: &Path) -> io::Result<(File, Result<(), TryLockError>)> {
    let file = File::options().create(true).truncate(false).write(true).open(folder.join(LOCK))?;
    let locked = file.try_lock();
    Ok((file, locked))
}

fn number(path: &Path) -> Option<usize> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Replaces a file: who reads it sees the old or the new number.
fn write(folder: &Path, name: &str, number: usize) -> Result<(), CommandError> {
    let (path, beside) = (folder.join(name), folder.join(format!("{name}.{}", process::id())));
    let written =
        fs::write(&beside, format!("{number}\n")).and_then(|()| fs::rename(beside, &path));
    written.map_err(CommandError::system(format!("write {}", path.display())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn without_a_trainer_nothing_can_be_wished() {
        let run = tempfile::tempdir().unwrap();
        let refused = || wish(run.path(), 3).unwrap_err().to_string();
        assert!(refused().contains("is not trained now"), "{}", refused());
        fs::create_dir(run.path().join("local")).unwrap();
        assert!(refused().contains("is not trained now"), "{}", refused());
        assert!(!run.path().join("local/wanted").exists());
    }

    #[tokio::test]
    async fn a_wish_is_heard_and_answered_and_a_second_trainer_is_refused() {
        let run = tempfile::tempdir().unwrap();
        fs::create_dir(run.path().join("local")).unwrap();
        fs::write(run.path().join("local/wanted"), "9").unwrap();
        let mut wishes = Wishes::open(run.path()).unwrap();
        wishes.answer(1, None).unwrap();
        let second = Wishes::open(run.path()).map(drop).unwrap_err().to_string();
        assert!(second.contains("is trained already"), "{second}");
        let path = run.path().to_owned();
        let asking = tokio::task::spawn_blocking(move || wish(&path, 3));
        assert_eq!(wishes.next().await, 3, "the one of an earlier trainer is void");
        wishes.answer(3, Some(3)).unwrap();
        assert_eq!(asking.await.unwrap().unwrap(), Answer { before: 1, now: 3 });
        drop(wishes);
        assert!(wish(run.path(), 2).is_err());
    }
}
