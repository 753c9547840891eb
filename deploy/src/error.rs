//! Why a command ends other than well, what it says and its exit code.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use tributary_actor::error::ActorError;
use tributary_common::checkpoint::CheckpointError;
use tributary_common::estimate::EstimateError;
use tributary_common::exact::ExactError;
use tributary_common::ledger::LedgerError;
use tributary_common::reward::table::file::TableError;
use tributary_common::run_file::{OtherRun, RunFileError};
use tributary_common::token::TokenError;
use tributary_proto::credentials::CredentialsError;

/// The command line makes no sense.
pub(crate) const USAGE: u8 = 64;
/// A bug.
pub(crate) const BUG: u8 = 70;
/// It may work later.
pub(crate) const TRY_AGAIN: u8 = 75;
/// Something that the user wrote must change.
pub(crate) const CONFIGURATION: u8 = 78;
/// The user stopped it.
pub(crate) const INTERRUPTED: u8 = 130;

/// Why a command ends other than well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// What is wrong with a run file.
    #[error(transparent)]
    RunFile(#[from] RunFileError),
    /// A run does not go on with this run file.
    #[error(transparent)]
    OtherRun(#[from] OtherRun),
    /// A file that cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A directory that is not what a command needs.
    #[error("the run directory {} {reason}", path.display())]
    RunDirectory {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// A run without usable weights.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A ledger that cannot be read, or a condition that is not SQL.
    #[error("ledger.sqlite: {0}")]
    Ledger(#[from] LedgerError),
    /// What is to become known to a run does not fit it.
    #[error("the object \"{object}\" cannot become known to this run: {reason}")]
    Import {
        /// The object.
        object: String,
        /// Why not.
        reason: String,
    },
    /// A list of objects that cannot be read.
    #[error("{0}")]
    Objects(#[from] TableError),
    /// The environment does not work.
    #[error("the environment \"{kind}\" does not work: {reason}")]
    Environment {
        /// Its kind.
        kind: String,
        /// Which law it breaks, and where.
        reason: String,
    },
    /// The reward does not work.
    #[error("the reward \"{kind}\" does not work: {reason}")]
    Reward {
        /// Its kind.
        kind: String,
        /// On which object, and why.
        reason: String,
    },
    /// There is no exact comparison.
    #[error(transparent)]
    Exact(#[from] ExactError),
    /// No estimate.
    #[error(transparent)]
    Estimate(#[from] EstimateError),
    /// An argument that names no state of the environment.
    #[error("{option} {text:?}: {reason}")]
    NoSuchState {
        /// The option.
        option: &'static str,
        /// Its value.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The learner's program is not there.
    #[error(
        "there is no learner program {}: build it (cargo build -p tributary-learner), or name it \
         in the environment variable TRIBUTARY_LEARNER", path.display()
    )]
    NoLearnerProgram {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// An address that cannot be a learner's, or credentials that do not fit it.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// A file that holds no token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A folder of certificates that is not what it should be.
    #[error("{0}")]
    Folder(String),
    /// A learner that does not let this command in.
    #[error("the learner at {address} does not allow this: {reason}")]
    Denied {
        /// Where.
        address: String,
        /// What it said.
        reason: String,
    },
    /// An actor that cannot be quarantined, or values that cannot be struck.
    #[error("{reason}")]
    Quarantine {
        /// What the learner said.
        reason: String,
    },
    /// A key that is asked about and that no run file has.
    #[error("there is no `{name}` in run files{hint}")]
    NoSuchKey {
        /// What was asked for.
        name: String,
        /// The nearest name, or all.
        hint: String,
    },
    /// A learner that does not answer.
    #[error("no answer from the learner at {address}: {reason}")]
    Unreachable {
        /// Where.
        address: String,
        /// What happened.
        reason: String,
    },
    /// An actor's own reasons.
    #[error(transparent)]
    Actor(#[from] ActorError),
    /// The training ended badly; the words have been said where they are known best.
    #[error("{reason}")]
    Training {
        /// What happened, with the tail of the log.
        reason: String,
        /// Of the process that failed, where it means something.
        exit_code: u8,
    },
    /// One of Slurm's programs does not do what is asked.
    #[error("{program}: {reason}")]
    Slurm {
        /// Which one.
        program: String,
        /// What it said.
        reason: String,
    },
    /// The user stopped it, and has been told what is kept.
    #[error("interrupted")]
    Interrupted,
    /// The output cannot be written.
    #[error("cannot write the output: {0}")]
    Output(io::Error),
    /// The system refuses something.
    #[error("cannot {action}: {source}")]
    System {
        /// What was tried.
        action: String,
        /// What the system said.
        source: io::Error,
    },
}

impl CommandError {
    /// For `map_err`: the system refused to do this.
    pub(crate) fn system(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { action: action.into(), source }
    }

    /// Says what happened on stderr, and gives the exit code. A reader that left is no error.
    pub(crate) fn report(&self) -> ExitCode {
        match self {
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                return ExitCode::SUCCESS;
            }
            Self::Interrupted => {}
            Self::RunFile(error) if error.problems.len() > 1 => {
                eprintln!("error: {} problems\n{error}", error.problems.len());
            }
            error => eprintln!("error: {error}"),
        }
        ExitCode::from(self.exit_code())
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::RunFile(_)
            | Self::OtherRun(_)
            | Self::Unreadable { .. }
            | Self::RunDirectory { .. }
            | Self::Checkpoint(_)
            | Self::Environment { .. }
            | Self::Reward { .. }
            | Self::Exact(_)
            | Self::Estimate(_)
            | Self::Token(_)
            | Self::Folder(_)
            | Self::Denied { .. }
            | Self::NoLearnerProgram { .. } => CONFIGURATION,
            Self::Ledger(LedgerError::Busy(_)) => TRY_AGAIN,
            Self::Ledger(LedgerError::Statement(_)) => USAGE,
            Self::Ledger(_) | Self::Import { .. } | Self::Objects(_) => CONFIGURATION,
            Self::Credentials(CredentialsError::Address(_))
            | Self::NoSuchKey { .. }
            | Self::NoSuchState { .. }
            | Self::Quarantine { .. } => USAGE,
            Self::Credentials(_) => CONFIGURATION,
            Self::Unreachable { .. }
            | Self::Slurm { .. }
            | Self::Output(_)
            | Self::System { .. } => TRY_AGAIN,
            Self::Actor(error) => error.exit_code(),
            Self::Training { exit_code, .. } => *exit_code,
            Self::Interrupted => INTERRUPTED,
        }
    }
}
