//! The evaluation beside the training: exact where the environment can list its states, and by
//! estimates; of the averaged weights. Its cost is counted.

mod estimates;
mod exact;
mod figures;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, TryRecvError};
use tokio::sync::Notify;
use tributary_common::estimate::EvaluationData;
use tributary_common::ids::PolicyVersion;
use tributary_common::network::Network;
use tributary_common::network::cpu::Snapshot;
use tributary_common::registry::Task;
use tributary_common::run_file::{self, RunFile};

use crate::figures::Board;
use crate::findings::Findings;
use crate::publish::Newest;
use estimates::Estimates;
use exact::ExactComparison;
pub use figures::{EstimateFigures, EvaluationFigures};

/// After an evaluation the next waits at least so many times as long as it took, so that evaluation
/// takes at most a quarter of one core.
const PAUSE: u32 = 3;

/// What the evaluation's thread works with.
pub struct EvaluatorDeps {
    /// Environment and reward.
    pub task: Task,
    /// What it looks at besides them.
    pub data: EvaluationData,
    /// Of the run.
    pub network: Arc<Network>,
    /// The weights to evaluate.
    pub newest: Newest,
    /// What the run has found.
    pub findings: Arc<Findings>,
    /// Where the figures go.
    pub board: Arc<Board>,
    /// Told after each evaluation.
    pub compared: Arc<Notify>,
}

/// The evaluation's thread: one evaluation at a time, so that a slow one delays the next.
pub struct Evaluator {
    every: Duration,
    /// None where the target cannot be known.
    exact: Option<ExactComparison>,
    estimates: Estimates,
    deps: EvaluatorDeps,
    last: Option<PolicyVersion>,
}

impl Evaluator {
    /// Every `[evaluation] every`.
    pub fn new(run_file: &RunFile, deps: EvaluatorDeps) -> Self {
        let estimates = Estimates::new(run_file, &deps.task, &deps.data);
        let exact = ExactComparison::new(run_file, &deps.task);
        Self { every: run_file.evaluation.every, exact, estimates, deps, last: None }
    }

    /// Evaluates now and then until `finish` is dropped, then once more.
    pub fn run(mut self, finish: &Receiver<()>) {
        self.prepare();
        let mut pause = self.every;
        while let Err(RecvTimeoutError::Timeout) = finish.recv_timeout(pause) {
            let start = Instant::now();
            let is_running = || finish.try_recv() != Err(TryRecvError::Disconnected);
            self.evaluate(is_running);
            pause = self.every.max(PAUSE * start.elapsed());
        }
        self.evaluate(|| true);
    }

    /// Makes the target, where there is one.
    fn prepare(&mut self) {
        let start = Instant::now();
        if let Some(Err(error)) = self.exact.as_mut().map(|exact| exact.prepare(&self.deps.task)) {
            tracing::info!(%error, "no exact comparison with the target");
            self.exact = None;
        }
        let target = self.exact.as_ref().and_then(ExactComparison::target);
        if let Err(error) = self.estimates.prepare(&self.deps.task, target) {
            tracing::warn!(%error, "no samples of the target");
        }
        self.spent(start);
    }

    /// Evaluates the newest weights, unless they were evaluated before, and what was found.
    fn evaluate(&mut self, is_wanted: impl Fn() -> bool) {
        let start = Instant::now();
        let newest = self.deps.newest.borrow_and_update().clone();
        let newest = newest.filter(|published| self.last != Some(published.version));
        let mut keep_going = || {
            // The training comes first.
            std::thread::yield_now();
            is_wanted()
        };
        if let Some(published) = newest {
            let weights = published.weights(run_file::Weights::Ema);
            let network = Arc::clone(&self.deps.network);
            let snapshot = Snapshot::new(network, weights.as_ref().clone());
            if self.weights(&snapshot, &mut keep_going) {
                self.last = Some(published.version);
            }
        }
        self.found();
        self.spent(start);
        self.deps.compared.notify_one();
    }

    /// Evaluates weights; false if it was stopped.
    fn weights(&mut self, snapshot: &Snapshot, keep_going: &mut dyn FnMut() -> bool) -> bool {
        let board = Arc::clone(&self.deps.board);
        let mut is_complete = true;
        if let Some(exact) = &self.exact {
            match exact.compare(&self.deps.task, snapshot, keep_going) {
                Ok((figures, distribution)) => board.update(|all| {
                    all.exact = Some(figures);
                    all.distribution = distribution.map(Arc::new);
                }),
                Err(tributary_common::exact::ExactError::Stopped) => is_complete = false,
                Err(error) => tracing::warn!(%error, "exact comparison failed"),
            }
        }
        match self.estimates.estimate(snapshot, keep_going) {
            Ok(Some(figures)) => board.update(|all| all.evaluation.estimates = Some(figures)),
            Ok(None) => {}
            Err(tributary_common::estimate::EstimateError::Stopped) => is_complete = false,
            Err(error) => tracing::warn!(%error, "estimates failed"),
        }
        is_complete
    }

    /// Looks at what the run has found so far.
    fn found(&self) {
        let findings = &self.deps.findings;
        let target = self.exact.as_ref().and_then(ExactComparison::target);
        let (modes, top) = (findings.modes(), findings.top());
        let recent = target.and_then(|target| findings.recent(target));
        self.deps.board.update(|figures| {
            figures.evaluation.modes = modes;
            figures.evaluation.top_k = top;
            figures.evaluation.recent = recent;
        });
    }

    fn spent(&self, start: Instant) {
        let seconds = start.elapsed().as_secs_f64();
        self.deps.board.update(|figures| figures.evaluation.seconds += seconds);
    }
}
