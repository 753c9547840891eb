//! Random bytes of the operating system: ids and secrets, never numbers of an experiment.

use std::fs::File;
use std::io::{self, Read};

use tributary_common::ids::RunId;
use tributary_common::session::Secret;

/// A new run's id.
pub(crate) fn run_id() -> io::Result<RunId> {
    bytes().map(RunId)
}

/// A new actor's secret.
pub(crate) fn secret() -> io::Result<Secret> {
    bytes().map(Secret)
}

fn bytes() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}
