//! Where actors measured different values of an object, and what becomes of an actor's values that
//! are not believed any more.

use std::collections::BTreeMap;
use std::fmt;

use rusqlite::{Connection, params};

use super::columns::{actor, signed, unsigned};
use super::entry::Evaluation;
use super::error::LedgerError;
use super::objects;
use crate::claims::Outcome;
use crate::ids::ActorId;
use crate::reward::Agreement;

/// Alarms that are kept at hand.
const RECENT: usize = 8;

/// Two actors measured different values of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Alarm {
    /// Of this one.
    pub object: String,
    /// What counts, and who measured it.
    pub first: (ActorId, Outcome),
    /// What came later.
    pub second: (ActorId, Outcome),
}

impl Alarm {
    /// Compares an evaluation with what another actor measured before.
    pub(super) fn look(
        connection: &Connection,
        evaluation: &Evaluation,
        agreement: &Agreement,
    ) -> Result<Option<Self>, LedgerError> {
        let (evaluated, by) = (&evaluation.evaluated, evaluation.actor);
        let Some(first) = objects::find(connection, evaluated.key)? else { return Ok(None) };
        let is_from_a_file = first.actor == ActorId::default();
        if first.actor == by
            || is_from_a_file
            || agreement.holds(&first.outcome, &evaluated.outcome)
        {
            return Ok(None);
        }
        let object = evaluated.object.to_string();
        let first = (first.actor, first.outcome.clone());
        Ok(Some(Self { object, first, second: (by, evaluated.outcome.clone()) }))
    }
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { object, first, second } = self;
        let said = |(actor, outcome): &(ActorId, Outcome)| match outcome {
            Outcome::Measured(raw) => format!("actor {actor} measured {raw:?}"),
            Outcome::Failed(why) => format!("actor {actor} could not measure it ({why})"),
        };
        write!(f, "{object}: {}, {}", said(first), said(second))
    }
}

/// What is known of differing values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alarms {
    /// Evaluations of objects whose values were known.
    pub audits: u64,
    /// Evaluations that differ from what another actor measured.
    pub alarms: u64,
    /// How many of these each actor has a part in.
    pub actors: BTreeMap<ActorId, u64>,
    /// The last ones, for people, the newest last.
    pub recent: Vec<String>,
}

impl Alarms {
    /// One more.
    pub fn add(&mut self, alarm: &Alarm) {
        self.alarms += 1;
        for (actor, _) in [&alarm.first, &alarm.second] {
            *self.actors.entry(*actor).or_default() += 1;
        }
        self.recent.push(alarm.to_string());
        if self.recent.len() > RECENT {
            self.recent.remove(0);
        }
    }
}

pub(super) fn read(connection: &Connection) -> Result<Alarms, LedgerError> {
    // The upper half of an incarnation's leases are audits.
    let count = "SELECT count(*) FROM evaluations WHERE (lease >> 39) & 1";
    let audits = connection.query_row(count, [], |row| unsigned(row, 0))?;
    let mut found = Alarms { audits, ..Alarms::default() };
    let select = "SELECT e.actor, o.actor, e.alarm FROM evaluations e JOIN objects o \
                  ON o.id = e.object_id WHERE e.alarm IS NOT NULL ORDER BY e.id";
    let mut statement = connection.prepare(select)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        found.alarms += 1;
        for actor in [actor(row, 0)?, actor(row, 1)?] {
            *found.actors.entry(actor).or_default() += 1;
        }
        found.recent.push(row.get(2)?);
        if found.recent.len() > RECENT {
            found.recent.remove(0);
        }
    }
    Ok(found)
}

/// See [`super::Ledger::strike`].
pub(super) fn strike(connection: &Connection, actor: ActorId) -> Result<u64, LedgerError> {
    let of_actor = "SELECT id FROM objects WHERE actor = ?1 AND status IN ('measured', 'failed')";
    let ids: Vec<i64> = connection
        .prepare(of_actor)?
        .query_map([signed(actor.0)], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let instead = "UPDATE objects SET status = 'measured', raw = e.raw, seconds = e.seconds, \
                   value = json_extract(e.raw, '$[0]'), actor = e.actor, time = e.time \
                   FROM (SELECT * FROM evaluations WHERE object_id = ?1 AND actor <> ?2 \
                   AND status = 'measured' ORDER BY id LIMIT 1) AS e WHERE objects.id = ?1";
    let void = "UPDATE objects SET status = 'struck', value = NULL, raw = '[]' WHERE id = ?1";
    for id in &ids {
        if connection.prepare_cached(instead)?.execute(params![id, signed(actor.0)])? == 0 {
            connection.prepare_cached(void)?.execute([id])?;
        }
    }
    Ok(ids.len() as u64)
}
