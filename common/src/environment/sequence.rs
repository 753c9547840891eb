//! Sequences of tokens: DNA words, strings of blocks, strings of bits.
//!
//! How tokens are added, the [`Construction`], decides which edges join the states, not which
//! objects there are. Where several edges join the same two states, as the three places where an A
//! can be inserted into "AA", P_F and P_B are over the edges: a P_B over distinct parents would
//! train towards another distribution.

mod any_position;
mod append;
mod edges;
mod insert;
mod keys;
mod list;
mod prepend_append;
mod presets;
#[cfg(test)]
mod tests;
mod vocabulary;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::any_position::AnyPosition;
use self::append::Append;
use self::edges::{Edges, Size};
use self::insert::Insert;
use self::list::{ByLength, ByPosition};
use self::prepend_append::PrependAppend;
use self::vocabulary::{Tokens, Vocabulary};
use super::{
    Enumeration, Environment, Identity, InvalidConfiguration, MOST_FEATURES, NotAnObject,
    TokenLayout,
};
use crate::object::Object;

crate::choices! {
    /// Where a token is added.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum Construction {
        /// At the end. Action `t` adds token `t`; backward action 0 removes the last.
        Append = "append",
        /// At either end. Action `t` adds token `t` in front, `V + t` at the end; backward action
        /// 0 removes the first, 1 the last.
        PrependAppend = "prepend_append",
        /// Anywhere. Action `p V + t` puts token `t` before the one at position `p`, which moves
        /// on; backward action `p` removes the token at `p`.
        Insert = "insert",
        /// At any position still empty, of a sequence of fixed length. Action `p V + t` puts token
        /// `t` at position `p`; backward action `p` empties it.
        AnyPosition = "any_position",
    }
}

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

/// Sequences over a vocabulary of V tokens.
///
/// State: the number of tokens, then for each position up to the longest length the token there
/// plus 1, or 0 where it is empty. The network sees, for each filled position from the left, which
/// token is there.
#[derive(Clone, Debug)]
pub struct Sequence {
    vocabulary: Vocabulary,
    length: Length,
    construction: Construction,
    edges: Arc<dyn Edges>,
    list: Option<List>,
}

/// The list of all states, by the states that the construction goes through.
#[derive(Clone, Debug)]
enum List {
    ByLength(ByLength),
    ByPosition(ByPosition),
}

#[derive(Serialize, Deserialize)]
struct Canonical {
    construction: Construction,
    #[serde(flatten)]
    tokens: Tokens,
    #[serde(flatten)]
    length: Length,
}

impl Sequence {
    /// Its `kind` in the run file.
    pub const KIND: &str = "sequence";

    /// Sequences over the characters of an alphabet, such as "ACGT", built by `append`.
    ///
    /// # Errors
    /// As for [`Sequence::over_vocabulary`].
    pub fn over_alphabet(alphabet: &str, length: Length) -> Result<Self, InvalidConfiguration> {
        let tokens = Tokens::Tokens(alphabet.chars().map(String::from).collect());
        Self::new(Vocabulary::new(tokens, "alphabet")?, length, Construction::Append)
    }

    /// Sequences over a vocabulary, such as `["Br", "C1CC1"]`, built by `append`. Objects are texts
    /// if every token is a single character, and lists of words otherwise.
    ///
    /// # Errors
    /// No token, a token twice, an empty one or one with white space or control characters, a
    /// length of 0, or more inputs than a network may have.
    pub fn over_vocabulary(
        vocabulary: Vec<String>,
        length: Length,
    ) -> Result<Self, InvalidConfiguration> {
        let vocabulary = Vocabulary::new(Tokens::Tokens(vocabulary), "vocabulary")?;
        Self::new(vocabulary, length, Construction::Append)
    }

    /// Sequences over all 2^k words of k bits, built by `append`. Objects are texts of bits,
    /// whatever k: "00101101".
    ///
    /// # Errors
    /// Words of no bits or of more than 16, a length of 0, or more inputs than a network may have.
    pub fn over_bits(word_bits: usize, length: Length) -> Result<Self, InvalidConfiguration> {
        let vocabulary = Vocabulary::new(Tokens::WordBits(word_bits), "word_bits")?;
        Self::new(vocabulary, length, Construction::Append)
    }

