//! The ledger of a run, `ledger.sqlite`: what was measured, for ever, and in a durable run what was
//! accepted and how far each actor has come.
//!
//! Whatever is acked in a durable run was committed here first, with synchronous=FULL: records, marks
//! and books change in the same transaction. Only the newest incarnation of a run's learner may write.
//! Raw values are kept as they came; transforms are applied by who reads. `docs/ledger.md` describes
//! the tables.

mod accepted;
mod actors;
mod alarms;
mod columns;
mod disk;
mod entry;
mod error;
mod import;
mod objects;
mod reader;
mod schema;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use crate::claims::Finding;
use crate::crash;
use crate::ids::{ActorId, Incarnation, RunId};
use crate::reward::{Agreement, ObjectKey};
use crate::session::sessions::SavedSessions;

pub use accepted::AcceptedRows;
use actors::{Actors, Changes};
pub use alarms::{Alarm, Alarms};
pub use columns::readable;
use columns::{key, signed, unsigned};
pub use disk::Journal;
pub use entry::{
    Accepted, AcceptedRow, Decided, Entry, Evaluation, Observation, Opened, Record, Verdict,
};
pub use error::LedgerError;
pub use import::import;
use objects::Repeats;
pub use reader::{LedgerReader, ObjectRow};
pub use schema::VERSION;

/// Its name in a run directory.
pub const FILE: &str = "ledger.sqlite";

/// How long a commit waits for a reader that holds the file locked.
const PATIENCE: Duration = Duration::from_secs(5);
/// The log is copied into the database when it has grown to this.
const LOG_BYTES: u64 = 4 << 20;
/// Statements that are kept prepared.
const STATEMENTS: usize = 32;

/// The ledger, open for writing.
#[derive(Debug)]
pub struct Ledger {
    connection: Connection,
    log: PathBuf,
    journal: Journal,
    incarnation: Incarnation,
    actors: Actors,
    next_ordinal: u64,
    repeats: Repeats,
    /// Evaluations on disk, and their seconds.
    spent: (u64, f64),
    agreement: Option<Agreement>,
}

impl Ledger {
    /// Opens the ledger of a run, or makes it, and takes it for this incarnation.
    ///
    /// # Errors
    /// Another run's, another form, an incarnation that is not the newest, or the disk's.
    pub fn open(path: &Path, run: RunId, incarnation: Incarnation) -> Result<Self, LedgerError> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let journal = Journal::of_folder(folder.unwrap_or(Path::new(".")))?;
        disk::create(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(PATIENCE)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        set_up(&connection, journal)?;
        let behavior = TransactionBehavior::Immediate;
        let transaction = connection.transaction_with_behavior(behavior)?;
        schema::claim(&transaction, run, incarnation)?;
        transaction.commit()?;
        let actors = Actors::load(&connection)?;
        let next = "SELECT next_ordinal FROM run";
        let next_ordinal = connection.query_row(next, [], |row| unsigned(row, 0))?;
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        let log = PathBuf::from(log);
        let repeats = Repeats::Keep;
        let spent = "SELECT count(*), total(seconds) FROM evaluations";
        let spent = connection.query_row(spent, [], |row| Ok((unsigned(row, 0)?, row.get(1)?)))?;
        let agreement = None;
        Ok(Self {
            connection,
            log,
            journal,
            incarnation,
            actors,
            next_ordinal,
            repeats,
            spent,
            agreement,
        })
    }

    /// Evaluations on disk, failed and repeated ones too, and the seconds that they took.
    pub fn spent(&self) -> (u64, f64) {
        self.spent
    }

    /// Of a run whose actors tell of each evaluation by itself: records bring nothing new.
    #[must_use]
    pub fn shared(self) -> Self {
        Self { repeats: Repeats::Once, ..self }
    }

    /// Notes where actors measure different values.
    #[must_use]
    pub fn comparing(self, agreement: Agreement) -> Self {
        Self { agreement: Some(agreement), ..self }
    }

    /// How often actors measured different values so far, and how often on purpose.
    ///
    /// # Errors
    /// The disk's.
    pub fn alarms(&self) -> Result<Alarms, LedgerError> {
        alarms::read(&self.connection)
    }

