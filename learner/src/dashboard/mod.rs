//! The dashboard: a page in the browser, and the JSON and events from which it is drawn.
//!
//! [`history`] keeps what was recorded, at several resolutions; [`snapshot`] is all the rest at one
//! moment; `pages` serves both, and `events` tells of each record as it is made. A learner that
//! goes on with a run reads the history of the ones before it back (`past`).

pub(crate) mod events;
pub mod history;
pub(crate) mod pages;
mod past;
pub mod snapshot;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::claims::Claims;
use crate::distribution::Distribution;
use crate::error::LearnerError;
use crate::findings::Findings;
use crate::locks::lock;
use crate::record::Record;
use crate::service::RunFacts;
use crate::threads::spawn;
use crate::view::Observer;
use history::{History, HistoryView};
use snapshot::{Beside, Snapshot};

/// Records of the last minutes, for pages that were away for so long.
const RECENT: usize = 128;
/// The best objects that are shown.
const BEST: usize = 20;

/// Figures of which a history is kept: these, and those that begin as one of [`CHARTED_GROUPS`].
const CHARTED: [&str; 36] = [
    "generated",
    "paid",
    "updates",
    "samples",
    "trajectories_per_second",
    "loss",
    "log_z",
    "log_z_mean_1000",
    "log_z_target",
    "log_z_error",
    "gradient_norm",
    "learning_rate",
    "total_variation",
    "jensen_shannon",
    "pearson",
    "spearman",
    "recent.total_variation",
    "recent.noise_floor",
    "test_set.spearman",
    "test_set.spearman_low",
    "test_set.spearman_high",
    "samples.elbo",
    "target_samples.eubo",
    "lag_mean",
    "lag_max",
    "resident",
    "actors",
    "memory_bytes",
    "evaluations",
    "evaluations_saved",
    "evaluation_cost",
    "modes.found",
    "modes.good_objects",
    "top_k.mean_log_reward",
    "top_k.highest_log_reward",
    "top_k.diversity",
];

const CHARTED_GROUPS: [&str; 2] = ["loss.", "waited_seconds."];

/// Whether a history is kept of a figure.
fn is_charted(name: &str) -> bool {
    CHARTED.contains(&name) || CHARTED_GROUPS.iter().any(|group| name.starts_with(group))
}

/// What the dashboard looks at.
pub struct DashboardDeps {
    /// The run.
    pub facts: Arc<RunFacts>,
    /// Its figures and actors.
    pub observer: Observer,
    /// Its best objects.
    pub findings: Arc<Findings>,
    /// Who measures what, if rewards are shared.
    pub claims: Option<Arc<Claims>>,
}

/// What pages are told after each record.
#[derive(Clone, Debug, Default)]
struct Moment {
    /// How often the history was replaced by a longer one.
    histories: u64,
    /// [`Snapshot`] as JSON; none while nobody looks.
    snapshot: Option<Arc<str>>,
}

/// One for each learner.
pub struct Dashboard {
    deps: DashboardDeps,
    history: Mutex<History>,
    recent: Mutex<VecDeque<Arc<Record>>>,
    moment: watch::Sender<Moment>,
}

impl Dashboard {
    /// Nothing was recorded yet.
    pub fn new(deps: DashboardDeps) -> Self {
        let (history, recent) = Default::default();
        Self { deps, history, recent, moment: watch::Sender::new(Moment::default()) }
    }

    /// Takes records up until there are no more.
    pub async fn follow(self: Arc<Self>, mut records: broadcast::Receiver<Arc<Record>>) {
        loop {
            match records.recv().await {
                Ok(record) => self.take(record),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }

    fn take(&self, record: Arc<Record>) {
        let charted = record.values.iter().filter(|(name, _)| is_charted(name));
        let values = charted.map(|(name, value)| (name.as_str(), *value));
        lock(&self.history).push(record.seconds, record.time, values);
        let mut recent = lock(&self.recent);
        if recent.len() == RECENT {
            recent.pop_front();
        }
        recent.push_back(record);
        drop(recent);
        let snapshot = (self.moment.receiver_count() > 0).then(|| self.snapshot_text());
        self.moment.send_modify(|moment| moment.snapshot = snapshot);
    }

    /// Reads the history of the run's earlier learners, beside everything else: the first `end` bytes of
    /// its `metrics.jsonl`.
    ///
    /// # Errors
    /// No thread.
    pub fn restore(
        self: &Arc<Self>,
        metrics: PathBuf,
        end: u64,
        stop: CancellationToken,
    ) -> Result<(), LearnerError> {
        if end == 0 {
            return Ok(());
        }
        let dashboard = Arc::clone(self);
        spawn("history", move || match past::read(&metrics, end, || !stop.is_cancelled()) {
            Ok(past) => dashboard.precede(past),
            Err(error) => tracing::warn!(%error, "the dashboard's history begins now"),
        })?;
        Ok(())
    }

    /// Puts what was before in front of what was recorded since.
    fn precede(&self, mut past: History) {
        let mut history = lock(&self.history);
        past.follow(&history);
        *history = past;
        drop(history);
        self.moment.send_modify(|moment| moment.histories += 1);
    }

    fn history(&self, seconds: Option<f64>, most: usize) -> HistoryView {
        lock(&self.history).view(seconds, most, |_| true)
    }

    fn distribution(&self) -> Option<Arc<Distribution>> {
        self.deps.observer.board.update(|figures| figures.distribution.clone())
    }

    fn snapshot(&self) -> Snapshot {
        let DashboardDeps { facts, observer, findings, claims } = &self.deps;
        let record = lock(&self.recent).back().cloned();
        let beside = Beside {
            facts,
            record: record.as_deref(),
            best: findings.best(BEST),
            claims: claims.as_ref().map(|claims| claims.counts()),
        };
        Snapshot::new(&observer.look(), beside)
    }

    fn snapshot_text(&self) -> Arc<str> {
        // Its parts all have a JSON form.
        serde_json::to_string(&self.snapshot()).unwrap_or_default().into()
    }
}
