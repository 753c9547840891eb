//! A sum tree that keeps logarithms, so that no weight overflows and no error adds up.

/// Weights of numbered slots, by their logarithm; drawing and changing take O(log slots).
///
/// A binary tree in one vector: the children of node `i` are `2 i` and `2 i + 1`, the leaves are the
/// last half, and every inner node is the log-sum-exp of its children, computed anew when one of
/// them changes. Draws look at the left child's share of each inner node's weight alone.
#[derive(Debug)]
pub(super) struct LogSumTree {
    nodes: Vec<f64>,
    left_shares: Vec<f64>,
}

/// The largest number below 1.
const BELOW_ONE: f64 = 1.0 - f64::EPSILON / 2.0;

impl LogSumTree {
    /// For at least so many slots, all of weight 0.
    pub(super) fn new(slots: usize) -> Self {
        let slots = slots.next_power_of_two();
        Self { nodes: vec![f64::NEG_INFINITY; 2 * slots], left_shares: vec![0.0; slots] }
    }

    /// Number of slots; a power of two.
    pub(super) fn slots(&self) -> usize {
        self.nodes.len() / 2
    }

    /// The logarithm of a slot's weight.
    pub(super) fn get(&self, slot: usize) -> f64 {
        self.nodes[self.slots() + slot]
    }

    /// The logarithm of the sum of all weights.
    pub(super) fn log_total(&self) -> f64 {
        self.nodes[1]
    }

    /// Gives a slot another weight, by its logarithm: finite, or -inf for none.
    pub(super) fn set(&mut self, slot: usize, log_weight: f64) {
        let mut node = self.slots() + slot;
        self.nodes[node] = log_weight;
        while node > 1 {
            node /= 2;
            let (left, right) = (self.nodes[2 * node], self.nodes[2 * node + 1]);
            (self.nodes[node], self.left_shares[node]) = join(left, right);
        }
    }

    /// Appends, for each of these fractions in [0, 1), the slot at which the running sum of the
    /// weights passes that part of their total: a slot in proportion to its weight when the fraction
    /// is uniform. Nothing without weight.
    ///
    /// They go down level by level, side by side and without a branch, so that the waits for memory
    /// overlap.
    pub(super) fn draw(&self, fractions: &[f64], slots: &mut Vec<usize>) {
        if self.log_total() == f64::NEG_INFINITY {
            return;
        }
        let mut ways: Vec<(usize, f64)> = fractions.iter().map(|&along| (1, along)).collect();
        for _ in 0..self.slots().ilog2() {
            ways.iter_mut().for_each(|way| *way = self.down(*way));
        }
        slots.extend(ways.iter().map(|(node, _)| node - self.slots()));
    }

    /// The child of a node in which the fraction `along` of its weight lies, and the fraction there.
    /// Never one without weight: its sibling's share is 1, and the fraction is less.
    fn down(&self, (node, along): (usize, f64)) -> (usize, f64) {
        let share = self.left_shares[node];
        let is_right = along >= share;
        // All bits or none: a choice would be a branch that nobody can foretell.
        let right = u64::from(is_right).wrapping_neg();
        let before = f64::from_bits(share.to_bits() & right);
        let of = f64::from_bits((1.0 - share).to_bits() & right | share.to_bits() & !right);
        (2 * node + usize::from(is_right), ((along - before) / of).min(BELOW_ONE))
    }
}

/// log(e^a + e^b), and the share of e^a in the sum; 0 where there is none.
fn join(a: f64, b: f64) -> (f64, f64) {
    let (small, large) = if a < b { (a, b) } else { (b, a) };
    if large == f64::NEG_INFINITY {
        return (large, 0.0);
    }
    let ratio = (small - large).exp();
    let share = if a < b { ratio } else { 1.0 } / (1.0 + ratio);
    (large + ratio.ln_1p(), share)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn draw(tree: &LogSumTree, along: f64) -> Option<usize> {
        let mut slots = Vec::new();
        tree.draw(&[along], &mut slots);
        slots.first().copied()
    }

    #[test]
    fn draws_are_where_the_running_sum_passes() {
        let mut tree = LogSumTree::new(5);
        assert_eq!((tree.slots(), draw(&tree, 0.5)), (8, None));
        // Weights 1, 0, 2, 5 of 8.
        for (slot, weight) in [(0, 1f64), (1, 0.0), (2, 2.0), (4, 5.0)] {
            tree.set(slot, weight.ln());
        }
        let places = [(0.0, 0), (0.124, 0), (0.126, 2), (0.374, 2), (0.376, 4), (0.999, 4)];
        for (along, slot) in places {
            assert_eq!(draw(&tree, along), Some(slot), "{along}");
        }
        tree.set(4, f64::NEG_INFINITY);
        assert_eq!(draw(&tree, 0.999), Some(2));
    }

    #[test]
    fn weights_far_beyond_the_range_of_numbers_are_kept_apart() {
        let mut tree = LogSumTree::new(4);
        tree.set(0, -1e4);
        tree.set(1, -1e4 + 3f64.ln());
        assert_eq!((draw(&tree, 0.24), draw(&tree, 0.26)), (Some(0), Some(1)));
        tree.set(3, 1e4);
        assert_eq!((draw(&tree, 0.0), draw(&tree, 0.999_999)), (Some(3), Some(3)));
        tree.set(3, f64::NEG_INFINITY);
        assert_eq!((draw(&tree, 0.24), draw(&tree, 0.26)), (Some(0), Some(1)));
    }
}
