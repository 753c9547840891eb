//! Lines of text, where there is no terminal to draw on.

use std::time::Instant;

use tributary_proto::v1::StatusReply;

use super::changes;
use super::feed::{Feed, Heard};
use crate::display::{clock, shown};
use crate::error::CommandError;
use crate::output::Output;
use crate::status;
use crate::train::progress::figures::Figures;
use crate::train::signals::Signals;

/// Prints what is heard until the run has ended.
pub(super) async fn show(mut feed: Feed) -> Result<(), CommandError> {
    let mut signals = Signals::new()?;
    let (mut lines, mut output) = (Lines::default(), Output::new());
    loop {
        let heard = tokio::select! {
            biased;
            () = signals.next() => return Err(CommandError::Interrupted),
            heard = feed.next() => heard,
        };
        let Some(heard) = heard else { return Ok(()) };
        let is_end = matches!(heard, Heard::Ended);
        for line in lines.of(heard, Instant::now()) {
            output.line(shown(&line))?;
        }
        output.flush()?;
        if is_end {
            return Ok(());
        }
    }
}

/// What was printed last.
#[derive(Default)]
struct Lines {
    before: Option<(Instant, StatusReply)>,
    is_away: bool,
}

impl Lines {
    fn of(&mut self, heard: Heard, now: Instant) -> Vec<String> {
        match heard {
            Heard::Status(status) => self.status(*status, now),
            Heard::Silent(_) if self.is_away => Vec::new(),
            Heard::Silent(reason) => {
                self.is_away = true;
                vec![format!("reconnecting: {reason}")]
            }
            Heard::Ended => vec!["the learner has ended".to_owned()],
            // The log is a file: who reads lines reads that.
            Heard::Line(_) => Vec::new(),
        }
    }

    fn status(&mut self, status: StatusReply, now: Instant) -> Vec<String> {
        let mut lines = Vec::new();
        if std::mem::take(&mut self.is_away) {
            lines.push("connected again".to_owned());
        }
        let before = self.before.as_ref();
        match before {
            None => lines.push(format!(
                "{}: {}, {} of training (incarnation {})",
                status.run_name,
                status::state(&status),
                clock(status.seconds),
                status.incarnation
            )),
            Some((_, before)) => lines.extend(changes::between(before, &status)),
        }
        let before = before.map(|(then, status)| (now.duration_since(*then), status));
        lines.push(Figures::of(&status, before).line());
        self.before = Some((now, status));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tributary_proto::v1::{Counters, RunState};

    #[test]
    fn a_learner_that_is_away_is_said_once_and_so_is_its_return() {
        let counters = Some(Counters { generated: 1_234, updates: 9, ..Counters::default() });
        let (run_name, state) = ("grid".to_owned(), RunState::Running.into());
        let status =
            StatusReply { run_name, state, counters, incarnation: 3, ..StatusReply::default() };
        let (mut lines, now) = (Lines::default(), Instant::now());
        let mut of = |heard| lines.of(heard, now);
        let first = of(Heard::Status(Box::new(status.clone())));
        assert_eq!(first[0], "grid: running, 0:00 of training (incarnation 3)");
        assert!(first[1].contains("1,234 trajectories  step 9"), "{first:?}");
        assert_eq!(of(Heard::Silent("gone".to_owned())), ["reconnecting: gone"]);
        assert_eq!(of(Heard::Silent("gone".to_owned())), [""; 0]);
        let again = of(Heard::Status(Box::new(StatusReply { incarnation: 4, ..status })));
        let expected = ["connected again", "the learner was started again: incarnation 4"];
        assert_eq!(again[..2], expected);
        assert_eq!(again.len(), 3, "{again:?}");
    }
}
