//! Whose fault is a failure, the object's or the program's? A rule without a clock of its own.
//!
//! Failures in a row without a success in between show that the program is at fault: its circuit
//! opens. Then one request at a time is tried, after growing pauses, until one succeeds.

use std::time::{Duration, Instant};

/// The first pause of an open circuit; doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Failures in a row that any program may have.
const FEW: u32 = 6;

/// What is known of a program.
#[derive(Debug)]
pub(super) struct Health {
    failures_in_a_row: u32,
    /// So many open the circuit.
    most_in_a_row: u32,
    /// It has answered since it was opened last.
    has_worked: bool,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    until: Instant,
    pause: Duration,
    is_tried: bool,
}

/// Whether an object may be asked for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    /// Yes.
    Open,
    /// One, to see whether the program works again.
    Trial,
    /// Not before this time; without one, not before something happens.
    Closed(Option<Instant>),
}

impl Health {
    /// Of a program that serves so many requests at a time.
    pub(super) fn new(at_a_time: usize) -> Self {
        let twice = u32::try_from(2 * at_a_time).unwrap_or(u32::MAX);
        Self::that_may_fail(twice.max(FEW))
    }

    /// Of one that must not fail at all.
    pub(super) fn strict() -> Self {
        Self::that_may_fail(1)
    }

    fn that_may_fail(most_in_a_row: u32) -> Self {
        Self { failures_in_a_row: 0, most_in_a_row, has_worked: false, open: None }
    }

    /// Whether somebody may ask. A trial has begun with that.
    pub(super) fn gate(&mut self, now: Instant) -> Gate {
        match &mut self.open {
            None => Gate::Open,
            Some(open) if open.is_tried => Gate::Closed(None),
            Some(open) if open.until > now => Gate::Closed(Some(open.until)),
            Some(open) => {
                open.is_tried = true;
                Gate::Trial
            }
        }
    }

    /// A request was answered. Whether that closes the circuit.
    pub(super) fn succeeded(&mut self) -> bool {
        self.failures_in_a_row = 0;
        self.has_worked = true;
        self.open.take().is_some()
    }

    /// A request failed. Whether that opens the circuit.
    pub(super) fn failed(&mut self, now: Instant) -> bool {
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        match &mut self.open {
            Some(open) if open.is_tried => {
                let pause = (2 * open.pause).min(LONGEST_PAUSE);
                *open = Open { until: now + pause, pause, is_tried: false };
                false
            }
            // It was under way when the circuit opened.
            Some(_) => false,
            None if self.failures_in_a_row < self.most_in_a_row => false,
            None => {
                self.has_worked = false;
                let (until, pause) = (now + FIRST_PAUSE, FIRST_PAUSE);
                self.open = Some(Open { until, pause, is_tried: false });
                true
            }
        }
    }

    /// Whether it has answered, and its circuit is closed.
    pub(super) fn has_worked(&self) -> bool {
        self.has_worked
    }

    /// When it may be tried again; none while it works, or after it has left.
    pub(super) fn trial(&self, now: Instant) -> Option<Instant> {
        let of = |open: &Open| if open.is_tried { now + open.pause } else { open.until };
        self.open.as_ref().map(of)
    }

    /// Whether the circuit is open.
    pub(super) fn is_broken(&self) -> bool {
        self.open.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_circuit_opens_after_failures_in_a_row_and_closes_with_a_success() {
        let (mut health, start) = (Health::new(1), Instant::now());
        for _ in 0..5 {
            assert!(!health.failed(start));
        }
        assert!(!health.succeeded(), "it was never open");
        for failure in 1..=6 {
            assert_eq!(health.gate(start), Gate::Open);
            assert_eq!(health.failed(start), failure == 6);
        }
        assert!(!health.failed(start), "one that was under way opens nothing twice");
        let mut now = start;
        for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
            let until = now + Duration::from_secs(pause);
            assert_eq!(health.gate(now), Gate::Closed(Some(until)));
            now = until;
            assert_eq!(health.gate(now), Gate::Trial);
            assert_eq!(health.gate(now), Gate::Closed(None), "one at a time");
            assert!(!health.failed(now) && health.is_broken());
        }
        assert!(health.succeeded() && !health.is_broken());
        assert_eq!(health.gate(now), Gate::Open);
    }

    #[test]
    fn many_workers_may_fail_more_often() {
        let (mut health, now) = (Health::new(64), Instant::now());
        assert_eq!((0..200).position(|_| health.failed(now)), Some(127));
    }
}
