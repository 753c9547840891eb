//! The exponential moving average of the weights.

use tch::{TchError, Tensor};

/// The mean of the weights after each update, those of `k` updates ago weighted by `decay^k`.
///
/// The weights sum to one from the first update on: update t moves the average by
/// `(1 - decay) / (1 - decay^t)` of its distance to the new weights, so that the initial weights
/// never enter. The same as Adam's correction of its means.
pub struct MovingAverage {
    decay: f64,
    /// Updates that went into it.
    pub steps: u64,
    /// The average, flat; the initial weights before the first update.
    pub values: Tensor,
}

impl MovingAverage {
    /// Of weights that start here; a decay of 0 is no averaging.
    pub fn new(decay: f64, weights: &Tensor) -> Result<Self, TchError> {
        Ok(Self { decay, steps: 0, values: weights.f_detach_copy()? })
    }

    /// Takes in the weights after an update.
    pub fn update(&mut self, weights: &Tensor) -> Result<(), TchError> {
        let _no_grad = tch::no_grad_guard();
        let share = (1.0 - self.decay) / (1.0 - self.decay.powf((self.steps + 1) as f64));
        let _ = self.values.f_lerp_(weights, share)?;
        self.steps += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn it_is_the_weighted_mean_of_what_was_seen() {
        let mut average = MovingAverage::new(0.5, &Tensor::from_slice(&[100f32])).unwrap();
        let value = |average: &MovingAverage| average.values.double_value(&[0]);
        for (weight, expected) in [(1f32, 1.0), (4.0, 3.0), (2.0, (2.0 + 2.0 + 0.25) / 1.75)] {
            average.update(&Tensor::from_slice(&[weight])).unwrap();
            assert!((value(&average) - expected).abs() < 1e-6, "{} {expected}", value(&average));
        }
        let mut none = MovingAverage::new(0.0, &Tensor::from_slice(&[100f32])).unwrap();
        for weight in [3f32, -7.0] {
            none.update(&Tensor::from_slice(&[weight])).unwrap();
            assert_eq!(value(&none), f64::from(weight));
        }
    }
}
