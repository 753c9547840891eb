//! The tokens of sequences, and how sequences of them are written.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::environment::InvalidConfiguration;
use crate::object::Object;

/// Bits of the longest word of bits: 2^16 tokens.
pub(super) const MOST_WORD_BITS: usize = 16;

/// The tokens as the run file gives them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Tokens {
    /// Each spelled out.
    Tokens(Vec<String>),
    /// All 2^k words of k bits, token t being t in binary.
    WordBits(usize),
}

/// The tokens of sequences by number and by name.
#[derive(Clone, Debug)]
pub(super) struct Vocabulary {
    given: Tokens,
    tokens: Vec<String>,
    token_of: HashMap<String, u32>,
    /// Characters of a token, where objects are texts of tokens with nothing between them; `None`
    /// where they are lists of words.
    width: Option<usize>,
}

impl Vocabulary {
    /// The tokens given under this key of the run file.
    ///
    /// # Errors
    /// No token, a token twice, an empty one or one with white space or control characters; words
    /// of no bits or too many.
    pub(super) fn new(given: Tokens, key: &'static str) -> Result<Self, InvalidConfiguration> {
        let (tokens, width) = match &given {
            Tokens::Tokens(tokens) => {
                let are_characters = tokens.iter().all(|token| token.chars().count() == 1);
                (tokens.clone(), are_characters.then_some(1))
            }
            Tokens::WordBits(bits @ 1..=MOST_WORD_BITS) => {
                ((0..1u32 << bits).map(|word| format!("{word:0bits$b}")).collect(), Some(*bits))
            }
            Tokens::WordBits(bits) => {
                let reason = format!("= {bits}: must be from 1 to {MOST_WORD_BITS}");
                return Err(InvalidConfiguration::new(key, reason));
            }
        };
        let token_of = numbered(&tokens, key)?;
        Ok(Self { given, tokens, token_of, width })
    }

    /// Number of tokens, V.
    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// The tokens as they were given.
    pub(super) fn given(&self) -> &Tokens {
        &self.given
    }

    /// The bits of a token, where objects are texts of bits.
    pub(super) fn bits(&self) -> Option<usize> {
        let is_bits = |token: &String| token.chars().all(|c| c == '0' || c == '1');
        self.width.filter(|_| self.tokens.iter().all(is_bits))
    }

    /// The object of a sequence of tokens, given by their numbers.
    pub(super) fn object(&self, tokens: impl Iterator<Item = u32>) -> Object {
        let tokens = tokens.map(|token| self.tokens[token as usize].as_str());
        if let Some(width) = self.width {
            let mut text = String::with_capacity(width * tokens.size_hint().1.unwrap_or(0));
            text.extend(tokens);
            Object::Text(text)
        } else {
            Object::Words(tokens.map(str::to_owned).collect())
        }
    }

    /// The numbers of an object's tokens, or why it is no sequence of them.
    pub(super) fn tokens_of(&self, object: &Object) -> Result<Vec<u32>, String> {
        let number = |word: &str| {
            let token = self.token_of.get(word).copied();
            token.ok_or_else(|| format!("{word:?} is not in the vocabulary"))
        };
        match (object, self.width) {
            (Object::Words(words), None) => words.iter().map(|word| number(word)).collect(),
            (Object::Text(text), Some(width)) => {
                let characters: Vec<char> = text.chars().collect();
                let tokens = characters.chunks(width).map(|token| token.iter().collect::<String>());
                tokens.map(|token| number(&token)).collect()
            }
            (_, None) => Err("it is no list of words".to_owned()),
            (_, Some(_)) => Err("it is no text".to_owned()),
        }
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
