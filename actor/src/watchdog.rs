//! Names what an actor waits for when it draws nothing for long: one line when it starts, more at
//! growing intervals, one when it is over.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};

use crate::progress::{Edge, Progress};

/// How often the actor is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Without a trajectory for so long, an actor is said to wait.
const STALLED_AFTER: Duration = Duration::from_secs(30);
/// Between two looks never more than this counts: a process that was stopped waited for nobody.
const LONGEST_LOOK: Duration = Duration::from_secs(5);

/// What an actor has done, and how long it has waited for each edge.
#[derive(Clone, Debug, Default, PartialEq)]
struct Look {
    /// Trajectories drawn and objects measured: progress is that one of them grows.
    done: (u64, u64),
    waited_seconds: [f64; Edge::ALL.len()],
}

/// What there is to say.
#[derive(Clone, Debug, PartialEq)]
enum Line {
    /// Nothing was done for so long; the edge at which most was waited meanwhile.
    Waits(Duration, Option<Edge>),
    /// It goes on, after so long.
    Over(Duration),
}

/// The rule, without a clock of its own.
#[derive(Debug, Default)]
struct Watchdog {
    /// What was seen when something was done last.
    since: Look,
    idle: Duration,
    next_line: Duration,
}

impl Watchdog {
    /// Looks again, so much later.
    fn look(&mut self, look: Look, later: Duration) -> Option<Line> {
        if look.done != self.since.done {
            let (idle, was_said) = (self.idle, self.next_line > STALLED_AFTER);
            *self = Self { since: look, idle: Duration::ZERO, next_line: STALLED_AFTER };
            return was_said.then_some(Line::Over(idle));
        }
        self.idle += later.min(LONGEST_LOOK);
        if self.idle < self.next_line.max(STALLED_AFTER) {
            return None;
        }
        self.next_line = 2 * self.idle;
        Some(Line::Waits(self.idle, self.busiest(&look)))
    }

    /// The edge at which most was waited since the last progress.
    fn busiest(&self, look: &Look) -> Option<Edge> {
        let grown = |edge: &Edge| {
            let edge = *edge as usize;
            look.waited_seconds[edge] - self.since.waited_seconds[edge]
        };
        let busiest = Edge::ALL.into_iter().max_by(|a, b| grown(a).total_cmp(&grown(b)))?;
        (grown(&busiest) > 0.0).then_some(busiest)
    }
}

/// Watches an actor for as long as it is polled.
pub(crate) async fn watch(progress: Arc<Progress>) {
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut watchdog, mut last) = (Watchdog::default(), Instant::now());
    loop {
        ticks.tick().await;
        let now = Instant::now();
        let done = (progress.trajectories.load(Relaxed), progress.evaluations.load(Relaxed));
        let look = Look { done, waited_seconds: progress.seconds_by_edge() };
        match watchdog.look(look, now - last) {
            Some(Line::Waits(idle, edge)) => {
                let (seconds, reason) = (idle.as_secs(), reason(edge));
                tracing::warn!(seconds, reason, "nothing was drawn or measured");
            }
            Some(Line::Over(idle)) => tracing::info!(seconds = idle.as_secs(), "it goes on"),
            None => {}
        }
        last = now;
    }
}

/// What an edge means, for people.
fn reason(edge: Option<Edge>) -> &'static str {
    match edge {
        Some(Edge::Credit) => {
            "waits for credit: the learner takes no more trajectories now, or there is no learner"
        }
        Some(Edge::Network) => "waits for the connection to take what it has ready",
        Some(Edge::Weights) => "waits for the first weights of the learner",
        Some(Edge::Spool) => {
            "waits for room in its spool: nothing in it is acked, or its disk fails"
        }
        Some(Edge::Reward | Edge::Queue) => "waits for the reward: one call takes this long",
        Some(Edge::Ledger) => {
            "waits to hear from the learner who knows its objects or may measure them"
        }
        None => "waits for nobody it knows of: the environment or the network may be slow",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(drawn: u64, edge: Edge, seconds: f64) -> Look {
        let mut waited_seconds = [0.0; Edge::ALL.len()];
        waited_seconds[edge as usize] = seconds;
        Look { done: (drawn, 0), waited_seconds }
    }

    /// Looks each second; the seconds at which something was said, and what.
    fn watch(watchdog: &mut Watchdog, seconds: u64, drawn: u64, edge: Edge) -> Vec<(u64, Line)> {
        let said = |second: u64| {
            let look = look(drawn, edge, second as f64);
            watchdog.look(look, LOOK_EVERY).map(|line| (second, line))
        };
        (1..=seconds).filter_map(said).collect()
    }

    #[test]
    fn a_wait_is_said_after_30_seconds_and_then_less_and_less_often() {
        let mut watchdog = Watchdog::default();
        let waits = |s: u64| (s, Line::Waits(Duration::from_secs(s), Some(Edge::Credit)));
        let said = watch(&mut watchdog, 250, 0, Edge::Credit);
        assert_eq!(said, [waits(30), waits(60), waits(120), waits(240)]);
        let over = watchdog.look(look(1, Edge::Credit, 250.0), LOOK_EVERY);
        assert_eq!(over, Some(Line::Over(Duration::from_secs(250))));
        let said = watch(&mut watchdog, 31, 1, Edge::Queue);
        assert_eq!(said.len(), 1, "and again from 30 seconds on: {said:?}");
    }

    #[test]
    fn progress_is_not_worth_a_word_and_a_stopped_process_waited_for_nobody() {
        let mut watchdog = Watchdog::default();
        for drawn in 1..100 {
            assert_eq!(watch(&mut watchdog, 20, drawn, Edge::Reward), []);
        }
        let stopped = Duration::from_secs(3_600);
        assert_eq!(watchdog.look(look(99, Edge::Reward, 20.0), stopped), None);
    }
}
