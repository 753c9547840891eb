//! The exponential moving average of the weights.

/// The mean of the weights after each update, those of `k` updates ago weighted by `decay^k`.
///
/// The weights sum to one from the first update on: update t moves the average by
/// `(1 - decay) / (1 - decay^t)` of its distance to the new weights, so that the initial weights
/// never enter. The same as Adam's correction of its means.
#[derive(Clone, Debug)]
pub struct MovingAverage {
    decay: f64,
    /// Updates that went into it.
    pub steps: u64,
}

impl MovingAverage {
    /// A decay of 0 is no averaging.
    pub fn new(decay: f64) -> Self {
        Self { decay, steps: 0 }
    }

    /// Counts an update; how far the average goes to the weights after it.
    pub fn update(&mut self) -> f64 {
        self.steps += 1;
        (1.0 - self.decay) / (1.0 - self.decay.powf(self.steps as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_weighted_mean_of_what_was_seen() {
        let (mut average, mut value) = (MovingAverage::new(0.5), 100.0);
        for (weight, expected) in [(1.0, 1.0), (4.0, 3.0), (2.0, (2.0 + 2.0 + 0.25) / 1.75)] {
            value += average.update() * (weight - value);
            assert!((value - expected).abs() < 1e-12, "{value} {expected}");
        }
        let mut none = MovingAverage::new(0.0);
        assert_eq!([none.update(), none.update()], [1.0, 1.0]);
    }
}
