//! The end of a file that grows.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;

/// Bytes that are read at once; of more, the last.
const MOST_BYTES: u64 = 32 * 1024;

/// Follows a file.
pub(super) struct Tail {
    path: PathBuf,
    /// What was read of it.
    position: u64,
    /// Of a line that is not whole yet.
    begun: Vec<u8>,
}

impl Tail {
    /// Of a file, which need not be there.
    pub(super) fn of(path: PathBuf) -> Self {
        Self { path, position: 0, begun: Vec::new() }
    }

    /// The lines that have come since.
    pub(super) fn lines(&mut self) -> Vec<String> {
        // It may not be there yet, or no longer.
        let bytes = self.read().unwrap_or_default();
        self.begun.extend(bytes);
        let whole = self.begun.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let lines: Vec<u8> = self.begun.drain(..whole).collect();
        if self.begun.len() as u64 > MOST_BYTES {
            self.begun.clear();
        }
        String::from_utf8_lossy(&lines).lines().map(str::to_owned).collect()
    }

    fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut file = File::open(&self.path)?;
        let length = file.metadata()?.len();
        if length < self.position {
            self.position = 0;
            self.begun.clear();
        }
        let start = length.saturating_sub(MOST_BYTES).max(self.position);
        let is_cut = start > self.position;
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.take(MOST_BYTES).read_to_end(&mut bytes)?;
        self.position = start + bytes.len() as u64;
        if is_cut {
            self.begun.clear();
            let first =
                bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| end + 1);
            bytes.drain(..first);
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;
    use std::io::Write;

    #[test]
    fn lines_come_once_and_whole_and_an_old_file_is_not_read_from_its_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut tail = Tail::of(path.clone());
        assert_eq!(tail.lines(), [""; 0]);
        fs::write(&path, "x".repeat(1 << 20) + "\none\ntw").unwrap();
        assert_eq!(tail.lines(), ["one"]);
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"o\n\xff\n").unwrap();
        assert_eq!(tail.lines(), ["two", "\u{fffd}"]);
        assert_eq!(tail.lines(), [""; 0]);
        fs::write(&path, "anew\n").unwrap();
        assert_eq!(tail.lines(), ["anew"]);
    }
}
