//! The actors' processes: an actor that dies is started again, with growing pauses; more and fewer can
//! be asked for.

mod place;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::plan::Plan;
use super::process::Launch;
use crate::error::CommandError;
use place::Place;

/// Deaths in a row after which a place stays empty.
const MOST_DEATHS: u32 = 10;

/// All actors of a run on this machine.
pub(super) struct Crew<'a> {
    plan: &'a Plan,
    /// The learner's.
    address: String,
    events: mpsc::Receiver<Event>,
    sender: mpsc::Sender<Event>,
    /// Those that are wanted, by number: cancelled, they leave.
    wanted: BTreeMap<usize, CancellationToken>,
    /// Numbers of those that are there; some may be leaving.
    taken: BTreeSet<usize>,
    places: JoinSet<usize>,
    /// The run ends: who leaves is not replaced.
    draining: CancellationToken,
    /// The learner is gone: who is still there must leave.
    stop: CancellationToken,
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
        /// Its place.
        number: usize,
        /// Its name.
        actor: String,
        /// How it ended at last, with its last words.
        ending: String,
        /// Actors that are still kept.
        left: usize,
    },
    /// It was not wanted any more, and left in good order.
    Left {
        /// Its name.
        actor: String,
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
            Self::Left { actor } => write!(f, "{actor} has left"),
            Self::Refused { actor, .. } => write!(f, "{actor} cannot take part"),
        }
    }
}

impl<'a> Crew<'a> {
    /// Starts so many actors for the learner at this address.
    pub(super) fn start(
        plan: &'a Plan,
        address: &str,
        actors: usize,
    ) -> Result<Self, CommandError> {
        let (sender, events) = mpsc::channel(64);
        let mut crew = Self {
            plan,
            address: address.to_owned(),
            events,
            sender,
            wanted: BTreeMap::new(),
            taken: BTreeSet::new(),
            places: JoinSet::new(),
            draining: CancellationToken::new(),
            stop: CancellationToken::new(),
        };
        crew.want(actors)?;
        Ok(crew)
    }

    /// Starts actors, or asks those with the highest numbers to leave, until so many are wanted.
    ///
    /// # Errors
    /// A process cannot be started; those that were started stay.
    pub(super) fn want(&mut self, actors: usize) -> Result<(), CommandError> {
        while let Some(left) = self.places.try_join_next() {
            // A place that panicked keeps its number.
            self.taken.remove(&left.unwrap_or_default());
        }
        while self.wanted.len() > actors
            && let Some((_, leave)) = self.wanted.pop_last()
        {
            leave.cancel();
        }
        while self.wanted.len() < actors {
            self.add()?;
        }
        Ok(())
    }

    /// One more, with the lowest number that nobody has: who is leaving keeps its own, and its log.
    fn add(&mut self) -> Result<(), CommandError> {
        let number = (1..).find(|number| !self.taken.contains(number)).unwrap_or_default();
        let name = format!("actor-{number}");
        let command = self.plan.actor(&name, &self.address);
        let log = self.plan.log(&name);
        let launch = Launch { program: self.plan.program.clone(), command, log };
        let process = launch.start().map_err(CommandError::system("start an actor"))?;
        let leave = CancellationToken::new();
        let place = Place {
            number,
            name,
            launch,
            events: self.sender.clone(),
            draining: self.draining.clone(),
            stop: self.stop.clone(),
            leave: leave.clone(),
            deaths: 0,
        };
        self.places.spawn(place.keep(process));
        self.taken.insert(number);
        self.wanted.insert(number, leave);
        Ok(())
    }

    /// Actors that are kept.
    pub(super) fn count(&self) -> usize {
        self.wanted.len()
    }

    /// What happens next.
    pub(super) async fn next(&mut self) -> Option<Event> {
        let mut event = self.events.recv().await?;
        if let Event::GivenUp { number, left, .. } = &mut event {
            self.wanted.remove(number);
            *left = self.wanted.len();
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
