//! Sequences of tokens, built by appending one token at a time: DNA words, strings of blocks.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{Enumeration, Environment, Identity, InvalidConfiguration, MOST_FEATURES, NotAnObject};
use crate::object::Object;
use crate::run_file::{Config, Keys, Problem, Section};

/// How many tokens a finished sequence has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Length {
    /// Exactly so many: the construction stops there and nowhere else.
    Length(usize),
    /// 1 to so many: the construction may stop after every token. The empty sequence is no object.
    MaxLength(usize),
}

impl Length {
    /// The key that gives it in the run file.
    pub fn key(self) -> &'static str {
        match self {
            Self::Length(_) => "length",
            Self::MaxLength(_) => "max_length",
        }
    }

    /// Tokens of the longest sequence.
    pub fn longest(self) -> usize {
        match self {
            Self::Length(length) | Self::MaxLength(length) => length,
        }
    }
}

/// Sequences over a vocabulary of V tokens, built from left to right (construction `append`).
///
/// State: the number of tokens, then the tokens, then zeros up to the longest length. Action `t`
/// appends token `t`; the one backward action, 0, removes the last token, so that the states form
/// a tree.
#[derive(Clone, Debug)]
pub struct Sequence {
    tokens: Vec<String>,
    length: Length,
    token_of: HashMap<String, u32>,
    is_text: bool,
    /// `first_of_length[n]`: the number of sequences with fewer than n tokens, for n up to
    /// longest + 1; `None` where they are more than a u64 can count.
    first_of_length: Option<Vec<u64>>,
}

#[derive(Serialize)]
struct Canonical<'a> {
    construction: &'a str,
    tokens: &'a [String],
    #[serde(flatten)]
    length: Length,
}

impl Sequence {
    /// Its `kind` in the run file.
    pub const KIND: &str = "sequence";

    /// Sequences over the characters of an alphabet, such as "ACGT".
    ///
    /// # Errors
    /// As for [`Sequence::over_vocabulary`].
    pub fn over_alphabet(alphabet: &str, length: Length) -> Result<Self, InvalidConfiguration> {
        Self::new(alphabet.chars().map(String::from).collect(), length, "alphabet")
    }

    /// Sequences over a vocabulary, such as `["Br", "C1CC1"]`. Objects are texts if every token is
    /// a single character, and lists of words otherwise.
    ///
    /// # Errors
    /// No token, a token twice, an empty one or one with white space or control characters, a
    /// length of 0, or more inputs than a network may have.
    pub fn over_vocabulary(
        vocabulary: Vec<String>,
        length: Length,
    ) -> Result<Self, InvalidConfiguration> {
        Self::new(vocabulary, length, "vocabulary")
    }

    /// The sequences that `[environment]` of a run file describes.
    ///
    /// # Errors
    /// Every problem with its keys.
    pub fn from_section(section: &Section) -> Result<Self, Vec<Problem>> {
        let written: Written = section.parse()?;
        let length = match (written.length, written.max_length) {
            (Some(length), None) => Ok(Length::Length(length)),
            (None, Some(longest)) => Ok(Length::MaxLength(longest)),
            (None, None) => Err("or `max_length` is missing: give one of them"),
            (Some(_), Some(_)) => Err("and `max_length` are both given: give one of them"),
        };
        let tokens = match (written.alphabet, written.vocabulary) {
            (Some(alphabet), None) => {
                Ok((alphabet.chars().map(String::from).collect(), "alphabet"))
            }
            (None, Some(vocabulary)) => Ok((vocabulary, "vocabulary")),
            (None, None) => Err("or `vocabulary` is missing: give one of them"),
            (Some(_), Some(_)) => Err("and `vocabulary` are both given: give one of them"),
        };
        match (length, tokens) {
            (Ok(length), Ok((tokens, key))) => {
                Self::new(tokens, length, key).map_err(|invalid| vec![invalid.in_section(section)])
            }
            (length, tokens) => {
                let of_length = length.err().map(|why| section.problem("length", why));
                let of_tokens = tokens.err().map(|why| section.problem("alphabet", why));
                Err(of_tokens.into_iter().chain(of_length).collect())
            }
        }
    }

