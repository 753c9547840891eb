//! Why an actor ends other than well.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tributary_common::ids::Epoch;
use tributary_common::reward::RewardError;
use tributary_common::run_file::RunFileError;
use tributary_common::session::refusal::{Refusal, RefusalCode};
use tributary_proto::credentials::CredentialsError;

use tributary_common::rollout::BrokenEnvironment;

/// Why an actor ends other than well.
#[derive(Debug, thiserror::Error)]
pub enum ActorError {
    /// The learner's address cannot be one, or the credentials do not fit it.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The learner does not let this actor in.
    #[error("the learner at {learner} does not let this actor in: {reason}")]
    Denied {
        /// Its address.
        learner: String,
        /// What it said.
        reason: String,
    },
    /// The learner did not answer for as long as the actor was told to wait.
    #[error("no learner at {learner} for {} s; the last attempt: {last}", waited.as_secs())]
    LearnerLost {
        /// Its address.
        learner: String,
        /// How long the actor tried.
        waited: Duration,
        /// What went wrong at last.
        last: String,
    },
    /// The learner does not take this actor.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A newer session took this actor's place.
    #[error("a newer session of this actor, epoch {0}, has taken its place")]
    Fenced(Epoch),
    /// The learner's run file means nothing to this program.
    #[error(
        "the learner's run file does not work in this program; use the same program, with the \
             same registry, on both sides:\n{0}"
    )]
    RunFile(#[from] RunFileError),
    /// A data file of the run cannot be had.
    #[error("data file \"{name}\" of the run: {reason}")]
    DataFile {
        /// As the run file names it.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// The run file names a command, and this actor was not told that it may run commands.
    #[error(
        "the run's reward is the command `{command}`, and this actor runs no commands that a \
             learner names; start it with --allow-commands if you trust the learner"
    )]
    CommandsNotAllowed {
        /// The command.
        command: String,
    },
    /// A program that measures does not work.
    #[error("{trouble}")]
    Program {
        /// Which, and why.
        trouble: String,
    },
    /// The run's trajectories do not fit into messages.
    #[error(
        "the run's longest trajectory makes a record of {largest} bytes, at most {most} travel; \
             build shorter objects"
    )]
    TooLarge {
        /// Bytes of the largest record.
        largest: u64,
        /// Bytes that a record may have.
        most: u64,
    },
    /// The learner says what no learner may say.
    #[error("the learner breaks the protocol: {0}; use the same release of actor and learner")]
    Protocol(String),
    /// The environment breaks its laws.
    #[error(transparent)]
    Environment(#[from] BrokenEnvironment),
    /// The reward measures nothing any more.
    #[error("the reward failed on {failures} objects in a row, at last on \"{object}\": {source}")]
    Reward {
        /// How many.
        failures: u32,
        /// The last of them.
        object: String,
        /// What the reward said.
        source: RewardError,
    },
    /// A bug: a thread panicked.
    #[error("thread {thread} panicked: {cause}")]
    Panicked {
        /// Its name.
        thread: String,
        /// What the panic said.
        cause: String,
    },
    /// The system gives no thread.
    #[error("cannot start thread {thread}: {source}; are there too many?")]
    Thread {
        /// Its name.
        thread: String,
        /// What the system said.
        source: io::Error,
    },
    /// The program around the actor cannot be set up.
    #[error("cannot {action}: {source}")]
    System {
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Its metrics cannot be shown there.
    #[error(
        "cannot listen on {address} for metrics: {source}; name another address with --metrics"
    )]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// There can be no spool.
    #[error("cannot keep a spool in {}: {source}; name another folder with --spool", folder.display())]
    Spool {
        /// Where it should be.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Told to end at once.
    #[error("interrupted; {unacked} finished trajectories were not acked")]
    Interrupted {
        /// Finished trajectories left behind.
        unacked: u64,
    },
}

impl ActorError {
    /// The process's exit code: 64 usage, 70 bug, 75 try again, 78 configuration, 130 interrupted.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Credentials(CredentialsError::Address(_)) => 64,
            Self::Credentials(_) | Self::Denied { .. } => 78,
            Self::Refused(refusal) => match refusal.code {
                RefusalCode::Full => 75,
                RefusalCode::ProtocolError => 70,
                RefusalCode::Complete => 0,
                _ => 78,
            },
            Self::RunFile(_)
            | Self::DataFile { .. }
            | Self::CommandsNotAllowed { .. }
            | Self::Program { .. }
            | Self::TooLarge { .. }
            | Self::Spool { .. } => 78,
            Self::Environment(_)
            | Self::Reward { .. }
            | Self::Protocol(_)
            | Self::Panicked { .. } => 70,
            Self::LearnerLost { .. }
            | Self::Fenced(_)
            | Self::Thread { .. }
            | Self::Listen { .. }
            | Self::System { .. } => 75,
            Self::Interrupted { .. } => 130,
        }
    }
}
