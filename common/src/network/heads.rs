//! The output row of a policy network and what it means.
//!
//! A network gives each state one row of logits: `[forward | exit | backward | flow]`. Log
//! probabilities are a softmax over the *legal* entries alone, in float64, computed by the same
//! code for rollouts, training and exact evaluation.

use super::States;

/// The columns of an output row, and where P_B comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heads {
    /// Logits of the forward actions; the exit's logit follows them.
    pub forward: usize,
    /// Logits of the backward actions; 0 where P_B is not learned.
    pub backward: usize,
    /// Whether the last column is log F.
    pub flow: bool,
    /// Whether a P_B that is not learned makes all paths to a state alike, by their counts
    /// (Mohammadpour, Bengio, Frejinger, Bacon: "Maximum entropy GFlowNets with soft Q-learning",
    /// 2024); without, it is uniform over the legal backward actions.
    pub path_counts: bool,
}

impl Heads {
    /// Columns of a row.
    pub fn width(&self) -> usize {
        self.forward + 1 + self.backward + usize::from(self.flow)
    }

    /// The column of the exit's logit.
    pub fn exit_column(&self) -> usize {
        self.forward
    }

    /// The first column of the backward logits.
    pub fn backward_column(&self) -> usize {
        self.forward + 1
    }

    /// The column of log F, if there is one.
    pub fn flow_column(&self) -> Option<usize> {
        self.flow.then(|| self.width() - 1)
    }

    /// log P_F over the legal forward actions, in their order, then over the exit if the
    /// construction can stop. A forced exit has log P_F = 0.
    pub fn log_forward(&self, row: &[f32], legal: &[u32], can_stop: bool, out: &mut Vec<f64>) {
        self.forward_logits(row, legal, can_stop, out);
        log_softmax(out);
    }

    /// The logits whose log softmax [`log_forward`](Self::log_forward) is.
    pub fn forward_logits(&self, row: &[f32], legal: &[u32], can_stop: bool, out: &mut Vec<f64>) {
        out.clear();
        out.extend(legal.iter().map(|&a| f64::from(row[a as usize])));
        if can_stop {
            out.push(f64::from(row[self.exit_column()]));
        }
    }

    /// log P_B over the legal backward actions of the state at `index`, in their order; `row` is its
    /// output row.
    ///
    /// Where it follows path counts, P_B(s | s') is n(s) / n(s') on each edge, n being the number of
    /// paths from the initial state. NaN if the states were not made for these heads, by
    /// [`States::new`] or [`States::clear_for`].
    pub fn log_backward(&self, states: &States, index: usize, row: &[f32], out: &mut Vec<f64>) {
        let legal = states.backward.row(index);
        out.clear();
        if self.path_counts {
            out.extend(states.log_path_counts(index));
            out.resize(legal.len(), f64::NAN);
            log_softmax(out);
        } else if self.backward == 0 {
            out.resize(legal.len(), -(legal.len() as f64).ln());
        } else {
            self.backward_logits(row, legal, out);
            log_softmax(out);
        }
    }

    /// The logits whose log softmax [`log_backward`](Self::log_backward) is where P_B is learned.
    pub fn backward_logits(&self, row: &[f32], legal: &[u32], out: &mut Vec<f64>) {
        let first = self.backward_column();
        out.clear();
        out.extend(legal.iter().map(|&a| f64::from(row[first + a as usize])));
    }
}

/// Logits to log probabilities, in place.
pub fn log_softmax(logits: &mut [f64]) {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|l| (l - largest).exp()).sum();
    let normalizer = largest + sum.ln();
    logits.iter_mut().for_each(|l| *l -= normalizer);
}

/// Logits to log probabilities, in place; appends the probabilities, at no exponential more.
pub fn log_softmax_and_softmax(logits: &mut [f64], probabilities: &mut Vec<f64>) {
    let first = probabilities.len();
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    probabilities.extend(logits.iter().map(|l| (l - largest).exp()));
    let probabilities = &mut probabilities[first..];
    let sum: f64 = probabilities.iter().sum();
    let (normalizer, share) = (largest + sum.ln(), sum.recip());
    logits.iter_mut().for_each(|l| *l -= normalizer);
    probabilities.iter_mut().for_each(|p| *p *= share);
}

/// Logits to probabilities, in place: with one exponential for each, not the two of
/// [`log_softmax`].
pub fn softmax(logits: &mut [f64]) {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    logits.iter_mut().for_each(|l| *l = (*l - largest).exp());
    let sum: f64 = logits.iter().sum();
    logits.iter_mut().for_each(|p| *p /= sum);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::environment::Hypergrid;

    #[test]
    fn only_legal_entries_share_the_probability() {
        let heads = Heads { forward: 3, backward: 2, flow: true, ..Heads::default() };
        assert_eq!((heads.width(), heads.flow_column()), (7, Some(6)));
        let row = [1.0, 2.0, f32::NAN, 0.5, 3.0, 3.0, 9.0];
        let mut out = Vec::new();
        heads.log_forward(&row, &[0, 1], true, &mut out);
        let z = (1f64.exp() + 2f64.exp() + 0.5f64.exp()).ln();
        assert!((out[0] - (1.0 - z)).abs() < 1e-12 && (out[2] - (0.5 - z)).abs() < 1e-12);
        heads.log_forward(&row, &[], true, &mut out);
        assert_eq!(out, [0.0]);
        let mut states = States::new(heads);
        states.push(&Hypergrid::new(2, 3).unwrap(), &[1, 2]);
        heads.log_backward(&states, 0, &row, &mut out);
        assert!((out[0] + 2f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn path_counts_make_all_paths_alike() {
        let heads = Heads { forward: 2, path_counts: true, ..Heads::default() };
        let grid = Hypergrid::new(2, 3).unwrap();
        let mut states = States::new(heads);
        for _ in 0..2 {
            states.clear();
            [[2, 1], [1, 1], [2, 0], [0, 0]].iter().for_each(|cell| states.push(&grid, cell));
            let log_backward = |index| {
                let mut out = Vec::new();
                heads.log_backward(&states, index, &[0.0; 3], &mut out);
                out
            };
            // Three paths to (2, 1): two by (1, 1), one by (2, 0).
            let expected = [vec![2.0 / 3.0, 1.0 / 3.0], vec![0.5, 0.5], vec![1.0], vec![]];
            for (index, expected) in expected.iter().enumerate() {
                let ours = log_backward(index);
                assert_eq!(ours.len(), expected.len());
                for (ours, expected) in ours.iter().zip(expected) {
                    assert!((ours.exp() - expected).abs() < 1e-12, "{index}: {ours}");
                }
            }
        }
        let (mut forgotten, mut out) = (States::default(), Vec::new());
        forgotten.push(&grid, &[2, 1]);
        heads.log_backward(&forgotten, 0, &[0.0; 3], &mut out);
        assert!(out.len() == 2 && out.iter().all(|log_p| log_p.is_nan()), "{out:?}");
    }
}
