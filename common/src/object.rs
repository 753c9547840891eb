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

impl Object {
    /// As JSON.
    pub fn json(&self) -> String {
        // Texts and numbers always have a JSON form.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The inverse of [`json`](Self::json).
    pub fn of_json(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// What a text may mean, likeliest first: several numbers or words, separated by white space or
    /// as a JSON list, or the text as it is. Every object is among the readings of its own text,
    /// if no word of it holds white space.
    pub fn readings(text: &str) -> (Object, Vec<Object>) {
        let json = serde_json::from_str(text).ok();
        let object = json.filter(|object| !matches!(object, Object::Text(_)));
        let words = Object::Words(text.split_whitespace().map(str::to_owned).collect());
        let integers = text.split_whitespace().map(|word| word.parse().ok());
        let integers: Option<Vec<i64>> = integers.collect();
        let text_itself = Object::Text(text.to_owned());
        let integers = integers.filter(|values| !values.is_empty()).map(Object::Integers);
        let is_list = object.is_some() || text.trim().contains(char::is_whitespace);
        let lists = object.into_iter().chain(integers).chain([words]);
        let mut readings: Vec<Object> = lists.collect();
        if is_list {
            let likeliest = readings.remove(0);
            readings.push(text_itself);
            (likeliest, readings)
        } else {
            (text_itself, readings)
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_object_is_a_reading_of_its_own_text() {
        let words = |words: &[&str]| Object::Words(words.iter().map(|&w| w.to_owned()).collect());
        for object in [
            Object::Text("ACGT".to_owned()),
            Object::Text("0101".to_owned()),
            Object::Integers(vec![3]),
            Object::Integers(vec![3, 0, -7]),
            words(&["Br"]),
            words(&["Br", "C1CC1"]),
            words(&["1", "2"]),
        ] {
            let (likeliest, others) = Object::readings(&object.to_string());
            assert!(likeliest == object || others.contains(&object), "{object:?}: {others:?}");
        }
    }

    #[test]
    fn lists_are_read_before_texts() {
        assert_eq!(Object::readings("3 0").0, Object::Integers(vec![3, 0]));
        assert_eq!(Object::readings("[3, 0]").0, Object::Integers(vec![3, 0]));
        assert_eq!(Object::readings("0101").0, Object::Text("0101".to_owned()));
    }
}
