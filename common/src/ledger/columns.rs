//! How values stand in columns.

use rusqlite::Row;

use crate::ids::{ActorId, Incarnation, PolicyVersion};
use crate::object::Object;
use crate::reward::ObjectKey;

/// The same 64 bits: SQLite has signed integers only.
pub(super) fn signed(number: u64) -> i64 {
    number.cast_signed()
}

pub(super) fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::cast_unsigned)
}

/// A number as REAL; SQLite keeps NaN as NULL.
pub(super) fn real(row: &Row<'_>, column: usize) -> rusqlite::Result<f64> {
    Ok(row.get::<_, Option<f64>>(column)?.unwrap_or(f64::NAN))
}

pub(super) fn key(row: &Row<'_>, column: usize) -> rusqlite::Result<ObjectKey> {
    row.get(column).map(ObjectKey)
}

pub(super) fn actor(row: &Row<'_>, column: usize) -> rusqlite::Result<ActorId> {
    unsigned(row, column).map(ActorId)
}

/// Of two columns, from this one on.
pub(super) fn policy(row: &Row<'_>, column: usize) -> rusqlite::Result<PolicyVersion> {
    let incarnation = Incarnation(row.get(column)?);
    Ok(PolicyVersion { incarnation, step: unsigned(row, column + 1)? })
}

/// An object as people read it in a column: a word as it is, lists as JSON.
pub fn readable(object: &Object) -> String {
    match object {
        Object::Text(text) => text.clone(),
        // Texts and numbers always have a JSON form.
        list => serde_json::to_string(list).unwrap_or_default(),
    }
}

/// Raw values as a JSON list that gives back every bit; SQLite's JSON knows Infinity.
pub(super) fn raw_text(raw: &[f64]) -> String {
    let number = |value: &f64| match value.is_infinite() {
        true if *value > 0.0 => "Infinity".to_owned(),
        true => "-Infinity".to_owned(),
        false => format!("{value:?}"),
    };
    format!("[{}]", raw.iter().map(number).collect::<Vec<_>>().join(","))
}

/// The inverse of [`raw_text`]; what is no number becomes NaN, of which no log-reward is made.
pub(super) fn raw_values(text: &str) -> Vec<f64> {
    let inner = text.trim_start_matches('[').trim_end_matches(']');
    let numbers = inner.split(',').filter(|number| !number.is_empty());
    numbers.map(|number| number.trim().parse().unwrap_or(f64::NAN)).collect()
}

pub(super) fn action_bytes(actions: &[u32]) -> Vec<u8> {
    actions.iter().flat_map(|action| action.to_le_bytes()).collect()
}

pub(super) fn actions(bytes: &[u8]) -> Vec<u32> {
    let action = |bytes: &[u8]| bytes.iter().rev().fold(0, |all, byte| all << 8 | u32::from(*byte));
    bytes.chunks(4).map(action).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_bit_by_bit() {
        let raw = [0.1, -0.0, 1e-300, 1e16, f64::NEG_INFINITY, f64::MIN_POSITIVE / 3.0];
        let back = raw_values(&raw_text(&raw));
        assert_eq!(back.iter().map(|v| v.to_bits()).collect::<Vec<_>>(), raw.map(f64::to_bits));
        assert_eq!(raw_values(&raw_text(&[])), Vec::<f64>::new());
        let path = [0, 1, 256, u32::MAX];
        assert_eq!(actions(&action_bytes(&path)), path);
    }

    #[test]
    fn words_are_stored_as_they_are_and_lists_as_json() {
        assert_eq!(readable(&Object::Text("ACGT".to_owned())), "ACGT");
        assert_eq!(readable(&Object::Integers(vec![3, 0])), "[3,0]");
        assert_eq!(readable(&Object::Words(vec!["Br".into()])), "[\"Br\"]");
    }
}
