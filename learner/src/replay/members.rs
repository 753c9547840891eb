//! A set of slots from which one is drawn uniformly.

use tributary_common::random::Stream;

use super::columns::{BadColumns, Columns, index};

/// Slots, in no order; all operations take constant time.
#[derive(Default)]
pub(super) struct Members {
    list: Vec<usize>,
    /// Where each slot that is a member stands in the list.
    places: Vec<usize>,
}

impl Members {
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn insert(&mut self, slot: usize) {
        if self.places.len() <= slot {
            self.places.resize(slot + 1, 0);
        }
        self.places[slot] = self.list.len();
        self.list.push(slot);
    }

    /// Removes a member.
    pub(super) fn remove(&mut self, slot: usize) {
        let place = self.places[slot];
        self.list.swap_remove(place);
        if let Some(&moved) = self.list.get(place) {
            self.places[moved] = place;
        }
    }

    pub(super) fn draw(&self, stream: &mut Stream) -> Option<usize> {
        (!self.list.is_empty()).then(|| self.list[stream.below(self.list.len())])
    }

    /// The members in their order.
    pub(super) fn save(&self, name: &'static str, columns: &mut Columns) {
        columns.put(name, self.list.iter().map(|&slot| slot as u64));
    }

    /// Those that were saved, of so many slots.
    pub(super) fn restore(
        name: &'static str,
        columns: &Columns,
        slots: usize,
    ) -> Result<Self, BadColumns> {
        let mut members = Self::default();
        for &slot in columns.whole(name)? {
            members.insert(index(name, slot, slots)?);
        }
        Ok(members)
    }

    #[cfg(test)]
    pub(super) fn sorted(&self) -> Vec<usize> {
        let mut sorted = self.list.clone();
        sorted.sort_unstable();
        sorted
    }
}
