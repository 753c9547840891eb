//! The actors' processes: an actor that dies is started again, with growing pauses.

use std::fmt;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::plan::Plan;
use super::process::{Launch, Process, ending};
use crate::error::{BUG, CONFIGURATION, CommandError, USAGE};

/// The pause before the first new start; doubles with each death in a row.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// An actor that lived so long is well: its next death is the first in a row.
const WELL: Duration = Duration::from_secs(10);
/// Deaths in a row after which a place stays empty.
const MOST_DEATHS: u32 = 10;
/// An actor that ends well does so because the run ends, which is known within this time.
const END_OF_RUN: Duration = Duration::from_secs(2);

/// All actors of a run on this machine.
pub(super) struct Crew {
    events: mpsc::Receiver<Event>,
    places: JoinSet<()>,
    /// The run ends: who leaves is not replaced.
    draining: CancellationToken,
    /// The learner is gone: who is still there must leave.
    stop: CancellationToken,
    left: usize,
}

/// What happened to an actor.
#[derive(Debug)]
pub(super) enum Event {
    /// It ended and will be started again.
    Restarting {
        /// Its name.
        actor: String,
        /// How it ended.
        ending: String,
        /// Until it is started again.
        pause: Duration,
    },
    /// It died too often in a row.
    GivenUp {
        /// Its name.
        actor: String,
        /// How it ended at last, with its last words.
        ending: String,
        /// Actors that are still kept.
        left: usize,
    },
    /// It cannot take part, and no other could.
    Refused {
        /// Its name.
        actor: String,
        /// Its last words.
        words: String,
        /// The exit code that says why.
        exit_code: u8,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Restarting { actor, ending, pause } => {
                let seconds = pause.as_secs_f64();
                write!(f, "{actor} {ending}; it is started again in {seconds} s")
            }
            Self::GivenUp { actor, ending, .. } => {
                write!(f, "{actor} died {MOST_DEATHS} times in a row and is given up: it {ending}")
            }
            Self::Refused { actor, .. } => write!(f, "{actor} cannot take part"),
        }
    }
}

impl Crew {
    /// Starts the plan's actors.
    pub(super) fn start(plan: &Plan, address: &str) -> Result<Self, CommandError> {
        let actors = plan.division.actors;
        let (sender, events) = mpsc::channel(64);
        let (draining, stop) = (CancellationToken::new(), CancellationToken::new());
        let mut places = JoinSet::new();
        for number in 1..=actors {
            let name = format!("actor-{number}");
            let log = plan.log(&name);
            let command = plan.actor(&name, address);
            let launch = Launch { program: plan.program.clone(), command, log };
            let process = launch.start().map_err(CommandError::system("start an actor"))?;
            let (draining, stop) = (draining.clone(), stop.clone());
            let place = Place { name, launch, events: sender.clone(), draining, stop, deaths: 0 };
            places.spawn(place.keep(process));
        }
        Ok(Self { events, places, draining, stop, left: actors })
    }

    /// What happens next; `None` once no place is kept any more.
    pub(super) async fn next(&mut self) -> Option<Event> {
        let mut event = self.events.recv().await?;
        if let Event::GivenUp { left, .. } = &mut event {
            self.left -= 1;
            *left = self.left;
        }
        Some(event)
    }

    /// The run ends: actors that leave are not replaced.
    pub(super) fn drain(&self) {
        self.draining.cancel();
    }

    /// Whether the run was about to end.
    pub(super) fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Waits for the end of all; those that do not leave by themselves, because the learner ended
    /// badly or they hang, are ended.
    pub(super) async fn end(&mut self, learner_ended_well: bool) {
        if learner_ended_well {
            self.draining.cancel();
        }
        self.stop.cancel();
        while self.places.join_next().await.is_some() {}
    }

    /// Ends all at once.
    pub(super) async fn kill(&mut self) {
        self.places.shutdown().await;
    }
}

/// The place of one actor.
struct Place {
    name: String,
    launch: Launch,
    events: mpsc::Sender<Event>,
    draining: CancellationToken,
    stop: CancellationToken,
    /// In a row.
    deaths: u32,
}

impl Place {
    /// Keeps an actor here until the run ends or there is no use.
    async fn keep(mut self, mut process: Process) {
        loop {
            let started = Instant::now();
            let status = tokio::select! {
                biased;
                () = self.stop.cancelled() => return self.see_off(process).await,
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
                () = sleep(pause) => {}
            }
            match self.launch.start() {
                Ok(next) => process = next,
                Err(error) => {
                    let ending = format!("cannot be started: {error}");
                    return self
                        .tell(Event::GivenUp { actor: self.name.clone(), ending, left: 0 })
                        .await;
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
            self.tell(Event::GivenUp { actor, ending, left: 0 }).await;
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

    async fn tell(&self, event: Event) {
        // Fails only when nobody listens any more.
        let _ = self.events.send(event).await;
    }
}
