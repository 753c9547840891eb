//! The one command that people type: each of its commands is a file here.
//!
//! `train` starts the other program, `tributary-learner`, and actors (this program again, as
//! `tributary actor`) as child processes. A crate with environments and rewards of its own calls
//! [`main`] with its registry and gets the same command.

#![forbid(unsafe_code)]

mod actor;
mod certs;
mod check;
mod child;
mod cli;
mod control;
mod credentials;
mod dashboard;
mod display;
mod error;
mod evaluate;
mod guard;
mod keys;
mod kubernetes;
mod ledger;
mod log;
mod metrics;
mod output;
mod quarantine;
mod report;
mod run_directory;
mod run_file;
mod sample;
mod scale;
mod slurm;
mod snapshot;
mod status;
mod top;
mod train;
mod watch;

use std::process::ExitCode;

use tributary_common::registry::Registry;

/// Reads the command line, does what it says with the environments and rewards of this registry,
/// and gives the exit code: 0 done, 64 usage, 70 a bug, 75 try again, 78 configuration, 130
/// interrupted.
pub fn main(registry: Registry) -> ExitCode {
    let command = match cli::parse(std::env::args_os()) {
        Ok(command) => command,
        Err(code) => return code,
    };
    match command.run(registry) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(),
    }
}
