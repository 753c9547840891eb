//! The forward trajectories that have not been trained on yet.

use std::collections::BTreeMap;

/// Slots by the ordinal of their resident.
#[derive(Default)]
pub(super) struct Fresh(BTreeMap<u64, usize>);

impl Fresh {
    pub(super) fn inserted(&mut self, ordinal: u64, slot: usize) {
        self.0.insert(ordinal, slot);
    }

    /// This one is trained on, or leaves. It may be none of them.
    pub(super) fn remove(&mut self, ordinal: u64) {
        self.0.remove(&ordinal);
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// The newest.
    pub(super) fn newest(&self) -> Option<usize> {
        self.0.last_key_value().map(|(_, &slot)| slot)
    }
}
