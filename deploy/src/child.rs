//! `tributary child` (not for people): becomes another program that ends when its parent does.
//!
//! `train` starts its learner and actors through this, so that nothing is left behind even when
//! `train` itself is killed: the kernel then sends them SIGTERM, and they end in good order.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process;

use clap::Args;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getppid};

use crate::error::CommandError;

/// Becomes another program that ends when its parent does
#[derive(Args)]
#[command(hide = true)]
pub(crate) struct Options {
    /// The process that this one may not survive
    parent: i32,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

/// The arguments that run `command` for as long as this process lives.
pub(crate) fn arguments(command: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let parent = process::id().to_string();
    ["child".into(), parent.into(), "--".into()].into_iter().chain(command).collect()
}

/// Becomes the program; returns only when that fails.
pub(crate) fn run(options: &Options) -> Result<(), CommandError> {
    prctl::set_pdeathsig(Signal::SIGTERM)
        .map_err(|error| CommandError::system("follow the parent process")(error.into()))?;
    // The parent may have ended before the kernel knew.
    if getppid() != Pid::from_raw(options.parent) {
        return Err(CommandError::Interrupted);
    }
    let Some((program, arguments)) = options.command.split_first() else { return Ok(()) };
    let error = process::Command::new(program).args(arguments).exec();
    Err(CommandError::system(format!("start {}", program.display()))(error))
}
