//! Keys declared once: the same declaration reads a section, checks it and writes it back.

use super::description::{Description, KeyDescription};
use super::document::{Origins, join};
use super::problem::{Problem, suggestion};
use super::value::{Value, shown};

/// The typed keys of a section, or of a kind of environment or reward. `Default` gives the values
/// of the keys that are left out.
///
/// ```
/// use tributary_common::run_file::{Config, Keys, Section};
///
/// #[derive(Clone, Default)]
/// struct Ring { cells: usize, two_ways: bool }
///
/// impl Config for Ring {
///     fn declare(&mut self, keys: &mut Keys<'_>) {
///         keys.key("cells", &mut self.cells, "cells around the ring").required().at_least(2);
///         keys.key("two_ways", &mut self.two_ways, "whether a step may go back");
///     }
/// }
///
/// let section = Section::from_toml("environment", "kind = 'ring'\ncels = 5").unwrap();
/// let problems = section.parse::<Ring>().err().unwrap();
/// assert_eq!(problems.len(), 2);
/// assert!(problems[1].message.contains("did you mean `cells`?"));
/// ```
pub trait Config: Default + Clone {
    /// What the section or the kind is, for the reference of keys: a sentence without a full stop.
    #[must_use]
    fn about() -> &'static str {
        ""
    }

    /// Declares every key, whatever the values are: its name, its field, a sentence on what it is,
    /// and what it must satisfy.
    fn declare(&mut self, keys: &mut Keys<'_>);
}

/// What a [`Config`] declares its keys to: reads them from TOML, writes them to it, or describes
/// them.
pub struct Keys<'a> {
    section: String,
    mode: Mode<'a>,
}

enum Mode<'a> {
    Read {
        table: &'a toml::Table,
        origins: &'a Origins,
        known: Vec<&'static str>,
        problems: Vec<Problem>,
    },
    Write(Vec<(String, toml::Value)>),
    Describe(Description),
}

/// What reading a section gave beside its values.
pub(super) struct Findings {
    pub(super) known: Vec<&'static str>,
    pub(super) problems: Vec<Problem>,
}

/// Reads the keys that `config` declares out of a table; keys it does not declare are left to
/// [`unknown_keys`].
pub(super) fn read(
    config: &mut impl Config,
    section: &str,
    table: &toml::Table,
    origins: &Origins,
) -> Findings {
    let mode = Mode::Read { table, origins, known: Vec::new(), problems: Vec::new() };
    let mut keys = Keys { section: section.to_owned(), mode };
    config.declare(&mut keys);
    match keys.mode {
        Mode::Read { known, problems, .. } => Findings { known, problems },
        _ => Findings { known: Vec::new(), problems: Vec::new() },
    }
}

/// Every key of the configuration with its effective value, in the order of the declaration.
pub fn written(config: &impl Config) -> Vec<(String, toml::Value)> {
    let mut keys = Keys { section: String::new(), mode: Mode::Write(Vec::new()) };
    config.clone().declare(&mut keys);
    match keys.mode {
        Mode::Write(entries) => entries,
        _ => Vec::new(),
    }
}

/// Every key as it is declared; the defaults are those that depend on other keys only.
pub(super) fn declared<C: Config>(config: &mut C) -> Description {
    let mode = Mode::Describe(Description { about: C::about(), ..Description::default() });
    let mut keys = Keys { section: String::new(), mode };
    config.declare(&mut keys);
    match keys.mode {
        Mode::Describe(description) => description,
        _ => Description::default(),
    }
}

/// One problem for each key of the table that is not known.
pub(super) fn unknown_keys(
    section: &str,
    table: &toml::Table,
    known: &[&str],
    origins: &Origins,
) -> Vec<Problem> {
    let unknown = table.keys().filter(|key| !known.contains(&key.as_str()));
    let problem = |key: &String| {
        let path = join(section, key);
        let message = format!("unknown key `{path}`{}", suggestion(key, known));
        Problem { origin: origins.of(&path), path, message }
    };
    unknown.map(problem).collect()
}

