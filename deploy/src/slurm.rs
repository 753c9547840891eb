//! `tributary slurm`: a run on a cluster with Slurm.
//!
//! Two kinds of jobs: one of the learner, whose batch script runs [`learner`], and arrays of actors, whose tasks
//! run [`actor`]. They meet in the run directory, which all machines see. What the jobs should be is written
//! there ([`folder`]); the learner's job compares it with what there is and submits or cancels the difference
//! ([`crew`]), again and again, so that nothing depends on who was told what when.

mod actor;
mod crew;
mod folder;
mod launch;
mod learner;
mod place;
mod resume;
mod scale;
mod scheduler;
mod script;
mod signals;
mod status;
mod stop;
mod supervise;
mod targets;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use tributary_common::registry::Registry;

use crate::control;
use crate::error::CommandError;
use folder::Folder;

const EXAMPLES: &str = "\
Examples:
  tributary slurm launch run.toml --learner \"--gres=gpu:1 -c 8 -t 2-0\" --actors 64 --actor \"-c 1 -p spot -t 12:00:00\"
  tributary slurm status                        jobs, actors and figures of the run launched last
  tributary slurm scale --actors 200
  tributary slurm stop
  tributary slurm resume                        goes on with it

RUN_DIR must be in a file system that all machines of the cluster see.";

/// Trains on a cluster with Slurm: launch, scale, status, stop, resume
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Launch(launch::Options),
    Scale(scale::Options),
    Status(status::Options),
    Stop(stop::Options),
    Resume(resume::Options),
    Learner(learner::Options),
    Actor(actor::Options),
}

/// Does what the command says.
pub(crate) fn run(options: Options, registry: Registry) -> Result<(), CommandError> {
    match options.command {
        Command::Launch(options) => launch::run(options, &registry),
        Command::Scale(options) => control::block_on(scale::run(&options)),
        Command::Status(options) => control::block_on(status::run(&options)),
        Command::Stop(options) => control::block_on(stop::run(&options)),
        Command::Resume(options) => control::block_on(resume::run(&options)),
        Command::Learner(options) => control::block_on(learner::run(&options)),
        Command::Actor(options) => actor::run(&options, registry),
    }
}

/// Which run.
#[derive(Args)]
struct RunOptions {
    /// The run directory [default: the one in ./runs that was launched last]
    #[arg(value_name = "RUN_DIR")]
    run: Option<PathBuf>,
}

impl RunOptions {
    fn folder(&self) -> Result<Folder, CommandError> {
        match &self.run {
            Some(run) => Folder::open(run),
            None => Folder::newest(),
        }
    }
}
