//! Where ids and secrets come from: random bytes, never numbers of an experiment.

use std::fs::File;
use std::io::{self, Read};
use std::sync::{Arc, Mutex};

use tributary_common::ids::RunId;
use tributary_common::random::Stream;
use tributary_common::session::Secret;

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
        let mut bytes = [0; 16];
        match self {
            Self::System => File::open("/dev/urandom")?.read_exact(&mut bytes)?,
            Self::Known(stream) => {
                let mut stream = lock(stream);
                bytes[..8].copy_from_slice(&stream.bits().to_le_bytes());
                bytes[8..].copy_from_slice(&stream.bits().to_le_bytes());
            }
        }
        Ok(bytes)
    }
}

/// A new run's id.
pub(crate) fn run_id() -> io::Result<RunId> {
    Entropy::System.bytes().map(RunId)
}
