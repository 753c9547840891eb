//! Standard output, which may be a pipe whose reader leaves.

use std::io::{self, BufWriter, StdoutLock, Write};

use crate::error::CommandError;

/// Buffered standard output; [`finish`](Self::finish) it.
pub(crate) struct Output(BufWriter<StdoutLock<'static>>);

impl Output {
    /// Takes standard output.
    pub(crate) fn new() -> Self {
        Self(BufWriter::new(io::stdout().lock()))
    }

    /// Writes a line.
    pub(crate) fn line(&mut self, line: impl std::fmt::Display) -> Result<(), CommandError> {
        writeln!(self.0, "{line}").map_err(CommandError::Output)
    }

    /// Hands on what is buffered.
    pub(crate) fn flush(&mut self) -> Result<(), CommandError> {
        self.0.flush().map_err(CommandError::Output)
    }
}

/// Prints a text that ends with a line break.
pub(crate) fn print(text: &str) -> Result<(), CommandError> {
    let mut output = Output::new();
    output.0.write_all(text.as_bytes()).map_err(CommandError::Output)?;
    output.flush()
}