    /// Voids the values that this actor measured first: another one's counts instead, where there is
    /// one, or the object is unknown again. Returns how many there were. Evaluations stay.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn strike(&mut self, actor: ActorId) -> Result<u64, LedgerError> {
        let struck = write(&mut self.connection, self.incarnation, |transaction| {
            alarms::strike(transaction, actor)
        })?;
        self.shorten_log()?;
        Ok(struck)
    }

    /// How its commits are kept whole.
    pub fn journal(&self) -> Journal {
        self.journal
    }

    /// Trajectories accepted in the run so far: the ordinal of the next. 0 in runs that are not durable.
    pub fn next_ordinal(&self) -> u64 {
        self.next_ordinal
    }

    /// All actors of a durable run as they are on disk.
    pub fn sessions(&self) -> SavedSessions {
        self.actors.saved()
    }

    /// Writes what was decided and who was admitted; when this returns, the disk has all of it. Says
    /// where actors have measured different values.
    ///
    /// # Errors
    /// Nothing of it was written. If the error [is transient](LedgerError::is_transient) the same
    /// may be tried again; after any other one the program must end.
    pub fn commit(&mut self, entries: &[Entry]) -> Result<Vec<Alarm>, LedgerError> {
        let mut changes = Changes::default();
        let mut next_ordinal = self.next_ordinal;
        let (actors, repeats, agreement) = (&self.actors, self.repeats, &self.agreement);
        let mut alarms = Vec::new();
        let mut spent = self.spent;
        write(&mut self.connection, self.incarnation, |transaction| {
            for entry in entries {
                match entry {
                    Entry::Decided(decided) => {
                        changes.decide(actors, decided)?;
                        next_ordinal +=
                            insert(transaction, decided, next_ordinal, (repeats, &mut spent))?;
                    }
                    Entry::Opened(opened) => {
                        changes.open(actors, opened);
                        issued(transaction, opened)?;
                    }
                    Entry::Evaluated(evaluations) => {
                        for one in evaluations {
                            let (is_new, alarm) =
                                objects::evaluate(transaction, one, agreement.as_ref())?;
                            alarms.extend(alarm);
                            if is_new {
                                spent.0 += 1;
                                spent.1 += f64::from(one.evaluated.seconds);
                            }
                        }
                    }
                }
            }
            changes.write(transaction)?;
            transaction.execute("UPDATE run SET next_ordinal = ?1", [signed(next_ordinal)])?;
            Ok(())
        })?;
        self.actors.apply(changes);
        self.next_ordinal = next_ordinal;
        self.spent = spent;
        self.shorten_log()?;
        Ok(alarms)
    }

    /// Writes values of objects: an object's first value, and every different one. For runs that are
    /// not durable, where the rest of the record is not kept.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn observe(&mut self, observations: &[Observation]) -> Result<(), LedgerError> {
        write(&mut self.connection, self.incarnation, |transaction| {
            let mut all = observations.iter();
            all.try_for_each(|one| objects::observe(transaction, one, Repeats::Count).map(drop))
        })?;
        self.shorten_log()
    }

    /// The accepted trajectories from this ordinal on, in order.
    pub fn accepted_from(&self, ordinal: u64) -> AcceptedRows<'_> {
        AcceptedRows::new(&self.connection, ordinal)
    }

    /// The objects that no record ended in before the accepted trajectory of this ordinal.
    ///
    /// # Errors
    /// The disk's.
    pub fn first_seen_from(&self, ordinal: u64) -> Result<HashSet<ObjectKey>, LedgerError> {
        let select = "SELECT objects.key FROM objects JOIN accepted ON accepted.key = objects.key \
                      WHERE ordinal >= ?1 GROUP BY objects.id HAVING count(*) = seen";
        let mut statement = self.connection.prepare(select)?;
        let keys = statement.query_map([signed(ordinal)], |row| key(row, 0))?;
        Ok(keys.collect::<Result<_, _>>()?)
    }

    /// Deletes the accepted trajectories below this ordinal; their objects stay. Returns how many.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn forget_below(&mut self, ordinal: u64) -> Result<usize, LedgerError> {
        let deleted = write(&mut self.connection, self.incarnation, |transaction| {
            crash::point(crash::LEDGER_BEFORE_FORGET)?;
            let delete = "DELETE FROM accepted WHERE ordinal < ?1";
            Ok(transaction.execute(delete, [signed(ordinal)])?)
        })?;
        self.shorten_log()?;
        Ok(deleted)
    }

    /// What is known of an object.
    ///
    /// # Errors
    /// The disk's.
    pub fn find(&self, key: ObjectKey) -> Result<Option<Arc<Finding>>, LedgerError> {
        objects::find(&self.connection, key)
    }

    /// Distinct objects that were measured.
    ///
    /// # Errors
    /// The disk's.
    pub fn paid(&self) -> Result<u64, LedgerError> {
        let count = "SELECT count(*) FROM objects WHERE status = 'measured'";
        Ok(self.connection.query_row(count, [], |row| unsigned(row, 0))?)
    }

    /// Gives every object's key to `visit`, and whether it was measured.
    ///
    /// # Errors
    /// The disk's.
    pub fn for_each_key(&self, mut visit: impl FnMut(ObjectKey, bool)) -> Result<(), LedgerError> {
        let select = "SELECT key, status = 'measured' FROM objects";
        let mut statement = self.connection.prepare(select)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            visit(key(row, 0)?, row.get(1)?);
        }
        Ok(())
    }

    /// Lets the database grow to so many pages and no further; commits beyond that find the disk full.
    ///
    /// # Errors
    /// SQLite's.
    pub fn limit_pages(&self, pages: u32) -> Result<(), LedgerError> {
        Ok(self.connection.pragma_update(None, "max_page_count", pages)?)
    }

    /// Copies the whole log into the database, so that the one file is the ledger.
    ///
    /// # Errors
    /// The disk's.
    pub fn close(self) -> Result<(), LedgerError> {
        if self.journal == Journal::WriteAheadLog {
            copy_log(&self.connection, "TRUNCATE")?;
        }
        self.connection.close().map_err(|(_, error)| error.into())
    }

    /// SQLite's own copying would keep an error of the disk to itself.
    fn shorten_log(&self) -> Result<(), LedgerError> {
        if self.journal != Journal::WriteAheadLog {
            return Ok(());
        }
        match fs::metadata(&self.log) {
            Ok(log) if log.len() >= LOG_BYTES => match copy_log(&self.connection, "PASSIVE") {
                // What was committed is safe in the log, which grows until there is room.
                Err(error) if error.is_transient() => Ok(()),
                copied => copied,
            },
            _ => Ok(()),
        }
    }
}