    /// The same objects, built in another way.
    ///
    /// # Errors
    /// `any_position` without a fixed length.
    pub fn built_by(self, construction: Construction) -> Result<Self, InvalidConfiguration> {
        Self::new(self.vocabulary, self.length, construction)
    }

    /// The sequences behind an environment, if it is of this kind.
    pub fn of(environment: &dyn Environment) -> Option<Self> {
        let identity = environment.identity();
        let canonical: Canonical = serde_json::from_str(&identity.configuration).ok()?;
        let vocabulary = Vocabulary::new(canonical.tokens, "vocabulary").ok()?;
        let sequence = Self::new(vocabulary, canonical.length, canonical.construction).ok()?;
        (identity == sequence.identity()).then_some(sequence)
    }

    /// The number of bits n, if every object is a text of n bits.
    pub fn bits(&self) -> Option<usize> {
        match self.length {
            Length::Length(length) => Some(length * self.vocabulary.bits()?),
            Length::MaxLength(_) => None,
        }
    }

    /// The numbers of the tokens that an object is made of, whatever its length.
    ///
    /// # Errors
    /// Why it is no list of this vocabulary's tokens.
    pub fn tokens_of(&self, object: &Object) -> Result<Vec<u32>, String> {
        self.vocabulary.tokens_of(object)
    }

    /// The state of a sequence that need not be finished, such as "AC" on the way to "ACGT"; none
    /// where a text does not say which positions are filled (`any_position`).
    pub fn unfinished(&self, text: &str) -> Option<Vec<u32>> {
        if self.construction == Construction::AnyPosition {
            return None;
        }
        let (likeliest, others) = Object::readings(text);
        let mut readings = std::iter::once(likeliest).chain(others);
        let tokens = readings.find_map(|object| self.vocabulary.tokens_of(&object).ok())?;
        let mut state = vec![0; self.state_width()];
        state[0] = u32::try_from(tokens.len()).ok()?;
        let words = state.get_mut(1..=tokens.len())?;
        words.iter_mut().zip(tokens).for_each(|(word, token)| *word = token + 1);
        Some(state)
    }

    fn new(
        vocabulary: Vocabulary,
        length: Length,
        construction: Construction,
    ) -> Result<Self, InvalidConfiguration> {
        let (tokens, longest) = (vocabulary.len(), length.longest());
        if longest == 0 {
            return Err(InvalidConfiguration::new(length.key(), "must be at least 1"));
        }
        if longest.checked_mul(tokens).is_none_or(|features| features > MOST_FEATURES) {
            let reason = format!("times {tokens} tokens must be at most {MOST_FEATURES}");
            return Err(InvalidConfiguration::new(length.key(), reason));
        }
        let size = Size { vocabulary: tokens as u32, longest: longest as u32 };
        let edges: Arc<dyn Edges> = match (construction, length) {
            (Construction::Append, _) => Arc::new(Append(size)),
            (Construction::PrependAppend, _) => Arc::new(PrependAppend(size)),
            (Construction::Insert, _) => Arc::new(Insert(size)),
            (Construction::AnyPosition, Length::Length(_)) => Arc::new(AnyPosition(size)),
            (Construction::AnyPosition, Length::MaxLength(_)) => {
                let reason = "= \"any_position\" fills every position: give `length`, not \
                              `max_length`";
                return Err(InvalidConfiguration::new("construction", reason));
            }
        };
        let list = match construction {
            Construction::AnyPosition => {
                ByPosition::new(tokens as u64, longest).map(List::ByPosition)
            }
            _ => ByLength::new(tokens as u64, longest).map(List::ByLength),
        };
        Ok(Self { vocabulary, length, construction, edges, list })
    }

    fn refuse(object: &Object, reason: String) -> NotAnObject {
        NotAnObject { object: object.to_string(), reason }
    }
}

impl Environment for Sequence {
    fn identity(&self) -> Identity {
        let Self { construction, length, .. } = *self;
        let canonical = Canonical { construction, tokens: self.vocabulary.given().clone(), length };
        // Strings and numbers always have a JSON form.
        let configuration = serde_json::to_string(&canonical).unwrap_or_default();
        Identity { kind: Self::KIND.to_owned(), version: 1, configuration }
    }

