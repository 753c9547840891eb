//! What a policy network is asked: a batch of states with their legal actions, without padding.

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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct States {
    /// The inputs that are 1.
    pub features: Ragged,
    /// Legal forward actions, ascending.
    pub forward: Ragged,
    /// Legal backward actions, ascending; empty only in the initial state.
    pub backward: Ragged,
    /// Whether the construction may stop.
    pub can_stop: Vec<bool>,
}

impl States {
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
    }

    /// Removes all states, keeping the memory.
    pub fn clear(&mut self) {
        self.features.clear();
        self.forward.clear();
        self.backward.clear();
        self.can_stop.clear();
    }
}
