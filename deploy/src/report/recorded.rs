//! What a run directory tells of its run, and what it does not.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::charts::{FINAL, RATE};
use super::curves::Metrics;
use crate::display::clock;
use crate::error::CommandError;

/// A record younger than this is taken for a sign of life.
const ALIVE: f64 = 30.0;
/// Bytes of a log in which versions are looked for.
const MOST_LOG: u64 = 1 << 20;

/// A run, as its directory tells it.
#[derive(Debug)]
pub(super) struct Recorded {
    pub(super) directory: PathBuf,
    pub(super) metrics: Metrics,
    /// Null where there is none, or where the run went on since.
    pub(super) summary: Value,
    /// Null where there is none.
    pub(super) identity: Value,
    /// Empty where there is none.
    pub(super) run_file: String,
    /// Of the programs that took part, as far as a log tells.
    pub(super) software: Vec<String>,
    /// What could not be read, or is not there, in sentences.
    pub(super) missing: Vec<String>,
    /// Seconds since 1970.
    now: f64,
}

impl Recorded {
    /// Reads it; of a run that goes on, as far as it is.
    ///
    /// # Errors
    /// A directory that holds no run, files that cannot be read.
    pub(super) fn read(directory: &Path) -> Result<Self, CommandError> {
        let files = ["run.toml", "run.json", "metrics.jsonl"];
        if !files.iter().any(|file| directory.join(file).is_file()) {
            let reason = match directory.is_dir() {
                true => format!("holds no run: it has none of {}", files.join(", ")),
                false => "does not exist".to_owned(),
            };
            return Err(CommandError::RunDirectory { path: directory.to_owned(), reason });
        }
        let mut missing = Vec::new();
        let metrics = metrics(&directory.join("metrics.jsonl"), &mut missing)?;
        let mut summary = json(&directory.join("summary.json"), &mut missing)?;
        let updates = metrics.last.get("step").and_then(Value::as_u64);
        if summary.is_null() {
            missing.push("summary.json: it is written when a run ends. Books, spending on the best objects and \
                          the hash of the weights are there; of a running one, see tributary status".to_owned());
        } else if updates > summary["steps"].as_u64() {
            missing.push("summary.json of the last part: the one that is there was written before the run went \
                          on, and is left out".to_owned());
            summary = Value::Null;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        Ok(Self {
            identity: json(&directory.join("run.json"), &mut missing)?,
            run_file: optional(&directory.join("run.toml"))?.unwrap_or_else(|| {
                missing.push("run.toml: the run file in effect is not known".to_owned());
                String::new()
            }),
            software: software(&directory.join("logs/learner.log")),
            directory: directory.to_owned(),
            metrics,
            summary,
            missing,
            now,
        })
    }

    /// What the run is called: its own name, or its directory's.
    pub(super) fn name(&self) -> String {
        let own = self.identity["name"].as_str().or(self.summary["name"].as_str());
        let directory =
            || self.directory.file_name().map(|name| name.to_string_lossy().into_owned());
        own.map(str::to_owned).or_else(directory).unwrap_or_else(|| "run".to_owned())
    }

    /// How the run stands, in words.
    pub(super) fn state(&self) -> String {
        let interrupted = self.summary["interrupted"].as_bool();
        let by = self.summary["stopped_by"].as_str();
        match (interrupted, by, self.age()) {
            (Some(true), ..) => "stopped before its goal".to_owned(),
            (Some(false), Some(key), _) => format!("done: {key} is reached"),
            (Some(false), None, _) => "done".to_owned(),
            (None, _, None) => "without any record yet".to_owned(),
            (None, _, Some(age)) if age < ALIVE => {
                format!("running: the last record is {age:.0} s old")
            }
            (None, _, Some(age)) => format!(
                "interrupted: no end is recorded, and the last record is {} old",
                clock(age)
            ),
        }
    }

    /// Seconds since the last record.
    fn age(&self) -> Option<f64> {
        let time = self.metrics.last.get("time")?.as_f64()?;
        Some((self.now - time).max(0.0))
    }

    /// A figure of the last record.
    pub(super) fn last(&self, name: &str) -> Option<f64> {
        let value = |name: &str| self.metrics.last.get(name).and_then(Value::as_f64);
        if name == RATE {
            let seconds = value("training_seconds").filter(|seconds| *seconds > 0.0)?;
            return Some(value("generated")? / seconds);
        }
        value(name)
    }

    /// The figures that are told at the end, as far as they are known: key, name, value.
    pub(super) fn finals(&self) -> Vec<(&'static str, &'static str, f64)> {
        let known = FINAL.iter().filter_map(|(key, name)| Some((*key, *name, self.last(key)?)));
        known.collect()
    }

    /// Today, as "2026-11-28 09:50 UTC".
    pub(super) fn today(&self) -> String {
        utc(self.now)
    }

    /// When the last record was made.
    pub(super) fn until(&self) -> Option<String> {
        self.metrics.last.get("time")?.as_f64().map(utc)
    }
}

fn metrics(path: &Path, missing: &mut Vec<String>) -> Result<Metrics, CommandError> {
    let unreadable = |source| CommandError::Unreadable { path: path.to_owned(), source };
    let metrics = match File::open(path) {
        Ok(file) => Metrics::read(BufReader::new(file)).map_err(unreadable)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Metrics::default(),
        Err(error) => return Err(unreadable(error)),
    };
    if metrics.records == 0 {
        missing.push("metrics.jsonl: it holds no record, so there are no figures".to_owned());
    }
    if metrics.is_cut {
        missing.push(
            "the last line of metrics.jsonl, which is cut: it is being written, or its \
                      learner was killed"
                .to_owned(),
        );
    }
    if metrics.damaged > 0 {
        missing.push(format!("{} lines of metrics.jsonl, which are no records", metrics.damaged));
    }
    Ok(metrics)
}

fn optional(path: &Path) -> Result<Option<String>, CommandError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(CommandError::Unreadable { path: path.to_owned(), source }),
    }
}