    fn new(
        tokens: Vec<String>,
        length: Length,
        key: &'static str,
    ) -> Result<Self, InvalidConfiguration> {
        let token_of = numbered(&tokens, key)?;
        let longest = length.longest();
        if longest == 0 {
            return Err(InvalidConfiguration::new(length.key(), "must be at least 1"));
        }
        if longest.checked_mul(tokens.len()).is_none_or(|features| features > MOST_FEATURES) {
            let reason = format!("times {} tokens must be at most {MOST_FEATURES}", tokens.len());
            return Err(InvalidConfiguration::new(length.key(), reason));
        }
        let is_text = tokens.iter().all(|token| token.chars().count() == 1);
        let first_of_length = counts(tokens.len() as u64, longest);
        Ok(Self { tokens, length, token_of, is_text, first_of_length })
    }

    fn filled<'a>(&self, state: &'a [u32]) -> &'a [u32] {
        &state[1..=state[0] as usize]
    }

    fn refuse(&self, object: &Object, reason: String) -> NotAnObject {
        NotAnObject { object: object.to_string(), reason }
    }
}

/// Its keys in the run file.
#[derive(Clone)]
struct Written {
    construction: String,
    alphabet: Option<String>,
    vocabulary: Option<Vec<String>>,
    length: Option<usize>,
    max_length: Option<usize>,
}

impl Default for Written {
    fn default() -> Self {
        let construction = "append".to_owned();
        Self { construction, alphabet: None, vocabulary: None, length: None, max_length: None }
    }
}

impl Config for Written {
    fn declare(&mut self, keys: &mut Keys<'_>) {
        keys.key("construction", &mut self.construction, "where a token is added").must(
            "be \"append\": \"prepend_append\", \"insert\" and \"any_position\" are not built yet",
            |construction| construction == "append",
        );
        keys.key("alphabet", &mut self.alphabet, "the tokens, one character each");
        keys.key("vocabulary", &mut self.vocabulary, "the tokens, as a list of texts");
        keys.key("length", &mut self.length, "tokens of every sequence");
        keys.key("max_length", &mut self.max_length, "tokens of the longest sequence");
    }
}

/// The number of each token, or what is wrong with the vocabulary.
fn numbered(
    tokens: &[String],
    key: &'static str,
) -> Result<HashMap<String, u32>, InvalidConfiguration> {
    if tokens.is_empty() {
        return Err(InvalidConfiguration::new(key, "must have at least one token"));
    }
    let mut token_of = HashMap::with_capacity(tokens.len());
    for (token, number) in tokens.iter().zip(0..) {
        if token.is_empty() || token.chars().any(|c| c.is_whitespace() || c.is_control()) {
            let reason = format!("must have no empty token and no white space, but has {token:?}");
            return Err(InvalidConfiguration::new(key, reason));
        }
        if token_of.insert(token.clone(), number).is_some() {
            return Err(InvalidConfiguration::new(key, format!("has the token {token:?} twice")));
        }
    }
    Ok(token_of)
}

/// The number of sequences with fewer than n tokens, for n from 0 to longest + 1.
fn counts(vocabulary: u64, longest: usize) -> Option<Vec<u64>> {
    let mut counts = vec![0];
    let (mut total, mut of_length) = (0u64, Some(1u64));
    for _ in 0..=longest {
        total = total.checked_add(of_length?)?;
        counts.push(total);
        of_length = of_length?.checked_mul(vocabulary);
    }
    Some(counts)
}

impl Environment for Sequence {
    fn identity(&self) -> Identity {
        let canonical =
            Canonical { construction: "append", tokens: &self.tokens, length: self.length };
        // Strings and numbers always have a JSON form.
        let configuration = serde_json::to_string(&canonical).unwrap_or_default();
        Identity { kind: Self::KIND.to_owned(), version: 1, configuration }
    }

    fn forward_actions(&self) -> usize {
        self.tokens.len()
    }

    fn backward_actions(&self) -> usize {
        1
    }

    fn max_steps(&self) -> usize {
        self.length.longest()
    }

    fn state_width(&self) -> usize {
        1 + self.length.longest()
    }

    fn reset(&self, state: &mut [u32]) {
        state.fill(0);
    }

    fn legal_forward(&self, state: &[u32], actions: &mut Vec<u32>) {
        if (state[0] as usize) < self.length.longest() {
            actions.extend(0..self.tokens.len() as u32);
        }
    }

