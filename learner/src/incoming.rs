//! The edges that lead into the states of a batch, which flow matching needs besides those that its
//! trajectories take.

use tributary_common::network::Ragged;

/// For each state that a batch visits, all edges into it: one for each of its legal backward actions,
/// also where several come from the same state. None into the initial state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Incoming {
    /// The row of the state that each edge comes from.
    pub parents: Ragged,
    /// Which of that state's legal forward actions each edge is, by its position; flat, as
    /// `parents.values`.
    pub forward: Vec<u32>,
}

impl Incoming {
    /// Removes all, keeping the memory.
    pub fn clear(&mut self) {
        self.parents.clear();
        self.forward.clear();
    }
}
