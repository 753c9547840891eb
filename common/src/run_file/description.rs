//! What the reference says of keys, made of the same declarations that read them.

use super::keys::{Config, declared};
use super::value::{Value, expected_one_of};
use toml::Value as Toml;

/// Every key of a section, or of a kind of environment or reward.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Description {
    /// What the whole is: [`Config::about`].
    pub about: &'static str,
    /// The keys, in the order of their declaration; those of a table as `table.key`.
    pub keys: Vec<KeyDescription>,
    /// What no single key says, such as that one of several must be given.
    pub notes: Vec<String>,
}

/// What the declaration of a key says.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyDescription {
    /// Its name within the section.
    pub name: String,
    /// A sentence without a full stop.
    pub meaning: &'static str,
    /// What may be written.
    pub form: Form,
    /// Its value in the configuration that is described; `None` where it is left out.
    pub value: Option<Toml>,
    /// Its value when it is left out; `None` where that means something of its own.
    pub default: Option<Toml>,
    /// Whether the default depends on other keys.
    pub follows: bool,
    /// Whether it must be given.
    pub required: bool,
    /// What a value must satisfy; each follows "must".
    pub conditions: Vec<String>,
    /// Where it may be given, if not everywhere; each follows "only".
    pub only: Vec<String>,
    /// Whether it may be given in the configuration that is described.
    pub applies: bool,
}

impl KeyDescription {
    /// A key without conditions.
    pub(super) fn new<V: Value>(name: &str, meaning: &'static str, value: Option<Toml>) -> Self {
        Self {
            name: name.to_owned(),
            meaning,
            form: V::form(),
            value,
            default: None,
            follows: false,
            required: false,
            conditions: Vec::new(),
            only: Vec::new(),
            applies: true,
        }
    }
}

/// What may be written behind a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// In words, such as "a whole number".
    pub words: String,
    /// Each word that may be written, where there are only some.
    pub choices: Vec<Choice>,
}

/// One of the words that may be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The word.
    pub word: String,
    /// What it stands for.
    pub meaning: String,
}

impl Form {
    /// A form in words.
    pub fn new(words: impl Into<String>) -> Self {
        Self { words: words.into(), choices: Vec::new() }
    }

    /// Words to choose from, each with what its documentation says of it.
    #[must_use]
    pub fn one_of(choices: &[(&str, &str)]) -> Self {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let choice = |(word, meaning): &(&str, &str)| Choice {
            word: (*word).to_owned(),
            meaning: meaning.trim().to_owned(),
        };
        let choices = choices.iter().map(choice).collect();
        Self { words: without_expected(&expected_one_of(&words)), choices }
    }

    /// What a type says that it expects when it is given a date, which no key takes.
    pub(super) fn expected<V: Value>() -> Self {
        let date = toml::value::Datetime { date: None, time: None, offset: None };
        match V::read(&Toml::Datetime(date)) {
            Err(why) => Self::new(without_expected(&why)),
            Ok(_) => Self::new("any value"),
        }
    }
}

fn without_expected(text: &str) -> String {
    text.strip_prefix("expected ").unwrap_or(text).to_owned()
}

