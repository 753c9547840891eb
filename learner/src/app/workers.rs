//! The learner's threads: trainer, ingest, evaluation, the writer of checkpoints.

use std::sync::Arc;

use crossbeam_channel::Sender;
use tokio::sync::{Notify, mpsc};
use tributary_common::estimate::EvaluationData;
use tributary_common::registry::Task;
use tributary_common::run_file::RunFile;

use crate::checkpoint::{CheckpointWriter, Contents};
use crate::dead_letters::DeadLetters;
use crate::error::LearnerError;
use crate::evaluate::{Evaluator, EvaluatorDeps};
use crate::examine::Examiner;
use crate::findings::Findings;
use crate::ingest::{Arrival, Ingest, IngestDeps, IntakeGoals};
use crate::interference::Interference;
use crate::lockstep::Lockstep;
use crate::publish::{Newest, Publisher};
use crate::redraw::Redraw;
use crate::run_directory::RunDirectory;
use crate::service::RunFacts;
use crate::skipped::SkippedBatches;
use crate::steps::{Steps, StepsConfig, StepsDeps};
use crate::threads::{Thread, spawn};
use crate::training::{TrainError, Training};
use crate::view::Observer;
use crate::yields::Yields;

/// What every thread may look at.
pub(super) struct Common<'a> {
    pub(super) facts: &'a RunFacts,
    pub(super) task: Task,
    pub(super) data: EvaluationData,
    pub(super) observer: &'a Observer,
    pub(super) lockstep: &'a Option<Arc<Lockstep>>,
    pub(super) directory: &'a RunDirectory,
}

/// The ends of channels that threads hold.
pub(super) struct Ends {
    pub(super) publisher: Publisher,
    pub(super) newest: Newest,
    pub(super) arriving: mpsc::Receiver<Arrival>,
    pub(super) compared: Arc<Notify>,
}

/// Threads that run.
pub(super) struct Workers {
    pub(super) trainer: Thread<Result<(), TrainError>>,
    pub(super) ingest: Thread<()>,
    pub(super) evaluator: Thread<()>,
    pub(super) writer: Thread<()>,
    /// Dropped: the evaluation compares once more and ends.
    pub(super) finish_evaluation: Sender<()>,
}

impl Workers {
    pub(super) fn start(
        common: &Common<'_>,
        training: Box<dyn Training>,
        ends: Ends,
    ) -> Result<Self, LearnerError> {
        let Ends { publisher, newest, arriving, compared } = ends;
        let facts = common.facts;
        let (checkpoints, to_write) = crossbeam_channel::bounded(1);
        let folder = common.directory.join("");
        let network = facts.network.as_ref().clone();
        let writer = CheckpointWriter::new(&folder, facts.run_id, facts.incarnation, network);
        let steps = common.steps(training, publisher, checkpoints)?;
        let config = &facts.run_file.evaluation;
        let findings = Findings::new(config, &common.task.environment, &common.data);
        let findings = Arc::new(findings);
        let ingest = common.ingest(Arc::clone(&findings));
        let evaluator = common.evaluator(newest, findings, compared);
        let (finish_evaluation, finish) = crossbeam_channel::bounded(0);
        let board = Arc::clone(&common.observer.board);
        Ok(Self {
            trainer: spawn("trainer", move || steps.run())?,
            ingest: spawn("ingest", move || ingest.run(arriving))?,
            evaluator: spawn("evaluation", move || evaluator.run(&finish))?,
            writer: spawn("checkpoints", move || writer.run(&to_write, &board))?,
            finish_evaluation,
        })
    }
}

impl Common<'_> {
    fn steps(
        &self,
        training: Box<dyn Training>,
        publisher: Publisher,
        checkpoints: Sender<Contents>,
    ) -> Result<Steps, TrainError> {
        let learner = &self.facts.run_file.learner;
        let config = StepsConfig {
            seed: self.facts.run_file.run.seed,
            updates: learner.updates,
            publish_every: learner.publish_every,
            checkpoint_every: learner.checkpoint_every,
        };
        let deps = StepsDeps {
            hand_over: Arc::clone(&self.observer.hand_over),
            publisher,
            board: Arc::clone(&self.observer.board),
            roster: Arc::clone(&self.observer.roster),
            skipped: SkippedBatches::new(&self.directory.join("skipped")),
            checkpoints,
            interference: Interference::of_run(&self.facts.run_file.evaluation),
            redraw: self.redraw(),
            lockstep: self.lockstep.clone(),
        };
        Steps::new(training, config, deps)
    }

    fn redraw(&self) -> Option<Redraw> {
        let RunFile { run, replay, .. } = &self.facts.run_file;
        let environment = Arc::clone(&self.task.environment);
        let network = Arc::clone(&self.facts.network);
        let draws = || Redraw::new(environment, network, run.seed, replay.redraw_uniform);
        replay.redraws().then(draws)
    }

    fn ingest(&self, findings: Arc<Findings>) -> Ingest {
        let learner = &self.facts.run_file.learner;
        let goals = IntakeGoals { generated: learner.generated, paid: learner.paid };
        let Task { environment, undelayed, .. } = &self.task;
        let deps = IngestDeps {
            examiner: Examiner::new(Arc::clone(environment), Arc::clone(undelayed)),
            roster: Arc::clone(&self.observer.roster),
            hand_over: Arc::clone(&self.observer.hand_over),
            board: Arc::clone(&self.observer.board),
            yields: Yields::new(
                self.facts.run_file.exploration.settings(),
                self.facts.run_file.evaluation.good_log_reward,
            ),
            findings,
            lockstep: self.lockstep.clone(),
            dead_letters: DeadLetters::new(&self.directory.join("rejected.jsonl")),
        };
        Ingest::new(goals, deps)
    }

    fn evaluator(
        &self,
        newest: Newest,
        findings: Arc<Findings>,
        compared: Arc<Notify>,
    ) -> Evaluator {
        let deps = EvaluatorDeps {
            task: self.task.clone(),
            data: self.data.clone(),
            network: Arc::clone(&self.facts.network),
            newest,
            findings,
            board: Arc::clone(&self.observer.board),
            compared,
        };
        Evaluator::new(&self.facts.run_file, deps)
    }
}
