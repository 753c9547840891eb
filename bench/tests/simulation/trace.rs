//! Everything that happens in a simulation, in its order, as one hash.
//!
//! The network's segments and the programs' own log lines are events. A segment counts with its
//! ends and its kind, not with its bytes: HTTP's date header is the machine's.

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Characters of a segment that say its kind.
const SEGMENT_KIND: usize = 7;

/// Collects events; clones share them.
#[derive(Clone, Default)]
pub(crate) struct Trace(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    hasher: blake3::Hasher,
    hosts: Vec<String>,
    inside: Vec<usize>,
    step: String,
    events: u64,
    dropped: u64,
    errors: Vec<String>,
    /// Kept only if somebody wants to read them.
    lines: Option<Vec<String>>,
}

/// What a trace amounts to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Digest {
    pub(crate) hash: String,
    pub(crate) events: u64,
    /// Segments that the network lost.
    pub(crate) dropped: u64,
    /// What the programs logged as errors.
    pub(crate) errors: Vec<String>,
}

impl Trace {
    /// Keeps the lines, too.
    pub(crate) fn readable() -> Self {
        let state = State { lines: Some(Vec::new()), ..State::default() };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Adds a line of the simulation's own.
    pub(crate) fn note(&self, line: &str) {
        self.state().add(line);
    }

    pub(crate) fn digest(&self) -> Digest {
        let state = self.state();
        Digest {
            hash: state.hasher.finalize().to_hex()[..16].to_owned(),
            events: state.events,
            dropped: state.dropped,
            errors: state.errors.clone(),
        }
    }

    /// The lines, if they were kept.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.state().lines.clone().unwrap_or_default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn add(&mut self, text: &str) {
        let host = self.inside.last().map_or("", |host| self.hosts[*host].as_str());
        let line = format!("{} {host} {text}", self.step);
        self.hasher.update(line.as_bytes());
        self.hasher.update(b"\n");
        self.events += 1;
        if let Some(lines) = &mut self.lines {
            lines.push(line);
        }
    }
}

impl Subscriber for Trace {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let target = metadata.target();
        target.starts_with("turmoil") || target.starts_with("tributary")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut line = Line::default();
        span.record(&mut line);
        let mut state = self.state();
        let known = state.hosts.iter().position(|host| *host == line.name);
        let host = known.unwrap_or_else(|| {
            state.hosts.push(line.name);
            state.hosts.len() - 1
        });
        Id::from_u64(host as u64 + 1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let mut state = self.state();
        if event.metadata().target() == "turmoil" && line.text.starts_with("step ") {
            state.step = line.text;
            return;
        }
        state.dropped += u64::from(line.text.starts_with("Drop"));
        if *event.metadata().level() == Level::ERROR {
            state.errors.push(format!("{}{}", line.text, line.fields));
        }
        let Line { text, fields, .. } = line;
        state.add(&format!("{text}{fields}"));
    }

    fn enter(&self, span: &Id) {
        self.state().inside.push(span.into_u64() as usize - 1);
    }

    fn exit(&self, _: &Id) {
        self.state().inside.pop();
    }
}

/// An event's fields as text.
#[derive(Default)]
struct Line {
    text: String,
    fields: String,
    name: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // A `String` takes all that is written.
        let _ = match field.name() {
            "message" => write!(self.text, "{value:?}"),
            "name" => write!(self.name, "{value:?}"),
            "protocol" => write!(Beginning(&mut self.fields), " {value:?}"),
            // Of the machine that simulates.
            "host" | "process" => Ok(()),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

/// Takes the beginning of a text and no more.
struct Beginning<'a>(&'a mut String);

impl fmt::Write for Beginning<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let start = self.0.rfind(" TCP").unwrap_or(self.0.len());
        let room = (SEGMENT_KIND + 1).saturating_sub(self.0.len() - start);
        self.0.extend(text.chars().take(room));
        if text.chars().count() > room { Err(fmt::Error) } else { Ok(()) }
    }
}
