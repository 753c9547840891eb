//! The live figures of a run: written by ingest, trainer and evaluation, read by status, metrics
//! and records.

mod lags;
mod saved;

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tributary_common::exact::Comparison;
use tributary_common::ids::{ActorId, PolicyVersion};
use tributary_common::ledger::Alarms;

use crate::claims::Spending;
use crate::distribution::Distribution;
use crate::edges::{Edge, Waiting};
use crate::evaluate::EvaluationFigures;
use crate::limit::{Bound, Limit};
use crate::locks::lock;
use crate::quarantine::Quarantine;
use crate::watchdog::{Stall, Vitals};
use crate::yields::SettingYield;

pub use lags::{LagBin, Lags};
pub use saved::SavedFigures;

/// Updates over which log Z is averaged for the report.
const LOG_Z_WINDOW: usize = 1_000;

/// What the learner is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RunState {
    /// Checkpoint and ledger are being read.
    Recovering,
    /// Trajectories are taken and trained on.
    #[default]
    Running,
    /// Nothing is acked, for example because the disk is full.
    Degraded,
    /// Intake is over; training, evaluation and checkpoint are being finished.
    Stopping,
}

/// What was counted and not kept, because its files are full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NotWritten {
    /// Rejected trajectories that are not in `rejected.jsonl`.
    pub rejected: u64,
    /// Skipped batches that have no file in `skipped/`.
    pub skipped: u64,
}

/// An exact comparison and what was compared.
#[derive(Clone, Debug, PartialEq)]
pub struct ExactFigures {
    /// The weights compared.
    pub policy: PolicyVersion,
    /// Trajectories accepted when they were taken.
    pub generated: u64,
    /// Learned log Z at that step.
    pub log_z: f64,
    /// Seconds that the comparison took.
    pub seconds: f64,
    /// The distance from the target.
    pub comparison: Comparison,
}

impl ExactFigures {
    /// How far the learned log Z was above the target's, in nats.
    pub fn log_z_error(&self) -> f64 {
        self.comparison.log_z_error(self.log_z)
    }
}

/// How the ledger is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedgerFigures {
    /// Whether acks wait for it.
    pub durable: bool,
    /// How its commits are kept whole, for people.
    pub journal: String,
    /// Commits so far.
    pub commits: u64,
    /// Why it cannot write now; it tries again until it can.
    pub trouble: Option<String>,
    /// How often it could not.
    pub failures: u64,
}

/// How checkpoints are doing, in this life of the learner.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CheckpointFigures {
    /// Checkpoints written.
    pub written: u64,
    /// How often one could not be written.
    pub failures: u64,
    /// Why the last one could not.
    pub trouble: Option<String>,
    /// How often none was taken because the one before was still being written.
    pub skipped: u64,
    /// Seconds for which training stood still while the last was copied.
    pub pause_seconds: f64,
    /// The longest such time.
    pub pause_seconds_max: f64,
    /// Seconds that writing the last one took, beside the training.
    pub write_seconds: f64,
}

