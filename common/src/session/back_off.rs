//! How long to wait before connecting again.

use std::time::Duration;

/// Exponential back-off with full jitter: the n-th wait is uniform in 0 .. min(cap, base 2^n), so
/// that actors which lost the same learner do not come back in step.
#[derive(Clone, Copy, Debug)]
pub struct BackOff {
    base: Duration,
    cap: Duration,
    failures: u32,
}

impl BackOff {
    /// No failure yet.
    pub fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap, failures: 0 }
    }

    /// The wait after one more failure; `uniform` is a random number in [0, 1), and
    /// `at_least` what the other side asked for.
    pub fn failed(&mut self, uniform: f64, at_least: Duration) -> Duration {
        let longest = self.base.saturating_mul(1 << self.failures.min(20)).min(self.cap);
        self.failures = self.failures.saturating_add(1);
        longest.mul_f64(uniform.clamp(0.0, 1.0)).max(at_least)
    }

    /// The connection works again.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_start_over() {
        let mut back_off = BackOff::new(Duration::from_millis(500), Duration::from_secs(5));
        let waits: Vec<u128> =
            (0..6).map(|_| back_off.failed(1.0, Duration::ZERO).as_millis()).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 5000, 5000]);
        back_off.succeeded();
        assert_eq!(back_off.failed(0.5, Duration::ZERO), Duration::from_millis(250));
        assert_eq!(back_off.failed(0.0, Duration::from_secs(9)), Duration::from_secs(9));
    }

    #[test]
    fn a_million_failures_do_not_overflow() {
        let mut back_off = BackOff::new(Duration::from_secs(3600), Duration::from_secs(5));
        for _ in 0..1_000_000 {
            assert!(back_off.failed(0.999, Duration::ZERO) <= Duration::from_secs(5));
        }
    }
}
