//! A chain of states with one way through, on which detailed balance is temporal-difference learning.

use tributary_common::random::{Purpose, Stream};

/// s_0 → s_1 → … → s_n-1 → exit, with log F(s) = φ(s) · θ. There is one way forward and one back, so
/// all log P_F and log P_B are 0, the residual of detailed balance is
/// `δ_t = log F(s_t) - log F(s_t+1)`, with log R after the exit, and the solution is log R everywhere.
pub(super) struct Chain {
    /// φ of each state.
    features: Vec<Vec<f64>>,
    log_reward: f64,
}

impl Chain {
    /// A number for each state.
    pub(super) fn tabular(states: usize, log_reward: f64) -> Self {
        let one_hot = |state| (0..states).map(|i| f64::from(u8::from(i == state))).collect();
        Self { features: (0..states).map(one_hot).collect(), log_reward }
    }

    /// A constant and random signs, so scaled that |φ| = 1: fewer numbers than states, which share
    /// them.
    pub(super) fn linear(states: usize, features: usize, log_reward: f64, seed: u64) -> Self {
        let mut stream = Stream::new(seed, Purpose::Weights, 0, 0);
        let scale = 1.0 / (features as f64).sqrt();
        let mut random = |_| {
            let mut sign = |i| if i == 0 || stream.below(2) == 0 { scale } else { -scale };
            (0..features).map(&mut sign).collect()
        };
        Self { features: (0..states).map(&mut random).collect(), log_reward }
    }

    /// Numbers of θ.
    pub(super) fn features(&self) -> usize {
        self.features[0].len()
    }

    /// φ of a state.
    pub(super) fn at(&self, state: usize) -> &[f64] {
        &self.features[state]
    }

    /// φ of the state after, unless that is the exit.
    pub(super) fn after(&self, state: usize) -> Option<&[f64]> {
        self.features.get(state + 1).map(Vec::as_slice)
    }

    fn log_flow(&self, state: usize, weights: &[f64]) -> f64 {
        self.features.get(state).map_or(self.log_reward, |features| dot(features, weights))
    }

    /// The gradient of δ² with respect to θ with log F of the next state held fixed.
    pub(super) fn semi_gradient(&self, state: usize, weights: &[f64]) -> Vec<f64> {
        let residual = self.log_flow(state, weights) - self.log_flow(state + 1, weights);
        self.at(state).iter().map(|feature| 2.0 * residual * feature).collect()
    }

    /// Root mean square of log F - log R over the states.
    pub(super) fn error(&self, weights: &[f64]) -> f64 {
        let error = |features: &Vec<f64>| (dot(features, weights) - self.log_reward).powi(2);
        (self.features.iter().map(error).sum::<f64>() / self.features.len() as f64).sqrt()
    }
}

pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_semi_gradient_is_the_finite_difference_with_the_next_state_held_fixed() {
        let chain = Chain::linear(6, 3, 2.0, 4);
        let weights = [0.3, -0.7, 1.1];
        for state in 0..6 {
            let next = chain.log_flow(state + 1, &weights);
            let gradient = chain.semi_gradient(state, &weights);
            for (i, expected) in gradient.iter().enumerate() {
                let loss_at = |shift: f64| {
                    let mut shifted = weights;
                    shifted[i] += shift;
                    (chain.log_flow(state, &shifted) - next).powi(2)
                };
                let difference = (loss_at(1e-5) - loss_at(-1e-5)) / 2e-5;
                assert!((difference - expected).abs() < 1e-8, "{state}: {difference} {expected}");
            }
        }
    }

    #[test]
    fn the_error_is_zero_at_the_solution() {
        let chain = Chain::tabular(4, 2.0);
        assert_eq!(chain.error(&[2.0; 4]), 0.0);
        assert_eq!(chain.error(&[0.0; 4]), 2.0);
        assert!((0..4).all(|state| chain.semi_gradient(state, &[2.0; 4]) == [0.0; 4]));
    }
}
