//! What earlier learners of the run recorded, read back from `metrics.jsonl`.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, Visitor};

use super::history::History;
use super::is_charted;

/// A longer line is none of ours.
const MOST_LINE: u64 = 1 << 20;

/// Reads the first `end` bytes. Lines that are no records are skipped. `keep_going` is asked now and
/// then; without it, what was read so far is returned.
///
/// # Errors
/// The file system's.
pub(super) fn read(path: &Path, end: u64, keep_going: impl Fn() -> bool) -> io::Result<History> {
    let mut history = History::default();
    let mut file = BufReader::with_capacity(1 << 16, File::open(path)?.take(end));
    let mut line = Vec::new();
    while !history.records().is_multiple_of(1_024) || keep_going() {
        line.clear();
        if file.by_ref().take(MOST_LINE).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if let Ok(Line { seconds: Some(seconds), time, values }) = serde_json::from_slice(&line) {
            let values = values.iter().map(|(name, value)| (name.as_str(), *value));
            history.push(seconds, time.unwrap_or_default(), values);
        }
    }
    Ok(history)
}

/// What is kept of a record.
#[derive(Default)]
struct Line {
    seconds: Option<f64>,
    time: Option<f64>,
    values: Vec<(String, f64)>,
}

impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfLine;
        impl<'de> Visitor<'de> for OfLine {
            type Value = Line;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a record")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Line, A::Error> {
                let mut line = Line::default();
                while let Some(name) = map.next_key::<&str>()? {
                    match name {
                        "seconds" => line.seconds = map.next_value()?,
                        "time" => line.time = map.next_value()?,
                        name if is_charted(name) => {
                            let value: Option<f64> = map.next_value()?;
                            line.values.extend(value.map(|value| (name.to_owned(), value)));
                        }
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(line)
            }
        }
        deserializer.deserialize_map(OfLine)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn records_come_back_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let whole = "{\"schema\":1,\"number\":1,\"step\":3,\"seconds\":1.5,\"time\":7.0,\
                     \"loss\":0.25,\"stale.0.seconds\":1,\"stalled_edge\":\"trainer.data\",\
                     \"log_z\":null}\nno record\n{\"seconds\":\"x\"}\n\n\
                     {\"seconds\":2.5,\"time\":8,\"loss\":0.5}\n";
        std::fs::write(&path, format!("{whole}{{\"seconds\":9,\"time\":9,\"loss\":9}}\n")).unwrap();
        let view = |end: usize, keep_going: bool| {
            let history = read(&path, end as u64, || keep_going).unwrap();
            history.view(None, 100, |_| true)
        };
        let read = view(whole.len(), true);
        assert_eq!(
            (read.records, &read.seconds, &read.time),
            (2, &vec![1.5, 2.5], &vec![7.0, 8.0])
        );
        assert_eq!(read.series["loss"].mean, [Some(0.25), Some(0.5)]);
        assert_eq!(read.series.keys().collect::<Vec<_>>(), ["loss"]);
        assert_eq!(view(whole.len() - 3, true).records, 1, "a line that is cut is none");
        assert_eq!(view(whole.len(), false).records, 0);
        assert!(super::read(&folder.path().join("none"), 9, || true).is_err());
    }
}
