//! `objects` and `evaluations`: what was measured, kept for ever.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use super::alarms::Alarm;
use super::columns::{actor, raw_text, raw_values, readable, real, signed};
use super::entry::{Evaluation, Observation};
use super::error::LedgerError;
use crate::claims::{Finding, Outcome};
use crate::reward::{Agreement, ObjectKey};

/// What becomes of a value that the ledger has already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeats {
    /// It is counted.
    Count,
    /// It is counted, and if it was paid for again it is an evaluation of its own.
    Keep,
    /// It is counted, and an evaluation of its own unless its actor told of the same value already.
    Once,
}

/// Writes a value: the first of an object makes it known, a different one is an evaluation more.
/// Returns whether it is an evaluation.
pub(super) fn observe(
    connection: &Connection,
    observation: &Observation,
    repeats: Repeats,
) -> Result<bool, LedgerError> {
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
    if observation.is_measured && matches!(&*status, "failed" | "struck") {
        succeed(connection, id, observation, &raw)?;
    } else if observation.is_measured && !was_paid_for {
        let paid = "UPDATE objects SET status = 'measured', seconds = ?2, actor = ?3 WHERE id = ?1";
        let values = params![id, f64::from(observation.seconds), signed(observation.actor.0)];
        connection.prepare_cached(paid)?.execute(values)?;
    }
    let is_again = repeats == Repeats::Keep && observation.seconds > 0.0;
    let is_more = observation.is_measured && (first != raw || !was_paid_for || is_again);
    let is_told = || -> Result<bool, LedgerError> {
        Ok(repeats == Repeats::Once && told(connection, id, observation, &raw)?.is_some())
    };
    if !is_more || is_told()? {
        return Ok(false);
    }
    evaluated(connection, id, observation, &raw)?;
    Ok(true)
}

