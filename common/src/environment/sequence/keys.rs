//! The keys of sequences in the run file.

use super::presets::Preset;
use super::vocabulary::MOST_WORD_BITS;
use super::{Construction, Length, Sequence, Tokens, Vocabulary};
use crate::run_file::{Config, Keys, Problem, Section};

#[derive(Clone)]
struct Written {
    preset: Option<Preset>,
    construction: Construction,
    alphabet: Option<String>,
    vocabulary: Option<Vec<String>>,
    word_bits: Option<usize>,
    length: Option<usize>,
    max_length: Option<usize>,
    bits: Option<usize>,
}

impl Default for Written {
    fn default() -> Self {
        let construction = Construction::Append;
        let (preset, alphabet, vocabulary, word_bits) = (None, None, None, None);
        let (length, max_length, bits) = (None, None, None);
        Self { preset, construction, alphabet, vocabulary, word_bits, length, max_length, bits }
    }
}

impl Config for Written {
    fn about() -> &'static str {
        "sequences of tokens; the tokens are given by one of `alphabet`, `vocabulary` and \
         `word_bits`, their number by one of `length`, `max_length` and `bits`, or both by a `preset`"
    }

    fn declare(&mut self, keys: &mut Keys<'_>) {
        keys.key(
            "preset",
            &mut self.preset,
            "a task of the literature, which gives the other keys",
        );
        let construction = self.preset.map_or(Construction::Append, Preset::construction);
        keys.key("construction", &mut self.construction, "where a token is added").or(construction);
        self.declare_tokens(keys);
        self.declare_length(keys);
    }
}

impl Written {
    fn declare_tokens(&mut self, keys: &mut Keys<'_>) {
        let preset = self.preset;
        keys.key("alphabet", &mut self.alphabet, "the tokens, one character each")
            .or(preset.and_then(Preset::alphabet))
            .only(preset.is_none(), WITHOUT_PRESET);
        keys.key("vocabulary", &mut self.vocabulary, "the tokens, as a list of texts")
            .or(preset.and_then(Preset::vocabulary))
            .only(preset.is_none(), WITHOUT_PRESET);
        let word_bits = "the tokens: all words of so many bits";
        keys.key("word_bits", &mut self.word_bits, word_bits)
            .or(preset.and_then(Preset::word_bits))
            .only(preset.is_none_or(|preset| preset == Preset::Bitseq), WITHOUT_OTHER_PRESET)
            .must("be from 1 to 16", |bits| {
                bits.is_none_or(|bits| (1..=MOST_WORD_BITS).contains(&bits))
            });
    }

    fn declare_length(&mut self, keys: &mut Keys<'_>) {
        let preset = self.preset;
        keys.key("length", &mut self.length, "tokens of every sequence")
            .or(preset.and_then(Preset::length))
            .only(preset.is_none(), WITHOUT_PRESET)
            .at_least(Some(1));
        keys.key("max_length", &mut self.max_length, "tokens of the longest sequence")
            .only(preset.is_none(), WITHOUT_PRESET)
            .at_least(Some(1));
        let word_bits = self.word_bits;
        let whole = |bits: &Option<usize>| {
            bits.is_none_or(|bits| word_bits.is_some_and(|word| bits.is_multiple_of(word)))
        };
        keys.key("bits", &mut self.bits, "bits of every sequence: `length` times `word_bits`")
            .or(preset.and_then(Preset::bits))
            .only(word_bits.is_some(), "with `word_bits` or preset = \"bitseq\"")
            .at_least(Some(1))
            .must("be a multiple of `word_bits`", whole);
    }

    /// The length that `bits` stands for.
    fn length_of_bits(&self) -> Option<Length> {
        self.bits?.checked_div(self.word_bits?).map(Length::Length)
    }
}

const WITHOUT_PRESET: &str = "without a preset";
const WITHOUT_OTHER_PRESET: &str = "without a preset or with preset = \"bitseq\"";

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
        let of_bits = written.length_of_bits();
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
                ("bits", of_bits),
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
