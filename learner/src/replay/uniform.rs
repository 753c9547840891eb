//! Any resident with the same probability, with replacement.

use tributary_common::random::Stream;

use super::Selector;
use super::columns::{BadColumns, Columns};
use super::members::Members;

#[derive(Default)]
pub(super) struct Uniform(Members);

impl Selector for Uniform {
    fn save(&self, columns: &mut Columns) {
        self.0.save("members", columns);
    }

    fn restore(&mut self, columns: &Columns) -> Result<(), BadColumns> {
        self.0 = Members::restore("members", columns, columns.slots()?)?;
        Ok(())
    }

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

    fn pick(&mut self, count: usize, stream: &mut Stream, picked: &mut Vec<usize>) {
        picked.extend((0..count).filter_map(|_| self.0.draw(stream)));
    }
}