/// Writes what an actor told of an evaluation: once for each lease. Returns whether it is new, and an
/// alarm where another actor measured something else before.
pub(super) fn evaluate(
    connection: &Connection,
    evaluation: &Evaluation,
    agreement: Option<&Agreement>,
) -> Result<(bool, Option<Alarm>), LedgerError> {
    let Evaluation { evaluated, actor, time } = evaluation;
    let (raw, error) = match &evaluated.outcome {
        Outcome::Measured(raw) => (raw.clone(), None),
        Outcome::Failed(why) => (Vec::new(), Some(why.as_str())),
    };
    let observation = Observation {
        key: evaluated.key,
        object: evaluated.object.clone(),
        raw,
        seconds: evaluated.seconds,
        actor: *actor,
        policy: evaluated.policy.unwrap_or_default(),
        is_measured: true,
        seen: 0,
        time: *time,
    };
    let alarm = agreement.map(|agreement| Alarm::look(connection, evaluation, agreement));
    let alarm = alarm.transpose()?.flatten();
    let raw = raw_text(&observation.raw);
    let find = "SELECT id, status FROM objects WHERE key = ?1";
    let known: Option<(i64, String)> = connection
        .prepare_cached(find)?
        .query_row([evaluated.key.0], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let id = match known {
        None => insert(
            connection,
            &observation,
            &raw,
            if error.is_none() { "measured" } else { "failed" },
        )?,
        Some((id, status)) => {
            if error.is_none() && matches!(&*status, "failed" | "struck") {
                succeed(connection, id, &observation, &raw)?;
            } else if error.is_none() && status == "known" {
                let paid = "UPDATE objects SET status = 'measured', seconds = ?2, actor = ?3 \
                            WHERE id = ?1";
                let values =
                    params![id, f64::from(observation.seconds), signed(observation.actor.0)];
                connection.prepare_cached(paid)?.execute(values)?;
            } else if error.is_some() && matches!(&*status, "known" | "struck") {
                // A record with what stands for the failure came first.
                let failed = "UPDATE objects SET status = 'failed', value = NULL, raw = '[]' \
                              WHERE id = ?1";
                connection.prepare_cached(failed)?.execute([id])?;
            }
            id
        }
    };
    let lease = evaluated.lease.map(|lease| signed(lease.0));
    if let Some(lease) = lease {
        let same = "SELECT count(*) FROM evaluations WHERE object_id = ?1 AND lease = ?2";
        let same: i64 =
            connection.prepare_cached(same)?.query_row(params![id, lease], |row| row.get(0))?;
        if same > 0 {
            return Ok((false, None));
        }
    }
    // Its record came first.
    if error.is_none()
        && let Some(row) = told(connection, id, &observation, &raw)?
    {
        let under = "UPDATE evaluations SET lease = ?2 WHERE id = ?1 AND lease IS NULL";
        if connection.prepare_cached(under)?.execute(params![row, lease])? > 0 {
            return Ok((false, None));
        }
    }
    self::evaluated(connection, id, &observation, &raw)?;
    let status =
        "UPDATE evaluations SET status = ?2, error = ?3, lease = ?4, alarm = ?5 WHERE id = ?1";
    let word = if error.is_none() { "measured" } else { "failed" };
    let row = connection.last_insert_rowid();
    let differs = alarm.as_ref().map(ToString::to_string);
    connection.prepare_cached(status)?.execute(params![row, word, error, lease, differs])?;
    Ok((true, alarm))
}

/// The newest evaluation of an object by the same actor with the same values.
fn told(
    connection: &Connection,
    object: i64,
    observation: &Observation,
    raw: &str,
) -> Result<Option<i64>, LedgerError> {
    let select = "SELECT id FROM evaluations WHERE object_id = ?1 AND actor = ?2 AND raw = ?3 \
                  AND status = 'measured' ORDER BY id DESC LIMIT 1";
    let values = params![object, signed(observation.actor.0), raw];
    let found = connection.prepare_cached(select)?.query_row(values, |row| row.get(0));
    Ok(found.optional()?)
}

/// An object that could not be measured has values now.
fn succeed(
    connection: &Connection,
    id: i64,
    observation: &Observation,
    raw: &str,
) -> Result<(), LedgerError> {
    let update = "UPDATE objects SET status = 'measured', value = ?2, raw = ?3, seconds = ?4, \
                  actor = ?5, time = ?6 WHERE id = ?1";
    connection.prepare_cached(update)?.execute(params![
        id,
        observation.raw.first(),
        raw,
        f64::from(observation.seconds),
        signed(observation.actor.0),
        observation.time,
    ])?;
    Ok(())
}

/// What is known of an object.
pub(super) fn find(
    connection: &Connection,
    key: ObjectKey,
) -> Result<Option<Arc<Finding>>, LedgerError> {
    let select = "SELECT raw, seconds, actor, status, id FROM objects WHERE key = ?1";
    let mut statement = connection.prepare_cached(select)?;
    let mut rows = statement.query([key.0])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let outcome = match row.get_ref(3)?.as_str() {
        Ok("struck") => return Ok(None),
        Ok("failed") => {
            let why = "SELECT error FROM evaluations WHERE object_id = ?1 AND error IS NOT NULL \
                       ORDER BY id DESC LIMIT 1";
            let id: i64 = row.get(4)?;
            let why = connection.prepare_cached(why)?.query_row([id], |row| row.get(0));
            Outcome::Failed(why.optional()?.unwrap_or_default())
        }
        _ => Outcome::Measured(raw_values(row.get_ref(0)?.as_str().unwrap_or_default())),
    };
    Ok(Some(Arc::new(Finding { outcome, seconds: real(row, 1)? as f32, actor: actor(row, 2)? })))
}

fn introduce(
    connection: &Connection,
    observation: &Observation,
    raw: &str,
) -> Result<bool, LedgerError> {
    let status = if observation.is_measured { "measured" } else { "known" };
    let object = insert(connection, observation, raw, status)?;
    if observation.is_measured {
        evaluated(connection, object, observation, raw)?;
    }
    Ok(observation.is_measured)
}

fn insert(
    connection: &Connection,
    observation: &Observation,
    raw: &str,
    status: &str,
) -> Result<i64, LedgerError> {
    let insert = "INSERT INTO objects (key, object, value, raw, seconds, actor, policy_incarnation, \
                  policy_step, time, seen, status) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
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
    Ok(connection.last_insert_rowid())
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
