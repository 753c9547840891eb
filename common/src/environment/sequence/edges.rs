//! What a construction is: the edges between the states of sequences.

use std::fmt::Debug;

use crate::environment::in_turn;

/// The actions of a construction. They mean the same, and must keep the same laws, as those of the
/// [`Environment`](crate::environment::Environment) that they belong to.
///
/// A state is the number of tokens, then for each position from the left the token there plus 1,
/// or 0 where it is empty.
pub(super) trait Edges: Debug + Send + Sync {
    /// Forward actions are below this.
    fn forward_actions(&self) -> usize;

    /// Backward actions are below this.
    fn backward_actions(&self) -> usize;

    /// Appends the legal forward actions, ascending.
    fn legal_forward(&self, state: &[u32], actions: &mut Vec<u32>);

    /// Appends the legal backward actions, ascending.
    fn legal_backward(&self, state: &[u32], actions: &mut Vec<u32>);

    /// Whether any number is a legal forward action.
    fn is_legal(&self, state: &[u32], action: u32) -> bool;

    /// Takes a legal forward action.
    fn step(&self, state: &mut [u32], action: u32);

    /// Takes forward actions up to the first that is not legal.
    fn take(&self, state: &mut [u32], actions: &[u32]) -> Result<(), usize> {
        let is_legal = |state: &[u32], action| self.is_legal(state, action);
        in_turn(state, actions, is_legal, |state, action| self.step(state, action))
    }

    /// Takes a legal backward action.
    fn undo(&self, state: &mut [u32], backward: u32);

    /// The backward action that undoes a legal forward action.
    fn inverse(&self, state: &[u32], action: u32) -> u32;

    /// The forward action that a legal backward action undoes.
    fn forward_of(&self, state: &[u32], backward: u32) -> u32;

    /// log of the number of paths of edges from the empty sequence.
    fn log_path_count(&self, state: &[u32]) -> f64;
}

/// How many tokens there are, and how many a sequence can hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    /// Tokens of the vocabulary, V.
    pub(super) vocabulary: u32,
    /// Tokens of the longest sequence, L.
    pub(super) longest: u32,
}

impl Size {
    /// Whether the sequence holds all tokens that it can.
    pub(super) fn is_full(self, state: &[u32]) -> bool {
        state[0] >= self.longest
    }

    /// The number of the edge that a position (or an end) and a token name.
    pub(super) fn join(self, position: u32, token: u32) -> u32 {
        position * self.vocabulary + token
    }

    /// The position and the token that an edge's number names.
    pub(super) fn split(self, action: u32) -> (u32, u32) {
        (action / self.vocabulary, action % self.vocabulary)
    }
}

/// Puts a token behind the others.
pub(super) fn push(state: &mut [u32], token: u32) {
    let end = 1 + state[0] as usize;
    state[end] = token + 1;
    state[0] += 1;
}

/// Puts a token before the one at a position, moving what stands from there on to the right.
pub(super) fn insert(state: &mut [u32], position: u32, token: u32) {
    let (at, end) = (1 + position as usize, 1 + state[0] as usize);
    state.copy_within(at..end, at + 1);
    state[at] = token + 1;
    state[0] += 1;
}

/// Takes the token at a position away, moving what stands after it to the left.
pub(super) fn remove(state: &mut [u32], position: u32) {
    let (at, last) = (1 + position as usize, state[0] as usize);
    state.copy_within(at + 1..=last, at);
    state[last] = 0;
    state[0] -= 1;
}

/// The token at a position that is filled.
pub(super) fn token_at(state: &[u32], position: u32) -> u32 {
    state[1 + position as usize] - 1
}
