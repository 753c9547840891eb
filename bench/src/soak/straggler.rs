//! One actor that hardly runs, among others that do.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;
use nix::sys::signal::Signal;

use super::crowd::{Crowd, Task};
use super::process::Process;
use crate::machine::Machine;

/// It runs for so long, then is stopped for 99 times as long.
const RUNS: Duration = Duration::from_millis(10);
const RESTS: Duration = Duration::from_millis(990);

/// Options of `soak straggler`.
#[derive(Args)]
pub(crate) struct Options {
    /// Actors at full speed
    #[arg(long, default_value_t = 4)]
    actors: usize,
    /// Seconds without and with the straggler, each
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Turns of both; their order alternates, so that a slow moment of the machine is shared
    #[arg(long, default_value_t = 3)]
    turns: usize,
    /// Seed of the run
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(super) fn run(options: &Options) -> Result<()> {
    let Options { actors, seconds, turns, seed } = *options;
    println!("one straggler among {actors} actors; {}", Machine::this());
    let crowd = Crowd::start(&Task::USUAL, actors, seed)?;
    let straggler = crowd.actor()?;
    let time = Duration::from_secs(seconds);
    let (mut without, mut with) = (0.0, 0.0);
    straggler.signal(Signal::SIGSTOP)?;
    for turn in 0..turns {
        for throttled in [turn % 2 == 0, turn % 2 != 0] {
            let (rate, of_straggler) = measure(&crowd, &straggler, time, throttled)?;
            println!(
                "turn {}, straggler {}: the others {rate:.0}/s, it {of_straggler:.1}/s",
                turn + 1,
                if throttled { "at 1/100" } else { "stopped" },
            );
            *(if throttled { &mut with } else { &mut without }) += rate / turns as f64;
        }
    }
    straggler.signal(Signal::SIGCONT)?;
    let ratio = with / without;
    println!("the others keep {:.1} % of their throughput", 100.0 * ratio);
    ensure!(ratio >= 0.9, "the straggler slows the others");
    Ok(())
}

/// Trajectories accepted a second of the others and of the straggler, over some time.
fn measure(
    crowd: &Crowd,
    straggler: &Process,
    time: Duration,
    throttled: bool,
) -> Result<(f64, f64)> {
    let is_over = AtomicBool::new(false);
    scope(|threads| {
        let throttle = threads.spawn(|| -> Result<()> {
            while throttled && !is_over.load(Relaxed) {
                straggler.signal(Signal::SIGCONT)?;
                sleep(RUNS);
                straggler.signal(Signal::SIGSTOP)?;
                sleep(RESTS);
            }
            Ok(())
        });
        let measured = rates(crowd, straggler, time);
        is_over.store(true, Relaxed);
        match throttle.join() {
            Ok(throttled) => throttled.and(measured),
            Err(_) => anyhow::bail!("the throttle panicked"),
        }
    })
}

fn rates(crowd: &Crowd, straggler: &Process, time: Duration) -> Result<(f64, f64)> {
    let accepted = || -> Result<(u64, u64)> {
        let rows = crowd.control.status()?.actors;
        let of = |it: bool| {
            let chosen = rows.iter().filter(|row| (row.process == straggler.id()) == it);
            chosen.map(|row| row.accepted).sum()
        };
        Ok((of(false), of(true)))
    };
    let (before, start) = (accepted()?, Instant::now());
    sleep(time);
    let (after, seconds) = (accepted()?, start.elapsed().as_secs_f64());
    let rate = |before: u64, after: u64| (after - before) as f64 / seconds;
    Ok((rate(before.0, after.0), rate(before.1, after.1)))
}