    fn legal_backward(&self, state: &[u32], actions: &mut Vec<u32>) {
        actions.extend((state[0] > 0).then_some(0));
    }

    fn is_legal(&self, state: &[u32], action: u32) -> bool {
        (state[0] as usize) < self.length.longest() && (action as usize) < self.tokens.len()
    }

    fn can_stop(&self, state: &[u32]) -> bool {
        match self.length {
            Length::Length(length) => state[0] as usize == length,
            Length::MaxLength(_) => state[0] > 0,
        }
    }

    fn step(&self, state: &mut [u32], action: u32) {
        state[0] += 1;
        state[state[0] as usize] = action;
    }

    fn undo(&self, state: &mut [u32], _: u32) {
        state[state[0] as usize] = 0;
        state[0] -= 1;
    }

    fn inverse(&self, _: &[u32], _: u32) -> u32 {
        0
    }

    fn forward_of(&self, state: &[u32], _: u32) -> u32 {
        state[state[0] as usize]
    }

    fn features(&self) -> usize {
        self.length.longest() * self.tokens.len()
    }

    fn active_features(&self, state: &[u32], features: &mut Vec<u32>) {
        let vocabulary = self.tokens.len() as u32;
        let filled = (0..).zip(self.filled(state));
        features.extend(filled.map(|(position, token)| position * vocabulary + token));
    }

    fn object(&self, state: &[u32]) -> Object {
        let tokens = self.filled(state).iter().map(|&token| self.tokens[token as usize].as_str());
        if self.is_text {
            Object::Text(tokens.collect())
        } else {
            Object::Words(tokens.map(str::to_owned).collect())
        }
    }

    fn state_of(&self, object: &Object) -> Result<Vec<u32>, NotAnObject> {
        let words: Vec<String> = match object {
            Object::Text(text) if self.is_text => text.chars().map(String::from).collect(),
            Object::Words(words) if !self.is_text => words.clone(),
            _ if self.is_text => return Err(self.refuse(object, "it is no text".to_owned())),
            _ => return Err(self.refuse(object, "it is no list of words".to_owned())),
        };
        let (longest, is_fixed) = (self.length.longest(), matches!(self.length, Length::Length(_)));
        if words.is_empty() || words.len() > longest || (is_fixed && words.len() != longest) {
            let range = if is_fixed { String::new() } else { "1 to ".to_owned() };
            let reason = format!("it has {} tokens, expected {range}{longest}", words.len());
            return Err(self.refuse(object, reason));
        }
        let mut state = vec![0; self.state_width()];
        for word in &words {
            let token = self.token_of.get(word);
            let unknown = || self.refuse(object, format!("{word:?} is not in the vocabulary"));
            self.step(&mut state, *token.ok_or_else(unknown)?);
        }
        Ok(state)
    }

    fn enumeration(&self) -> Option<&dyn Enumeration> {
        self.first_of_length.is_some().then_some(self)
    }
}

/// Sequences by length, then by their value in base V, the first token being the highest digit.
impl Enumeration for Sequence {
    fn states(&self) -> u64 {
        let counts = self.first_of_length.as_deref().unwrap_or_default();
        counts.last().copied().unwrap_or(0)
    }

    fn index(&self, state: &[u32]) -> u64 {
        let first = self.first_of_length.as_ref().map_or(0, |first| first[state[0] as usize]);
        let vocabulary = self.tokens.len() as u64;
        let digits = self.filled(state).iter();
        first + digits.fold(0, |value, &token| value * vocabulary + u64::from(token))
    }

