//! In order of arrival; who has uses left goes to the back of the queue.

use std::collections::VecDeque;

use tributary_common::random::Stream;

use super::Selector;

#[derive(Default)]
pub(super) struct Fifo {
    /// Those with uses left. May still name some that have been evicted.
    queue: VecDeque<u64>,
    /// Uses that each resident has left, oldest first.
    uses: VecDeque<u64>,
    oldest: u64,
    /// Residents with uses left.
    ready: usize,
}

impl Selector for Fifo {
    fn inserted(&mut self, ordinal: u64, uses: u64, _: f64) {
        if self.uses.is_empty() {
            self.oldest = ordinal;
        }
        self.uses.push_back(uses);
        if uses > 0 {
            self.queue.push_back(ordinal);
            self.ready += 1;
        }
    }

    fn evicted(&mut self, ordinal: u64) -> u64 {
        self.oldest = ordinal + 1;
        while self.queue.front().is_some_and(|&first| first < self.oldest) {
            self.queue.pop_front();
        }
        let left = self.uses.pop_front().unwrap_or(0);
        self.ready -= usize::from(left > 0);
        left
    }

    fn ready(&self) -> usize {
        self.ready
    }

    fn pick(&mut self, _: &mut Stream) -> Option<u64> {
        loop {
            let ordinal = self.queue.pop_front()?;
            let Some(place) = ordinal.checked_sub(self.oldest) else { continue };
            let left = &mut self.uses[place as usize];
            *left -= 1;
            if *left > 0 {
                self.queue.push_back(ordinal);
            } else {
                self.ready -= 1;
            }
            return Some(ordinal);
        }
    }
}
