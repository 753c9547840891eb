//! Lines of a program's output, of which none takes more memory than it may.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A line, without its end.
    Whole(Vec<u8>),
    /// The first bytes of one that is longer than wanted; the rest of it is next.
    TooLong(Vec<u8>),
    /// The end of the output, with what stood behind the last line.
    End(Vec<u8>),
}

/// Reads a line of at most so many bytes. What was read is lost when this is dropped.
pub(super) async fn next(
    source: &mut (impl AsyncBufRead + Unpin),
    most: usize,
) -> io::Result<Line> {
    let mut line = Vec::new();
    loop {
        let found = source.fill_buf().await?;
        if found.is_empty() {
            return Ok(Line::End(line));
        }
        let end = found.iter().position(|&byte| byte == b'\n');
        let taken = end.unwrap_or(found.len()).min(most - line.len());
        line.extend_from_slice(&found[..taken]);
        if end == Some(taken) {
            source.consume(taken + 1);
            return Ok(Line::Whole(line));
        }
        source.consume(taken);
        if line.len() == most {
            return Ok(Line::TooLong(line));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tokio::io::BufReader;

    #[tokio::test]
    async fn lines_are_cut_where_they_are_too_long() {
        let text = b"one\n\n12345\n123456789\nhalf";
        for capacity in [1, 2, 3, 64] {
            let mut source = BufReader::with_capacity(capacity, &text[..]);
            let mut found = Vec::new();
            loop {
                let line = next(&mut source, 6).await.unwrap();
                found.push(line.clone());
                if matches!(line, Line::End(_)) {
                    break;
                }
            }
            let expected = [
                Line::Whole(b"one".into()),
                Line::Whole(b"".into()),
                Line::Whole(b"12345".into()),
                Line::TooLong(b"123456".into()),
                Line::Whole(b"789".into()),
                Line::End(b"half".into()),
            ];
            assert_eq!(found, expected, "{capacity}");
        }
    }
}
