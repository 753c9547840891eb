//! From a document to its sections.

use super::document::{Document, Origins};
use super::keys::{Config, Keys, read, unknown_keys};
use super::problem::{Problem, suggestion};
use super::section::Section;
use super::value::shown;
use super::{Reward, SECTIONS, Toml};
use std::sync::Arc;
use std::time::Duration;

/// The sections of a document, read one by one; the problems add up.
pub(super) struct Reader {
    table: toml::Table,
    origins: Arc<Origins>,
    pub(super) problems: Vec<Problem>,
}

impl Reader {
    pub(super) fn new(document: Document) -> Self {
        let Document { table, origins, mut problems } = document;
        for (name, value) in &table {
            let message = match value {
                _ if !SECTIONS.contains(&name.as_str()) => {
                    format!("unknown section `[{name}]`{}", suggestion(name, &SECTIONS))
                }
                Toml::Table(_) => continue,
                _ => format!("`{name}` = {}: expected a section `[{name}]`", shown(value)),
            };
            problems.push(Problem { path: name.clone(), origin: origins.of(name), message });
        }
        Self { table, origins: Arc::new(origins), problems }
    }

    pub(super) fn section<C: Config>(&mut self, name: &'static str) -> C {
        let mut config = C::default();
        let empty = toml::Table::new();
        let table = self.table.get(name).and_then(Toml::as_table).unwrap_or(&empty);
        let findings = read(&mut config, name, table, &self.origins);
        self.problems.extend(findings.problems);
        self.problems.extend(unknown_keys(name, table, &findings.known, &self.origins));
        config
    }

    /// A section whose keys, beyond those in `shared`, depend on its kind.
    pub(super) fn kinded(&mut self, name: &'static str, shared: &mut impl Config) -> Section {
        let table = match self.table.get(name) {
            Some(Toml::Table(table)) => table,
            Some(_) => return Section::new(name, "", toml::Table::new()),
            None => {
                self.problems.push(Section::missing(name));
                return Section::new(name, "", toml::Table::new());
            }
        };
        let findings = read(shared, name, table, &self.origins);
        self.problems.extend(findings.problems);
        let origins = Arc::clone(&self.origins);
        Section::read(name, table, origins, &findings.known, &mut self.problems)
    }

    pub(super) fn reward(&mut self) -> Reward {
        let mut shared = SharedRewardKeys::default();
        let section = self.kinded("reward", &mut shared);
        Reward { section, durable: shared.durable, shared: shared.shared, delay: shared.delay }
    }
}

/// Nothing that every environment shares.
#[derive(Clone, Default)]
pub(super) struct NoKeys;

impl Config for NoKeys {
    fn declare(&mut self, _: &mut Keys<'_>) {}
}

/// What every kind of reward understands.
#[derive(Clone, Default)]
pub(super) struct SharedRewardKeys {
    pub(super) durable: Option<bool>,
    pub(super) shared: Option<bool>,
    pub(super) delay: Option<Duration>,
}

impl Config for SharedRewardKeys {
    fn declare(&mut self, keys: &mut Keys<'_>) {
        let durable = "whether what is acked survives the learner's death: acks wait for the disk";
        keys.key("durable", &mut self.durable, durable);
        let shared = "whether actors ask before they measure, so that no object is paid for twice";
        keys.key("shared", &mut self.shared, shared)
            .only(self.durable != Some(false), "where durable is not false");
        keys.key("delay", &mut self.delay, "sleep for every object that is evaluated");
    }
}
