//! The tables. A ledger carries the version of its form; another version is refused by name.

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::error::LedgerError;
use crate::ids::{Incarnation, RunId};

/// Of the tables' form.
pub const VERSION: i64 = 1;

/// "TRIB", so that `file` can tell a ledger from other databases.
const APPLICATION: i64 = 0x5452_4942;

const TABLES: &str = "
CREATE TABLE run (
  only INTEGER PRIMARY KEY CHECK (only = 1),
  run_id TEXT NOT NULL,
  incarnation INTEGER NOT NULL,    -- the newest learner; only it may write
  next_ordinal INTEGER NOT NULL,   -- trajectories accepted so far; durable runs only
  forgotten TEXT NOT NULL          -- books of actors that are no longer remembered, JSON
) STRICT;
CREATE TABLE objects (
  id INTEGER PRIMARY KEY,
  key BLOB NOT NULL UNIQUE,        -- blake3 of the reward's kind, version and key of the object
  object TEXT NOT NULL,            -- readable: a word as it is, lists as JSON
  value REAL,                      -- the first raw value
  raw TEXT NOT NULL,               -- all raw values as they came first, JSON
  seconds REAL,                    -- what measuring it took
  actor INTEGER NOT NULL,
  policy_incarnation INTEGER NOT NULL,
  policy_step INTEGER NOT NULL,
  time REAL NOT NULL,              -- seconds since 1970
  seen INTEGER NOT NULL,           -- records that ended in it
  status TEXT NOT NULL             -- 'measured', 'known' (from a file, not paid for), 'failed' or 'struck'
) STRICT;
CREATE TABLE evaluations (
  id INTEGER PRIMARY KEY,
  object_id INTEGER NOT NULL REFERENCES objects (id),
  raw TEXT NOT NULL,
  seconds REAL,
  actor INTEGER NOT NULL,
  policy_incarnation INTEGER NOT NULL,
  policy_step INTEGER NOT NULL,
  time REAL NOT NULL,
  status TEXT NOT NULL DEFAULT 'measured',  -- or 'failed'
  error TEXT,                               -- why it failed
  lease INTEGER,                            -- under which it was done, where rewards are shared
  alarm TEXT                                -- how it differs from what another actor measured
) STRICT;
CREATE INDEX evaluations_of_object ON evaluations (object_id);
CREATE TABLE accepted (
  ordinal INTEGER PRIMARY KEY,     -- trajectories accepted before it
  key BLOB NOT NULL,
  actor INTEGER NOT NULL,
  epoch_incarnation INTEGER NOT NULL,
  epoch_counter INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  actions BLOB NOT NULL,           -- 32 bits each, little endian
  raw TEXT NOT NULL,
  policy_incarnation INTEGER NOT NULL,
  policy_step INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  setting INTEGER NOT NULL,
  log_mu REAL,
  seconds REAL,
  UNIQUE (actor, epoch_incarnation, epoch_counter, seq)
) STRICT;
CREATE TABLE actors (
  actor INTEGER PRIMARY KEY,
  session TEXT NOT NULL            -- secret, epochs, marks and books, JSON
) STRICT;
CREATE TABLE epochs (
  incarnation INTEGER NOT NULL,
  counter INTEGER NOT NULL,
  actor INTEGER NOT NULL,
  time REAL NOT NULL,
  PRIMARY KEY (incarnation, counter)
) STRICT, WITHOUT ROWID;
";

/// Makes the tables of a new ledger, or checks those of one that is there; then takes it for this
/// incarnation.
pub(super) fn claim(
    transaction: &Transaction<'_>,
    run: RunId,
    incarnation: Incarnation,
) -> Result<(), LedgerError> {
    if version(transaction)? == 0 {
        transaction.execute_batch(TABLES)?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
        let forgotten = "{\"received\":0,\"accepted\":0,\"duplicate\":0,\"rejected\":{},\
                         \"lost_in_restart\":0}";
        let row = "INSERT INTO run VALUES (1, ?1, 0, 0, ?2)";
        transaction.execute(row, params![run.to_string(), forgotten])?;
    }
    grow(transaction)?;
    let (theirs, newest) = owner(transaction)?;
    if theirs != run.to_string() {
        return Err(LedgerError::OtherRun { ours: run.to_string(), theirs });
    }
    if newest >= incarnation {
        return Err(LedgerError::Fenced { ours: incarnation, newest });
    }
    transaction.execute("UPDATE run SET incarnation = ?1", [incarnation.0])?;
    Ok(())
}

/// Gives a ledger of an earlier release what later ones have; earlier ones can do without.
fn grow(transaction: &Transaction<'_>) -> Result<(), LedgerError> {
    let has = |column: &str| -> Result<bool, LedgerError> {
        let has = "SELECT count(*) FROM pragma_table_info('evaluations') WHERE name = ?1";
        Ok(transaction.query_row(has, [column], |row| row.get::<_, i64>(0))? > 0)
    };
    if !has("lease")? {
        transaction.execute_batch(
            "ALTER TABLE evaluations ADD COLUMN status TEXT NOT NULL DEFAULT 'measured';
             ALTER TABLE evaluations ADD COLUMN error TEXT;
             ALTER TABLE evaluations ADD COLUMN lease INTEGER;
             CREATE INDEX IF NOT EXISTS evaluations_of_object ON evaluations (object_id);",
        )?;
    }
    if !has("alarm")? {
        transaction.execute_batch("ALTER TABLE evaluations ADD COLUMN alarm TEXT;")?;
    }
    Ok(())
}

/// The version of the tables, 0 where there are none.
///
/// # Errors
/// A version that this program does not read.
pub(super) fn version(connection: &Connection) -> Result<i64, LedgerError> {
    let version = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version == 0 || version == VERSION {
        Ok(version)
    } else {
        Err(LedgerError::Version { theirs: version })
    }
}

/// The run's id and the newest incarnation.
pub(super) fn owner(connection: &Connection) -> Result<(String, Incarnation), LedgerError> {
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, Incarnation(row.get(1)?)));
    let owner =
        connection.prepare_cached("SELECT run_id, incarnation FROM run")?.query_row([], row);
    owner.optional()?.ok_or_else(|| LedgerError::Damaged("it names no run".to_owned()))
}
