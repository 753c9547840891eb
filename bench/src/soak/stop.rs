//! The learner is stopped under full load and goes on.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;
use nix::sys::signal::Signal;

use super::books;
use super::control::{Streaming, epochs};
use super::crowd::{Crowd, Task};
use super::memory::Sampler;
use crate::machine::Machine;
use crate::usage::mib;

/// Longer stops are found by the keep-alive, which cuts the links.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// What the learner says of a Hello that its actor had given up.
const OVERTAKEN: &str = "a later one of the same program has been heard";
/// An actor takes no more than so much on top while it has no learner.
const MOST_GROWTH: u64 = 32 << 20;

/// Options of `soak stop`.
#[derive(Args)]
pub(crate) struct Options {
    /// Seconds of each stop; a run of its own for each
    #[arg(long, value_delimiter = ',', default_value = "20,60")]
    seconds: Vec<u64>,
    /// Actors
    #[arg(long, default_value_t = 8)]
    actors: usize,
    /// Seed of the run
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(super) fn run(options: &Options) -> Result<()> {
    println!("learner stopped under full load; {}", Machine::this());
    for &seconds in &options.seconds {
        stop(Duration::from_secs(seconds), options.actors, options.seed)?;
    }
    Ok(())
}

fn stop(time: Duration, actors: usize, seed: u64) -> Result<()> {
    let crowd = Crowd::start(&Task::USUAL, actors, seed)?;
    sleep(Duration::from_secs(5));
    let ids = crowd.actors.iter().chain([&crowd.learner]).map(|process| process.id());
    let sampler = Sampler::start(ids.collect());
    let before = crowd.control.status()?;
    let links = epochs(&before)?;
    ensure!(links.len() == actors, "{} of {actors} actors are at work", links.len());

    crowd.learner.signal(Signal::SIGSTOP)?;
    sleep(time);
    crowd.learner.signal(Signal::SIGCONT)?;
    let start = Instant::now();
    let generated =
        |status: &tributary_proto::v1::StatusReply| status.counters.unwrap_or_default().generated;
    // Anything that it took before it was stopped is in `before`.
    let mut first: Option<u64> = None;
    crowd.control.until("the learner to go on", Duration::from_secs(30), |status| {
        let now = generated(status);
        now > *first.get_or_insert(now.max(generated(&before)))
    })?;
    let on = start.elapsed();
    let mut streaming = Streaming::default();
    let is_it = |status: &_| streaming.all(status, actors);
    let (after, _) = crowd.control.until("all actors to send", Duration::from_secs(60), is_it)?;
    let all = start.elapsed();
    let same = epochs(&after)?.iter().filter(|(id, epoch)| links.get(id) == Some(epoch)).count();
    sleep(Duration::from_secs(5));

    let memory = sampler.end()?;
    let bound = crowd.bare + crowd.stated_bound()?;
    let learner = memory[&crowd.learner.id()];
    let of_actors = crowd.actors.iter().map(|actor| memory[&actor.id()]);
    let most = of_actors.clone().map(|seen| seen.most).max().unwrap_or(0);
    let growth = of_actors.map(|seen| seen.most - seen.first).max().unwrap_or(0);
    let late = crowd.learner.words().matches(OVERTAKEN).count();
    let (summary, acked, unacked) = crowd.finish()?;
    println!(
        "stopped {} s, {actors} actors: on after {:.2} s, all streaming after {:.2} s, {same} of \
         {actors} links the same, {late} hellos were heard too late and dropped",
        time.as_secs(),
        on.as_secs_f64(),
        all.as_secs_f64(),
    );
    println!(
        "  learner at most {:.0} MiB resident ({:.0} before the stop, bound {:.0} MiB), actors at \
         most {:.1} MiB, of which {:.1} MiB are growth ({} samples)",
        mib(learner.most),
        mib(learner.first),
        mib(bound),
        mib(most),
        mib(growth),
        learner.samples,
    );
    println!("  {}", books::check(&summary, acked, unacked)?);
    ensure!(learner.most <= bound, "the learner took more memory than it stated");
    ensure!(growth <= MOST_GROWTH, "an actor grew by {:.1} MiB", mib(growth));
    if time < KEEP_ALIVE {
        ensure!(same == actors, "{} links were cut", actors - same);
        ensure!(on <= Duration::from_secs(1), "it took longer than a second to go on");
    }
    ensure!(all <= Duration::from_secs(10), "it took longer than 10 s until all streamed");
    Ok(())
}
