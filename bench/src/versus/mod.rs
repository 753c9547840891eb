//! The product beside what a user would take instead, on the same work, machine and cores, in one run; and
//! beside the time of the network's multiply-adds.

mod bars;
mod case;
mod memory;
mod ours;
mod page;
mod peer;
mod roofline;
mod rows;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};

use self::case::{CASES, Case, Program};
use self::rows::Group;
use crate::kept::Kept;
use crate::machine::Machine;
use crate::report::Outputs;

/// Options of `peers`.
#[derive(Args, Serialize)]
pub(crate) struct Options {
    /// Measurements of each program in each case; the medians are printed
    #[arg(long, default_value_t = 5)]
    repeats: u64,
    /// Seed of the first measurement, counted up with each repeat
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only the case of this name, or those whose name contains it
    #[arg(long, default_value = "")]
    only: String,
    /// Only this batch
    #[arg(long)]
    batch: Option<u64>,
    /// Only these: tributary, lockstep, gfnx, torchgfn
    #[arg(long, value_delimiter = ',')]
    programs: Vec<String>,
    /// Updates of each run, in place of the case's own
    #[arg(long)]
    updates: Option<u64>,
    /// Seconds of training after which a peer's speed is taken, done or not; its trajectories may be short then
    #[arg(long, default_value_t = 90)]
    seconds: u64,
    /// Seconds of training after which a peer gives up reaching a distance
    #[arg(long, default_value_t = 900)]
    patience: u64,
    /// Where the measured table is
    #[arg(long, default_value = "examples")]
    #[serde(skip)]
    examples: PathBuf,
    /// Where the peers' set-up and runners are
    #[arg(long, default_value = "bench/peers")]
    #[serde(skip)]
    peers: PathBuf,
    /// Keep what was measured here, and measure nothing again that is kept: for a run that may be interrupted
    #[arg(long)]
    #[serde(skip)]
    keep: Option<PathBuf>,
    #[command(flatten)]
    #[serde(skip)]
    outputs: Outputs,
}

/// One run of a program, as it measured itself.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Measured {
    version: String,
    updates: u64,
    /// Of training.
    seconds: f64,
    /// Transitions of a trajectory, the exit included.
    mean_length: f64,
    /// Resident bytes of all its processes.
    peak_memory: u64,
    /// Mean updates between the weights that drew a trajectory and its use; peers have none.
    lag: Option<f64>,
    looks: Vec<Look>,
}

/// Where a run stood.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct Look {
    updates: u64,
    seconds: f64,
    /// Exact, of the averaged weights.
    total_variation: f64,
}

#[derive(Clone, Deserialize, Serialize)]
struct Row {
    case: String,
    batch: u64,
    program: String,
    seed: u64,
    /// Of one core in matrix products, just before.
    gigaflops: f64,
    #[serde(flatten)]
    measured: Measured,
}

/// Measures everything that is wanted and prints it.
pub(crate) fn run(options: &Options) -> Result<()> {
    let cases: Vec<&Case> = CASES.iter().filter(|case| options.wants(case)).collect();
    ensure!(!cases.is_empty(), "no case's name contains \"{}\"", options.only);
    let programs = options.programs()?;
    let machine = Machine::this();
    peer::prepare(&options.peers, &programs)?;
    let settings = format!(
        "{} {:?} {} {}",
        machine.commit, options.updates, options.seconds, options.patience
    );
    let kept = Kept::<Row>::read(options.keep.as_deref(), &settings)?;
    let mut rows = Vec::new();
    for seed in options.seed..options.seed + options.repeats {
        // Each repeat visits every case and every program, so that a slow moment of the machine is shared.
        for case in &cases {
            for &program in programs.iter().filter(|program| case.suits(**program)) {
                if kept.find(|row| case.gave_up(program, row)).is_some_and(|row| row.seed < seed) {
                    continue;
                }
                let is_it = |row: &Row| case.made(program, row) && row.seed == seed;
                let row = kept.or_measured(is_it, || case.measure(options, program, seed));
                rows.push(row.with_context(|| format!("{}, {}", case.name, program.name()))?);
            }
        }
    }
    let mut groups = Vec::new();
    for case in &cases {
        for &program in &programs {
            let of: Vec<&Row> = rows.iter().filter(|row| case.made(program, row)).collect();
            groups.extend(Group::new(case, program, &of));
        }
    }
    options.outputs.json(&machine, options, &rows)?;
    options.outputs.section("peers", &page::text(options, &machine, &groups)?)
}

impl Options {
    fn wants(&self, case: &Case) -> bool {
        let is_name = CASES.iter().any(|case| case.name == self.only);
        let is_wanted =
            if is_name { case.name == self.only } else { case.name.contains(&self.only) };
        is_wanted && self.batch.is_none_or(|batch| batch == case.batch)
    }

    fn programs(&self) -> Result<Vec<Program>> {
        let short = |program: Program| program.name().rsplit(", ").next().unwrap_or_default();
        for name in &self.programs {
            let is_known = Program::ALL.iter().any(|program| short(*program) == name);
            ensure!(is_known, "there is no program \"{name}\"");
        }
        let is_wanted = |program: &Program| {
            self.programs.is_empty() || self.programs.iter().any(|name| name == short(*program))
        };
        Ok(Program::ALL.into_iter().filter(is_wanted).collect())
    }
}

impl Case {
    /// Whether this row is of this case and program.
    fn made(&self, program: Program, row: &Row) -> bool {
        row.case == self.name && row.batch == self.batch && row.program == program.name()
    }

    /// Whether it says that a peer's patience ended before it reached the distance: then it does not try again.
    fn gave_up(&self, program: Program, row: &Row) -> bool {
        let Some(quality) = &self.quality else { return false };
        program.is_peer() && self.made(program, row) && row.reached(quality).is_none()
    }

    fn measure(&self, options: &Options, program: Program, seed: u64) -> Result<Row> {
        let gigaflops = roofline::gigaflops()?;
        let measured = if program.is_peer() {
            peer::measure(options, self, program, seed)?
        } else {
            ours::measure(options, self, program, seed)?
        };
        eprintln!(
            "{}, batch {}, {}, seed {seed}: {} updates in {:.1} s, mean length {:.1}",
            self.name,
            self.batch,
            program.name(),
            measured.updates,
            measured.seconds,
            measured.mean_length,
        );
        Ok(Row {
            case: self.name.to_owned(),
            batch: self.batch,
            program: program.name().to_owned(),
            seed,
            gigaflops,
            measured,
        })
    }
}
