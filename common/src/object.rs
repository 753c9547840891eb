//! Finished objects in readable form.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A finished object as people and reward programs see it. In JSON a sequence over single
/// characters is its string, other sequences an array of words, a grid's cell an array of integers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Object {
    /// For example a DNA word, "ACGTACGT".
    Text(String),
    /// For example a hypergrid's cell, `[3, 0, 7, 1]`.
    Integers(Vec<i64>),
    /// For example a sequence of blocks, `["Br", "C1CC1"]`.
    Words(Vec<String>),
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Object::Text(text) => f.write_str(text),
            Object::Integers(values) => join(f, values),
            Object::Words(words) => join(f, words),
        }
    }
}

fn join<T: fmt::Display>(f: &mut fmt::Formatter<'_>, items: &[T]) -> fmt::Result {
    for (i, item) in items.iter().enumerate() {
        let separator = if i == 0 { "" } else { " " };
        write!(f, "{separator}{item}")?;
    }
    Ok(())
}
