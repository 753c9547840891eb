//! Numbers in log space.

use std::fmt;

use serde::{Deserialize, Serialize};

/// log R(x): finite, or minus infinity for R = 0; never NaN, never plus infinity.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct LogReward(f64);

/// A value that cannot be a log-reward.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("a log-reward must be finite, or minus infinity for R = 0, not {0}")]
pub struct InvalidLogReward(pub f64);

impl LogReward {
    /// log R from R >= 0.
    pub fn from_reward(reward: f64) -> Result<Self, InvalidLogReward> {
        Self::try_from(if reward >= 0.0 { reward.ln() } else { f64::NAN })
    }

    /// The number itself.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for LogReward {
    type Error = InvalidLogReward;

    fn try_from(value: f64) -> Result<Self, InvalidLogReward> {
        if value.is_nan() || value == f64::INFINITY {
            Err(InvalidLogReward(value))
        } else {
            Ok(Self(value))
        }
    }
}

impl From<LogReward> for f64 {
    fn from(value: LogReward) -> f64 {
        value.0
    }
}

impl fmt::Display for LogReward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// log of the sum of the exponentials; minus infinity for no values.
pub fn log_sum_exp(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let largest = values.clone().fold(f64::NEG_INFINITY, f64::max);
    if !largest.is_finite() {
        return largest;
    }
    largest + values.map(|v| (v - largest).exp()).sum::<f64>().ln()
}

/// log R of R = max(floor, scale v^exponent), of log v; minus infinity for R = 0.
pub fn log_of_power(log_value: f64, exponent: f64, scale: f64, floor: f64) -> f64 {
    (scale.ln() + exponent * log_value).max(floor.ln())
}

/// log n!, to twelve digits.
pub fn ln_factorial(n: u64) -> f64 {
    /// From here on Stirling's series is as exact as a float.
    const STIRLING: u64 = 21;
    if n < STIRLING {
        return ((1..=n).product::<u64>() as f64).ln();
    }
    let n = n as f64;
    let series = 1.0 / (12.0 * n) - 1.0 / (360.0 * n.powi(3)) + 1.0 / (1260.0 * n.powi(5));
    n * n.ln() - n + 0.5 * (std::f64::consts::TAU * n).ln() + series
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn log_reward_refuses_what_cannot_be_trained_on() {
        assert!(LogReward::try_from(f64::NAN).is_err());
        assert!(LogReward::try_from(f64::INFINITY).is_err());
        assert!(LogReward::from_reward(-1.0).is_err());
        assert_eq!(LogReward::from_reward(0.0).unwrap().get(), f64::NEG_INFINITY);
    }

    #[test]
    fn log_factorials_are_sums_of_logarithms() {
        let mut sum = 0.0;
        for n in 1..=1_000 {
            sum += (n as f64).ln();
            let ours = ln_factorial(n);
            assert!((ours - sum).abs() <= 1e-12 * sum.max(1.0), "log {n}!: {ours} is not {sum}");
        }
        assert_eq!(ln_factorial(0), 0.0);
    }

    #[test]
    fn log_sum_exp_is_stable() {
        let sum = log_sum_exp([1000.0, 1000.0].into_iter());
        assert!((sum - (1000.0 + 2f64.ln())).abs() < 1e-12);
        assert_eq!(log_sum_exp(std::iter::empty()), f64::NEG_INFINITY);
    }
}
