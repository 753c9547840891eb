//! Takes over what an earlier actor left behind.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use tributary_common::ids::RunId;
use tributary_common::session::actor::{ActorSession, Kept};

use super::folder::{Place, spools};
use super::restore::{Found, read};
use super::{Spool, SpoolConfig};
use crate::scoring::Record;

/// Looks for spools that nobody uses.
#[derive(Debug)]
pub(crate) struct Adoption {
    config: SpoolConfig,
    /// The learner's run, once it is known.
    run: Option<RunId>,
    /// Named once, and left alone.
    left_alone: BTreeSet<PathBuf>,
    /// Runs of which a learner wanted nothing.
    other_runs: BTreeSet<RunId>,
    /// The one that is taken next: locked already, so that nobody takes it meanwhile.
    reserved: Option<(RunId, Place)>,
}

/// A spool that was taken over.
pub(crate) struct Adopted {
    place: Place,
    found: Found,
    /// Of which run it is.
    pub(crate) run: RunId,
}

impl Adoption {
    pub(crate) fn new(config: SpoolConfig) -> Self {
        let (left_alone, other_runs) = Default::default();
        Self { config, run: None, left_alone, other_runs, reserved: None }
    }

    pub(crate) fn config(&self) -> &SpoolConfig {
        &self.config
    }

    /// The learner's run is this one.
    pub(crate) fn of_run(&mut self, run: RunId) {
        self.run = Some(run);
    }

    /// The learner wants nothing of this run; it may have said which is its own.
    pub(crate) fn not_of_run(&mut self, run: RunId, own: Option<RunId>) {
        let folder = self.config.folder.join(run.to_string());
        tracing::info!(folder = %folder.display(), "spools of another run are left alone");
        self.other_runs.insert(run);
        self.run = own.or(self.run);
    }

    /// The first spool of the learner's run that nobody uses and that can be read.
    pub(crate) fn next(&mut self) -> Option<Adopted> {
        while let Some((run, place)) = self.reserved.take().or_else(|| self.free()) {
            match read(place.folder()) {
                Ok(found) => return Some(Adopted { place, found, run }),
                Err(error) => {
                    tracing::warn!(%error, "a spool is left alone");
                    self.left_alone.insert(place.folder().to_owned());
                }
            }
        }
        None
    }

    /// Whether there seems to be one more; it is this actor's from now on.
    pub(crate) fn has_next(&mut self) -> bool {
        if self.reserved.is_none() {
            self.reserved = self.free();
        }
        self.reserved.is_some()
    }

    /// Locks the first spool of the learner's run that nobody uses.
    fn free(&self) -> Option<(RunId, Place)> {
        let mut found = spools(&self.config.folder, self.run).into_iter();
        found.find_map(|(run, folder)| {
            if self.other_runs.contains(&run) || self.left_alone.contains(&folder) {
                return None;
            }
            // An error: it was removed since.
            Some((run, Place::lock(&folder).ok()??))
        })
    }

    /// The learner does not take this spool, and never will.
    pub(crate) fn set_aside(adopted: Adopted, reason: &dyn std::fmt::Display) {
        let from = adopted.place.folder().display().to_string();
        match adopted.place.set_aside() {
            Ok(to) => {
                tracing::error!(%reason, from, to = %to.display(), "the learner does not take this spool; it is set aside")
            }
            Err(error) => {
                tracing::error!(%reason, from, %error, "the learner does not take this spool, and it cannot be set aside")
            }
        }
    }
}

impl Adopted {
    /// The session as it was left.
    pub(crate) fn session(&self) -> Option<ActorSession<Record>> {
        let folder = self.place.folder().display();
        for damage in &self.found.damage {
            let (records, first) = (damage.records, damage.first);
            let place = damage.place.as_ref();
            let file = place.map(|(path, offset)| format!("{} at byte {offset}", path.display()));
            tracing::error!(%folder, file, records, ?first, "records of the spool are damaged and lost; the others are kept");
        }
        let kept: Kept<Record> = self.found.kept()?;
        let (actor, records) = (kept.identity.actor, kept.held.len());
        tracing::info!(%folder, %actor, records, "takes over a spool");
        Some(ActorSession::restore(kept))
    }

    /// Goes on with it.
    pub(crate) fn start(self, config: &SpoolConfig) -> io::Result<Spool> {
        Spool::start(config, self.place, self.found)
    }
}
