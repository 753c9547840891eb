//! The keys and values of sequences that grow, so that only new elements are computed.

/// What a network has computed of the states of some slots, with one snapshot of weights: clear it
/// before using it with another. A state that does not continue its slot's last one is computed
/// from where they part.
#[derive(Debug, Default)]
pub struct Cache {
    slots: Vec<Slot>,
}

#[derive(Clone, Debug, Default)]
struct Slot {
    /// The state's active features.
    features: Vec<u32>,
    /// For each block the elements' keys and values, `[1 + features, 2 width]`; none before the
    /// first use.
    blocks: Vec<Vec<f32>>,
}

impl Cache {
    /// Forgets everything but keeps the memory.
    pub fn clear(&mut self) {
        for slot in &mut self.slots {
            slot.features.clear();
            slot.blocks.iter_mut().for_each(Vec::clear);
        }
    }

    /// Prepares a slot for a state: how many of the state's elements it already has, at most all but
    /// the last. `columns` are those of each block's keys and values.
    pub(super) fn prepare(&mut self, slot: usize, features: &[u32], columns: &[usize]) -> usize {
        if self.slots.len() <= slot {
            self.slots.resize(slot + 1, Slot::default());
        }
        let slot = &mut self.slots[slot];
        slot.blocks.resize(columns.len(), Vec::new());
        let mut known = features.len();
        for (block, columns) in slot.blocks.iter().zip(columns) {
            known = known.min(block.len() / columns);
        }
        let same = slot.features.iter().zip(features).take_while(|(ours, new)| ours == new).count();
        known = known.min(1 + same);
        slot.blocks.iter_mut().zip(columns).for_each(|(block, columns)| {
            block.truncate(known * columns);
        });
        slot.features.clear();
        slot.features.extend_from_slice(features);
        known
    }

    /// Adds the keys and values of a slot's new elements.
    pub(super) fn extend(&mut self, slot: usize, block: usize, new: &[f32]) {
        self.slots[slot].blocks[block].extend_from_slice(new);
    }

    /// The keys and values of a slot's elements.
    pub(super) fn get(&self, slot: usize, block: usize) -> &[f32] {
        &self.slots[slot].blocks[block]
    }
}
