//! In proportion to a power of the reward or of the loss, with replacement (Schaul, Quan, Antonoglou,
//! Silver: "Prioritized experience replay", 2016).
//!
//! There are no importance weights: they would undo the preference. A policy of zero loss is balanced
//! on every trajectory, so other weights of the errors leave it where it was.

use tributary_common::random::Stream;
use tributary_common::run_file::Priority;

use super::Selector;
use super::columns::{BadColumns, Columns, index};
use super::log_sum_tree::LogSumTree;

/// The least loss that counts, in squared nats: what is balanced is still drawn now and then.
const LOSS_MIN: f64 = 1e-6;

pub(super) struct Prioritized {
    priority: Priority,
    exponent: f64,
    pub(super) tree: LogSumTree,
    residents: usize,
    /// Stands for the loss of those not yet trained on: the largest of the batch trained on last,
    /// in squared nats.
    untrained: f64,
}

impl Prioritized {
    pub(super) fn new(priority: Priority, exponent: f64) -> Self {
        Self { priority, exponent, tree: LogSumTree::new(1), residents: 0, untrained: 1.0 }
    }

    fn log_weight_of_loss(&self, loss: f64) -> f64 {
        self.exponent * loss.max(LOSS_MIN).ln()
    }

    fn grow(&mut self, slots: usize) {
        let mut larger = LogSumTree::new(slots);
        for slot in 0..self.tree.slots() {
            larger.set(slot, self.tree.get(slot));
        }
        self.tree = larger;
    }
}

impl Selector for Prioritized {
    fn save(&self, columns: &mut Columns) {
        let slots = 0..self.tree.slots();
        columns.put_real("prioritized.log_weight", slots.map(|slot| self.tree.get(slot)));
        columns.put_real("prioritized.untrained", [self.untrained]);
        columns.put("prioritized.residents", [self.residents as u64]);
    }

    fn restore(&mut self, columns: &Columns) -> Result<(), BadColumns> {
        let log_weights = columns.real("prioritized.log_weight")?;
        self.tree = LogSumTree::new(log_weights.len());
        for (slot, &log_weight) in log_weights.iter().enumerate() {
            self.tree.set(slot, log_weight);
        }
        let &[untrained] = columns.real("prioritized.untrained")? else {
            return Err(BadColumns::Unfit("prioritized.untrained"));
        };
        self.untrained = untrained;
        let name = "prioritized.residents";
        self.residents = index(name, columns.one(name)?, log_weights.len() + 1)?;
        Ok(())
    }

    fn inserted(&mut self, slot: usize, _: u64, log_reward: f64) {
        if slot >= self.tree.slots() {
            self.grow(slot + 1);
        }
        let log_weight = match self.priority {
            Priority::LogReward => (self.exponent * log_reward).clamp(f64::MIN, f64::MAX),
            Priority::Loss => self.log_weight_of_loss(self.untrained),
        };
        self.tree.set(slot, log_weight);
        self.residents += 1;
    }

    fn removed(&mut self, slot: usize) -> u64 {
        self.tree.set(slot, f64::NEG_INFINITY);
        self.residents -= 1;
        0
    }

    fn ready(&self) -> usize {
        self.residents
    }

    fn pick(&mut self, count: usize, stream: &mut Stream, picked: &mut Vec<usize>) {
        let fractions: Vec<f64> = (0..count).map(|_| stream.uniform()).collect();
        self.tree.draw(&fractions, picked);
    }

    fn trained(&mut self, losses: &mut dyn Iterator<Item = (usize, f64)>) {
        if self.priority != Priority::Loss {
            return;
        }
        let mut largest: Option<f64> = None;
        for (slot, loss) in losses.filter(|(_, loss)| loss.is_finite()) {
            largest = Some(largest.map_or(loss, |largest| largest.max(loss)));
            self.tree.set(slot, self.log_weight_of_loss(loss));
        }
        self.untrained = largest.unwrap_or(self.untrained);
    }
}
