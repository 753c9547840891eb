//! The keys of sequences in the run file.

use super::{Construction, Length, Sequence, Tokens, Vocabulary};
use crate::run_file::{Config, Keys, Problem, Section};

#[derive(Clone)]
struct Written {
    construction: Construction,
    alphabet: Option<String>,
    vocabulary: Option<Vec<String>>,
    word_bits: Option<usize>,
    length: Option<usize>,
    max_length: Option<usize>,
}

impl Default for Written {
    fn default() -> Self {
        let construction = Construction::Append;
        let (alphabet, vocabulary, word_bits) = (None, None, None);
        Self { construction, alphabet, vocabulary, word_bits, length: None, max_length: None }
    }
}

impl Config for Written {
    fn declare(&mut self, keys: &mut Keys<'_>) {
        keys.key("construction", &mut self.construction, "where a token is added");
        keys.key("alphabet", &mut self.alphabet, "the tokens, one character each");
        keys.key("vocabulary", &mut self.vocabulary, "the tokens, as a list of texts");
        keys.key("word_bits", &mut self.word_bits, "the tokens: all words of so many bits");
        keys.key("length", &mut self.length, "tokens of every sequence");
        keys.key("max_length", &mut self.max_length, "tokens of the longest sequence");
    }
}

/// What is given of several keys that exclude each other, each with its value if it has one.
fn one_of<T, const N: usize>(
    section: &Section,
    choices: [(&'static str, Option<T>); N],
) -> Result<(&'static str, T), Problem> {
    let names = choices.each_ref().map(|(key, _)| *key);
    let given = choices.into_iter().filter_map(|(key, value)| value.map(|value| (key, value)));
    let mut given: Vec<_> = given.collect();
    let joined = |names: &[&str], word: &str| {
        let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        quoted.join(word)
    };
    match given.pop() {
        Some(only) if given.is_empty() => Ok(only),
        Some((last, _)) => {
            let also: Vec<&str> = given[1..].iter().map(|(key, _)| *key).chain([last]).collect();
            let message = format!("and {} are given: give one of them", joined(&also, ", "));
            Err(section.problem(given[0].0, &message))
        }
        None => {
            let message =
                format!("or {} is missing: give one of them", joined(&names[1..], " or "));
            Err(section.problem(names[0], &message))
        }
    }
}

impl Sequence {
    /// The sequences that `[environment]` of a run file describes.
    ///
    /// # Errors
    /// Every problem with its keys.
    pub fn from_section(section: &Section) -> Result<Self, Vec<Problem>> {
        let written: Written = section.parse()?;
        let of_characters = |alphabet: String| alphabet.chars().map(String::from).collect();
        let tokens = one_of(
            section,
            [
                ("alphabet", written.alphabet.map(of_characters).map(Tokens::Tokens)),
                ("vocabulary", written.vocabulary.map(Tokens::Tokens)),
                ("word_bits", written.word_bits.map(Tokens::WordBits)),
            ],
        );
        let length = one_of(
            section,
            [
                ("length", written.length.map(Length::Length)),
                ("max_length", written.max_length.map(Length::MaxLength)),
            ],
        );
        match (tokens, length) {
            (Ok((key, tokens)), Ok((_, length))) => Vocabulary::new(tokens, key)
                .and_then(|vocabulary| Self::new(vocabulary, length, written.construction))
                .map_err(|invalid| vec![invalid.in_section(section)]),
            (tokens, length) => Err(tokens.err().into_iter().chain(length.err()).collect()),
        }
    }
}
