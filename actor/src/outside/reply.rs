//! The lines of a worker: requests and replies in JSON.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value};
use tributary_common::object::Object;
use tributary_common::plain_text;

/// What a program says of one object: its raw values, or that it has none.
pub(super) type Reply = Result<Vec<f64>, Refusal>;

/// A program cannot measure an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// In its words.
    pub(super) reason: String,
    /// It may be able to later.
    pub(super) is_transient: bool,
}

#[derive(Serialize)]
struct Request<'a> {
    id: u64,
    objects: &'a [&'a Object],
}

/// A request's line.
pub(super) fn request(id: u64, objects: &[&Object]) -> Vec<u8> {
    // Texts and numbers always have a JSON form.
    let mut line = serde_json::to_vec(&Request { id, objects }).unwrap_or_default();
    line.push(b'\n');
    line
}

/// Reads the reply to a request of so many objects, each with so many outputs.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(
    line: &[u8],
    id: u64,
    objects: usize,
    outputs: usize,
) -> Result<Vec<Reply>, String> {
    let text = std::str::from_utf8(line).map_err(|_| "it is not UTF-8".to_owned())?;
    let shown = || plain_text::plain_up_to(text, 200);
    let reply: Map<String, Value> = serde_json::from_str(&finite(text))
        .map_err(|error| format!("it is not a JSON object ({error}): {}", shown()))?;
    if reply.get("id").and_then(Value::as_u64) != Some(id) {
        return Err(format!("it is not the reply to request {id}: {}", shown()));
    }
    if let Some(refusal) = refusal(&reply) {
        return Ok(vec![Err(refusal); objects]);
    }
    let Some(Value::Array(rewards)) = reply.get("rewards") else {
        return Err(format!("it has no list \"rewards\": {}", shown()));
    };
    if rewards.len() != objects {
        return Err(format!("it has {} rewards for {objects} objects", rewards.len()));
    }
    let read = |reward: &Value| {
        entry(reward, outputs).ok_or_else(|| {
            let reward = plain_text::plain_up_to(&reward.to_string(), 100);
            format!("{reward} is neither {outputs} numbers nor an error")
        })
    };
    rewards.iter().map(read).collect()
}

fn entry(reward: &Value, outputs: usize) -> Option<Reply> {
    match reward {
        Value::Array(values) if values.len() == outputs => {
            values.iter().map(number).collect::<Option<Vec<f64>>>().map(Ok)
        }
        Value::Object(entry) => refusal(entry).map(Err),
        value if outputs == 1 => number(value).map(|value| Ok(vec![value])),
        _ => None,
    }
}

fn refusal(entry: &Map<String, Value>) -> Option<Refusal> {
    let reason = plain_text::plain_up_to(entry.get("error")?.as_str()?, 500);
    let is_transient = entry.get("transient").and_then(Value::as_bool).unwrap_or(false);
    Some(Refusal { reason, is_transient })
}

/// A number, or the name of one that is not finite.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(name) => NOT_FINITE.contains(&name.as_str()).then(|| name.parse().ok())?,
        _ => None,
    }
}

/// What many programs write for numbers that JSON does not have; longer ones first.
const NOT_FINITE: [&str; 3] = ["-Infinity", "Infinity", "NaN"];

/// The text with such names in quotes.
fn finite(text: &str) -> Cow<'_, str> {
    if !(text.contains("NaN") || text.contains("Infinity")) {
        return Cow::Borrowed(text);
    }
    let mut quoted = String::with_capacity(text.len() + 16);
    let (mut rest, mut is_inside) = (text, false);
    while let Some(next) = rest.chars().next() {
        let name = NOT_FINITE.iter().find(|name| !is_inside && rest.starts_with(**name));
        let length = match name {
            Some(name) => {
                quoted.extend(["\"", name, "\""]);
                name.len()
            }
            None => {
                let escaped = is_inside && next == '\\';
                let length = if escaped {
                    rest.chars().take(2).map(char::len_utf8).sum()
                } else {
                    is_inside ^= next == '"';
                    next.len_utf8()
                };
                quoted.push_str(&rest[..length]);
                length
            }
        };
        rest = &rest[length..];
    }
    Cow::Owned(quoted)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn refused(reason: &str, is_transient: bool) -> Reply {
        Err(Refusal { reason: reason.to_owned(), is_transient })
    }

    #[test]
    fn objects_are_asked_for_in_a_line() {
        let (word, cell) = (Object::Text("AC".to_owned()), Object::Integers(vec![3, 0]));
        let expected = b"{\"id\":7,\"objects\":[\"AC\",[3,0]]}\n";
        assert_eq!(request(7, &[&word, &cell]), expected);
    }

    #[test]
    fn each_object_has_a_value_or_an_error() {
        let line = br#"{"id": 7, "rewards": [1, 2.5e3, {"error": "no \"atoms\""}, {"error": "busy", "transient": true}, [4]], "more": 1}"#;
        let expected = vec![
            Ok(vec![1.0]),
            Ok(vec![2_500.0]),
            refused("no \"atoms\"", false),
            refused("busy", true),
            Ok(vec![4.0]),
        ];
        assert_eq!(read(line, 7, 5, 1), Ok(expected));
        let pair = br#"{"id": 0, "rewards": [[1, -2]]}"#;
        assert_eq!(read(pair, 0, 1, 2), Ok(vec![Ok(vec![1.0, -2.0])]));
        let all = br#"{"id": 1, "error": "no licence"}"#;
        assert_eq!(read(all, 1, 2, 1), Ok(vec![refused("no licence", false); 2]));
    }

    #[test]
    fn names_of_numbers_that_json_does_not_have_are_understood() {
        let line =
            br#"{"id": 1, "rewards": [NaN, -Infinity, {"error": "is \\\"NaN\\\""}, Infinity]}"#;
        let found = read(line, 1, 4, 1).unwrap();
        assert!(found[0].as_ref().unwrap()[0].is_nan());
        assert_eq!(found[1], Ok(vec![f64::NEG_INFINITY]));
        assert_eq!(found[2], refused("is \\\"NaN\\\"", false));
        assert_eq!(found[3], Ok(vec![f64::INFINITY]));
    }

    #[test]
    fn what_is_no_reply_is_said() {
        for (line, expected) in [
            (&b"loading model ..."[..], "it is not a JSON object"),
            (b"[1, 2]", "it is not a JSON object"),
            (b"\xff\xfe", "it is not UTF-8"),
            (br#"{"id": 8, "rewards": [1]}"#, "it is not the reply to request 7"),
            (br#"{"rewards": [1]}"#, "it is not the reply to request 7"),
            (br#"{"id": 7}"#, "it has no list \"rewards\""),
            (br#"{"id": 7, "rewards": []}"#, "it has 0 rewards for 1 objects"),
            (br#"{"id": 7, "rewards": ["1"]}"#, "\"1\" is neither 1 numbers nor an error"),
            (br#"{"id": 7, "rewards": [null]}"#, "null is neither 1 numbers nor an error"),
            (br#"{"id": 7, "rewards": [[1, 2]]}"#, "[1,2] is neither 1 numbers nor an error"),
            (br#"{"id": 7, "rewards": [{}]}"#, "{} is neither 1 numbers nor an error"),
        ] {
            let found = read(line, 7, 1, 1).unwrap_err();
            assert!(found.starts_with(expected), "{found}");
        }
    }
}
