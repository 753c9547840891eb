//! Momentum, as it is, corrected, and recomputed.

use super::chain::{Chain, dot};

/// What momentum's old gradients are corrected for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Correction {
    /// Nothing.
    None,
    /// For the step of the weights, as if the targets had stayed.
    Parameters,
    /// For the step of the weights and that of the targets.
    Whole,
}

/// Momentum, a decaying mean of gradients g_i, each taken at the weights θ_i of its time:
/// `m_t = β m_t-1 + (1 - β) g_t`.
///
/// With Z_i the derivative of g_i, a gradient at today's weights is g_i + Z_i (θ_t - θ_i), exactly where
/// it is linear. The sum of the second terms, -η_t, follows from the decaying mean of the Z_i alone:
///
/// ```text
/// η_t = β η_t-1 + α β ζ_t-1 μ_t-1     ζ_t = β ζ_t-1 + (1 - β) Z_t
/// μ_t = m_t - η_t                     θ_t+1 = θ_t - α μ_t
/// ```
///
/// For n weights ζ is a matrix of n × n.
pub(super) struct Momentum {
    beta: f64,
    learning_rate: f64,
    correction: Correction,
    mean: Vec<f64>,
    eta: Vec<f64>,
    /// Its rows.
    zeta: Vec<Vec<f64>>,
    corrected: Vec<f64>,
}

impl Momentum {
    /// At the start, for so many weights.
    pub(super) fn new(
        beta: f64,
        learning_rate: f64,
        correction: Correction,
        weights: usize,
    ) -> Self {
        let zeros = || vec![0.0; weights];
        let (mean, eta, corrected) = (zeros(), zeros(), zeros());
        let zeta = vec![zeros(); weights];
        Self { beta, learning_rate, correction, mean, eta, zeta, corrected }
    }

    /// μ of the last step.
    pub(super) fn corrected(&self) -> &[f64] {
        &self.corrected
    }

    /// One step on one transition.
    pub(super) fn step(&mut self, chain: &Chain, state: usize, weights: &mut [f64]) {
        let (beta, new) = (self.beta, 1.0 - self.beta);
        if self.correction != Correction::None {
            for (eta, row) in self.eta.iter_mut().zip(&self.zeta) {
                *eta = beta * (*eta + self.learning_rate * dot(row, &self.corrected));
            }
            let derivative = self.derivative(chain, state);
            for (row, feature) in self.zeta.iter_mut().zip(chain.at(state)) {
                for (zeta, column) in row.iter_mut().zip(&derivative) {
                    *zeta = beta * *zeta + new * feature * column;
                }
            }
        }
        let gradient = chain.semi_gradient(state, weights);
        for (mean, gradient) in self.mean.iter_mut().zip(gradient) {
            *mean = beta * *mean + new * gradient;
        }
        let parts = self.corrected.iter_mut().zip(&self.mean).zip(&self.eta).zip(weights);
        for (((corrected, mean), eta), weight) in parts {
            *corrected = mean - eta;
            *weight -= self.learning_rate * *corrected;
        }
    }

    /// The derivative of 2 δ with respect to θ: Z = φ(s) times it.
    fn derivative(&self, chain: &Chain, state: usize) -> Vec<f64> {
        let after = chain.after(state).filter(|_| self.correction == Correction::Whole);
        let after = |i: usize| after.map_or(0.0, |features| features[i]);
        chain.at(state).iter().enumerate().map(|(i, own)| 2.0 * (own - after(i))).collect()
    }
}

/// What momentum stands for: the same decaying mean of all gradients at today's weights. The last of
/// the history is the newest.
pub(super) fn recomputed(chain: &Chain, history: &[usize], beta: f64, weights: &[f64]) -> Vec<f64> {
    let mut sum = vec![0.0; weights.len()];
    let mut share = 1.0 - beta;
    for &state in history.iter().rev() {
        for (sum, gradient) in sum.iter_mut().zip(chain.semi_gradient(state, weights)) {
            *sum += share * gradient;
        }
        share *= beta;
        // What is older is lost in rounding.
        if share < 1e-17 {
            break;
        }
    }
    sum
}

/// Euclidean length.
pub(super) fn norm(vector: &[f64]) -> f64 {
    dot(vector, vector).sqrt()
}

/// Euclidean distance.
pub(super) fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use tributary_common::random::{Purpose, Stream};

    use super::*;

    /// The largest distance from the recomputed momentum over 300 steps, over the largest size of that.
    fn drift(chain: &Chain, beta: f64, correction: Correction) -> f64 {
        let mut stream = Stream::new(2, Purpose::Walk, 0, 0);
        let mut weights = vec![0.0; chain.features()];
        let mut momentum = Momentum::new(beta, 0.1, correction, weights.len());
        let (mut history, mut apart, mut size) = (Vec::new(), 0f64, 0f64);
        for _ in 0..300 {
            history.push(stream.below(6));
            let expected = recomputed(chain, &history, beta, &weights);
            momentum.step(chain, history[history.len() - 1], &mut weights);
            apart = apart.max(distance(momentum.corrected(), &expected));
            size = size.max(norm(&expected));
        }
        apart / size
    }

    #[test]
    fn corrected_momentum_is_the_recomputed_one_where_log_flow_is_linear() {
        for chain in [Chain::tabular(6, 2.0), Chain::linear(6, 3, 2.0, 7)] {
            for beta in [0.5, 0.9, 0.99] {
                let whole = drift(&chain, beta, Correction::Whole);
                assert!(whole < 1e-12, "momentum {beta}: {whole}");
                let parameters = drift(&chain, beta, Correction::Parameters);
                assert!(parameters > 0.005, "momentum {beta}: targets do not drift: {parameters}");
                let none = drift(&chain, beta, Correction::None);
                assert!(none > 0.05, "momentum {beta}: nothing drifts: {none}");
            }
        }
    }

    /// The example of docs/objectives/corrected_momentum.md.
    #[test]
    fn two_steps_by_hand() {
        let chain = Chain::tabular(2, 1.0);
        let mut weights = [0.0; 2];
        let mut momentum = Momentum::new(0.5, 0.1, Correction::Whole, 2);
        let close = |ours: &[f64], theirs: [f64; 2]| distance(ours, &theirs) < 1e-15;
        momentum.step(&chain, 1, &mut weights);
        assert!(close(momentum.corrected(), [0.0, -1.0]) && close(&weights, [0.0, 0.1]));
        momentum.step(&chain, 0, &mut weights);
        assert!(close(&momentum.mean, [-0.1, -0.5]) && close(&momentum.eta, [0.0, -0.05]));
        assert!(close(momentum.corrected(), [-0.1, -0.45]), "{:?}", momentum.corrected());
    }
}
