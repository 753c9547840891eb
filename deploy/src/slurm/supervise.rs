//! Keeps the number of actors at what is wanted, from within the learner's job.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::crew::{self, Change};
use super::folder::Folder;
use super::scheduler;
use super::targets::{self, Listed};
use crate::credentials::Address;
use crate::error::CommandError;

/// Between two looks at the queue: seldom enough for a cluster that many use.
const LOOK: Duration = Duration::from_secs(15);
/// Actors that were submitted again and are missing again within this time are not well: the next ones wait.
const WELL: Duration = Duration::from_secs(60);
/// The longest wait.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Who keeps it.
pub(super) struct Supervisor {
    folder: Folder,
    /// When actors were submitted last.
    submitted: Option<Instant>,
    /// How long after that none are.
    pause: Duration,
    /// How many were missing at the last look.
    missed: usize,
    /// Said last, so that it is not said again and again.
    said: String,
    /// The learner's page of metrics, and its address.
    listed: Option<(String, Listed)>,
}

impl Supervisor {
    /// Has not looked yet.
    pub(super) fn new(folder: Folder) -> Self {
        Self {
            folder,
            submitted: None,
            pause: Duration::ZERO,
            missed: 0,
            said: String::new(),
            listed: None,
        }
    }

    /// Looks again and again, until the run is over.
    pub(super) async fn keep(mut self) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            if self.folder.over().is_some() {
                return;
            }
            match self.look().await {
                Ok(Some(done)) => {
                    self.said.clear();
                    tracing::info!("{done}");
                }
                Ok(None) => {}
                // The controller restarts, or the file system hangs: the next look may see more.
                Err(error) => self.say(format!("the actors are not looked after now: {error}")),
            }
        }
    }

    async fn look(&mut self) -> Result<Option<String>, CommandError> {
        let tasks = scheduler::tasks(&[self.folder.launched.actor_job()]).await?;
        if self.folder.launched.metrics {
            targets::keep_those_of(&self.folder, &tasks);
            if let Err(error) = self.list_learner() {
                self.say(format!("the learner's metrics are not listed: {error}"));
            }
        }
        let mut change = crew::change(self.folder.wanted()?, &tasks);
        let missing = if let Change::Submit(missing) = &change { *missing } else { 0 };
        let missed = std::mem::replace(&mut self.missed, missing);
        if let Change::Submit(missing) = &mut change {
            // Those that were there at the last look may be on their way: launch, or scale, submits them.
            *missing = missed.min(*missing);
            if *missing == 0 {
                return Ok(None);
            }
            if let Some(reason) = self.folder.refused() {
                self.say(format!(
                    "{missing} actors are missing and not submitted again, since the learner does not \
                     take them: {reason}; `tributary slurm scale` tries again"
                ));
                return Ok(None);
            }
            let now = Instant::now();
            if self.submitted.is_some_and(|then| now < then + self.pause) {
                return Ok(None);
            }
            self.pause = longer(self.pause, self.submitted.map(|then| now - then));
            self.submitted = Some(now);
        }
        crew::make(&change, &self.folder).await
    }

    /// Where it is now.
    fn list_learner(&mut self) -> Result<(), CommandError> {
        let Ok(Address { http, .. }) = Address::read(&self.folder.run) else { return Ok(()) };
        if self.listed.as_ref().is_none_or(|(listed, _)| *listed != http) {
            let listed = Listed::learner(&self.folder, &http)?;
            self.listed = Some((http, listed));
        }
        Ok(())
    }

    fn say(&mut self, text: String) {
        if text != self.said {
            tracing::warn!("{text}");
            self.said = text;
        }
    }
}

/// The pause after submitting actors, given the last pause and how long ago others were submitted.
fn longer(pause: Duration, ago: Option<Duration>) -> Duration {
    match ago {
        Some(ago) if ago < pause + WELL => (2 * pause).clamp(LOOK, LONGEST_PAUSE),
        _ => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actors_that_die_at_once_are_submitted_ever_more_seldom() {
        let mut pause = longer(Duration::ZERO, None);
        assert_eq!(pause, Duration::ZERO);
        let mut pauses = Vec::new();
        for _ in 0..7 {
            pause = longer(pause, Some(pause + LOOK));
            pauses.push(pause.as_secs());
        }
        assert_eq!(pauses, [15, 30, 60, 120, 240, 300, 300]);
        assert_eq!(longer(pause, Some(pause + 2 * WELL)), Duration::ZERO, "they lived");
    }
}
