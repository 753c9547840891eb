//! Construction `insert`: a token is added anywhere, those behind it move on.

use super::edges::{Edges, Size, insert, remove, token_at};
use crate::log_space::ln_factorial;

/// Action `p V + t` puts token `t` at position `p`, before the token that stood there; backward
/// action `p` removes the token at position `p`. "AAA" has three edges to "AA", and so many edges
/// lead from "AA" to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Insert(pub(super) Size);

impl Insert {
    /// Legal actions are below this: a sequence of n tokens has n + 1 places for another.
    fn open(&self, state: &[u32]) -> u32 {
        if self.0.is_full(state) { 0 } else { (state[0] + 1) * self.0.vocabulary }
    }
}

impl Edges for Insert {
    fn forward_actions(&self) -> usize {
        self.0.longest as usize * self.0.vocabulary as usize
    }

    fn backward_actions(&self) -> usize {
        self.0.longest as usize
    }

    fn legal_forward(&self, state: &[u32], actions: &mut Vec<u32>) {
        actions.extend(0..self.open(state));
    }

    fn legal_backward(&self, state: &[u32], actions: &mut Vec<u32>) {
        actions.extend(0..state[0]);
    }

    fn is_legal(&self, state: &[u32], action: u32) -> bool {
        action < self.open(state)
    }

    fn step(&self, state: &mut [u32], action: u32) {
        let (position, token) = self.0.split(action);
        insert(state, position, token);
    }

    fn undo(&self, state: &mut [u32], backward: u32) {
        remove(state, backward);
    }

    fn inverse(&self, _: &[u32], action: u32) -> u32 {
        self.0.split(action).0
    }

    fn forward_of(&self, state: &[u32], backward: u32) -> u32 {
        self.0.join(backward, token_at(state, backward))
    }

    /// n!: the tokens in any order.
    fn log_path_count(&self, state: &[u32]) -> f64 {
        ln_factorial(u64::from(state[0]))
    }
}
