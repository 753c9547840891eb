//! In order of arrival; who has uses left goes to the back of the queue.

use std::collections::BTreeMap;

use tributary_common::random::Stream;

use super::Selector;
use super::columns::{BadColumns, Columns, index};

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
    fn save(&self, columns: &mut Columns) {
        columns.put("fifo.turn", self.places.iter().map(|place| place.turn));
        columns.put("fifo.left", self.places.iter().map(|place| place.left));
        // A slot whose resident has left keeps its numbers; only those in the queue count.
        columns.put("fifo.queued", self.queue.values().map(|&slot| slot as u64));
        columns.put("fifo.next_turn", [self.next_turn]);
    }

    fn restore(&mut self, columns: &Columns) -> Result<(), BadColumns> {
        let (turns, left) = (columns.whole("fifo.turn")?, columns.whole("fifo.left")?);
        if turns.len() != left.len() {
            return Err(BadColumns::Unfit("fifo.left"));
        }
        let places = turns.iter().zip(left).map(|(&turn, &left)| Place { turn, left });
        self.places = places.collect();
        for &slot in columns.whole("fifo.queued")? {
            let slot = index("fifo.queued", slot, self.places.len())?;
            self.queue.insert(self.places[slot].turn, slot);
        }
        self.next_turn = columns.one("fifo.next_turn")?;
        Ok(())
    }

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

    fn pick(&mut self, count: usize, _: &mut Stream, picked: &mut Vec<usize>) {
        for _ in 0..count {
            let Some((_, slot)) = self.queue.pop_first() else { return };
            self.places[slot].left -= 1;
            if self.places[slot].left > 0 {
                self.queue_up(slot);
            }
            picked.push(slot);
        }
    }
}
