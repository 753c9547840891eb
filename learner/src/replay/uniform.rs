//! Any resident with the same probability, with replacement.

use tributary_common::random::Stream;

use super::Selector;

#[derive(Default)]
pub(super) struct Uniform {
    oldest: u64,
    next: u64,
}

impl Selector for Uniform {
    fn inserted(&mut self, ordinal: u64, _: u64, _: f64) {
        self.next = ordinal + 1;
    }

    fn evicted(&mut self, ordinal: u64) -> u64 {
        self.oldest = ordinal + 1;
        0
    }

    fn ready(&self) -> usize {
        (self.next - self.oldest) as usize
    }

    fn pick(&mut self, stream: &mut Stream) -> Option<u64> {
        let residents = self.ready();
        (residents > 0).then(|| self.oldest + stream.below(residents) as u64)
    }
}
