//! Soaks: a learner and its actors as real processes, of which some are stopped, killed or slowed
//! down. Each prints its figures and fails if a promise is not kept.

mod books;
pub(crate) mod control;
pub(crate) mod crowd;
mod flat;
mod kill;
mod memory;
pub(crate) mod process;
mod restart;
mod slow;
pub(crate) mod start;
mod stop;
mod straggler;
mod sync;

use anyhow::Result;
use clap::Subcommand;

/// What is done to the processes.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Stops the learner (SIGSTOP) for some time under full load
    Stop(stop::Options),
    /// Kills actors and the learner of a durable run again and again, and looks for all that was measured
    Kill(kill::Options),
    /// Kills the learner (SIGKILL) and starts it again on the same run directory
    Restart(restart::Options),
    /// Lets many actors feed a trainer that is slower than they are
    Slow(slow::Options),
    /// Adds an actor that runs at a hundredth of the speed of the others
    Straggler(straggler::Options),
    /// Runs at full speed for an hour and looks whether memory grows
    Flat(flat::Options),
    /// Looks at the system calls of a learner: the ledger's sync comes before the ack
    Sync(sync::Options),
}

/// Runs one and prints its figures.
pub(crate) fn run(command: &Command) -> Result<()> {
    match command {
        Command::Stop(options) => stop::run(options),
        Command::Kill(options) => kill::run(options),
        Command::Restart(options) => restart::run(options),
        Command::Slow(options) => slow::run(options),
        Command::Straggler(options) => straggler::run(options),
        Command::Flat(options) => flat::run(options),
        Command::Sync(options) => sync::run(options),
    }
}
