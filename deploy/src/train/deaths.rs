//! When a learner that died is started again.

use std::collections::VecDeque;
use std::process::ExitStatus;
use std::time::Duration;

use tokio::time::Instant;

use crate::error::{CONFIGURATION, INTERRUPTED, TRY_AGAIN, USAGE};

/// The pause before the first new start; doubles with each death in a row.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Deaths within [`IN_A_ROW`] after which it is given up.
pub(crate) const MOST_DEATHS: usize = 4;
/// Deaths within this time are in a row.
const IN_A_ROW: Duration = Duration::from_secs(60);

/// The last deaths of a learner.
#[derive(Debug, Default)]
pub(crate) struct Deaths {
    recent: VecDeque<Instant>,
    /// All of them.
    pub(crate) count: u64,
}

impl Deaths {
    /// It died at `now`: how long to wait before it is started again; none if it died too often.
    pub(crate) fn add(&mut self, now: Instant) -> Option<Duration> {
        self.count += 1;
        self.recent.retain(|then| now.duration_since(*then) < IN_A_ROW);
        self.recent.push_back(now);
        let in_a_row = self.recent.len();
        let doubled = FIRST_PAUSE.saturating_mul(1 << (in_a_row - 1).min(16));
        (in_a_row < MOST_DEATHS).then(|| doubled.min(LONGEST_PAUSE))
    }
}

/// Whether a learner that ended like this died, and may do better when it is started again.
pub(super) fn is_death(status: ExitStatus, lockstep: bool) -> bool {
    match status.code().map(u8::try_from) {
        Some(Ok(0 | USAGE | CONFIGURATION | INTERRUPTED)) => false,
        // Nobody delivered a round for as long as the run file allows.
        Some(Ok(TRY_AGAIN)) => !lockstep,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    #[test]
    fn pauses_grow_and_the_fourth_death_within_a_minute_is_the_last() {
        let (mut deaths, start) = (Deaths::default(), Instant::now());
        let mut add = |seconds| deaths.add(start + Duration::from_secs(seconds));
        assert_eq!(add(0), Some(FIRST_PAUSE));
        assert_eq!(add(20), Some(2 * FIRST_PAUSE));
        assert_eq!(add(40), Some(4 * FIRST_PAUSE));
        assert_eq!(add(61), Some(4 * FIRST_PAUSE), "the first is long ago");
        assert_eq!(add(62), None);
        let mut rare = Deaths::default();
        for minute in 0..100 {
            let pause = rare.add(start + Duration::from_secs(61 * minute));
            assert_eq!(pause, Some(FIRST_PAUSE));
        }
        assert_eq!(rare.count, 100);
    }

    #[test]
    fn who_says_why_it_does_not_go_on_is_not_started_again() {
        let code = |code: i32| ExitStatus::from_raw(code << 8);
        for (status, expected) in [
            (code(0), false),
            (code(64), false),
            (code(78), false),
            (code(130), false),
            (code(70), true),
            (code(75), true),
            (code(1), true),
            (ExitStatus::from_raw(9), true),
            (ExitStatus::from_raw(6), true),
        ] {
            assert_eq!(is_death(status, false), expected, "{status}");
        }
        assert!(!is_death(code(75), true), "a straggler ends a lockstep run");
    }
}
