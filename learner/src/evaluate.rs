//! The exact comparison of the averaged weights with the target, beside the training.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, TryRecvError};
use tokio::sync::Notify;
use tributary_common::exact::{
    Comparison, ExactError, SnapshotPolicy, Target, terminating_distribution,
};
use tributary_common::ids::PolicyVersion;
use tributary_common::network::Network;
use tributary_common::network::cpu::Snapshot;
use tributary_common::registry::Task;
use tributary_common::run_file;

use crate::figures::{Board, ExactFigures};
use crate::publish::{Newest, Published};

/// What the evaluation's thread works with.
pub struct EvaluatorDeps {
    /// Environment and reward.
    pub task: Task,
    /// Of the run.
    pub network: Arc<Network>,
    /// The weights to compare.
    pub newest: Newest,
    /// Where the figures go.
    pub board: Arc<Board>,
    /// Told after each comparison.
    pub compared: Arc<Notify>,
}

/// The evaluation's thread: one comparison at a time, so that a slow one delays the next.
pub struct Evaluator {
    every: Duration,
    most_states: u64,
    deps: EvaluatorDeps,
    last: Option<PolicyVersion>,
}

impl Evaluator {
    /// Every `[evaluation] every`.
    pub fn new(config: &run_file::Evaluation, deps: EvaluatorDeps) -> Self {
        Self { every: config.every, most_states: config.max_states, deps, last: None }
    }

    /// Compares now and then until `finish` is dropped, then once more.
    pub fn run(mut self, finish: &Receiver<()>) {
        let target = match self.target() {
            Ok(target) => target,
            Err(error) => {
                tracing::info!(%error, "no exact comparison with the target");
                return;
            }
        };
        tracing::info!(
            states = target.states(),
            log_z = target.log_z(),
            "the exact target is known"
        );
        while let Err(RecvTimeoutError::Timeout) = finish.recv_timeout(self.every) {
            let is_running = || finish.try_recv() != Err(TryRecvError::Disconnected);
            self.compare(&target, is_running);
        }
        self.compare(&target, || true);
    }

    fn target(&self) -> Result<Target, ExactError> {
        let Task { environment, undelayed, .. } = &self.deps.task;
        Target::new(environment.as_ref(), undelayed.as_ref(), self.most_states, &mut || true)
    }

    /// Compares the newest weights, unless they were compared before.
    fn compare(&mut self, target: &Target, is_wanted: impl Fn() -> bool) {
        let newest = self.deps.newest.borrow_and_update().clone();
        let Some(published) = newest.filter(|published| self.last != Some(published.version))
        else {
            return;
        };
        match self.comparison(target, &published, is_wanted) {
            Ok(exact) => {
                self.last = Some(published.version);
                self.deps.board.update(|figures| figures.exact = Some(exact));
                self.deps.compared.notify_one();
            }
            Err(ExactError::Stopped) => {}
            Err(error) => tracing::warn!(%error, "exact comparison failed"),
        }
    }

    fn comparison(
        &self,
        target: &Target,
        published: &Published,
        is_wanted: impl Fn() -> bool,
    ) -> Result<ExactFigures, ExactError> {
        let start = Instant::now();
        let weights = published.weights(run_file::Weights::Ema);
        let snapshot = Snapshot::new(Arc::clone(&self.deps.network), weights.as_ref().clone());
        let mut keep_going = || {
            // The training comes first.
            std::thread::yield_now();
            is_wanted()
        };
        let policy = terminating_distribution(
            self.deps.task.environment.as_ref(),
            &mut SnapshotPolicy::new(&snapshot),
            &mut keep_going,
        )?;
        Ok(ExactFigures {
            policy: published.version,
            generated: weights.generated,
            log_z: weights.log_z,
            seconds: start.elapsed().as_secs_f64(),
            comparison: Comparison::new(target, &policy),
        })
    }
}
