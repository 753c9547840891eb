//! Bit sequences of 120 bits in words of 8: the correlation beside gfnx's, and the modes found.

mod compare;
mod modes;
pub(crate) mod task;

use anyhow::Result;
use clap::Subcommand;

/// What to do with bit sequences.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Trains trajectory balance and gfnx's on the same modes and compares the correlations
    Compare(compare::Options),
    /// Draws how many modes are found
    Modes(modes::Options),
    /// Writes the task as JSON: modes, test strings
    Task(task::Options),
}

/// Does it.
pub(crate) fn run(command: &Command) -> Result<()> {
    match command {
        Command::Compare(options) => compare::run(options),
        Command::Modes(options) => modes::run(options),
        Command::Task(options) => task::run(options),
    }
}
