//! Why the ledger does not do what it is asked for.

use std::io;

use rusqlite::ErrorCode;

use crate::ids::Incarnation;
use crate::session::saved::OutOfOrder;

/// Why the ledger does not do what it is asked for.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Nothing was written; it may be tried again.
    #[error("the disk of the ledger is full ({0}); free some space and it goes on by itself")]
    Full(String),
    /// Nothing was written; it may be tried again.
    #[error("another program holds the ledger locked ({0})")]
    Busy(String),
    /// A newer learner has taken over.
    #[error(
        "this learner (incarnation {ours}) is fenced: incarnation {newest} of this run has taken its \
         ledger; nothing more was written, stop this one"
    )]
    Fenced {
        /// Ours.
        ours: Incarnation,
        /// The newest.
        newest: Incarnation,
    },
    /// The ledger of another run.
    #[error("the ledger belongs to the run {theirs}, not to {ours}")]
    OtherRun {
        /// As wanted.
        ours: String,
        /// As found.
        theirs: String,
    },
    /// A form of tables that this program does not read.
    #[error("the ledger has form {theirs}, this program reads form {}", super::schema::VERSION)]
    Version {
        /// As found.
        theirs: i64,
    },
    /// The disk fails. What it still holds is not known, so nothing may be tried again.
    #[error(
        "the disk of the ledger fails: {0}; what was acked is on it, but nothing more can be trusted \
         to it: mend the disk, then start the learner again"
    )]
    Disk(String),
    /// The file is not what it should be.
    #[error("the ledger is damaged: {0}")]
    Damaged(String),
    /// An error in this program.
    #[error("the ledger refuses what would break its order: {0}")]
    Order(#[from] OutOfOrder),
    /// An error in a statement: in the user's own, or in this program.
    #[error("the ledger says: {0}")]
    Statement(rusqlite::Error),
}

impl LedgerError {
    /// Whether nothing was written and the same may work later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Full(_) | Self::Busy(_))
    }
}

impl From<rusqlite::Error> for LedgerError {
    fn from(error: rusqlite::Error) -> Self {
        let rusqlite::Error::SqliteFailure(failure, _) = &error else {
            return Self::Statement(error);
        };
        let text = error.to_string();
        match failure.code {
            ErrorCode::DiskFull => Self::Full(text),
            // The index beside the log cannot grow: the disk is full.
            _ if failure.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE => Self::Full(text),
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Self::Busy(text),
            ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::ReadOnly => {
                Self::Disk(text)
            }
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Self::Damaged(text),
            _ => Self::Statement(error),
        }
    }
}

impl From<io::Error> for LedgerError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full(error.to_string())
            }
            _ => Self::Disk(error.to_string()),
        }
    }
}
