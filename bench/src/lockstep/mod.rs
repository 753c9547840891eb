//! Lockstep runs, again and again: a whole learner with libtorch and whole actors in one process,
//! over gRPC on loopback. The hash of the last weights must always be the same.

mod learner;
#[cfg(test)]
mod tests;

use anyhow::{Result, ensure};
use clap::Args;

use learner::Run;

/// Who draws: the rollout threads of each actor, and the trajectories of an order.
const CREWS: [(&[usize], usize); 5] =
    [(&[1], 128), (&[1, 1, 1, 1], 128), (&[2, 2], 128), (&[1, 1], 7), (&[3], 16)];

/// A small grid with two exploration settings and a learned P_B.
const GRID: &str = r#"
[run]
name = "lockstep"
seed = 7
lockstep = true
[environment]
kind = "hypergrid"
dimensions = 2
side = 8
[reward]
kind = "original"
[policy]
hidden = [16]
[exploration]
epsilon = [{ start = 0.5, end = 0.0, over = 500 }, 0.05]
[learner]
updates = 60
batch = 16
publish_every = 2
"#;

/// How often
#[derive(Args)]
pub(crate) struct Options {
    /// Runs of each crew of actors
    #[arg(long, default_value_t = 2)]
    reruns: usize,
    /// Lets all actors die whenever so many objects were measured
    #[arg(long)]
    death_every: Option<u64>,
    /// Overrides a key of the run file; may be given again
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    sets: Vec<String>,
}

/// Prints a line for each run; fails if two of them differ.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut first = None;
    let heads = ("threads of the actors", "batch", "deaths", "seconds");
    println!("{:<24}{:>7}{:>8}{:>9}  weights, blake3", heads.0, heads.1, heads.2, heads.3);
    for (actors, batch) in CREWS {
        for _ in 0..options.reruns {
            let mut sets = options.sets.clone();
            sets.push(format!("actor.batch={batch}"));
            let death_every = options.death_every;
            let end = Run { run_file: GRID, sets: &sets, actors, death_every }.train()?;
            let (weights, seconds, deaths) = (end.weights()?, end.seconds(), end.deaths);
            let crew = format!("{actors:?}");
            println!("{crew:<24}{batch:>7}{deaths:>8}{seconds:>9.2}  {weights}");
            let expected = first.get_or_insert_with(|| weights.clone());
            ensure!(*expected == weights, "these weights differ from those of the first run");
        }
    }
    Ok(())
}
