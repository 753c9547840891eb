//! `objects` and `evaluations`: what was measured, kept for ever.

use rusqlite::{Connection, OptionalExtension, params};

use super::columns::{raw_text, readable, signed};
use super::entry::Observation;
use super::error::LedgerError;

/// What becomes of a value that the ledger has already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeats {
    /// It is counted.
    Count,
    /// It is counted, and if it was paid for again it is an evaluation of its own.
    Keep,
}

/// Writes a value: the first of an object makes it known, a different one is an evaluation more.
pub(super) fn observe(
    connection: &Connection,
    observation: &Observation,
    repeats: Repeats,
) -> Result<(), LedgerError> {
    let raw = raw_text(&observation.raw);
    let find = "SELECT id, raw, status FROM objects WHERE key = ?1";
    let known: Option<(i64, String, String)> = connection
        .prepare_cached(find)?
        .query_row([observation.key.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((id, first, status)) = known else {
        return introduce(connection, observation, &raw);
    };
    let seen = "UPDATE objects SET seen = seen + ?2 WHERE id = ?1";
    connection.prepare_cached(seen)?.execute(params![id, signed(observation.seen)])?;
    let was_paid_for = status == "measured";
    if observation.is_measured && !was_paid_for {
        let paid = "UPDATE objects SET status = 'measured', seconds = ?2, actor = ?3 WHERE id = ?1";
        let values = params![id, f64::from(observation.seconds), signed(observation.actor.0)];
        connection.prepare_cached(paid)?.execute(values)?;
    }
    let is_again = repeats == Repeats::Keep && observation.seconds > 0.0;
    if observation.is_measured && (first != raw || !was_paid_for || is_again) {
        evaluated(connection, id, observation, &raw)?;
    }
    Ok(())
}

fn introduce(
    connection: &Connection,
    observation: &Observation,
    raw: &str,
) -> Result<(), LedgerError> {
    let insert = "INSERT INTO objects (key, object, value, raw, seconds, actor, policy_incarnation, \
                  policy_step, time, seen, status) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    let status = if observation.is_measured { "measured" } else { "known" };
    connection.prepare_cached(insert)?.execute(params![
        observation.key.0,
        readable(&observation.object),
        observation.raw.first(),
        raw,
        f64::from(observation.seconds),
        signed(observation.actor.0),
        observation.policy.incarnation.0,
        signed(observation.policy.step),
        observation.time,
        signed(observation.seen),
        status,
    ])?;
    if observation.is_measured {
        evaluated(connection, connection.last_insert_rowid(), observation, raw)?;
    }
    Ok(())
}

fn evaluated(
    connection: &Connection,
    object: i64,
    observation: &Observation,
    raw: &str,
) -> Result<(), LedgerError> {
    let insert = "INSERT INTO evaluations (object_id, raw, seconds, actor, policy_incarnation, \
                  policy_step, time) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    connection.prepare_cached(insert)?.execute(params![
        object,
        raw,
        f64::from(observation.seconds),
        signed(observation.actor.0),
        observation.policy.incarnation.0,
        signed(observation.policy.step),
        observation.time,
    ])?;
    Ok(())
}