    fn forward_actions(&self) -> usize {
        self.edges.forward_actions()
    }

    fn backward_actions(&self) -> usize {
        self.edges.backward_actions()
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
        self.edges.legal_forward(state, actions);
    }

    fn legal_backward(&self, state: &[u32], actions: &mut Vec<u32>) {
        self.edges.legal_backward(state, actions);
    }

    fn is_legal(&self, state: &[u32], action: u32) -> bool {
        self.edges.is_legal(state, action)
    }

    fn can_stop(&self, state: &[u32]) -> bool {
        match self.length {
            Length::Length(length) => state[0] as usize == length,
            Length::MaxLength(_) => state[0] > 0,
        }
    }

    fn step(&self, state: &mut [u32], action: u32) {
        self.edges.step(state, action);
    }

    fn take(&self, state: &mut [u32], actions: &[u32]) -> Result<(), usize> {
        self.edges.take(state, actions)
    }

    fn undo(&self, state: &mut [u32], backward: u32) {
        self.edges.undo(state, backward);
    }

    fn inverse(&self, state: &[u32], action: u32) -> u32 {
        self.edges.inverse(state, action)
    }

    fn forward_of(&self, state: &[u32], backward: u32) -> u32 {
        self.edges.forward_of(state, backward)
    }

    fn features(&self) -> usize {
        self.length.longest() * self.vocabulary.len()
    }

    fn active_features(&self, state: &[u32], features: &mut Vec<u32>) {
        let vocabulary = self.vocabulary.len() as u32;
        let filled = (0..).zip(&state[1..]).filter(|(_, word)| **word > 0);
        features.extend(filled.map(|(position, word)| position * vocabulary + word - 1));
    }

    fn tokens(&self) -> Option<TokenLayout> {
        let (positions, vocabulary) = (self.length.longest(), self.vocabulary.len());
        let appended = self.construction == Construction::Append;
        Some(TokenLayout { positions, vocabulary, appended })
    }

    fn object(&self, state: &[u32]) -> Object {
        self.vocabulary.object(state[1..=state[0] as usize].iter().map(|word| word - 1))
    }

    fn state_of(&self, object: &Object) -> Result<Vec<u32>, NotAnObject> {
        let tokens = self.vocabulary.tokens_of(object).map_err(|why| Self::refuse(object, why))?;
        let (longest, is_fixed) = (self.length.longest(), matches!(self.length, Length::Length(_)));
        if tokens.is_empty() || tokens.len() > longest || (is_fixed && tokens.len() != longest) {
            let range = if is_fixed { String::new() } else { "1 to ".to_owned() };
            let reason = format!("it has {} tokens, expected {range}{longest}", tokens.len());
            return Err(Self::refuse(object, reason));
        }
        let mut state = vec![0; self.state_width()];
        state[0] = tokens.len() as u32;
        state[1..].iter_mut().zip(tokens).for_each(|(word, token)| *word = token + 1);
        Ok(state)
    }

    /// Of sequences of fixed length the characters (or words) in which they differ, so bits where
    /// they are texts of bits; else the edit distance in tokens.
    fn distance(&self, a: &Object, b: &Object) -> Option<f64> {
        if let (Length::Length(_), Object::Text(a), Object::Text(b)) = (self.length, a, b) {
            return (a.len() == b.len()).then(|| differing(a.chars(), b.chars()));
        }
        let (a, b) = (self.vocabulary.tokens_of(a).ok()?, self.vocabulary.tokens_of(b).ok()?);
        Some(match self.length {
            Length::Length(_) => differing(a.iter(), b.iter()),
            Length::MaxLength(_) => strsim::generic_levenshtein(&a, &b) as f64,
        })
    }

    fn log_path_count(&self, state: &[u32]) -> Option<f64> {
        Some(self.edges.log_path_count(state))
    }

    fn enumeration(&self) -> Option<&dyn Enumeration> {
        self.list.as_ref().map(|list| match list {
            List::ByLength(list) => list as &dyn Enumeration,
            List::ByPosition(list) => list,
        })
    }
}

fn differing<T: PartialEq>(a: impl Iterator<Item = T>, b: impl Iterator<Item = T>) -> f64 {
    a.zip(b).filter(|(a, b)| a != b).count() as f64
}