impl<'a> Keys<'a> {
    /// Declares a key with its field and one sentence (no full stop) that says what it is, with
    /// its unit.
    pub fn key<'k, V: Value>(
        &'k mut self,
        name: &'static str,
        value: &'k mut V,
        meaning: &'static str,
    ) -> Key<'k, 'a, V> {
        let given = match &mut self.mode {
            Mode::Write(entries) => {
                entries.extend(value.write().map(|value| (name.to_owned(), value)));
                Given::Written
            }
            Mode::Describe(description) => {
                description.keys.push(KeyDescription::new::<V>(name, meaning, value.write()));
                Given::Described
            }
            Mode::Read { table, known, .. } => {
                known.push(name);
                match table.get(name).map(|raw| (raw, V::read(raw))) {
                    None => Given::Absent,
                    Some((_, Ok(read))) => {
                        *value = read;
                        Given::Read
                    }
                    Some((raw, Err(why))) => {
                        let message = format!("= {}: {why} ({meaning})", shown(raw));
                        self.refuse(name, &message);
                        Given::Wrong
                    }
                }
            }
        };
        Key { keys: self, name, value, meaning, given }
    }

    /// Declares a key that is a table with keys of its own.
    pub fn table(&mut self, name: &'static str, inner: &mut impl Config) {
        let path = join(&self.section, name);
        match &mut self.mode {
            Mode::Write(entries) => {
                let inner = written(inner).into_iter().collect();
                entries.push((name.to_owned(), toml::Value::Table(inner)));
            }
            Mode::Describe(description) => {
                let mut inner = declared(inner);
                inner.keys.iter_mut().for_each(|key| key.name = join(name, &key.name));
                description.keys.extend(inner.keys);
                description.notes.extend(inner.notes);
            }
            Mode::Read { table, origins, known, problems } => {
                known.push(name);
                match table.get(name) {
                    None => {}
                    Some(toml::Value::Table(table)) => {
                        let findings = read(inner, &path, table, origins);
                        problems.extend(findings.problems);
                        problems.extend(unknown_keys(&path, table, &findings.known, origins));
                    }
                    Some(raw) => {
                        let message = format!("= {}: expected a table {{ ... }}", shown(raw));
                        self.refuse(name, &message);
                    }
                }
            }
        }
    }

    /// Demands that at least one of the keys is given.
    pub fn need_one_of(&mut self, names: &[&str], why: &str) {
        if let Mode::Describe(description) = &mut self.mode {
            let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            description.notes.push(format!("give at least one of {}", names.join(", ")));
        }
        let Mode::Read { table, origins, problems, .. } = &mut self.mode else { return };
        if names.iter().any(|name| table.contains_key(*name)) {
            return;
        }
        let paths: Vec<String> =
            names.iter().map(|name| format!("`{}`", join(&self.section, name))).collect();
        let message = format!("{why}: give at least one of {}", paths.join(", "));
        let origin = origins.of(&self.section);
        problems.push(Problem { path: self.section.clone(), origin, message });
    }

    /// A problem with a key: "`section.name` " and the message. Nothing while writing.
    pub(super) fn refuse(&mut self, name: &str, message: &str) {
        let Mode::Read { origins, problems, .. } = &mut self.mode else { return };
        let path = join(&self.section, name);
        let origin = origins.of(&path);
        problems.push(Problem { origin, message: format!("`{path}` {message}"), path });
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Given {
    Absent,
    Wrong,
    Read,
    Written,
    Described,
}

/// A key just declared, to which conditions can be added.
pub struct Key<'k, 'a, V> {
    keys: &'k mut Keys<'a>,
    name: &'static str,
    value: &'k mut V,
    meaning: &'static str,
    given: Given,
}

impl<V: Value> Key<'_, '_, V> {
    /// The description of this key, while it is described.
    fn description(&mut self) -> Option<&mut KeyDescription> {
        match &mut self.keys.mode {
            Mode::Describe(description) => description.keys.last_mut(),
            _ => None,
        }
    }

    /// The key has no default: leaving it out is a problem.
    pub fn required(mut self) -> Self {
        if let Some(key) = self.description() {
            key.required = true;
        }
        if self.given == Given::Absent {
            self.keys.refuse(self.name, &format!("is missing ({})", self.meaning));
        }
        self
    }

    /// The default, where it depends on other keys; `Default` gives those that do not.
    pub fn or(mut self, default: V) -> Self {
        if let Some(key) = self.description() {
            (key.default, key.follows) = (default.write(), true);
        }
        if self.given == Given::Absent {
            *self.value = default;
        }
        self
    }

    /// The key means something only where `applies`: elsewhere it is refused when it is given, and
    /// left out when the section is written. `where_it_does` follows "applies only".
    pub fn only(mut self, applies: bool, where_it_does: &str) -> Self {
        if let Some(key) = self.description() {
            key.only.push(where_it_does.to_owned());
            key.applies &= applies;
        }
        match &mut self.keys.mode {
            _ if applies => {}
            Mode::Write(entries) => entries.retain(|(name, _)| name != self.name),
            Mode::Read { .. } if self.given == Given::Read => {
                self.keys.refuse(self.name, &format!("applies only {where_it_does}"));
            }
            Mode::Read { .. } | Mode::Describe(_) => {}
        }
        self
    }

    /// A condition on the value when it is given; `text` follows "must".
    pub fn must(mut self, text: &str, condition: impl FnOnce(&V) -> bool) -> Self {
        if let Some(key) = self.description() {
            key.conditions.push(text.to_owned());
        }
        if self.given == Given::Read && !condition(self.value) {
            let value = self.value.write().map(|value| format!("= {}: ", shown(&value)));
            self.keys.refuse(self.name, &format!("{}must {text}", value.unwrap_or_default()));
        }
        self
    }
}

impl<V: Value + PartialOrd> Key<'_, '_, V> {
    /// The smallest value.
    pub fn at_least(self, bound: V) -> Self {
        let text = format!("be at least {}", bound_text(&bound));
        self.must(&text, |value| *value >= bound)
    }

    /// The largest value.
    pub fn at_most(self, bound: V) -> Self {
        let text = format!("be at most {}", bound_text(&bound));
        self.must(&text, |value| *value <= bound)
    }

    /// What the value exceeds.
    pub fn above(self, bound: V) -> Self {
        let text = format!("be greater than {}", bound_text(&bound));
        self.must(&text, |value| *value > bound)
    }

    /// What the value stays below.
    pub fn below(self, bound: V) -> Self {
        let text = format!("be less than {}", bound_text(&bound));
        self.must(&text, |value| *value < bound)
    }
}

fn bound_text(bound: &impl Value) -> String {
    bound.write().map(|value| value.to_string()).unwrap_or_default()
}