/// Everything that is counted or measured, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// What the learner is doing.
    pub state: RunState,
    /// Trajectories accepted.
    pub generated: u64,
    /// Distinct objects among them that were measured.
    pub paid: u64,
    /// What each exploration setting has brought.
    pub yields: Vec<SettingYield>,
    /// Optimizer steps.
    pub updates: u64,
    /// Trajectories trained on, each as often as it was used.
    pub samples: u64,
    /// Transitions trained on, the exits included.
    pub transitions: u64,
    /// Batches without a step, because of an error or a number that was not finite.
    pub skipped_batches: u64,
    /// Loss of the last update.
    pub loss: Option<f64>,
    /// The mean squared residual of trajectory balance, in squared nats, of each source's samples in
    /// the last batch that held some.
    pub loss_by_source: BTreeMap<&'static str, f64>,
    /// log Z after the last update.
    pub log_z: Option<f64>,
    /// Norm of the weights' gradient in the last update, before any clipping.
    pub gradient_norm: Option<f64>,
    /// Learning rate of the weights in the last update.
    pub learning_rate: Option<f64>,
    /// Updates between the weights that drew a trajectory and the step that trained on it: sum over
    /// the samples, and the largest.
    pub lag_sum: u64,
    /// The largest.
    pub lag_max: u64,
    /// Samples by their lag.
    pub lags: Lags,
    /// Accepted trajectories per second, over the last seconds.
    pub recent_rate: f64,
    /// Hash of the last weights, at the end of training: see `TrainingState::blake3`.
    pub weights_blake3: Option<String>,
    /// The newest published weights.
    pub policy: Option<PolicyVersion>,
    /// Seconds waited, for each edge "who.for_what".
    pub waited_seconds: BTreeMap<Cow<'static, str>, f64>,
    /// Hand-overs at which somebody waits without progress, the blocking first.
    pub stalls: Vec<Stall>,
    /// What was too much to be written of rejected trajectories and skipped batches.
    pub not_written: NotWritten,
    /// How the ledger is doing.
    pub ledger: LedgerFigures,
    /// Where actors measured different values; none where rewards are not shared.
    pub trust: Option<Alarms>,
    /// Whose records and values are refused.
    pub quarantined: Vec<ActorId>,
    /// How checkpoints are doing.
    pub checkpoints: CheckpointFigures,
    /// What evaluations cost, where rewards are shared.
    pub spending: Option<Spending>,
    /// What limits the run now; none while that cannot be said.
    pub limit: Option<Limit>,
    /// For how many seconds each has limited the run since the learner started.
    pub limited_seconds: BTreeMap<Bound, f64>,
    /// Whether the run may pay for nothing more.
    pub is_budget_spent: bool,
    /// The last exact comparison.
    pub exact: Option<ExactFigures>,
    /// The target and what was learned, at the last exact comparison, where it can be drawn.
    pub distribution: Option<Arc<Distribution>>,
    /// The other figures of evaluation.
    pub evaluation: EvaluationFigures,
    /// Time of training in earlier lives of the learner.
    before: Duration,
    started: Option<Instant>,
    stopped: Option<Instant>,
    recent_log_z: VecDeque<f64>,
}

impl Figures {
    /// Time of training: from the first accepted trajectory to now, or to the last update once
    /// training is over; in every life of the learner.
    pub fn training_time(&self) -> Duration {
        let end = self.stopped.unwrap_or_else(Instant::now);
        let now = self.started.map_or(Duration::ZERO, |start| end.saturating_duration_since(start));
        self.before + now
    }

    /// The figures of evaluation besides the exact ones, by their names.
    pub fn evaluation_values(&self) -> BTreeMap<String, f64> {
        let mut values = self.evaluation.values(self.training_time().as_secs_f64());
        let good = self.yields.iter().filter_map(|of| of.all.good_objects).reduce(|a, b| a + b);
        values.extend(good.map(|good| ("modes.good_objects".to_owned(), good as f64)));
        values
    }

    /// Counts accepted trajectories; the first new one starts the clock.
    pub fn accept(&mut self, generated: u64, paid: u64) {
        if self.started.is_none() && generated > self.generated {
            self.started = Some(Instant::now());
        }
        self.generated = generated;
        self.paid = paid;
    }

    /// Counts an update on so many actions of trajectories with these lags.
    pub fn update(
        &mut self,
        loss: f64,
        log_z: f64,
        actions: usize,
        lags: impl Iterator<Item = u64>,
    ) {
        self.updates += 1;
        self.transitions += actions as u64;
        self.loss = Some(loss);
        self.log_z = Some(log_z);
        if self.recent_log_z.len() == LOG_Z_WINDOW {
            self.recent_log_z.pop_front();
        }
        self.recent_log_z.push_back(log_z);
        for lag in lags {
            self.samples += 1;
            self.transitions += 1;
            self.lag_sum += lag;
            self.lag_max = self.lag_max.max(lag);
            self.lags.count(lag);
        }
    }

    /// Training is over: the clock stops.
    pub fn stop_clock(&mut self) {
        self.stopped.get_or_insert_with(Instant::now);
    }

