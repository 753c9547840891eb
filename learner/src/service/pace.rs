//! How fast a session may send messages: who sends more is read more slowly, and loses nothing.

use std::time::Duration;

use tokio::time::Instant;

/// A bucket of tokens, one for each message.
#[derive(Debug)]
pub(super) struct Pace {
    per_second: f64,
    most: f64,
    tokens: f64,
    at: Instant,
}

impl Pace {
    /// Full: `most` messages at once, and `per_second` on average.
    pub(super) fn new(per_second: f64, most: f64, now: Instant) -> Self {
        Self { per_second, most, tokens: most, at: now }
    }

    /// A message came: how long to wait before the next is read.
    pub(super) fn take(&mut self, now: Instant) -> Duration {
        let seconds = now.duration_since(self.at).as_secs_f64();
        self.at = now;
        self.tokens = (self.tokens + seconds * self.per_second).min(self.most) - 1.0;
        Duration::from_secs_f64((-self.tokens / self.per_second).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_free_and_a_flood_is_slowed_to_the_rate() {
        let start = Instant::now();
        let mut pace = Pace::new(10.0, 5.0, start);
        let mut now = start;
        for _ in 0..5 {
            assert_eq!(pace.take(now), Duration::ZERO);
        }
        for _ in 0..100 {
            now += pace.take(now);
        }
        // 105 messages: 5 at once, then ten a second; the last wait is still to come.
        let seconds = now.duration_since(start).as_secs_f64();
        assert!((seconds - 10.0).abs() < 0.01, "{seconds}");
        // After a long silence no more than the burst is free.
        now += Duration::from_secs(3_600);
        let waits: Vec<Duration> = (0..6).map(|_| pace.take(now)).collect();
        assert!(waits[..5].iter().all(Duration::is_zero) && !waits[5].is_zero(), "{waits:?}");
    }
}
