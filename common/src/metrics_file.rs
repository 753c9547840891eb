//! Reading `metrics.jsonl`, also while it is written: whole records in order, from a number on.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

use serde::Deserialize;

/// A longer line is none of ours.
const MOST_LINE: u64 = 1 << 20;
/// A stretch that is read rather than divided further.
const STRETCH: u64 = 64 << 10;

/// A reader of a run's records. It holds one line at a time.
#[derive(Debug)]
pub struct MetricsFile {
    file: BufReader<File>,
    /// Behind the last whole line that was read.
    offset: u64,
    /// The lowest number that may come next.
    next: u64,
}

/// A line of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordLine {
    /// The record's number.
    pub number: u64,
    /// The record, an object in JSON, without the line's end.
    pub text: String,
}

#[derive(Deserialize)]
struct Numbered {
    number: u64,
}

impl MetricsFile {
    /// Finds the first record whose number is at least `from`, without reading all before it.
    ///
    /// # Errors
    /// The file system's.
    pub fn open(path: &Path, from: u64) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut reader = Self { file: BufReader::new(file), offset: 0, next: 0 };
        if from > 1 {
            reader.offset = reader.find(from, length)?;
        }
        reader.file.seek(SeekFrom::Start(reader.offset))?;
        reader.next = from;
        Ok(reader)
    }

    /// The next record; `None`: there is none so far. Lines that are no records are skipped, and records
    /// whose number is not above the last one's.
    ///
    /// # Errors
    /// The file system's, and a line without an end.
    pub fn read(&mut self) -> io::Result<Option<RecordLine>> {
        while let Some(line) = self.line()? {
            if let Some(record) = record(&line).filter(|record| record.number >= self.next) {
                self.next = record.number.saturating_add(1);
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// The next whole line. What has no end yet is read again later: a learner that dies may leave it, and
    /// the next one takes it away.
    fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        let count = self.file.by_ref().take(MOST_LINE).read_until(b'\n', &mut line)? as u64;
        if line.last() == Some(&b'\n') {
            self.offset += count;
            return Ok(Some(line));
        }
        if count == MOST_LINE {
            let what = format!("a line of metrics.jsonl is longer than {MOST_LINE} bytes");
            return Err(io::Error::new(ErrorKind::InvalidData, what));
        }
        self.file.seek(SeekFrom::Start(self.offset))?;
        Ok(None)
    }

    /// An offset at which a line begins, with only lower numbers before it and not far from `from`.
    fn find(&mut self, from: u64, length: u64) -> io::Result<u64> {
        let (mut low, mut high) = (0, length);
        while high - low > STRETCH {
            let middle = low + (high - low) / 2;
            self.offset = middle;
            self.file.seek(SeekFrom::Start(middle))?;
            // Somewhere in a line: the next one begins behind it.
            let mut number = self.line()?.map(|_| None);
            while number == Some(None) && self.offset < high {
                number = self.line()?.map(|line| record(&line).map(|record| record.number));
            }
            match number.flatten() {
                Some(number) if number < from => low = self.offset,
                _ => high = middle,
            }
        }
        Ok(low)
    }
}

fn record(line: &[u8]) -> Option<RecordLine> {
    let text = std::str::from_utf8(line).ok()?.trim_end();
    let Numbered { number } = serde_json::from_str(text).ok()?;
    Some(RecordLine { number, text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::Write;

    fn line(number: u64, length: usize) -> String {
        format!("{{\"a\":\"{}\",\"number\":{number}}}\n", "x".repeat(length))
    }

    fn numbers(reader: &mut MetricsFile) -> Vec<u64> {
        std::iter::from_fn(|| reader.read().unwrap()).map(|record| record.number).collect()
    }

    #[test]
    fn every_number_is_found_in_a_long_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut file = File::create(&path).unwrap();
        // Numbers 5, 7, 9 ... with lines of all lengths, some of which are no records.
        for i in 0..2_000u64 {
            let length = (i * 7919 % 997) as usize;
            file.write_all(line(5 + 2 * i, length).as_bytes()).unwrap();
            if i % 10 == 0 {
                writeln!(file, "no record").unwrap();
            }
        }
        let last = 5 + 2 * 1_999;
        for from in (0..last + 3).step_by(13).chain([0, 1, 4, 5, 6, 7, last - 1, last, last + 1]) {
            let mut reader = MetricsFile::open(&path, from).unwrap();
            let first = reader.read().unwrap().map(|record| record.number);
            let lowest = from.max(5);
            let expected = Some(lowest + 1 - lowest % 2).filter(|odd| *odd <= last);
            assert_eq!(first, expected, "from {from}");
            let rest = numbers(&mut reader).len() as u64;
            assert_eq!(rest, expected.map_or(0, |first| (last - first) / 2), "from {from}");
        }
    }

    #[test]
    fn a_line_counts_when_it_is_whole_and_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut file = File::create(&path).unwrap();
        file.write_all(line(1, 3).as_bytes()).unwrap();
        let mut reader = MetricsFile::open(&path, 0).unwrap();
        assert_eq!(reader.read().unwrap().unwrap().text, line(1, 3).trim_end());
        // A learner dies in the middle of a line, and the next one takes it away.
        file.write_all(&line(2, 50).as_bytes()[..30]).unwrap();
        assert_eq!(reader.read().unwrap(), None);
        file.set_len(line(1, 3).len() as u64).unwrap();
        file.seek(SeekFrom::End(0)).unwrap();
        assert_eq!(reader.read().unwrap(), None);
        for number in [2, 2, 1, 3] {
            file.write_all(line(number, 0).as_bytes()).unwrap();
        }
        assert_eq!(numbers(&mut reader), [2, 3]);
    }

    #[test]
    fn a_line_without_an_end_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        std::fs::write(&path, vec![b'x'; MOST_LINE as usize + 1]).unwrap();
        let error = MetricsFile::open(&path, 0).unwrap().read().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(MetricsFile::open(&folder.path().join("none"), 0).is_err());
    }
}
