//! Random streams that are addressed, not shared, and the samplers drawn from them.
//!
//! A stream is named by (seed, purpose, round, index), so that the same trajectory gets the same
//! numbers whichever actor or thread draws it. The samplers are written here so that their values
//! stay the same between releases of the random number library.

use rand::rngs::ChaCha8Rng;
use rand::{Rng, SeedableRng};

/// What a stream of random numbers is for; two purposes never share numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    /// Initial weights.
    Weights = 1,
    /// Actions of rollouts.
    Rollout = 2,
    /// Draws from replay.
    Replay = 3,
    /// Random walks of fingerprints and laws.
    Walk = 4,
    /// Objects drawn for a user (`tributary sample`).
    Sample = 5,
    /// The hidden modes of a reward, and strings to test a policy on.
    Modes = 6,
    /// Paths, samples and resamples of an evaluation.
    Evaluation = 10,
    /// What dropout leaves out of one update.
    Dropout = 11,
    /// Paths drawn anew to objects in replay.
    Redraw = 17,
    /// Proposals of local search and their acceptance.
    LocalSearch = 13,
    /// Whether a trajectory is drawn backward, from which object, and its way.
    Backward = 14,
}

/// One stream of random numbers.
#[derive(Debug)]
pub struct Stream(ChaCha8Rng);

impl Stream {
    /// The stream of `(seed, purpose, round, index)`.
    pub fn new(seed: u64, purpose: Purpose, round: u64, index: u64) -> Self {
        let mut key = [0; 32];
        for (chunk, word) in key.chunks_exact_mut(8).zip([seed, purpose as u64, round, index]) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(key))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in [0, 1), 53 bits.
    pub fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform in 0..count; `count` must not be 0.
    pub fn below(&mut self, count: usize) -> usize {
        ((self.0.next_u64() as u128 * count as u128) >> 64) as usize
    }

    /// An index drawn in proportion to non-negative weights with a positive, finite sum.
    pub fn categorical(&mut self, weights: &[f64]) -> usize {
        let mut left = self.uniform() * weights.iter().sum::<f64>();
        let mut last = 0;
        for (i, &weight) in weights.iter().enumerate() {
            if weight > 0.0 {
                last = i;
                if left < weight {
                    return i;
                }
                left -= weight;
            }
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_its_address() {
        let mut a = Stream::new(1, Purpose::Rollout, 2, 3);
        let mut b = Stream::new(1, Purpose::Rollout, 2, 3);
        let mut c = Stream::new(1, Purpose::Replay, 2, 3);
        let first = a.bits();
        assert_eq!(first, b.bits());
        assert_ne!(first, c.bits());
    }

    #[test]
    fn categorical_follows_its_weights() {
        let mut stream = Stream::new(7, Purpose::Walk, 0, 0);
        let mut counts = [0u32; 4];
        for _ in 0..100_000 {
            counts[stream.categorical(&[1.0, 0.0, 2.0, 1.0])] += 1;
        }
        assert_eq!(counts[1], 0);
        for (count, expected) in counts.into_iter().zip([25_000.0, 0.0, 50_000.0, 25_000.0]) {
            assert!((f64::from(count) - expected).abs() < 600.0, "{counts:?}");
        }
    }
}
