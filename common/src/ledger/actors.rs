//! `actors`: the sessions as they are on disk, and as the next commit will leave them.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, params};

use super::columns::{actor, signed};
use super::entry::{Decided, Opened, Verdict};
use super::error::LedgerError;
use crate::ids::ActorId;
use crate::session::books::{Books, RejectionReason};
use crate::session::learner::SavedSession;
use crate::session::saved::Advance;
use crate::session::sessions::SavedSessions;

/// The sessions on disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Actors {
    sessions: BTreeMap<ActorId, SavedSession>,
    forgotten: Books,
}

/// What a commit changes of them.
#[derive(Debug, Default)]
pub(super) struct Changes {
    changed: BTreeMap<ActorId, SavedSession>,
    removed: BTreeSet<ActorId>,
    forgotten: Option<Books>,
}

impl Actors {
    pub(super) fn load(connection: &Connection) -> Result<Self, LedgerError> {
        let damaged = |error: serde_json::Error| LedgerError::Damaged(format!("actors: {error}"));
        let mut sessions = BTreeMap::new();
        let mut statement = connection.prepare("SELECT actor, session FROM actors")?;
        let rows = statement.query_map([], |row| Ok((actor(row, 0)?, row.get::<_, String>(1)?)))?;
        for row in rows {
            let (id, session) = row?;
            sessions.insert(id, serde_json::from_str(&session).map_err(damaged)?);
        }
        let forgotten: String =
            connection.query_row("SELECT forgotten FROM run", [], |row| row.get(0))?;
        Ok(Self { sessions, forgotten: serde_json::from_str(&forgotten).map_err(damaged)? })
    }

    pub(super) fn saved(&self) -> SavedSessions {
        let sessions = self.sessions.iter().map(|(&id, session)| (id, session.clone()));
        SavedSessions::new(sessions.collect(), self.forgotten.clone())
    }

    /// After a commit.
    pub(super) fn apply(&mut self, changes: Changes) {
        self.sessions.retain(|id, _| !changes.removed.contains(id));
        self.sessions.extend(changes.changed);
        self.forgotten = changes.forgotten.unwrap_or(std::mem::take(&mut self.forgotten));
    }
}

impl Changes {
    /// Counts decided records.
    pub(super) fn decide(&mut self, actors: &Actors, decided: &Decided) -> Result<(), LedgerError> {
        let reason = |record: &super::entry::Record| match record.verdict {
            Verdict::Accepted(_) => None,
            Verdict::Rejected(reason) => Some(reason),
        };
        let rejected: Vec<RejectionReason> = decided.records.iter().filter_map(reason).collect();
        let &Decided { epoch, first, duplicates, ref records, .. } = decided;
        let accepted = (records.len() - rejected.len()) as u64;
        let advance = Advance { epoch, first, duplicates, accepted, rejected: &rejected };
        match self.of(actors, decided.actor) {
            Some(session) => Ok(session.advance(&advance)?),
            // Forgotten since: nothing of it was pending, so these are duplicates.
            None if records.is_empty() => Ok(()),
            None => {
                Err(LedgerError::Damaged(format!("records of an unknown actor, {}", decided.actor)))
            }
        }
    }

    /// Opens a session.
    pub(super) fn open(&mut self, actors: &Actors, opened: &Opened) {
        match self.of(actors, opened.actor) {
            Some(session) => session.reopen(&opened.session),
            None => {
                self.changed.insert(opened.actor, opened.session.clone());
            }
        }
        for &id in &opened.forgotten {
            let Some(books) = self.of(actors, id).map(|session| session.books().clone()) else {
                continue;
            };
            self.forgotten.get_or_insert_with(|| actors.forgotten.clone()).add(&books);
            self.changed.remove(&id);
            self.removed.insert(id);
        }
    }

    pub(super) fn write(&self, connection: &Connection) -> Result<(), LedgerError> {
        let text = |error: serde_json::Error| LedgerError::Damaged(error.to_string());
        for (id, session) in &self.changed {
            let session = serde_json::to_string(session).map_err(text)?;
            connection
                .prepare_cached("INSERT OR REPLACE INTO actors VALUES (?1, ?2)")?
                .execute(params![signed(id.0), session])?;
        }
        for id in &self.removed {
            connection.execute("DELETE FROM actors WHERE actor = ?1", [signed(id.0)])?;
        }
        if let Some(forgotten) = &self.forgotten {
            let forgotten = serde_json::to_string(forgotten).map_err(text)?;
            connection.execute("UPDATE run SET forgotten = ?1", [forgotten])?;
        }
        Ok(())
    }

    /// An actor as this commit has it so far.
    fn of(&mut self, actors: &Actors, id: ActorId) -> Option<&mut SavedSession> {
        if self.removed.contains(&id) {
            return None;
        }
        match self.changed.entry(id) {
            Entry::Occupied(changed) => Some(changed.into_mut()),
            Entry::Vacant(place) => Some(place.insert(actors.sessions.get(&id)?.clone())),
        }
    }
}
