//! Construction `append`: from left to right.

use super::edges::{Edges, Size, push, remove, token_at};

/// Action `t` adds token `t` at the end; the one backward action, 0, removes the last token. The
/// states form a tree.
#[derive(Clone, Copy, Debug)]
pub(super) struct Append(pub(super) Size);

impl Edges for Append {
    fn forward_actions(&self) -> usize {
        self.0.vocabulary as usize
    }

    fn backward_actions(&self) -> usize {
        1
    }

    fn legal_forward(&self, state: &[u32], actions: &mut Vec<u32>) {
        if !self.0.is_full(state) {
            actions.extend(0..self.0.vocabulary);
        }
    }

    fn legal_backward(&self, state: &[u32], actions: &mut Vec<u32>) {
        actions.extend((state[0] > 0).then_some(0));
    }

    fn is_legal(&self, state: &[u32], action: u32) -> bool {
        !self.0.is_full(state) && action < self.0.vocabulary
    }

    fn step(&self, state: &mut [u32], action: u32) {
        push(state, action);
    }

    fn undo(&self, state: &mut [u32], _: u32) {
        remove(state, state[0] - 1);
    }

    fn inverse(&self, _: &[u32], _: u32) -> u32 {
        0
    }

    fn forward_of(&self, state: &[u32], _: u32) -> u32 {
        token_at(state, state[0] - 1)
    }

    /// 1
    fn log_path_count(&self, _: &[u32]) -> f64 {
        0.0
    }
}
