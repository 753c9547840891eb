//! Why a learner ends with an error, and its exit code.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use tributary_common::checkpoint::CheckpointError;
use tributary_common::ledger::LedgerError;
use tributary_common::run_file::{OtherRun, RunFileError};

use crate::replay::{BadColumns, TooSmall};
use crate::run_directory::RunDirectoryError;
use crate::security::SecurityError;
use crate::training::TrainError;

/// Why a learner ends with an error.
#[derive(Debug, thiserror::Error)]
pub enum LearnerError {
    /// The run file, or a data file that it names, cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The run file has problems, all of them.
    #[error(transparent)]
    RunFile(#[from] RunFileError),
    /// Neither a run file nor a run.
    #[error("no run has begun in {}: give the run file of a new one with --run-file", .0.display())]
    NoRun(PathBuf),
    /// A run does not go on with this run file.
    #[error(transparent)]
    OtherRun(#[from] OtherRun),
    /// A run cannot go on from its checkpoints.
    #[error("the run cannot go on: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// A checkpoint holds another replay.
    #[error("the run cannot go on: the replay of its newest checkpoint: {0}")]
    SavedReplay(#[from] BadColumns),
    /// The replay cannot give a batch.
    #[error(transparent)]
    Replay(#[from] TooSmall),
    /// Trajectories are longer than a message may be.
    #[error(
        "a trajectory of this run takes up to {bytes} bytes, the wire carries {most}; \
         make the environment's objects shorter"
    )]
    Record {
        /// Of the longest.
        bytes: u64,
        /// The limit.
        most: u64,
    },
    /// TLS or tokens.
    #[error(transparent)]
    Security(#[from] SecurityError),
    /// The port is in use, or may not be used.
    #[error("cannot listen on {address}: {source}; give another port, or 0 for a free one")]
    Listen {
        /// As given.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The port of before is in use.
    #[error(
        "cannot listen on {address}, where this run's learner listened before and its actors look for \
         it: {source}; end who uses it, or give another one with --listen and --http and start the \
         actors again"
    )]
    ListenAgain {
        /// As before.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The run directory.
    #[error(transparent)]
    Directory(#[from] RunDirectoryError),
    /// The operating system refuses something that every run needs.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The ledger cannot be used, or can no longer.
    #[error("ledger.sqlite: {0}")]
    Ledger(#[from] LedgerError),
    /// Training cannot go on.
    #[error("training cannot go on: {0}")]
    Train(#[from] TrainError),
    /// The server ended before the run.
    #[error("the server ended before the run: {0}")]
    Serve(String),
    /// A thread panicked.
    #[error("the thread {0} panicked; this is a bug of the program")]
    Panicked(&'static str),
}

impl LearnerError {
    /// 64 usage, 70 bug, 75 try again, 78 configuration.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse => 75,
            Self::Directory(RunDirectoryError::Io { .. } | RunDirectoryError::InUse { .. })
            | Self::ListenAgain { .. }
            | Self::System { .. } => 75,
            Self::Ledger(LedgerError::Order(_) | LedgerError::Statement(_)) => 70,
            Self::Ledger(LedgerError::Full(_) | LedgerError::Busy(_) | LedgerError::Disk(_)) => 75,
            Self::Ledger(_) => 78,
            Self::Train(TrainError::NoCuda) => 78,
            Self::Train(TrainError::Straggler(_)) => 75,
            Self::Train(_) | Self::Serve(_) | Self::Panicked(_) => 70,
            Self::NoRun(_) => 64,
            Self::Read { .. }
            | Self::RunFile(_)
            | Self::OtherRun(_)
            | Self::Checkpoint(_)
            | Self::SavedReplay(_)
            | Self::Replay(_)
            | Self::Record { .. }
            | Self::Security(_)
            | Self::Listen { .. }
            | Self::Directory(_) => 78,
        }
    }
}
