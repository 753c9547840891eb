//! `accepted`: trajectories that no checkpoint covers yet.

use rusqlite::{Connection, Row, params};

use super::columns::{
    action_bytes, actions, actor, key, policy, raw_text, raw_values, real, signed, unsigned,
};
use super::entry::{Accepted, AcceptedRow, Decided, Observation};
use super::error::LedgerError;
use crate::ids::{Epoch, Incarnation, Seq};
use crate::trajectory::TrajectoryKind;

/// Rows read at a time.
const PAGE: i64 = 1_000;

pub(super) fn insert(
    connection: &Connection,
    of: &Decided,
    seq: u64,
    accepted: &Accepted,
    observation: &Observation,
) -> Result<(), LedgerError> {
    let insert = "INSERT INTO accepted VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, \
                  ?13, ?14)";
    connection.prepare_cached(insert)?.execute(params![
        signed(accepted.ordinal),
        observation.key.0,
        signed(of.actor.0),
        of.epoch.incarnation.0,
        signed(of.epoch.counter),
        signed(seq),
        action_bytes(&accepted.actions),
        raw_text(&observation.raw),
        observation.policy.incarnation.0,
        signed(observation.policy.step),
        accepted.kind as u8,
        accepted.setting,
        f64::from(accepted.log_mu),
        f64::from(observation.seconds),
    ])?;
    Ok(())
}

/// The rows from an ordinal on, in order, read page by page.
pub struct AcceptedRows<'a> {
    connection: &'a Connection,
    next: u64,
    page: std::vec::IntoIter<AcceptedRow>,
}

impl<'a> AcceptedRows<'a> {
    pub(super) fn new(connection: &'a Connection, from: u64) -> Self {
        Self { connection, next: from, page: Vec::new().into_iter() }
    }

    fn read(&self) -> Result<Vec<AcceptedRow>, LedgerError> {
        let select = "SELECT * FROM accepted WHERE ordinal >= ?1 ORDER BY ordinal LIMIT ?2";
        let mut statement = self.connection.prepare_cached(select)?;
        let rows = statement.query_map(params![signed(self.next), PAGE], row)?;
        let rows: Vec<Option<AcceptedRow>> = rows.collect::<Result<_, _>>()?;
        let unknown = || LedgerError::Damaged("a trajectory of an unknown kind".to_owned());
        rows.into_iter().map(|row| row.ok_or_else(unknown)).collect()
    }
}

impl Iterator for AcceptedRows<'_> {
    type Item = Result<AcceptedRow, LedgerError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.page.len() == 0 {
            match self.read() {
                Ok(page) => self.page = page.into_iter(),
                Err(error) => return Some(Err(error)),
            }
        }
        let row = self.page.next()?;
        self.next = row.accepted.ordinal + 1;
        Some(Ok(row))
    }
}

/// None: of an unknown kind.
fn row(row: &Row<'_>) -> rusqlite::Result<Option<AcceptedRow>> {
    let number: u8 = row.get(10)?;
    let kind = TrajectoryKind::ALL.into_iter().find(|kind| *kind as u8 == number);
    let Some(kind) = kind else { return Ok(None) };
    let accepted = Accepted {
        ordinal: unsigned(row, 0)?,
        actions: actions(&row.get::<_, Vec<u8>>(6)?),
        kind,
        setting: row.get(11)?,
        log_mu: real(row, 12)? as f32,
    };
    let epoch = Epoch { incarnation: Incarnation(row.get(3)?), counter: unsigned(row, 4)? };
    Ok(Some(AcceptedRow {
        accepted,
        key: key(row, 1)?,
        actor: actor(row, 2)?,
        epoch,
        seq: Seq(unsigned(row, 5)?),
        raw: raw_values(&row.get::<_, String>(7)?),
        policy: policy(row, 8)?,
        seconds: real(row, 13)? as f32,
    }))
}