/// Describes the keys of a configuration: with its values, and beside them the defaults.
pub fn described<C: Config>(config: &C) -> Description {
    let mut description = declared(&mut config.clone());
    let defaults = declared(&mut C::default());
    for key in description.keys.iter_mut().filter(|key| !key.follows && !key.required) {
        let default = defaults.keys.iter().find(|default| default.name == key.name);
        key.default = default.and_then(|default| default.value.clone());
    }
    description
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{Keys, Portfolio, Schedule};
    use super::*;
    use crate::choices;
    use std::time::Duration;

    choices! {
        /// Which end grows.
        enum End {
            /// The first letter:
            /// it is
            /// on the left.
            Left = "left",
            #[allow(dead_code)]
            Right = "right",
        }
    }

    #[derive(Clone)]
    struct Word {
        end: End,
        letters: usize,
        spare: usize,
        inner: Inner,
        text: Option<String>,
    }

    impl Default for Word {
        fn default() -> Self {
            Self { end: End::Left, letters: 3, spare: 0, inner: Inner(7), text: None }
        }
    }

    #[derive(Clone, Default)]
    struct Inner(u64);

    impl Config for Inner {
        fn declare(&mut self, keys: &mut Keys<'_>) {
            keys.key("number", &mut self.0, "a number inside").at_most(9);
        }
    }

    impl Config for Word {
        fn about() -> &'static str {
            "a word"
        }

        fn declare(&mut self, keys: &mut Keys<'_>) {
            keys.key("end", &mut self.end, "which end grows");
            keys.key("letters", &mut self.letters, "letters").at_least(1).must("be odd", |_| true);
            keys.key("spare", &mut self.spare, "letters left over")
                .or(2 * self.letters)
                .only(self.letters > 3, "with `letters` above 3");
            keys.table("inner", &mut self.inner);
            keys.key("text", &mut self.text, "the text").required();
            keys.need_one_of(&["letters", "spare"], "the word has no size");
        }
    }

    #[test]
    fn a_declaration_describes_its_keys() {
        let word = described(&Word::default());
        let names: Vec<&str> = word.keys.iter().map(|key| key.name.as_str()).collect();
        assert_eq!(names, ["end", "letters", "spare", "inner.number", "text"]);
        assert_eq!(word.about, "a word");
        assert_eq!(word.notes, ["give at least one of `letters`, `spare`"]);
        let [end, letters, spare, number, text] = &word.keys[..] else { unreachable!() };
        assert_eq!(end.form.words, "one of \"left\", \"right\"");
        let choices: Vec<(&str, &str)> =
            end.form.choices.iter().map(|c| (c.word.as_str(), c.meaning.as_str())).collect();
        assert_eq!(choices, [("left", "The first letter: it is on the left."), ("right", "")]);
        assert_eq!(letters.conditions, ["be at least 1", "be odd"]);
        assert_eq!(letters.default, Some(Toml::Integer(3)));
        assert_eq!((spare.follows, &spare.default), (true, &Some(Toml::Integer(6))));
        assert_eq!(
            (spare.applies, &spare.only[..]),
            (false, &["with `letters` above 3".into()][..])
        );
        // The default of the table as a whole, not of the type inside.
        assert_eq!(
            (&number.default, &number.conditions[..]),
            (&Some(Toml::Integer(7)), &["be at most 9".to_owned()][..])
        );
        assert_eq!(
            (text.required, &text.default, text.form.words.as_str()),
            (true, &None, "text in quotes")
        );
    }

    #[test]
    fn values_and_defaults_stand_side_by_side() {
        let word = Word { letters: 5, spare: 1, end: End::Right, ..Word::default() };
        let described = described(&word);
        let pair = |name: &str| {
            let key = described.keys.iter().find(|key| key.name == name).unwrap();
            let text = |value: &Option<Toml>| value.as_ref().unwrap().to_string();
            (text(&key.value), text(&key.default))
        };
        assert_eq!(pair("end"), ("\"right\"".to_owned(), "\"left\"".to_owned()));
        assert_eq!(pair("letters"), ("5".to_owned(), "3".to_owned()));
        // What it would be if it was left out, beside these letters.
        assert_eq!(pair("spare"), ("1".to_owned(), "10".to_owned()));
    }

    #[test]
    fn types_say_what_they_take() {
        let words = |form: Form| form.words;
        assert_eq!(words(u64::form()), "a whole number");
        assert_eq!(words(f64::form()), "a number");
        assert_eq!(words(bool::form()), "true or false");
        assert_eq!(words(Option::<bool>::form()), "true or false");
        assert_eq!(words(Vec::<f64>::form()), "a list, each entry a number");
        assert!(words(Duration::form()).starts_with("a duration with its unit"));
        let line = "a number or a line { start = ..., end = ..., over = TRAJECTORIES }";
        assert_eq!(words(Schedule::form()), line);
        assert_eq!(words(Portfolio::<Schedule>::form()), format!("{line}, or a list of these"));
        assert_eq!(Vec::<End>::form().choices.len(), 2);
    }
}
