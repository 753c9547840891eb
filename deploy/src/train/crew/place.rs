//! The place of one actor: who dies there is replaced.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{Event, MOST_DEATHS};
use crate::error::{BUG, CONFIGURATION, USAGE};
use crate::train::process::{Launch, Process, ending};

/// The pause before the first new start; doubles with each death in a row.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// An actor that lived so long is well: its next death is the first in a row.
const WELL: Duration = Duration::from_secs(10);
/// An actor that ends well does so because the run ends, which is known within this time.
const END_OF_RUN: Duration = Duration::from_secs(2);
/// An actor that is asked to leave sends what it has finished; it gives up by itself before.
const DRAIN: Duration = Duration::from_secs(20);

/// The place of one actor.
pub(super) struct Place {
    /// Of the actors here.
    pub(super) number: usize,
    /// Their name.
    pub(super) name: String,
    /// How one is started.
    pub(super) launch: Launch,
    /// What happens here.
    pub(super) events: mpsc::Sender<Event>,
    /// The run ends.
    pub(super) draining: CancellationToken,
    /// The learner is gone.
    pub(super) stop: CancellationToken,
    /// Nobody is wanted here any more.
    pub(super) leave: CancellationToken,
    /// In a row.
    pub(super) deaths: u32,
}

impl Place {
    /// Keeps an actor here until the run ends, it is not wanted or there is no use; gives the place's
    /// number back.
    pub(super) async fn keep(mut self, process: Process) -> usize {
        self.fill(process).await;
        self.number
    }

    async fn fill(&mut self, mut process: Process) {
        loop {
            let started = Instant::now();
            let status = tokio::select! {
                biased;
                () = self.stop.cancelled() => return self.see_off(process).await,
                () = self.leave.cancelled() => return self.send_away(process).await,
                status = process.ended() => status,
            };
            let (ending, code) = match status {
                Ok(status) => (ending(status), status.code()),
                Err(error) => (format!("cannot be waited for: {error}"), None),
            };
            let Some(pause) = self.pause(&process, ending, code, started.elapsed()).await else {
                return;
            };
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                () = self.draining.cancelled() => return,
                () = self.leave.cancelled() => return,
                () = sleep(pause) => {}
            }
            match self.launch.start() {
                Ok(next) => process = next,
                Err(error) => {
                    let ending = format!("cannot be started: {error}");
                    return self.give_up(ending).await;
                }
            }
        }
    }

    /// How long to wait before the next start; `None`: there is none.
    async fn pause(
        &mut self,
        process: &Process,
        ending: String,
        code: Option<i32>,
        lived: Duration,
    ) -> Option<Duration> {
        let actor = self.name.clone();
        if code == Some(0) {
            tokio::select! {
                () = self.draining.cancelled() => {}
                () = self.stop.cancelled() => {}
                () = sleep(END_OF_RUN) => {}
            }
        }
        if self.draining.is_cancelled() || self.stop.is_cancelled() {
            return None;
        }
        // The arguments are ours: a usage error is a bug of this program.
        let refusals = [(USAGE, BUG), (CONFIGURATION, CONFIGURATION)];
        let refusal = refusals.into_iter().find(|(theirs, _)| code == Some(i32::from(*theirs)));
        if let Some((_, exit_code)) = refusal {
            let words = process.last_words();
            self.tell(Event::Refused { actor, words, exit_code }).await;
            return None;
        }
        self.deaths = if lived < WELL { self.deaths + 1 } else { 1 };
        if self.deaths == MOST_DEATHS {
            let ending = format!("{ending}; {}", process.last_words());
            self.give_up(ending).await;
            return None;
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << (self.deaths - 1)).min(LONGEST_PAUSE);
        self.tell(Event::Restarting { actor, ending, pause }).await;
        Some(pause)
    }

    async fn see_off(&self, mut process: Process) {
        let in_order = self.draining.is_cancelled();
        let patience = if in_order { END_OF_RUN } else { Duration::ZERO };
        process.end(patience).await;
    }

    /// Asks an actor to leave: it sends what it has finished, and waits for the acks.
    async fn send_away(&self, mut process: Process) {
        process.terminate();
        tokio::select! {
            biased;
            () = self.stop.cancelled() => process.end(END_OF_RUN).await,
            left = timeout(DRAIN, process.ended()) => if left.is_err() { process.kill().await },
        }
        self.tell(Event::Left { actor: self.name.clone() }).await;
    }

    async fn give_up(&self, ending: String) {
        let (number, actor) = (self.number, self.name.clone());
        self.tell(Event::GivenUp { number, actor, ending, left: 0 }).await;
    }

    async fn tell(&self, event: Event) {
        // Fails only when nobody listens any more.
        let _ = self.events.send(event).await;
    }
}
