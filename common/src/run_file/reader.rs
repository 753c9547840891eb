//! From a document to its sections.

use super::document::{Document, Origins};
use super::keys::{Config, Keys, read, unknown_keys};
use super::problem::{Problem, suggestion};
use super::section::Section;
use super::value::shown;
use super::{Reward, SECTIONS, Toml};
use crate::reward::Average;
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
        let SharedRewardKeys {
            durable,
            shared,
            cost,
            audit,
            audit_tolerance,
            delay,
            repeats,
            average,
        } = shared;
        Reward { section, durable, shared, cost, audit, audit_tolerance, delay, repeats, average }
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
    pub(super) cost: Option<f64>,
    pub(super) audit: Option<f64>,
    pub(super) audit_tolerance: Option<f64>,
    pub(super) delay: Option<Duration>,
    pub(super) repeats: Option<u32>,
    pub(super) average: Option<Average>,
}

impl Config for SharedRewardKeys {
    fn declare(&mut self, keys: &mut Keys<'_>) {
        let durable = "whether what is acked survives the learner's death: acks wait for the disk";
        keys.key("durable", &mut self.durable, durable);
        let shared = "whether actors ask before they measure, so that no object is paid for twice";
        keys.key("shared", &mut self.shared, shared)
            .only(self.durable != Some(false), "where durable is not false");
        let cost = "what one evaluation costs, in a unit of yours; its seconds if not given";
        keys.key("cost", &mut self.cost, cost)
            .above(Some(0.0))
            .only(self.durable != Some(false), "where durable is not false");
        let audit = "share of known objects that another actor, when it finds one, measures again to \
                     compare; 0.001 when left out, of objects that took at most a second";
        keys.key("audit", &mut self.audit, audit)
            .must("be 0 to 1", |audit| audit.is_none_or(|audit| (0.0..=1.0).contains(&audit)));
        let tolerance = "by what share of the larger value two actors may differ before that is an \
                         alarm; 1e-6 when left out";
        keys.key("audit_tolerance", &mut self.audit_tolerance, tolerance)
            .must("be at least 0", |tolerance| tolerance.is_none_or(|tolerance| tolerance >= 0.0));
        keys.key("delay", &mut self.delay, "sleep for every object that is evaluated");
        let repeats = "how often an object of a noisy reward is measured: the average counts, the \
                       spread is kept; once when left out";
        keys.key("repeats", &mut self.repeats, repeats).must("be 1 to 10000", |repeats| {
            repeats.is_none_or(|repeats| (1..=10_000).contains(&repeats))
        });
        let average = "in which space these are averaged; as the values come when left out";
        keys.key("average", &mut self.average, average)
            .only(self.repeats > Some(1), "with repeats of 2 or more");
    }
}
