//! A look into a run's ledger that changes nothing: it is copied first, so that the next learner finds
//! what the killed one left.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use rusqlite::Connection;

/// What a ledger has.
pub(super) struct Found {
    /// Trajectories accepted.
    pub(super) accepted: u64,
    /// Evaluations of each object.
    pub(super) evaluations: BTreeMap<String, u64>,
    /// Records that ended in an object, over all objects.
    pub(super) seen: u64,
    /// Sums over the books of all actors: received, accepted, duplicate, rejected.
    pub(super) books: [u64; 4],
}

/// Reads the ledger of a run directory whose learner is dead, which must be whole.
pub(super) fn read(run: &Path) -> Result<Found> {
    let folder = tempfile::tempdir()?;
    for name in ["ledger.sqlite", "ledger.sqlite-wal"] {
        if run.join(name).exists() {
            fs::copy(run.join(name), folder.path().join(name))?;
        }
    }
    let ledger = Connection::open(folder.path().join("ledger.sqlite"))?;
    let check: String = ledger.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    ensure!(check == "ok", "the ledger is damaged: {check}");
    let number = |sql: &str| -> Result<u64> {
        let number: i64 = ledger.query_row(sql, [], |row| row.get(0)).context(sql.to_owned())?;
        Ok(u64::try_from(number)?)
    };
    let books = |name: &str| {
        number(&format!(
            "SELECT coalesce(sum(json_extract(session, '$.books.{name}')), 0) FROM actors"
        ))
    };
    let rejected = number(
        "SELECT coalesce(sum(json_each.value), 0) FROM actors, json_each(actors.session, '$.books.rejected')",
    )?;
    let mut evaluations = BTreeMap::new();
    let mut rows = ledger.prepare(
        "SELECT object, count(*) FROM evaluations JOIN objects ON objects.id = object_id GROUP BY object_id",
    )?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        evaluations.insert(row.get(0)?, u64::try_from(row.get::<_, i64>(1)?)?);
    }
    Ok(Found {
        accepted: number("SELECT next_ordinal FROM run")?,
        evaluations,
        seen: number("SELECT coalesce(sum(seen), 0) FROM objects")?,
        books: [books("received")?, books("accepted")?, books("duplicate")?, rejected],
    })
}