/// Null where there is no such file, or, with a word, where it is no JSON.
fn json(path: &Path, missing: &mut Vec<String>) -> Result<Value, CommandError> {
    let Some(text) = optional(path)? else { return Ok(Value::Null) };
    Ok(serde_json::from_str(&text).unwrap_or_else(|error| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        missing.push(format!("{name}, which cannot be read: {error}"));
        Value::Null
    }))
}

/// What actors said they were when they joined.
fn software(log: &Path) -> Vec<String> {
    let mut text = Vec::new();
    let read = File::open(log).and_then(|file| file.take(MOST_LOG).read_to_end(&mut text));
    if read.is_err() {
        return Vec::new();
    }
    let text = String::from_utf8_lossy(&text);
    let joined = text.lines().filter(|line| line.contains("actor joins"));
    let named = joined.filter_map(|line| {
        let (_, rest) = line.split_once("software=\"")?;
        Some(rest.split_once('"')?.0.to_owned())
    });
    let mut all: Vec<String> = named.collect();
    all.sort();
    all.dedup();
    all
}

/// A date of the Gregorian calendar (Hinnant, "chrono-compatible low-level date algorithms").
fn utc(seconds: f64) -> String {
    let minutes = (seconds.max(0.0) / 60.0) as u64;
    let days = minutes / 1_440 + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02} {:02}:{:02} UTC", minutes / 60 % 24, minutes % 60)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const RECORD: &str = "{\"step\":7,\"seconds\":2,\"time\":1e9,\"generated\":300,\"loss\":2,\
                          \"training_seconds\":1.5}\n";

    fn run(files: &[(&str, &str)]) -> Recorded {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        Recorded::read(folder.path()).unwrap()
    }

    #[test]
    fn a_run_says_how_it_stands_and_what_is_missing() {
        let (done, stopped) = (
            "{\"steps\":7,\"interrupted\":false,\"stopped_by\":\"generated\"}",
            "{\"steps\":7,\"interrupted\":true}",
        );
        let metrics = ("metrics.jsonl", RECORD);
        let of = |summary| run(&[metrics, ("run.toml", ""), ("summary.json", summary)]);
        assert_eq!(
            (of(done).state().as_str(), of(done).missing.len()),
            ("done: generated is reached", 0)
        );
        assert_eq!(of(stopped).state(), "stopped before its goal");

        let older = of("{\"steps\":6,\"interrupted\":false}");
        assert!(older.summary.is_null() && older.state().starts_with("interrupted"), "{older:?}");
        assert!(older.missing[0].contains("left out"), "{:?}", older.missing);
        assert!(of("{\"steps\"").missing[0].starts_with("summary.json, which cannot be read"));

        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        let fresh = RECORD.replace("1e9", &now.to_string()) + "{\"step";
        let running = run(&[("metrics.jsonl", &fresh), ("run.json", "{\"name\":\"grid\"}")]);
        assert!(running.state().starts_with("running"), "{}", running.state());
        let words = running.missing.join("\n");
        for expected in ["which is cut", "summary.json", "run.toml"] {
            assert!(words.contains(expected), "{expected} is not in {words}");
        }
        assert_eq!((running.name().as_str(), running.last(RATE)), ("grid", Some(200.0)));
    }

    #[test]
    fn no_run_is_refused_and_an_empty_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let error = Recorded::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("holds no run"), "{error}");
        let error = Recorded::read(&folder.path().join("none")).unwrap_err().to_string();
        assert!(error.contains("does not exist"), "{error}");
        assert_eq!(run(&[("run.toml", "")]).state(), "without any record yet");
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        let dates =
            [0.0, 951_782_400.0, 1_709_164_800.0, 1_795_842_115.0, 4_107_542_399.0].map(utc);
        let expected = [
            "1970-01-01 00:00",
            "2000-02-29 00:00",
            "2024-02-29 00:00",
            "2026-11-28 05:01",
            "2100-02-28 23:59",
        ];
        assert_eq!(dates, expected.map(|date| format!("{date} UTC")));
    }

    #[test]
    fn versions_are_read_from_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("learner.log");
        let line = "INFO x: actor joins actor=1 name=\"a\" software=\"tributary 0.1.0\"\n";
        fs::write(&log, line.repeat(2)).unwrap();
        assert_eq!(software(&log), ["tributary 0.1.0"]);
        assert!(software(&folder.path().join("none")).is_empty());
    }
}
