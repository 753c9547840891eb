//! Construction `prepend_append`: a token is added at either end.

use super::edges::{Edges, Size, insert, remove, token_at};

/// Action `t` adds token `t` in front and action `V + t` at the end; backward action 0 removes the
/// first token and 1 the last. From the empty sequence both ends give the same state, by two edges;
/// so do two edges lead back from every sequence of one token.
#[derive(Clone, Copy, Debug)]
pub(super) struct PrependAppend(pub(super) Size);

/// The end of a sequence where an edge works.
const FRONT: u32 = 0;
const BACK: u32 = 1;

impl Edges for PrependAppend {
    fn forward_actions(&self) -> usize {
        2 * self.0.vocabulary as usize
    }

    fn backward_actions(&self) -> usize {
        2
    }

    fn legal_forward(&self, state: &[u32], actions: &mut Vec<u32>) {
        if !self.0.is_full(state) {
            actions.extend(0..2 * self.0.vocabulary);
        }
    }

    fn legal_backward(&self, state: &[u32], actions: &mut Vec<u32>) {
        if state[0] > 0 {
            actions.extend([FRONT, BACK]);
        }
    }

    fn is_legal(&self, state: &[u32], action: u32) -> bool {
        !self.0.is_full(state) && action < 2 * self.0.vocabulary
    }

    fn step(&self, state: &mut [u32], action: u32) {
        let (end, token) = self.0.split(action);
        insert(state, if end == FRONT { 0 } else { state[0] }, token);
    }

    fn undo(&self, state: &mut [u32], backward: u32) {
        remove(state, position(state, backward));
    }

    fn inverse(&self, _: &[u32], action: u32) -> u32 {
        self.0.split(action).0
    }

    fn forward_of(&self, state: &[u32], backward: u32) -> u32 {
        self.0.join(backward, token_at(state, position(state, backward)))
    }

    /// 2^n: each token came at either end, the first one too.
    fn log_path_count(&self, state: &[u32]) -> f64 {
        f64::from(state[0]) * std::f64::consts::LN_2
    }
}

/// Where the token at an end stands.
fn position(state: &[u32], end: u32) -> u32 {
    if end == FRONT { 0 } else { state[0] - 1 }
}
