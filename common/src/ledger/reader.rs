//! Reading a ledger, also while its run goes on.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Row};

use super::columns::{actor, key, policy, raw_values, real, unsigned};
use super::error::LedgerError;
use super::{objects, schema};
use crate::claims::Finding;
use crate::ids::{ActorId, Incarnation, PolicyVersion};
use crate::reward::ObjectKey;

/// A row of `objects`.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectRow {
    /// Its key.
    pub key: ObjectKey,
    /// Readable: a word as it is, lists as JSON.
    pub object: String,
    /// The first raw values that came of it.
    pub raw: Vec<f64>,
    /// What measuring it took.
    pub seconds: f64,
    /// Who measured it.
    pub actor: ActorId,
    /// The weights that drew it.
    pub policy: PolicyVersion,
    /// When its first values came: seconds since 1970.
    pub time: f64,
    /// Records that ended in it.
    pub seen: u64,
    /// "measured", "known", "failed" or "struck".
    pub status: String,
}

/// A ledger that cannot be changed from here.
pub struct LedgerReader {
    pub(super) connection: Connection,
}

impl LedgerReader {
    /// Opens it.
    ///
    /// # Errors
    /// A file that is no ledger, or of another form.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.pragma_update(None, "query_only", true)?;
        if schema::version(&connection)? == 0 {
            return Err(LedgerError::Damaged("it has no tables".to_owned()));
        }
        Ok(Self { connection })
    }

    /// The newest learner of the run: only it may write, here and anywhere.
    ///
    /// # Errors
    /// The disk's.
    pub fn newest_incarnation(&self) -> Result<Incarnation, LedgerError> {
        schema::owner(&self.connection).map(|(_, incarnation)| incarnation)
    }

    /// What is known of an object.
    ///
    /// # Errors
    /// The disk's.
    pub fn find(&self, key: ObjectKey) -> Result<Option<Arc<Finding>>, LedgerError> {
        objects::find(&self.connection, key)
    }

    /// Evaluations up to the one by which the last of these objects was measured first, failed and
    /// repeated ones too, and the seconds that they took.
    ///
    /// # Errors
    /// The disk's.
    pub fn spent_until(&self, objects: &[ObjectKey]) -> Result<(u64, f64), LedgerError> {
        let first = "SELECT min(evaluations.id) FROM evaluations JOIN objects \
                     ON objects.id = object_id WHERE key = ?1 AND evaluations.status = 'measured'";
        let mut first = self.connection.prepare_cached(first)?;
        let mut last = None;
        for key in objects {
            last = last.max(first.query_row([key.0], |row| row.get::<_, Option<i64>>(0))?);
        }
        let spent = "SELECT count(*), total(seconds) FROM evaluations WHERE id <= ?1";
        let row = |row: &Row<'_>| Ok((unsigned(row, 0)?, row.get(1)?));
        Ok(self.connection.query_row(spent, [last], row)?)
    }

    /// How many objects there are, or those of which a condition in SQL on the columns of `objects`
    /// holds.
    ///
    /// # Errors
    /// A condition that is not SQL.
    pub fn count(&self, condition: Option<&str>) -> Result<u64, LedgerError> {
        let select = format!("SELECT count(*) FROM objects{}", filter(condition));
        Ok(self.connection.query_row(&select, [], |row| unsigned(row, 0))?)
    }

    /// Gives each object (of which the condition holds) to `visit`, in the order in which they were
    /// first seen; `visit` says whether it wants more.
    ///
    /// # Errors
    /// A condition that is not SQL, or an error of `visit`.
    pub fn objects<E: From<LedgerError>>(
        &self,
        condition: Option<&str>,
        mut visit: impl FnMut(ObjectRow) -> Result<bool, E>,
    ) -> Result<(), E> {
        let select = format!(
            "SELECT key, object, raw, seconds, actor, policy_incarnation, policy_step, time, seen, \
             status FROM objects{} ORDER BY id",
            filter(condition)
        );
        let sql = |error: rusqlite::Error| E::from(LedgerError::from(error));
        let mut statement = self.connection.prepare(&select).map_err(sql)?;
        let mut rows = statement.query([]).map_err(sql)?;
        while let Some(row) = rows.next().map_err(sql)? {
            if !visit(object(row).map_err(sql)?)? {
                return Ok(());
            }
        }
        Ok(())
    }
}

fn filter(condition: Option<&str>) -> String {
    // On a line of its own, so that a comment at its end hides nothing.
    condition.map(|condition| format!(" WHERE ({condition}\n)")).unwrap_or_default()
}

fn object(row: &Row<'_>) -> rusqlite::Result<ObjectRow> {
    Ok(ObjectRow {
        key: key(row, 0)?,
        object: row.get(1)?,
        raw: raw_values(&row.get::<_, String>(2)?),
        seconds: real(row, 3)?,
        actor: actor(row, 4)?,
        policy: policy(row, 5)?,
        time: row.get(7)?,
        seen: unsigned(row, 8)?,
        status: row.get(9)?,
    })
}
