//! The output row of a policy network and what it means.
//!
//! A network gives each state one row of logits: `[forward | exit | backward | flow]`. Log
//! probabilities are a softmax over the *legal* entries alone, in float64, computed by the same
//! code for rollouts, training and exact evaluation.

/// The columns of an output row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Logits of the forward actions; the exit's logit follows them.
    pub forward: usize,
    /// Logits of the backward actions; 0 where P_B is uniform over the legal ones.
    pub backward: usize,
    /// Whether the last column is log F.
    pub flow: bool,
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
        out.clear();
        out.extend(legal.iter().map(|&a| f64::from(row[a as usize])));
        if can_stop {
            out.push(f64::from(row[self.exit_column()]));
        }
        log_softmax(out);
    }

    /// log P_B over the legal backward actions, in their order.
    pub fn log_backward(&self, row: &[f32], legal: &[u32], out: &mut Vec<f64>) {
        out.clear();
        if self.backward == 0 {
            out.resize(legal.len(), -(legal.len() as f64).ln());
        } else {
            let first = self.backward_column();
            out.extend(legal.iter().map(|&a| f64::from(row[first + a as usize])));
            log_softmax(out);
        }
    }
}

/// Logits to log probabilities, in place.
pub fn log_softmax(logits: &mut [f64]) {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|l| (l - largest).exp()).sum();
    let normalizer = largest + sum.ln();
    logits.iter_mut().for_each(|l| *l -= normalizer);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_legal_entries_share_the_probability() {
        let heads = Heads { forward: 3, backward: 2, flow: true };
        assert_eq!((heads.width(), heads.flow_column()), (7, Some(6)));
        let row = [1.0, 2.0, f32::NAN, 0.5, 3.0, 3.0, 9.0];
        let mut out = Vec::new();
        heads.log_forward(&row, &[0, 1], true, &mut out);
        let z = (1f64.exp() + 2f64.exp() + 0.5f64.exp()).ln();
        assert!((out[0] - (1.0 - z)).abs() < 1e-12 && (out[2] - (0.5 - z)).abs() < 1e-12);
        heads.log_forward(&row, &[], true, &mut out);
        assert_eq!(out, [0.0]);
        heads.log_backward(&row, &[0, 1], &mut out);
        assert!((out[0] + 2f64.ln()).abs() < 1e-12);
    }
}
