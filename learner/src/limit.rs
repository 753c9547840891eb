//! What limits a run: rewards, rollouts, the learner, or the network between them; and how many
//! actors would do.
//!
//! A rule over what was counted at the beginning and the end of some seconds. The trainer comes first:
//! if it hardly waits, nothing that actors do makes the run faster. If it waits, actors either have
//! trajectories ready that do not come through, or wait for rewards, or draw all the time.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

use tributary_common::ids::ActorId;

use crate::edges::Edge;
use crate::view::View;

/// What is looked back at.
const WINDOW: Duration = Duration::from_secs(30);
/// Nothing is said of less: actors report once a second.
const LEAST: Duration = Duration::from_secs(5);
/// The share of its time that a trainer waits which is busy.
const HARDLY: f64 = 0.15;
/// Nobody is sent for more than so many times the actors that are there.
const MOST_TIMES: f64 = 100.0;

/// What a run waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bound {
    /// Objects are measured too slowly.
    Rewards,
    /// Trajectories are drawn too slowly.
    Rollouts,
    /// The trainer, or what it takes in, is as fast as it is.
    Learner,
    /// What actors have ready does not come through.
    Network,
}

impl Bound {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rewards => "rewards",
            Self::Rollouts => "rollouts",
            Self::Learner => "learner",
            Self::Network => "network",
        }
    }
}

/// What limits a run now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    /// What it is.
    pub bound: Bound,
    /// The learner takes trajectories in too slowly: its disk, or ingest; training waits.
    is_intake: bool,
    /// Actors that take part.
    pub actors: u64,
    /// Actors that would keep training busy, and no more.
    pub wanted: u64,
    shares: Shares,
}

/// Shares of the time, and rates per second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Shares {
    /// The trainer waited for data.
    trainer: f64,
    /// Actors had something to send, and neither credit nor a free connection.
    blocked: f64,
    /// Rollout threads waited for the reward.
    rollouts: f64,
    /// Programs and services, or threads, that measured, on average in an actor.
    measuring: f64,
    /// The reward of an actor waited to hear what is its to measure.
    ledger: f64,
    trajectories: f64,
    evaluations: f64,
}

/// What was counted by one moment.
#[derive(Clone, Debug, Default)]
pub struct Moment {
    /// Since some moment before all others.
    pub at: Duration,
    /// Seconds for which the trainer has waited for data, the wait that lasts included.
    pub trainer_waited: f64,
    /// Ingest or the ledger has more to do than it does.
    pub is_intake_behind: bool,
    /// Trajectories accepted.
    pub generated: u64,
    /// Connected actors that have reported.
    pub actors: BTreeMap<ActorId, Work>,
}

/// What an actor has counted; seconds are summed over its threads.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Work {
    /// Waited for credit or room in the spool.
    pub credit: f64,
    /// Waited for the connection.
    pub network: f64,
    /// Rollout threads waited for the reward.
    pub queue: f64,
    /// The reward waited for the learner's answers.
    pub ledger: f64,
    /// Objects measured.
    pub evaluations: u64,
    /// What that took.
    pub evaluation_seconds: f64,
}

impl Work {
    fn since(self, before: Self) -> Self {
        Self {
            credit: self.credit - before.credit,
            network: self.network - before.network,
            queue: self.queue - before.queue,
            ledger: self.ledger - before.ledger,
            evaluations: self.evaluations.saturating_sub(before.evaluations),
            evaluation_seconds: self.evaluation_seconds - before.evaluation_seconds,
        }
    }
}

/// The last moments of a run whose actors have so many rollout threads each.
#[derive(Debug)]
pub struct Watch {
    threads: f64,
    moments: VecDeque<Moment>,
}

impl Watch {
    /// Nothing was seen yet.
    pub fn new(threads: usize) -> Self {
        Self { threads: threads.max(1) as f64, moments: VecDeque::new() }
    }

    /// What limits the run, as of this moment; none while nothing can be said.
    pub fn see(&mut self, moment: Moment) -> Option<Limit> {
        let now = moment.at;
        self.moments.push_back(moment);
        while self.moments.get(1).is_some_and(|second| now.saturating_sub(second.at) >= WINDOW) {
            self.moments.pop_front();
        }
        // Nobody is compared with the time before anybody had come.
        while self.moments.len() > 1 && self.moments.front()?.actors.is_empty() {
            self.moments.pop_front();
        }
        let (first, last) = (self.moments.front()?, self.moments.back()?);
        let seconds = last.at.saturating_sub(first.at);
        if seconds < LEAST {
            return None;
        }
        let (actors, shares) = self.shares(first, last, seconds.as_secs_f64())?;
        let behind = self.moments.iter().filter(|moment| moment.is_intake_behind).count();
        Some(Limit::of(actors, shares, 2 * behind > self.moments.len()))
    }

    fn shares(&self, first: &Moment, last: &Moment, seconds: f64) -> Option<(u64, Shares)> {
        let work = |(actor, now): (&ActorId, &Work)| {
            let before = first.actors.get(actor)?;
            // Another process that goes on as this actor counts from zero.
            let least = |since: &Work| since.credit.min(since.queue).min(since.evaluation_seconds);
            Some(now.since(*before)).filter(|since| least(since) >= 0.0)
        };
        let work: Vec<Work> = last.actors.iter().filter_map(work).collect();
        let count = work.len() as f64;
        let share = |of: fn(&Work) -> f64| work.iter().map(of).sum::<f64>() / (count * seconds);
        let evaluations: u64 = work.iter().map(|work| work.evaluations).sum();
        let shares = Shares {
            trainer: ((last.trainer_waited - first.trainer_waited) / seconds).clamp(0.0, 1.0),
            blocked: share(|work| work.credit + work.network).min(1.0),
            rollouts: (share(|work| work.queue) / self.threads).min(1.0),
            measuring: share(|work| work.evaluation_seconds),
            ledger: share(|work| work.ledger).min(1.0),
            trajectories: (last.generated.saturating_sub(first.generated)) as f64 / seconds,
            evaluations: evaluations as f64 / seconds,
        };
        (!work.is_empty()).then_some((work.len() as u64, shares))
    }
}

