//! How old a path may be that is trained on, and who waits with a path that grows too old.

use std::collections::BTreeSet;

use tributary_common::run_file::{self, Keep, Stale};

use super::columns::{BadColumns, Columns};
use super::deciles::{Decile, Deciles};
use super::residents::Resident;

/// The bound on lags, and what became of those beyond it.
pub(super) struct Staleness {
    max_lag: u64,
    rejects: bool,
    /// Whether a path is dropped once it was trained on, so that only unused ones grow old.
    drops_used: bool,
    /// Slots that would be trained on with their own path, by the step of its weights.
    by_step: BTreeSet<(u64, usize)>,
    deciles: Deciles,
}

impl Staleness {
    /// None without a bound.
    pub(super) fn new(config: &run_file::Replay) -> Option<Self> {
        let max_lag = config.max_lag?;
        Some(Self {
            max_lag,
            rejects: config.stale == Stale::Reject,
            drops_used: config.keep == Keep::Objects,
            by_step: BTreeSet::new(),
            deciles: Deciles::default(),
        })
    }

    /// Whether trajectories are discarded with their paths.
    pub(super) fn rejects(&self) -> bool {
        self.rejects
    }

    pub(super) fn inserted(&mut self, slot: usize, resident: &Resident) {
        self.deciles.inserted(resident.seconds);
        self.by_step.insert((resident.policy.step, slot));
    }

    pub(super) fn removed(&mut self, slot: usize, resident: &Resident) {
        self.by_step.remove(&(resident.policy.step, slot));
    }

    /// A resident that was saved: as [`inserted`](Self::inserted), unless its path does not count any
    /// more.
    pub(super) fn take_up(&mut self, slot: usize, resident: &Resident) {
        let is_dropped = self.drops_used && resident.used > 0;
        if !is_dropped && !resident.is_stale {
            self.by_step.insert((resident.policy.step, slot));
        }
    }

    pub(super) fn save(&self, columns: &mut Columns) {
        self.deciles.save(columns);
    }

    pub(super) fn restore(&mut self, columns: &Columns) -> Result<(), BadColumns> {
        self.deciles.restore(columns)
    }

    /// Takes out a slot whose path is too old for the update after this step: weights that have
    /// seen `step - max_lag` updates are just young enough for it.
    pub(super) fn expired(&mut self, step: u64) -> Option<usize> {
        let &(drawn, _) = self.by_step.first()?;
        let is_expired = step.saturating_sub(drawn) > self.max_lag;
        is_expired.then(|| self.by_step.pop_first()).flatten().map(|(_, slot)| slot)
    }

    /// A resident is trained on, which would be with its own path, were it not for its age, if it
    /// `has_path`.
    pub(super) fn used(&mut self, slot: usize, resident: &Resident, has_path: bool) {
        if has_path && resident.is_stale {
            self.deciles.redrawn(resident.seconds);
        }
        if self.drops_used {
            self.by_step.remove(&(resident.policy.step, slot));
        }
    }

    /// It left for the age of its path; counted where nobody ever trained on it.
    pub(super) fn rejected(&mut self, resident: &Resident) {
        if resident.used == 0 {
            self.deciles.rejected(resident.seconds);
        }
    }

    pub(super) fn rows(&self) -> [Decile; 10] {
        *self.deciles.rows()
    }
}