fn set_up(connection: &Connection, journal: Journal) -> Result<(), LedgerError> {
    let mode = journal.mode();
    let found: String =
        connection.pragma_update_and_check(None, "journal_mode", mode, |row| row.get(0))?;
    if !found.eq_ignore_ascii_case(mode) {
        return Err(LedgerError::Busy(format!("its journal stays {found:?} instead of {mode:?}")));
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    Ok(())
}

fn copy_log(connection: &Connection, how: &str) -> Result<(), LedgerError> {
    let pragma = format!("PRAGMA wal_checkpoint({how})");
    Ok(connection.query_row(&pragma, [], |_| Ok(()))?)
}

/// Does some work in a transaction of the newest incarnation.
fn write<T>(
    connection: &mut Connection,
    ours: Incarnation,
    work: impl FnOnce(&Transaction<'_>) -> Result<T, LedgerError>,
) -> Result<T, LedgerError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let (_, newest) = schema::owner(&transaction)?;
    if newest != ours {
        return Err(LedgerError::Fenced { ours, newest });
    }
    let done = work(&transaction)?;
    crash::point(crash::LEDGER_BEFORE_COMMIT)?;
    transaction.commit()?;
    // Too late to try again: it is written.
    crash::point(crash::LEDGER_AFTER_COMMIT)
        .map_err(|error| LedgerError::Disk(error.to_string()))?;
    Ok(done)
}

/// Writes decided records; returns how many were accepted.
fn insert(
    transaction: &Transaction<'_>,
    decided: &Decided,
    next_ordinal: u64,
    (repeats, spent): (Repeats, &mut (u64, f64)),
) -> Result<u64, LedgerError> {
    let mut accepted = 0;
    for (seq, record) in (decided.first.0..).zip(&decided.records) {
        if let Some(observation) = &record.observation
            && objects::observe(transaction, observation, repeats)?
        {
            spent.0 += 1;
            spent.1 += f64::from(observation.seconds);
        }
        let Verdict::Accepted(trajectory) = &record.verdict else { continue };
        let expected = next_ordinal + accepted;
        let Some(observation) =
            record.observation.as_ref().filter(|_| trajectory.ordinal == expected)
        else {
            let ordinal = trajectory.ordinal;
            let what = format!("trajectory {ordinal} without values, or not the next, {expected}");
            return Err(LedgerError::Damaged(what));
        };
        accepted::insert(transaction, decided, seq, trajectory, observation)?;
        accepted += 1;
    }
    Ok(accepted)
}

fn issued(transaction: &Transaction<'_>, opened: &Opened) -> Result<(), LedgerError> {
    let epoch = opened.session.newest();
    transaction.prepare_cached("INSERT INTO epochs VALUES (?1, ?2, ?3, ?4)")?.execute((
        epoch.incarnation.0,
        signed(epoch.counter),
        signed(opened.actor.0),
        opened.time,
    ))?;
    Ok(())
}