impl Limit {
    fn of(actors: u64, shares: Shares, is_intake_behind: bool) -> Self {
        let Shares { trainer, blocked, rollouts, measuring, ledger, .. } = shares;
        let count = actors as f64;
        let is_intake = trainer >= HARDLY && blocked > 0.5 && is_intake_behind;
        // Where each asks before it measures and nobody measures, answers are late.
        let is_unheard = ledger > 0.5 && measuring * count < 0.5;
        let bound = if trainer < HARDLY || is_intake {
            Bound::Learner
        } else if blocked > 0.5 || is_unheard {
            Bound::Network
        } else if rollouts > 0.5 || ledger > 0.5 || rollouts > 0.05 && rollouts + measuring > 1.0 {
            Bound::Rewards
        } else {
            Bound::Rollouts
        };
        let wanted = match bound {
            Bound::Rewards | Bound::Rollouts => count * (1.0 / (1.0 - trainer)).min(MOST_TIMES),
            Bound::Learner if !is_intake => count * (1.0 - blocked),
            Bound::Learner | Bound::Network => count,
        };
        // A sum of shares is a little more or less than it should be.
        let wanted = ((wanted - 1e-6).ceil() as u64).max(1);
        Self { bound, is_intake, actors, wanted, shares }
    }
}

/// One line: what limits the run, with the numbers, and what would help.
impl fmt::Display for Limit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bound, actors, wanted, shares, .. } = self;
        let per_cent = |share: f64| format!("{:.0} %", 100.0 * share);
        let rate =
            |rate: f64| if rate < 10.0 { format!("{rate:.1}") } else { format!("{rate:.0}") };
        let trainer = per_cent(shares.trainer);
        let (blocked, rollouts) = (per_cent(shares.blocked), per_cent(shares.rollouts));
        let more = count(wanted.saturating_sub(*actors).max(1));
        write!(out, "{}: ", bound.name())?;
        match bound {
            Bound::Rewards => {
                let each = shares.measuring * *actors as f64 / shares.evaluations.max(1e-9);
                let each = match shares.evaluations > 0.0 {
                    true => format!(", {each:.2} s for each"),
                    false => String::new(),
                };
                write!(
                    out,
                    "{} objects/s by {}{each}; rollouts wait {rollouts} of the time and training \
                     {trainer}; add about {more}, or workers that measure",
                    rate(shares.evaluations),
                    count(*actors),
                )
            }
            Bound::Rollouts => write!(
                out,
                "{} trajectories/s by {} without much waiting; training waits {trainer} of the time; \
                 add about {more}, or threads to each",
                rate(shares.trajectories),
                count(*actors),
            ),
            Bound::Learner if self.is_intake => write!(
                out,
                "it takes trajectories in too slowly, {} spent {blocked} of the time with something \
                 to send, and training waits {trainer}; a faster disk would help",
                count(*actors),
            ),
            Bound::Learner => {
                write!(
                    out,
                    "training waits {trainer} of the time, {} {blocked} for credit; a faster \
                     device or more learner.threads would help",
                    count(*actors),
                )?;
                match wanted < actors {
                    true => write!(out, ", more actors would not: about {wanted} would do"),
                    false => write!(out, ", more actors would not"),
                }
            }
            Bound::Network => write!(
                out,
                "training waits {trainer} of the time, {} {blocked} for credit or the connection \
                 and {} for answers; a faster way between actors and learner would help, or a \
                 larger learner.credit_budget",
                count(*actors),
                per_cent(shares.ledger),
            ),
        }
    }
}

fn count(actors: u64) -> String {
    if actors == 1 { "1 actor".to_owned() } else { format!("{actors} actors") }
}

impl Moment {
    /// A run now; `trainer` says how long the trainer has been waiting for data.
    pub fn of(view: &View, at: Duration, trainer: Duration, waits: &[(Edge, u64)]) -> Self {
        let behind = [Edge::IngestLedger, Edge::LedgerDisk, Edge::SessionsIngest];
        let waited = view.figures.waited_seconds.get(Edge::TrainerData.name());
        let reports = view.actors.iter().filter(|actor| actor.is_connected());
        let reports = reports.filter(|actor| !actor.report.waited_seconds.is_empty());
        let actors = reports.map(|actor| {
            let report = &actor.report;
            let waited = |edge: &str| report.waited_seconds.get(edge).copied().unwrap_or(0.0);
            let work = Work {
                credit: waited("credit") + waited("spool"),
                network: waited("network"),
                queue: waited("queue"),
                ledger: waited("ledger"),
                evaluations: report.evaluations,
                evaluation_seconds: report.evaluation_seconds,
            };
            (actor.id, work)
        });
        Self {
            at,
            trainer_waited: waited.copied().unwrap_or(0.0) + trainer.as_secs_f64(),
            is_intake_behind: waits.iter().any(|(edge, _)| behind.contains(edge)),
            generated: view.figures.generated,
            actors: actors.collect(),
        }
    }
}

#[cfg(test)]
mod tests;
