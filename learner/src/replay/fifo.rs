//! In order of arrival; who has uses left goes to the back of the queue.

use std::collections::BTreeMap;

use tributary_common::random::Stream;

use super::Selector;

#[derive(Default)]
pub(super) struct Fifo {
    /// Those with uses left, by their turn.
    queue: BTreeMap<u64, usize>,
    next_turn: u64,
    /// Of each slot.
    places: Vec<Place>,
}

#[derive(Clone, Copy, Default)]
struct Place {
    turn: u64,
    /// Uses left.
    left: u64,
}

impl Fifo {
    fn queue_up(&mut self, slot: usize) {
        self.places[slot].turn = self.next_turn;
        self.queue.insert(self.next_turn, slot);
        self.next_turn += 1;
    }
}

impl Selector for Fifo {
    fn inserted(&mut self, slot: usize, uses: u64, _: f64) {
        if self.places.len() <= slot {
            self.places.resize(slot + 1, Place::default());
        }
        self.places[slot].left = uses;
        if uses > 0 {
            self.queue_up(slot);
        }
    }

    fn removed(&mut self, slot: usize) -> u64 {
        let Place { turn, left } = self.places[slot];
        if left > 0 {
            self.queue.remove(&turn);
        }
        left
    }

    fn ready(&self) -> usize {
        self.queue.len()
    }

    fn pick(&mut self, _: &mut Stream) -> Option<usize> {
        let (_, slot) = self.queue.pop_first()?;
        self.places[slot].left -= 1;
        if self.places[slot].left > 0 {
            self.queue_up(slot);
        }
        Some(slot)
    }
}
