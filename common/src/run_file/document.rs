//! The TOML text and its overrides, as sections whose values know the line they stand in.

use super::nesting::{DEEPEST, is_too_deep};
use super::problem::{Origin, Problem};
use std::collections::BTreeMap;
use toml::de::{DeTable, DeValue};

/// The place of every key, by its dotted path.
#[derive(Clone, Debug, Default)]
pub(super) struct Origins(BTreeMap<String, Origin>);

impl Origins {
    /// The place of a key, or else of the nearest table around it.
    pub(super) fn of(&self, path: &str) -> Origin {
        let mut path = path;
        loop {
            if let Some(origin) = self.0.get(path) {
                return *origin;
            }
            match path.rsplit_once('.') {
                Some((parent, _)) => path = parent,
                None => return Origin::Absent,
            }
        }
    }

    fn record(&mut self, prefix: &str, table: &DeTable<'_>, text: &str) {
        for (key, value) in table {
            let path = join(prefix, key.get_ref());
            let line = line_of(text, key.span().start);
            if let DeValue::Table(inner) = value.get_ref() {
                self.record(&path, inner, text);
            }
            self.0.insert(path, Origin::Line(line));
        }
    }
}

/// A run file as text and overrides gave it, before its keys are understood.
pub(super) struct Document {
    pub(super) table: toml::Table,
    pub(super) origins: Origins,
    pub(super) problems: Vec<Problem>,
}

impl Document {
    /// Parses the text and applies the overrides, later ones over earlier ones. Text that is no
    /// TOML gives all its errors and nothing else.
    pub(super) fn parse(text: &str, overrides: &[(String, String)]) -> Result<Self, Vec<Problem>> {
        if is_too_deep(text) {
            let (path, message) = (String::new(), too_deep());
            return Err(vec![Problem { path, origin: Origin::Absent, message }]);
        }
        let (spanned, errors) = DeTable::parse_recoverable(text);
        let mut problems: Vec<Problem> = errors.iter().map(|e| syntax_problem(e, text)).collect();
        let parsed = if problems.is_empty() { text.parse() } else { Ok(toml::Table::new()) };
        match parsed {
            Ok(table) if problems.is_empty() => {
                let mut origins = Origins::default();
                origins.record("", spanned.get_ref(), text);
                let mut document = Self { table, origins, problems };
                for (path, value) in overrides {
                    document.set(path, value);
                }
                Ok(document)
            }
            Ok(_) => Err(problems),
            Err(error) => {
                problems.push(syntax_problem(&error, text));
                Err(problems)
            }
        }
    }

    /// One override: the value as TOML, or as text when it is none.
    fn set(&mut self, path: &str, text: &str) {
        let names: Vec<&str> = path.split('.').map(str::trim).collect();
        let Some((last, tables)) = names.split_last() else { return };
        if tables.is_empty() || names.iter().any(|name| name.is_empty()) {
            return self.refuse_override(path, format!("`{path}`: expected `section.key=value`"));
        }
        if names.len() > DEEPEST || is_too_deep(text) {
            return self.refuse_override(path, too_deep());
        }
        let mut table = &mut self.table;
        for name in tables {
            let entry = table
                .entry((*name).to_owned())
                .or_insert_with(|| toml::Value::Table(toml::Table::new()));
            let toml::Value::Table(inner) = entry else {
                let message = format!("`{path}`: `{name}` is not a table");
                return self.refuse_override(path, message);
            };
            table = inner;
        }
        let value = text.parse().unwrap_or_else(|_| toml::Value::String(text.to_owned()));
        table.insert((*last).to_owned(), value);
        self.origins.0.insert(names.join("."), Origin::Override);
    }

    fn refuse_override(&mut self, path: &str, message: String) {
        self.problems.push(Problem { path: path.to_owned(), origin: Origin::Override, message });
    }
}

/// Splits an override as typed, `section.key=value`, at its first `=`.
///
/// # Errors
/// Text without `=` or without a `.` before it.
pub fn parse_override(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((path, value)) if path.contains('.') => {
            Ok((path.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err(format!("`{text}`: expected `section.key=value`, such as `learner.batch=64`")),
    }
}

pub(super) fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") }
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

fn syntax_problem(error: &toml::de::Error, text: &str) -> Problem {
    let origin = match error.span() {
        Some(span) => Origin::Line(line_of(text, span.start)),
        None => Origin::Absent,
    };
    let message = format!("this is not TOML: {}", error.message());
    Problem { path: String::new(), origin, message }
}

fn too_deep() -> String {
    format!("this nests deeper than {DEEPEST} brackets or dots in a key")
}
