//! In proportion to a power of the reward or of the loss, with replacement (Schaul, Quan, Antonoglou,
//! Silver: "Prioritized experience replay", 2016).
//!
//! There are no importance weights: they would undo the preference. A policy of zero loss is balanced
//! on every trajectory, so other weights of the errors leave it where it was.

use tributary_common::random::Stream;
use tributary_common::run_file::Priority;

use super::Selector;
use super::log_sum_tree::LogSumTree;

/// The least loss that counts, in squared nats: what is balanced is still drawn now and then.
const LOSS_MIN: f64 = 1e-6;

pub(super) struct Prioritized {
    priority: Priority,
    exponent: f64,
    /// The resident with ordinal o is in slot o modulo the slots.
    pub(super) tree: LogSumTree,
    pub(super) oldest: u64,
    next: u64,
    /// Stands for the loss of those not yet trained on: the largest of the batch trained on last,
    /// in squared nats.
    untrained: f64,
}

impl Prioritized {
    pub(super) fn new(priority: Priority, exponent: f64) -> Self {
        let tree = LogSumTree::new(1);
        Self { priority, exponent, tree, oldest: 0, next: 0, untrained: 1.0 }
    }

    pub(super) fn slot(&self, ordinal: u64) -> usize {
        (ordinal % self.tree.slots() as u64) as usize
    }

    fn log_weight_of_loss(&self, loss: f64) -> f64 {
        self.exponent * loss.max(LOSS_MIN).ln()
    }

    fn grow(&mut self) {
        let mut larger = LogSumTree::new(2 * self.tree.slots());
        for ordinal in self.oldest..self.next {
            let slot = (ordinal % larger.slots() as u64) as usize;
            larger.set(slot, self.tree.get(self.slot(ordinal)));
        }
        self.tree = larger;
    }
}

impl Selector for Prioritized {
    fn inserted(&mut self, ordinal: u64, _: u64, log_reward: f64) {
        if self.ready() == self.tree.slots() {
            self.grow();
        }
        let log_weight = match self.priority {
            Priority::LogReward => (self.exponent * log_reward).clamp(f64::MIN, f64::MAX),
            Priority::Loss => self.log_weight_of_loss(self.untrained),
        };
        self.tree.set(self.slot(ordinal), log_weight);
        self.next = ordinal + 1;
    }

    fn evicted(&mut self, ordinal: u64) -> u64 {
        self.tree.set(self.slot(ordinal), f64::NEG_INFINITY);
        self.oldest = ordinal + 1;
        0
    }

    fn ready(&self) -> usize {
        (self.next - self.oldest) as usize
    }

    fn pick(&mut self, stream: &mut Stream) -> Option<u64> {
        let slots = self.tree.slots() as u64;
        let slot = self.tree.draw(stream.uniform())? as u64;
        Some(self.oldest + (slot + slots - self.oldest % slots) % slots)
    }

    fn trained(&mut self, ordinals: &[u64], squared_residuals: &[f64]) {
        if self.priority != Priority::Loss {
            return;
        }
        let losses = || squared_residuals.iter().copied().filter(|loss| loss.is_finite());
        self.untrained = losses().reduce(f64::max).unwrap_or(self.untrained);
        for (&ordinal, &loss) in ordinals.iter().zip(squared_residuals) {
            if ordinal >= self.oldest && loss.is_finite() {
                self.tree.set(self.slot(ordinal), self.log_weight_of_loss(loss));
            }
        }
    }
}
