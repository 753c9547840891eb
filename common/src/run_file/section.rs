//! Sections whose keys depend on their `kind`: the environment's and the reward's.

use super::description::{Description, described};
use super::document::{Origins, join};
use super::keys::{Config, read, unknown_keys};
use super::problem::{Origin, Problem, suggestion};
use super::value::{expected_one_of, shown};
use std::sync::{Arc, OnceLock};

/// A `kind` and the keys that only this kind understands, to be read by [`Section::parse`].
#[derive(Clone, Debug)]
pub struct Section {
    /// Which environment or reward.
    pub kind: String,
    /// The kind's own keys, without `kind` and without the keys that every kind shares.
    pub table: toml::Table,
    name: &'static str,
    shared: Vec<&'static str>,
    origins: Arc<Origins>,
    /// Where the answer goes, if this section only asks which keys its kind has.
    inquiry: Option<Arc<OnceLock<Description>>>,
}

/// Sections are equal when they say the same, wherever they say it.
impl PartialEq for Section {
    fn eq(&self, other: &Self) -> bool {
        (self.name, &self.kind, &self.table) == (other.name, &other.kind, &other.table)
    }
}

impl Section {
    /// A section called `name` ("environment", "reward") that comes from no file.
    #[must_use]
    pub fn new(name: &'static str, kind: &str, table: toml::Table) -> Self {
        let origins = Arc::default();
        Self { kind: kind.to_owned(), table, name, shared: Vec::new(), origins, inquiry: None }
    }

    /// Which keys its kind has, with their values in this section: `make` is whoever makes something
    /// of a section. What the section that it gets is [parsed](Self::parse) as is described, and
    /// parsing fails without a problem. `None` if `make` parses nothing.
    pub fn described_by(&self, make: impl FnOnce(&Self)) -> Option<Description> {
        let answer = Arc::new(OnceLock::new());
        make(&Self { inquiry: Some(Arc::clone(&answer)), ..self.clone() });
        answer.get().cloned()
    }

    /// A section from its keys as TOML, `kind` among them; for programs that have no run file.
    ///
    /// # Errors
    /// Text that is no TOML, and a missing `kind`.
    pub fn from_toml(name: &'static str, keys: &str) -> Result<Self, Vec<Problem>> {
        let document = super::document::Document::parse(keys, &[])?;
        let mut problems = Vec::new();
        let section = Self::read(name, &document.table, Arc::default(), &[], &mut problems);
        if problems.is_empty() { Ok(section) } else { Err(problems) }
    }

    /// Takes `kind` out of a section's table, and leaves out the keys that all kinds share.
    pub(super) fn read(
        name: &'static str,
        table: &toml::Table,
        origins: Arc<Origins>,
        shared: &[&'static str],
        problems: &mut Vec<Problem>,
    ) -> Self {
        let kind = match table.get("kind") {
            Some(toml::Value::String(kind)) => kind.clone(),
            given => {
                let path = join(name, "kind");
                let message = match given {
                    Some(raw) => format!("`{path}` = {}: expected text in quotes", shown(raw)),
                    None => format!("`{path}` is missing (which {name} this run has)"),
                };
                problems.push(Problem { origin: origins.of(&path), path, message });
                String::new()
            }
        };
        let is_own = |key: &str| key != "kind" && !shared.contains(&key);
        let own = table.iter().filter(|(key, _)| is_own(key));
        let table = own.map(|(key, value)| (key.clone(), value.clone())).collect();
        Self { kind, table, name, shared: shared.to_vec(), origins, inquiry: None }
    }

    /// The kind's typed configuration.
    ///
    /// # Errors
    /// Every key that is unknown, missing, of a wrong type or out of range.
    pub fn parse<C: Config>(&self) -> Result<C, Vec<Problem>> {
        let mut config = C::default();
        let findings = read(&mut config, self.name, &self.table, &self.origins);
        if let Some(answer) = &self.inquiry {
            answer.get_or_init(|| described(&config));
            return Err(Vec::new());
        }
        let mut known = findings.known;
        known.push("kind");
        known.extend(&self.shared);
        let mut problems = findings.problems;
        problems.extend(unknown_keys(self.name, &self.table, &known, &self.origins));
        if problems.is_empty() { Ok(config) } else { Err(problems) }
    }

    /// A problem with one of the section's keys that only its kind could find, such as a missing
    /// file: "`reward.file` " and the message.
    #[must_use]
    pub fn problem(&self, key: &str, message: &str) -> Problem {
        let path = join(self.name, key);
        let origin = self.origins.of(&path);
        Problem { origin, message: format!("`{path}` {message}"), path }
    }

    /// The problem of a kind that nobody registered.
    #[must_use]
    pub fn unknown_kind(&self, known: &[&str]) -> Problem {
        let near = suggestion(&self.kind, known);
        let near = if near.contains("did you mean") { near } else { String::new() };
        let message = format!("= {:?}: {}{near}", self.kind, expected_one_of(known));
        self.problem("kind", &message)
    }

    pub(super) fn missing(name: &'static str) -> Problem {
        let message = format!("section `[{name}]` is missing; it needs at least its `kind`");
        Problem { path: name.to_owned(), origin: Origin::Absent, message }
    }

    /// `kind`, then the shared keys with their values, then the kind's own.
    pub(super) fn entries(&self, shared: Vec<(String, toml::Value)>) -> Vec<(String, toml::Value)> {
        let kind = ("kind".to_owned(), toml::Value::String(self.kind.clone()));
        let own = self.table.iter().map(|(key, value)| (key.clone(), value.clone()));
        std::iter::once(kind).chain(shared).chain(own).collect()
    }
}
