//! Actors and the learner of a durable run are killed (SIGKILL) at random moments; at the end every
//! call of the reward is looked for in the ledger.

mod calls;
mod crew;
mod ledger;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::thread::{self, sleep};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde_json::Value;
use tributary_common::random::{Purpose, Stream};
use tributary_proto::v1::StatusReply;

use crate::machine::Machine;
use calls::{Calls, Death};
use crew::Crew;

/// Options of `soak kill`.
#[derive(Args)]
pub(crate) struct Options {
    /// Processes that are killed
    #[arg(long, default_value_t = 200)]
    kills: u64,
    /// Actors
    #[arg(long, default_value_t = 4)]
    actors: usize,
    /// Trajectories between two kills, on average
    #[arg(long, default_value_t = 250)]
    apart: u64,
    /// Milliseconds that measuring an object takes
    #[arg(long, default_value_t = 15)]
    delay: u64,
    /// Runs that nobody disturbs, with other seeds, for comparison
    #[arg(long, default_value_t = 3)]
    calm: u64,
    /// Of the run and of the moments
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What the kills hit.
#[derive(Default)]
struct Hits {
    deaths: Vec<Death>,
    learner_running: u64,
    learner_starting: u64,
    /// With an actor at once.
    both: u64,
}

impl Hits {
    fn count(&self) -> u64 {
        self.deaths.len() as u64 + self.learner_running + self.learner_starting
    }
}

/// The most that the learner has said of itself, which it may never go back behind.
#[derive(Default)]
struct Said {
    accepted: u64,
    incarnation: u32,
    looks: u64,
}

impl Said {
    fn look(&mut self, status: &StatusReply) -> Result<()> {
        let books = status.books.as_ref().context("a status without books")?;
        let rejected: u64 = books.rejected.values().sum();
        ensure!(
            books.received == books.accepted + books.duplicate + rejected + books.pending,
            "the books do not balance: {books:?}"
        );
        let kept = books.resident + books.evicted + books.merged + books.lost_in_restart;
        ensure!(books.accepted == kept + books.waiting, "the books do not balance: {books:?}");
        ensure!(books.lost_in_restart == 0, "a durable run has lost something: {books:?}");
        ensure!(
            books.accepted >= self.accepted,
            "{} were accepted, and now {books:?} (incarnation {})",
            self.accepted,
            status.incarnation
        );
        ensure!(status.incarnation >= self.incarnation, "an older learner answers");
        self.accepted = books.accepted;
        self.incarnation = status.incarnation;
        self.looks += 1;
        Ok(())
    }
}

pub(super) fn run(options: &Options) -> Result<()> {
    let Options { kills, actors, apart, delay, seed, .. } = *options;
    println!(
        "{kills} kills among {actors} actors and their learner, seed {seed}; {}",
        Machine::this()
    );
    let start = Instant::now();
    let generated = kills * apart * 10 / 9;
    let mut crew = Crew::start(actors, seed, generated, Some(delay))?;
    let (mut hits, mut said) = (Hits::default(), Said::default());
    let mut moments = Stream::new(seed, Purpose::Walk, 0, 0);
    let mut learners = vec![crew.learner.id()];
    while hits.count() < kills {
        let next = (hits.count() + 1) * apart;
        crew.until("trajectories", |status| {
            said.look(status)?;
            Ok(said.accepted >= next)
        })?;
        pause(&mut moments, 100);
        let actor = moments.below(actors);
        if moments.below(5) > 0 {
            if moments.below(3) == 0 {
                behind_a_call(&crew, actor)?;
            }
            hits.deaths.push(crew.kill_actor(actor)?);
            pause(&mut moments, 300);
            crew.restart_actor(actor)?;
            continue;
        }
        let both = moments.below(4) == 0;
        if both {
            hits.deaths.push(crew.kill_actor(actor)?);
            hits.both += 1;
        }
        crew.kill_learner()?;
        hits.learner_running += 1;
        still_there(&crew, &said)?;
        if both {
            crew.restart_actor(actor)?;
        }
        crew.restart_learner()?;
        learners.push(crew.learner.id());
        while moments.below(3) == 0 {
            pause(&mut moments, 1_500);
            crew.kill_learner()?;
            hits.learner_starting += 1;
            still_there(&crew, &said)?;
            crew.restart_learner()?;
            learners.push(crew.learner.id());
        }
        crew.running(|status| said.look(status))?;
    }
    let summary = crew.finish()?;
    println!(
        "{} kills in {:.0} s: {} actors, {} learners at work and {} that were starting, {} of these \
         with an actor at once",
        hits.count(),
        start.elapsed().as_secs_f64(),
        hits.deaths.len(),
        hits.learner_running,
        hits.learner_starting,
        hits.both,
    );
    audit(&crew, &hits, &said, &learners, &summary, generated)?;
    compare(&crew, options, generated)
}

/// Holds the ledger against the calls of the reward, and against what the learner said.
fn audit(
    crew: &Crew,
    hits: &Hits,
    said: &Said,
    learners: &[u32],
    summary: &Value,
    generated: u64,
) -> Result<()> {
    let calls = Calls::read(&crew.calls())?;
    let mut doing = BTreeMap::new();
    for death in &hits.deaths {
        *doing.entry(calls.doing(death)).or_insert(0) += 1;
    }
    println!("what the actors did: {doing:?}");
    let caller = learners.iter().find(|&&who| calls.has(who));
    ensure!(caller.is_none(), "the learner {caller:?} has called the reward");
    let found = ledger::read(&crew.run())?;
    let audit = calls.audit(&hits.deaths, &found.evaluations)?;
    println!(
        "{} objects in {} calls of the reward = {} evaluations in the ledger + {} that died in the \
         middle + {} measured, but on no disk when the actor died (at most {:.1} ms before); lost or \
         measured again {}, counted twice {}",
        audit.objects,
        audit.calls,
        audit.kept,
        audit.died_in_the_middle,
        audit.died_unsaved,
        audit.longest_unsaved as f64 / 1e3,
        audit.lost,
        audit.counted_twice,
    );
    let [received, accepted, duplicate, rejected] = found.books;
    println!(
        "books, balanced {} times: received {received} = accepted {accepted} + duplicate {duplicate} + \
         rejected {rejected}; PRAGMA integrity_check ok {} times",
        said.looks,
        learners.len(),
    );
    ensure!(received == accepted + duplicate + rejected, "the books do not balance");
    ensure!(
        accepted == found.accepted && accepted == generated,
        "{accepted} accepted, {} in the ledger, {generated} wanted",
        found.accepted
    );
    ensure!(
        summary["books"]["accepted"].as_u64() == Some(accepted)
            && summary["books"]["lost_in_restart"].as_u64() == Some(0),
        "the summary differs: {summary:#}"
    );
    ensure!(
        found.seen == accepted + rejected && audit.kept == found.seen,
        "{} evaluations of {} records",
        audit.kept,
        found.seen
    );
    ensure!(audit.lost == 0, "{} measured values are lost, or were measured twice", audit.lost);
    ensure!(audit.counted_twice == 0, "{} values are counted twice", audit.counted_twice);
    Ok(())
}

/// Compares the policy with those of runs that nobody disturbed.
fn compare(crew: &Crew, options: &Options, generated: u64) -> Result<()> {
    let disturbed = crew.total_variation()?;
    let Options { actors, seed, delay, .. } = *options;
    let calm = |number: u64| {
        let mut crew = Crew::start(actors, seed + 1_000 * number, generated, Some(delay))?;
        crew.finish()?;
        crew.total_variation()
    };
    // All at once: they sleep most of the time.
    let calm = thread::scope(|scope| {
        let runs: Vec<_> =
            (1..=options.calm).map(|number| scope.spawn(move || calm(number))).collect();
        let end = |run: thread::ScopedJoinHandle<'_, Result<f64>>| {
            run.join().unwrap_or_else(|_| bail!("a run for comparison ended in a panic"))
        };
        runs.into_iter().map(end).collect::<Result<Vec<f64>>>()
    });
    let mut calm = calm?;
    calm.sort_by(f64::total_cmp);
    println!("total variation {disturbed:.4}, undisturbed {calm:.4?}");
    let (Some(&best), Some(&worst)) = (calm.first(), calm.last()) else { return Ok(()) };
    // A band that so few runs show may be twice as wide.
    let margin = (worst - best).max(0.1 * worst);
    ensure!(disturbed <= worst + margin, "the kills have changed what was learned");
    Ok(())
}

/// The killed learner's ledger is whole and has what was acked.
fn still_there(crew: &Crew, said: &Said) -> Result<()> {
    let found = ledger::read(&crew.run())?;
    ensure!(
        found.accepted >= said.accepted,
        "{} were accepted, the ledger has {}",
        said.accepted,
        found.accepted
    );
    Ok(())
}

/// Waits until an actor's reward has said something, so that it is on its way.
fn behind_a_call(crew: &Crew, actor: usize) -> Result<()> {
    let (who, start) = (format!("{} ", crew.actors[actor].id()), Instant::now());
    let mut file = File::open(crew.calls())?;
    file.seek(SeekFrom::End(0))?;
    while start.elapsed().as_secs() < 2 {
        let mut new = String::new();
        file.read_to_string(&mut new)?;
        if new.lines().any(|line| line.starts_with(&who) && line.ends_with("ended")) {
            break;
        }
        sleep(Duration::from_micros(100));
    }
    Ok(())
}

fn pause(moments: &mut Stream, milliseconds: usize) {
    sleep(Duration::from_millis(moments.below(milliseconds) as u64));
}

/// Microseconds since 1970.
fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}