    fn state(&self, index: u64, state: &mut [u32]) {
        state.fill(0);
        let first = self.first_of_length.as_deref().unwrap_or_default();
        let length = first.partition_point(|&first| first <= index).saturating_sub(1);
        let mut value = index - first.get(length).copied().unwrap_or(0);
        state[0] = length as u32;
        for token in state[1..=length].iter_mut().rev() {
            *token = (value % self.tokens.len() as u64) as u32;
            value /= self.tokens.len() as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::environment::laws::check_laws;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn the_laws_hold_also_in_degenerate_sizes() {
        for length in [1, 2, 8, 60] {
            for alphabet in ["A", "01", "ACGT"] {
                for length in [Length::Length(length), Length::MaxLength(length)] {
                    let sequences = Sequence::over_alphabet(alphabet, length).unwrap();
                    check_laws(&sequences, 100, 1).unwrap();
                }
            }
        }
        let blocks = words(&["Br", "C1CC1", "O"]);
        check_laws(&Sequence::over_vocabulary(blocks, Length::MaxLength(5)).unwrap(), 10_000, 2)
            .unwrap();
        check_laws(&Sequence::over_alphabet("ACGT", Length::Length(8)).unwrap(), 10_000, 3)
            .unwrap();
    }

    #[test]
    fn all_states_are_counted() {
        let states = |alphabet, length| {
            let sequences = Sequence::over_alphabet(alphabet, length).unwrap();
            sequences.enumeration().map(Enumeration::states)
        };
        assert_eq!(states("ACGT", Length::Length(8)), Some(87_381));
        assert_eq!(states("A", Length::MaxLength(3)), Some(4));
        assert_eq!(states("01", Length::Length(63)), Some(u64::MAX));
        assert_eq!(states("01", Length::Length(64)), None);
    }

    #[test]
    fn bad_configurations_are_refused_by_key() {
        let refused = |tokens: &[&str], length| {
            Sequence::over_vocabulary(words(tokens), length).unwrap_err().to_string()
        };
        let one = Length::Length(1);
        assert_eq!(refused(&[], one), "`vocabulary` must have at least one token");
        assert_eq!(refused(&["A", "A"], one), "`vocabulary` has the token \"A\" twice");
        assert!(refused(&["A", ""], one).contains("has \"\""));
        assert!(refused(&["A B"], one).contains("has \"A B\""));
        assert_eq!(refused(&["A"], Length::MaxLength(0)), "`max_length` must be at least 1");
        assert!(refused(&["A", "B"], Length::Length(usize::MAX)).contains("`length` times 2"));
        let twice = Sequence::over_alphabet("AA", one).unwrap_err();
        assert_eq!(twice.key, "alphabet");
    }

    #[test]
    fn a_run_file_names_every_problem() {
        let problems = |keys: &str| {
            let section = Section::from_toml("environment", keys).unwrap();
            let problems = Sequence::from_section(&section).unwrap_err();
            problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        let text = problems("kind = 'sequence'\nconstruction = 'insert'\nalphabt = 'AC'");
        assert!(text.contains("are not built yet"), "{text}");
        assert!(text.contains("did you mean `alphabet`?"), "{text}");
        let text = problems("kind = 'sequence'\nalphabet = 'AC'\nvocabulary = ['A']");
        assert!(text.contains("`environment.length` or `max_length` is missing"), "{text}");
        assert!(text.contains("`environment.alphabet` and `vocabulary` are both given"), "{text}");
        let text = problems("kind = 'sequence'\nalphabet = 'AA'\nlength = 2");
        assert_eq!(text, "`environment.alphabet` has the token \"A\" twice");
    }

    #[test]
    fn what_is_no_sequence_is_refused_with_its_reason() {
        let dna = Sequence::over_alphabet("ACGT", Length::Length(4)).unwrap();
        for (text, expected) in [
            ("ACGTA", "object \"ACGTA\": it has 5 tokens, expected 4"),
            ("ACG", "it has 3 tokens"),
            ("", "it has 0 tokens"),
            ("ACGX", "\"X\" is not in the vocabulary"),
        ] {
            let message = dna.parse_object(text).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        let blocks = words(&["Br", "C1CC1"]);
        let blocks = Sequence::over_vocabulary(blocks, Length::MaxLength(2)).unwrap();
        assert_eq!(
            blocks.parse_object("Br C1CC1").unwrap(),
            Object::Words(words(&["Br", "C1CC1"]))
        );
        let message = blocks.parse_object("Br Br Br").unwrap_err().to_string();
        assert!(message.contains("it has 3 tokens, expected 1 to 2"), "{message}");
    }

    #[test]
    fn an_alphabet_is_a_vocabulary_of_characters() {
        let length = Length::Length(3);
        let alphabet = Sequence::over_alphabet("AC", length).unwrap();
        let vocabulary = Sequence::over_vocabulary(words(&["A", "C"]), length).unwrap();
        assert_eq!(alphabet.identity(), vocabulary.identity());
        let expected = r#"{"construction":"append","tokens":["A","C"],"length":3}"#;
        assert_eq!(alphabet.identity().configuration, expected);
    }
}
