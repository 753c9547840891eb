//! What a policy network is asked: a batch of states with their legal actions, without padding.

use super::Heads;
use crate::environment::Environment;

/// Rows of different lengths in one vector; row `i` is `values[offsets[i]..offsets[i + 1]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ragged {
    /// All rows, one after the other.
    pub values: Vec<u32>,
    /// Where each row starts, and the end of the last.
    pub offsets: Vec<u32>,
}

impl Default for Ragged {
    fn default() -> Self {
        Self { values: Vec::new(), offsets: vec![0] }
    }
}

impl Ragged {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.offsets.len() - 1
    }

    /// One row.
    pub fn row(&self, i: usize) -> &[u32] {
        &self.values[self.offsets[i] as usize..self.offsets[i + 1] as usize]
    }

    /// Appends a row that `fill` writes.
    pub fn push_with(&mut self, fill: impl FnOnce(&mut Vec<u32>)) {
        fill(&mut self.values);
        self.offsets.push(self.values.len() as u32);
    }

    /// Removes all rows, keeping the memory.
    pub fn clear(&mut self) {
        self.values.clear();
        self.offsets.truncate(1);
    }
}

/// A batch of states as the network sees them.
///
/// Made by [`States::new`] or [`States::clear_for`], log P_B can be asked of it; for log P_F alone the
/// default will do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct States {
    /// The inputs that are 1.
    pub features: Ragged,
    /// Legal forward actions, ascending.
    pub forward: Ragged,
    /// Legal backward actions, ascending; empty only in the initial state.
    pub backward: Ragged,
    /// Whether the construction may stop.
    pub can_stop: Vec<bool>,
    /// For each entry of `backward`, log of the number of paths to the state that it leads to; only
    /// where P_B follows them.
    path_counts: Option<Vec<f64>>,
}

impl States {
    /// For networks with these heads.
    pub fn new(heads: Heads) -> Self {
        Self { path_counts: heads.path_counts.then(Vec::new), ..Self::default() }
    }

    /// For the legal backward actions of one state, in their order, log of the number of paths to
    /// the state that each leads to; NaN where the environment does not count them, nothing where
    /// the heads do not ask.
    pub fn log_path_counts(&self, index: usize) -> &[f64] {
        let bounds =
            self.backward.offsets[index] as usize..self.backward.offsets[index + 1] as usize;
        self.path_counts.as_ref().map_or(&[], |counts| &counts[bounds])
    }

    /// Number of states.
    pub fn len(&self) -> usize {
        self.can_stop.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.can_stop.is_empty()
    }

    /// Appends a state.
    pub fn push(&mut self, environment: &dyn Environment, state: &[u32]) {
        self.features.push_with(|out| environment.active_features(state, out));
        self.forward.push_with(|out| environment.legal_forward(state, out));
        self.backward.push_with(|out| environment.legal_backward(state, out));
        self.can_stop.push(environment.can_stop(state));
        let last = self.backward.rows() - 1;
        if let Some(counts) = &mut self.path_counts {
            let mut previous = state.to_vec();
            for &backward in self.backward.row(last) {
                previous.copy_from_slice(state);
                environment.undo(&mut previous, backward);
                counts.push(environment.log_path_count(&previous).unwrap_or(f64::NAN));
            }
        }
    }

    /// Removes all states, and makes ready for networks with these heads.
    pub fn clear_for(&mut self, heads: Heads) {
        self.clear();
        if heads.path_counts != self.path_counts.is_some() {
            self.path_counts = heads.path_counts.then(Vec::new);
        }
    }

    /// Removes all states, keeping the memory.
    pub fn clear(&mut self) {
        self.features.clear();
        self.forward.clear();
        self.backward.clear();
        self.can_stop.clear();
        self.path_counts.iter_mut().for_each(Vec::clear);
    }
}
