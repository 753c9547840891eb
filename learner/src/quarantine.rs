//! Actors whose records and values are refused until somebody lets them in again.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use tributary_common::ids::ActorId;

use crate::files;
use crate::locks::lock;

/// Its name in a run directory.
const FILE: &str = "quarantined.json";

#[derive(Default, Serialize, Deserialize)]
struct Document {
    actors: BTreeSet<u64>,
}

/// Who is refused; on disk, so that it outlives the learner.
#[derive(Debug, Default)]
pub struct Quarantine {
    actors: Mutex<BTreeSet<ActorId>>,
    /// None in tests.
    file: Option<PathBuf>,
}

impl Quarantine {
    /// As it was left in this run directory.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn open(directory: &Path) -> io::Result<Self> {
        let file = directory.join(FILE);
        let document = match std::fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Document::default(),
            Err(error) => return Err(error),
        };
        let actors = document.actors.into_iter().map(ActorId).collect();
        Ok(Self { actors: Mutex::new(actors), file: Some(file) })
    }

    /// Whether what this actor sends is refused.
    pub fn holds(&self, actor: ActorId) -> bool {
        lock(&self.actors).contains(&actor)
    }

    /// Refuses an actor from now on, or no longer; false if nothing changes.
    ///
    /// # Errors
    /// The disk's; then nothing changes.
    pub fn set(&self, actor: ActorId, is_quarantined: bool) -> io::Result<bool> {
        let mut actors = lock(&self.actors);
        if actors.contains(&actor) == is_quarantined {
            return Ok(false);
        }
        let mut later = actors.clone();
        if is_quarantined {
            later.insert(actor);
        } else {
            later.remove(&actor);
        }
        if let Some(file) = &self.file {
            let document = Document { actors: later.iter().map(|actor| actor.0).collect() };
            files::replace(file, &serde_json::to_vec(&document)?)?;
        }
        *actors = later;
        Ok(true)
    }

    /// All of them.
    pub fn actors(&self) -> Vec<ActorId> {
        lock(&self.actors).iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn who_is_refused_outlives_the_learner() {
        let folder = tempfile::tempdir().unwrap();
        let quarantine = Quarantine::open(folder.path()).unwrap();
        assert!(
            quarantine.set(ActorId(7), true).unwrap() && quarantine.set(ActorId(8), true).unwrap()
        );
        assert!(!quarantine.set(ActorId(7), true).unwrap());
        assert!(quarantine.set(ActorId(8), false).unwrap());
        let again = Quarantine::open(folder.path()).unwrap();
        assert!(again.holds(ActorId(7)) && !again.holds(ActorId(8)));
        assert_eq!(again.actors(), [ActorId(7)]);
    }
}
