//! Any resident with the same probability, with replacement.

use tributary_common::random::Stream;

use super::Selector;
use super::members::Members;

#[derive(Default)]
pub(super) struct Uniform(Members);

impl Selector for Uniform {
    fn inserted(&mut self, slot: usize, _: u64, _: f64) {
        self.0.insert(slot);
    }

    fn removed(&mut self, slot: usize) -> u64 {
        self.0.remove(slot);
        0
    }

    fn ready(&self) -> usize {
        self.0.len()
    }

    fn pick(&mut self, stream: &mut Stream) -> Option<usize> {
        self.0.draw(stream)
    }
}
