//! Values that another run measured, or a file holds, become known.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::entry::Observation;
use super::error::LedgerError;
use super::objects::{self, Repeats};
use super::{PATIENCE, schema};

/// Objects in one transaction, so that a learner that writes to the same ledger never waits long.
const AT_ONCE: usize = 2_000;

/// Makes objects known that are not, also while the run's learner writes: nothing of it changes. Returns
/// how many were new.
///
/// # Errors
/// The disk's, or a file that is no ledger. Those before are written.
pub fn import(path: &Path, observations: &[Observation]) -> Result<u64, LedgerError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    if schema::version(&connection)? == 0 {
        return Err(LedgerError::Damaged("it has no tables".to_owned()));
    }
    let mut new = 0;
    for some in observations.chunks(AT_ONCE) {
        let behavior = TransactionBehavior::Immediate;
        let transaction = connection.transaction_with_behavior(behavior)?;
        for one in some {
            let known = "SELECT count(*) FROM objects WHERE key = ?1";
            let known: u64 = transaction
                .prepare_cached(known)?
                .query_row([one.key.0], |row| super::unsigned(row, 0))?;
            if known == 0 {
                let one = Observation { is_measured: false, seen: 0, ..one.clone() };
                objects::observe(&transaction, &one, Repeats::Count)?;
                new += 1;
            }
        }
        transaction.commit()?;
    }
    Ok(new)
}
