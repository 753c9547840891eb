//! A bearer token: who knows it may call. It comes from a file, is never an argument, and is never shown.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Fewer characters could be guessed.
const FEWEST_CHARACTERS: usize = 16;
/// More are no token but another file that was named by mistake.
const MOST_CHARACTERS: usize = 512;

/// A secret of visible ASCII characters. Its `Debug` shows nothing, and it has no `Display`.
#[derive(Clone)]
pub struct Token(String);

/// A file that holds no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It cannot be read.
    #[error("cannot read the token file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It holds something else.
    #[error(
        "the file {} holds no token: one line of {FEWEST_CHARACTERS} to {MOST_CHARACTERS} visible \
         ASCII characters without spaces; `tributary certs` makes such files", path.display()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
    },
}

impl Token {
    /// A token of these characters, without space around it; `None` if it cannot be one.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let is_token = (FEWEST_CHARACTERS..=MOST_CHARACTERS).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_token.then(|| Self(text.to_owned()))
    }

    /// A token of random bytes, in hexadecimal.
    pub fn of_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The token in a file.
    ///
    /// # Errors
    /// The file system's, or a file with something else in it; the message never shows what.
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let read = std::fs::read(path);
        let bytes = read.map_err(|source| TokenError::Read { path: path.to_owned(), source })?;
        let token = std::str::from_utf8(&bytes).ok().and_then(Self::new);
        token.ok_or_else(|| TokenError::Malformed { path: path.to_owned() })
    }

    /// The secret itself, to be sent or compared and nothing else.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_token_is_one_line_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let read = |text: &[u8]| {
            std::fs::write(&path, text).unwrap();
            Token::read(&path)
        };
        let token = read(b"  0123456789abcdef\n").unwrap();
        assert_eq!(token.reveal(), "0123456789abcdef");
        assert_eq!(format!("{token:?}"), "Token(..)");
        for secret in
            ["short-secret", "0123456789 abcdef", "0123456789abcdef\nmore", "0123456789abcdé"]
        {
            let error = read(secret.as_bytes()).unwrap_err();
            assert!(!format!("{error} {error:?}").contains(secret), "{error}");
        }
        assert!(read(&[b'x'; 513]).is_err() && read(&[0xff; 32]).is_err());
        assert_eq!(Token::of_bytes([0xa0; 32]).reveal(), "a0".repeat(32));
    }
}
