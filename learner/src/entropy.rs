//! Random bytes of the operating system: ids and secrets, never numbers of an experiment.

use std::fs::File;
use std::io::{self, Read};

use tributary_common::ids::RunId;
use tributary_common::session::Secret;
use tributary_common::token::Token;

/// A new run's id.
pub(crate) fn run_id() -> io::Result<RunId> {
    bytes().map(RunId)
}

/// A new actor's secret.
pub(crate) fn secret() -> io::Result<Secret> {
    bytes().map(Secret)
}

/// A new control token.
pub(crate) fn token() -> io::Result<Token> {
    bytes().map(Token::of_bytes)
}

/// A byte for jitter; always the same where the system has no random numbers.
pub(crate) fn byte() -> u8 {
    bytes::<1>().map_or(0, |[byte]| byte)
}

fn bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}
