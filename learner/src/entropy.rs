//! Where ids and secrets come from: random bytes, never numbers of an experiment.

use std::fs::File;
use std::io::{self, Read};
use std::sync::{Arc, Mutex};

use tributary_common::ids::RunId;
use tributary_common::random::Stream;
use tributary_common::session::Secret;
use tributary_common::token::Token;

use crate::locks::lock;

/// A source of random bytes.
#[derive(Clone, Debug, Default)]
pub enum Entropy {
    /// The operating system.
    #[default]
    System,
    /// A stream of known numbers, for simulations that must repeat. Whoever knows the seed knows the
    /// secrets.
    Known(Arc<Mutex<Stream>>),
}

impl Entropy {
    /// A new actor's secret.
    pub(crate) fn secret(&self) -> io::Result<Secret> {
        self.bytes().map(Secret)
    }

    fn bytes(&self) -> io::Result<[u8; 16]> {
        let Self::Known(stream) = self else { return bytes_of_system() };
        let mut stream = lock(stream);
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&stream.bits().to_le_bytes());
        bytes[8..].copy_from_slice(&stream.bits().to_le_bytes());
        Ok(bytes)
    }
}

/// A new run's id.
pub(crate) fn run_id() -> io::Result<RunId> {
    Entropy::System.bytes().map(RunId)
}

/// A new control token.
pub(crate) fn token() -> io::Result<Token> {
    bytes_of_system().map(Token::of_bytes)
}

/// A byte for jitter; always the same where the system has no random numbers.
pub(crate) fn byte() -> u8 {
    bytes_of_system::<1>().map_or(0, |[byte]| byte)
}

fn bytes_of_system<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}
