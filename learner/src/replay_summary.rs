//! Where the samples of a run came from: for `summary.json` and `metrics.jsonl`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::replay::{Counters, Decile};
use crate::view::View;

/// What replay gave, in trajectories.
#[derive(Clone, Debug, Serialize)]
pub struct ReplaySummary {
    /// Samples of trajectories that actors sent.
    pub sampled: u64,
    /// Those, among them, for which another path was drawn.
    pub redrawn: u64,
    /// Objects of `[replay] initial`.
    pub imported: u64,
    /// Samples of them.
    pub imported_sampled: u64,
    /// Uses that trajectories which left should still have had.
    pub forfeited: u64,
    /// The mean squared residual of trajectory balance of each source's samples, in squared nats, in
    /// the last batch that held some.
    pub loss: BTreeMap<&'static str, f64>,
    /// What became of paths older than `max_lag`, by tenths of the seconds that rewards took,
    /// fastest first; absent without that key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale: Option<[Decile; 10]>,
}

impl ReplaySummary {
    /// Of a run as it stands.
    pub fn new(view: &View) -> Self {
        let Counters { sampled, redrawn, imported, imported_sampled, forfeited, .. } = view.replay;
        let (loss, stale) = (view.figures.loss_by_source.clone(), view.deciles);
        Self { sampled, redrawn, imported, imported_sampled, forfeited, loss, stale }
    }

    /// The figures by their names in `metrics.jsonl`; the losses apart.
    pub fn values(&self) -> Vec<(String, f64)> {
        let mut values: Vec<(String, f64)> = [
            ("replay.redrawn", self.redrawn),
            ("replay.imported_sampled", self.imported_sampled),
            ("replay.forfeited", self.forfeited),
        ]
        .map(|(name, value)| (name.to_owned(), value as f64))
        .into();
        for (i, decile) in self.stale.iter().flatten().enumerate() {
            values.push((format!("stale.{i}.seconds"), f64::from(decile.seconds)));
            values.push((format!("stale.{i}.inserted"), decile.inserted as f64));
            values.push((format!("stale.{i}.redrawn"), decile.redrawn as f64));
            values.push((format!("stale.{i}.rejected"), decile.rejected as f64));
        }
        values
    }
}
