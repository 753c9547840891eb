//! The forward trajectories that have not been trained on yet.

use std::collections::BTreeMap;

/// Slots by the ordinal of their resident.
pub(super) struct Fresh {
    /// Nobody asks otherwise.
    is_kept: bool,
    slots: BTreeMap<u64, usize>,
}

impl Fresh {
    /// None yet; none ever unless they are to be kept.
    pub(super) fn new(is_kept: bool) -> Self {
        Self { is_kept, slots: BTreeMap::new() }
    }

    pub(super) fn inserted(&mut self, ordinal: u64, slot: usize) {
        if self.is_kept {
            self.slots.insert(ordinal, slot);
        }
    }

    /// This one is trained on, or leaves. It may be none of them.
    pub(super) fn remove(&mut self, ordinal: u64) {
        self.slots.remove(&ordinal);
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.slots.len()
    }

    /// The newest.
    pub(super) fn newest(&self) -> Option<usize> {
        self.slots.last_key_value().map(|(_, &slot)| slot)
    }
}
