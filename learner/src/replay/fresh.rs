//! The residents that have not been trained on yet.

use std::collections::VecDeque;

#[derive(Default)]
pub(super) struct Fresh {
    /// Whether each resident has been drawn, oldest first.
    drawn: VecDeque<bool>,
    oldest: u64,
    /// Those never drawn, oldest first. May still name some that have been drawn since.
    waiting: VecDeque<u64>,
    count: usize,
}

impl Fresh {
    pub(super) fn inserted(&mut self, ordinal: u64) {
        self.drawn.push_back(false);
        self.waiting.push_back(ordinal);
        self.count += 1;
    }

    pub(super) fn evicted(&mut self, ordinal: u64) {
        self.oldest = ordinal + 1;
        if self.waiting.front() == Some(&ordinal) {
            self.waiting.pop_front();
        }
        if self.drawn.pop_front() == Some(false) {
            self.count -= 1;
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// This one is trained on.
    pub(super) fn draw(&mut self, ordinal: u64) {
        let drawn = &mut self.drawn[(ordinal - self.oldest) as usize];
        self.count -= usize::from(!*drawn);
        *drawn = true;
    }

    /// The newest that was not drawn yet.
    pub(super) fn newest(&mut self) -> Option<u64> {
        while let Some(&ordinal) = self.waiting.back() {
            if !self.drawn[(ordinal - self.oldest) as usize] {
                return Some(ordinal);
            }
            self.waiting.pop_back();
        }
        None
    }
}
