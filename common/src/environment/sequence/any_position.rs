//! Construction `any_position`: the positions of a sequence of fixed length are filled in any order
//! (the non-autoregressive bit sequences of the literature).

use super::edges::{Edges, Size, token_at};
use crate::log_space::ln_factorial;

/// Action `p V + t` puts token `t` at the empty position `p`; backward action `p` empties it.
/// Nothing moves, so that no two edges join the same states, and every order of the L positions
/// leads to an object: L! trajectories.
#[derive(Clone, Copy, Debug)]
pub(super) struct AnyPosition(pub(super) Size);

impl Edges for AnyPosition {
    fn forward_actions(&self) -> usize {
        self.0.longest as usize * self.0.vocabulary as usize
    }

    fn backward_actions(&self) -> usize {
        self.0.longest as usize
    }

    fn legal_forward(&self, state: &[u32], actions: &mut Vec<u32>) {
        for (position, _) in (0..).zip(&state[1..]).filter(|(_, word)| **word == 0) {
            actions.extend(self.0.join(position, 0)..self.0.join(position + 1, 0));
        }
    }

    fn legal_backward(&self, state: &[u32], actions: &mut Vec<u32>) {
        let filled = (0..).zip(&state[1..]).filter(|(_, word)| **word > 0);
        actions.extend(filled.map(|(position, _)| position));
    }

    fn is_legal(&self, state: &[u32], action: u32) -> bool {
        let position = self.0.split(action).0 as usize;
        state[1..].get(position).is_some_and(|word| *word == 0)
    }

    fn step(&self, state: &mut [u32], action: u32) {
        let (position, token) = self.0.split(action);
        state[1 + position as usize] = token + 1;
        state[0] += 1;
    }

    fn undo(&self, state: &mut [u32], backward: u32) {
        state[1 + backward as usize] = 0;
        state[0] -= 1;
    }

    fn inverse(&self, _: &[u32], action: u32) -> u32 {
        self.0.split(action).0
    }

    fn forward_of(&self, state: &[u32], backward: u32) -> u32 {
        self.0.join(backward, token_at(state, backward))
    }

    /// n!: the positions in any order.
    fn log_path_count(&self, state: &[u32]) -> f64 {
        ln_factorial(u64::from(state[0]))
    }
}
