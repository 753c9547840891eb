//! Numbers of the forms on disk. A form grows by fields that older programs ignore; its number
//! changes when they cannot, and a program refuses a number that it does not know.

use serde::Deserialize;

/// A document of a form that this program does not know yet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} has schema {theirs}, this program knows schemas up to {ours}; use the release that \
     wrote it, or a newer one"
)]
pub struct UnknownSchema {
    /// Which document.
    pub what: &'static str,
    /// Its number.
    pub theirs: u32,
    /// The newest that this program knows.
    pub ours: u32,
}

#[derive(Deserialize)]
struct Numbered {
    schema: u32,
}

/// Refuses a number that is none, or newer than `ours`.
///
/// # Errors
/// What it is, its number, ours.
pub fn check(what: &'static str, theirs: u32, ours: u32) -> Result<(), UnknownSchema> {
    match (1..=ours).contains(&theirs) {
        true => Ok(()),
        false => Err(UnknownSchema { what, theirs, ours }),
    }
}

/// The same of a JSON document, before the rest of it is read: that may have changed with the
/// number. A document without a number is left to its reader.
///
/// # Errors
/// As for [`check`].
pub fn check_json(what: &'static str, json: &[u8], ours: u32) -> Result<(), UnknownSchema> {
    match serde_json::from_slice::<Numbered>(json) {
        Ok(Numbered { schema }) => check(what, schema, ours),
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_form_is_refused_with_both_numbers() {
        assert_eq!(check("a thing", 2, 2), Ok(()));
        assert!(check("a thing", 0, 2).is_err());
        let error = check_json("run.json", br#"{"new": [1], "schema": 7}"#, 2);
        let message = error.map_err(|error| error.to_string());
        let expected = "run.json has schema 7, this program knows schemas up to 2; use the release \
                        that wrote it, or a newer one";
        assert_eq!(message, Err(expected.to_owned()));
        assert_eq!(check_json("run.json", b"{}", 2), Ok(()));
    }
}