    /// Adds to the seconds waited on an edge.
    pub fn waited(&mut self, edge: &'static str, time: Duration) {
        *self.waited_seconds.entry(edge.into()).or_default() += time.as_secs_f64();
    }

    /// Mean lag in updates over all samples; 0 before the first.
    pub fn lag_mean(&self) -> f64 {
        self.lag_sum as f64 / self.samples.max(1) as f64
    }

    /// Mean transitions of a sample, the exit included; 0 before the first.
    pub fn mean_length(&self) -> f64 {
        self.transitions as f64 / self.samples.max(1) as f64
    }

    /// log Z averaged over the last 1,000 updates.
    pub fn log_z_mean(&self) -> Option<f64> {
        let count = self.recent_log_z.len();
        (count > 0).then(|| self.recent_log_z.iter().sum::<f64>() / count as f64)
    }

    /// Accepted trajectories over the time of training.
    pub fn trajectories_per_second(&self) -> f64 {
        let seconds = self.training_time().as_secs_f64();
        if seconds > 0.0 { self.generated as f64 / seconds } else { 0.0 }
    }
}

/// The one place where the figures are; shared by all threads.
#[derive(Debug, Default)]
pub struct Board {
    figures: Mutex<Figures>,
    vitals: Vitals,
    quarantine: Quarantine,
}

impl Board {
    /// Nothing is counted yet; these actors are refused.
    pub fn new(quarantine: Quarantine) -> Self {
        let quarantined = quarantine.actors();
        let figures = Mutex::new(Figures { quarantined, ..Figures::default() });
        Self { figures, vitals: Vitals::default(), quarantine }
    }

    /// Whether what this actor sends is refused.
    pub fn refuses(&self, actor: ActorId) -> bool {
        self.quarantine.holds(actor)
    }

    /// Refuses an actor from now on, or no longer; false if nothing changes. Waits for the disk.
    ///
    /// # Errors
    /// The disk's; then nothing changes.
    pub fn refuse(&self, actor: ActorId, is_refused: bool) -> io::Result<bool> {
        let changed = self.quarantine.set(actor, is_refused)?;
        self.update(|figures| figures.quarantined = self.quarantine.actors());
        Ok(changed)
    }

    /// Changes the figures, briefly.
    pub fn update<T>(&self, change: impl FnOnce(&mut Figures) -> T) -> T {
        change(&mut lock(&self.figures))
    }

    /// A copy of all of them.
    pub fn figures(&self) -> Figures {
        lock(&self.figures).clone()
    }

    /// Somebody waits at an edge from now on.
    pub fn wait(&self, edge: Edge) -> Waiting<'_> {
        self.vitals.edges.wait(edge)
    }

    /// What the watchdog shares.
    pub fn vitals(&self) -> &Vitals {
        &self.vitals
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lags_and_log_z_are_averaged_over_what_was_trained() {
        let mut figures = Figures::default();
        assert_eq!((figures.lag_mean(), figures.log_z_mean()), (0.0, None));
        figures.update(1.0, 3.0, 9, [0, 2, 10].into_iter());
        figures.update(0.5, 5.0, 3, [4].into_iter());
        assert_eq!((figures.updates, figures.samples, figures.lag_max), (2, 4, 10));
        assert_eq!((figures.lag_mean(), figures.log_z_mean()), (4.0, Some(4.0)));
        assert_eq!(figures.mean_length(), 4.0, "12 actions and 4 exits of 4 samples");
        for _ in 0..LOG_Z_WINDOW {
            figures.update(0.5, 7.0, 0, [].into_iter());
        }
        assert_eq!(figures.log_z_mean(), Some(7.0));
    }

    #[test]
    fn the_clock_runs_from_the_first_trajectory_to_the_end_of_training() {
        let mut figures = Figures::default();
        figures.accept(0, 0);
        assert_eq!(figures.training_time(), Duration::ZERO);
        figures.accept(1, 1);
        figures.stop_clock();
        let time = figures.training_time();
        figures.stop_clock();
        assert_eq!(figures.training_time(), time);
    }
}
