//! The learner's threads: trainer, ingest, evaluation, the writer of checkpoints.

use std::path::Path;
use std::sync::Arc;

use crossbeam_channel::Sender;
use tokio::sync::{Notify, mpsc, oneshot};
use tributary_common::estimate::EvaluationData;
use tributary_common::ledger::{self, Ledger, LedgerError};
use tributary_common::registry::Task;
use tributary_common::reward::Agreement;
use tributary_common::run_file::RunFile;
use tributary_common::trajectory::TrajectoryKind;

use crate::checkpoint::{CheckpointConfig, CheckpointWriter, Contents, newest_learner_of};
use crate::claims::Claims;
use crate::dead_letters::DeadLetters;
use crate::durable::{Decider, Inserter};
use crate::error::LearnerError;
use crate::evaluate::{Evaluator, EvaluatorDeps};
use crate::examine::Examiner;
use crate::findings::Findings;
use crate::ingest::{Arrival, Ingest, IngestDeps};
use crate::intake::{Intake, IntakeGoals};
use crate::interference::Interference;
use crate::ledger_writer::{
    BehindWriter, CommitWriter, Committer, Covered, Job, RETRY, Sources, WriteBehind, report,
};
use crate::lockstep::Lockstep;
use crate::publish::{Newest, Publisher};
use crate::redraw::Redraw;
use crate::reinsert::reinsert;
use crate::resume::Beginning;
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
    /// Where the run goes on.
    pub(super) beginning: &'a Beginning,
}

/// The ends of channels that threads hold.
pub(super) struct Ends {
    pub(super) publisher: Publisher,
    pub(super) newest: Newest,
    pub(super) arriving: mpsc::Receiver<Arrival>,
    pub(super) compared: Arc<Notify>,
    /// Of a durable run.
    pub(super) commits: Option<(Committer, mpsc::Receiver<Job>)>,
    /// Who waits for values, where rewards are shared.
    pub(super) claims: Option<Arc<Claims>>,
    /// Where the ledger's thread says why it ends.
    pub(super) ledger_failed: oneshot::Sender<LedgerError>,
}

/// What the ledger's thread of a durable run works with.
struct Commits {
    committer: Committer,
    queue: mpsc::Receiver<Job>,
    claims: Option<Arc<Claims>>,
    failed: oneshot::Sender<LedgerError>,
}

/// Threads that run.
pub(super) struct Workers {
    pub(super) trainer: Thread<Result<(), TrainError>>,
    /// Ingest, the ledger's writer and in a durable run the keeper, in the order in which they end.
    pub(super) intake: Vec<Thread<()>>,
    pub(super) evaluator: Thread<()>,
    pub(super) writer: Thread<()>,
    /// What was accepted so far.
    pub(super) findings: Arc<Findings>,
    /// Dropped: the evaluation compares once more and ends.
    pub(super) finish_evaluation: Sender<()>,
}

impl Workers {
    pub(super) fn start(
        common: &Common<'_>,
        training: Box<dyn Training>,
        ledger: Ledger,
        ends: Ends,
    ) -> Result<Self, LearnerError> {
        let Ends { publisher, newest, arriving, compared, commits, claims, ledger_failed } = ends;
        let facts = common.facts;
        let (checkpoints, to_write) = crossbeam_channel::bounded(1);
        let writer = CheckpointWriter::new(common.checkpoints());
        let config = &facts.run_file.evaluation;
        let findings = Findings::new(config, &common.task.environment, &common.data);
        findings.restore(&common.beginning.findings);
        let findings = Arc::new(findings);
        let steps = common.steps(training, Arc::clone(&findings), publisher, checkpoints)?;
        let (mut covered, committer) =
            (Covered::default(), commits.as_ref().map(|of| of.0.clone()));
        let forget = move |checkpoint: &Path, contents: &Contents| {
            let below = covered.by(checkpoint, contents.generated);
            if let (Some(committer), Some(below)) = (&committer, below) {
                committer.forget_below(below);
            }
        };
        let intake = match commits {
            None => common.ingest(ledger, Arc::clone(&findings), arriving, ledger_failed)?,
            Some((committer, queue)) => {
                let commits = Commits { committer, queue, claims, failed: ledger_failed };
                common.durable_ingest(ledger, Arc::clone(&findings), arriving, commits)?
            }
        };
        let evaluator = common.evaluator(newest, Arc::clone(&findings), compared);
        let (finish_evaluation, finish) = crossbeam_channel::bounded(0);
        let board = Arc::clone(&common.observer.board);
        Ok(Self {
            trainer: spawn("trainer", move || steps.run())?,
            intake,
            evaluator: spawn("evaluation", move || evaluator.run(&finish))?,
            writer: spawn("checkpoints", move || writer.run(&to_write, &board, forget))?,
            findings,
            finish_evaluation,
        })
    }
}

impl Common<'_> {
    fn checkpoints(&self) -> CheckpointConfig {
        let facts = self.facts;
        CheckpointConfig {
            run_directory: self.directory.join(""),
            run_id: facts.run_id,
            incarnation: facts.incarnation,
            network: facts.network.as_ref().clone(),
            run_file: facts.run_file.to_toml(),
            keep_every: facts.run_file.learner.keep_every,
            newest_learner: newest_learner_of(self.directory.join(ledger::FILE)),
        }
    }

    fn steps(
        &self,
        training: Box<dyn Training>,
        findings: Arc<Findings>,
        publisher: Publisher,
        checkpoints: Sender<Contents>,
    ) -> Result<Steps, TrainError> {
        let learner = &self.facts.run_file.learner;
        let config = StepsConfig {
            seed: self.facts.run_file.run.seed,
            updates: learner.updates,
            publish_every: self.facts.run_file.publish_every(),
            checkpoint_every: learner.checkpoint_every,
        };
        let deps = StepsDeps {
            hand_over: Arc::clone(&self.observer.hand_over),
            publisher,
            board: Arc::clone(&self.observer.board),
            roster: Arc::clone(&self.observer.roster),
            findings,
            skipped: SkippedBatches::new(&self.directory.join("skipped")),
            checkpoints,
            interference: Interference::of_run(&self.facts.run_file.evaluation),
            redraw: self.redraw(),
            lockstep: self.lockstep.clone(),
        };
        Ok(Steps::new(training, config, deps)?.behind(self.beginning.draws))
    }

    fn redraw(&self) -> Option<Redraw> {
        let RunFile { run, replay, .. } = &self.facts.run_file;
        let environment = Arc::clone(&self.task.environment);
        let network = Arc::clone(&self.facts.network);
        let draws = || Redraw::new(environment, network, run.seed, replay.redraw_uniform);
        replay.redraws().then(draws)
    }

    fn intake(&self, ledger: &Ledger) -> Result<Intake, LedgerError> {
        let learner = &self.facts.run_file.learner;
        let goals = IntakeGoals { generated: learner.generated, paid: learner.paid };
        Intake::new(goals, ledger, self.beginning.generated)
    }

    /// What was decided and did not get into replay before the learner died, and whether the run has all
    /// that it asked for.
    fn catch_up(
        &self,
        ledger: &Ledger,
        intake: &Intake,
        yields: &mut Yields,
        findings: &Findings,
    ) -> Result<(), LedgerError> {
        let Observer { board, hand_over, roster } = self.observer;
        if roster.is_durable() {
            let from = self.beginning.generated;
            let mut first = ledger.first_seen_from(from)?;
            let count = reinsert(ledger, from, &mut self.examiner(), |setting, sound| {
                hand_over.insert_at_once(sound);
                let is_new = first.remove(&sound.key);
                yields.count(setting, sound.kind, is_new, sound.log_reward);
                let is_forward = sound.kind == TrajectoryKind::Forward;
                findings.see(&sound.built, sound.log_reward.get(), is_new, is_forward);
            })?;
            if count > 0 {
                tracing::info!(count, "put into replay again from the ledger");
            }
        }
        board.update(|figures| figures.accept(intake.generated(), intake.paid()));
        if intake.is_complete() {
            hand_over.close_intake();
            roster.drain_complete();
        }
        Ok(())
    }

    fn examiner(&self) -> Examiner {
        let Task { environment, undelayed, .. } = &self.task;
        Examiner::new(Arc::clone(environment), Arc::clone(undelayed))
    }

    fn sources(&self) -> Sources {
        let outside = self.task.undelayed.outside();
        let refused = outside.and_then(|outside| outside.asking().refused);
        Sources { is_shared: self.facts.run_file.reward.is_shared(), refused }
    }

    fn yields(&self) -> Yields {
        let RunFile { exploration, evaluation, .. } = &self.facts.run_file;
        let yields = Yields::new(exploration.settings(), evaluation.good_log_reward);
        yields.behind(self.beginning.figures.yields())
    }

    fn dead_letters(&self) -> DeadLetters {
        DeadLetters::new(&self.directory.join("rejected.jsonl"))
    }

    /// The threads of intake where acks do not wait for the disk.
    fn ingest(
        &self,
        ledger: Ledger,
        findings: Arc<Findings>,
        arriving: mpsc::Receiver<Arrival>,
        failed: oneshot::Sender<LedgerError>,
    ) -> Result<Vec<Thread<()>>, LearnerError> {
        let (intake, mut yields) = (self.intake(&ledger)?, self.yields());
        self.catch_up(&ledger, &intake, &mut yields, &findings)?;
        let board = Arc::clone(&self.observer.board);
        let behind = Arc::new(WriteBehind::default());
        let from = Arc::clone(&behind);
        let writer = BehindWriter { store: Box::new(ledger), from, board, retry: RETRY };
        let deps = IngestDeps {
            examiner: self.examiner(),
            roster: Arc::clone(&self.observer.roster),
            hand_over: Arc::clone(&self.observer.hand_over),
            board: Arc::clone(&self.observer.board),
            yields,
            findings,
            lockstep: self.lockstep.clone(),
            dead_letters: self.dead_letters(),
            ledger: behind,
        };
        let ingest = Ingest::new(intake, deps);
        Ok(vec![
            spawn("ingest", move || ingest.run(arriving))?,
            spawn("ledger", move || report(writer.run(), failed))?,
        ])
    }

    /// The threads of intake where acks wait for the disk.
    fn durable_ingest(
        &self,
        ledger: Ledger,
        findings: Arc<Findings>,
        arriving: mpsc::Receiver<Arrival>,
        commits: Commits,
    ) -> Result<Vec<Thread<()>>, LearnerError> {
        let Commits { committer, queue, claims, failed } = commits;
        let (intake, mut yields) = (self.intake(&ledger)?, self.yields());
        self.catch_up(&ledger, &intake, &mut yields, &findings)?;
        let decider = Decider {
            examiner: self.examiner(),
            hand_over: Arc::clone(&self.observer.hand_over),
            dead_letters: self.dead_letters(),
            intake,
            committer,
            sources: self.sources(),
            claims: claims.clone(),
            board: Arc::clone(&self.observer.board),
        };
        // Its bytes are bounded by credit.
        let (committed, to_keep) = crossbeam_channel::bounded(super::ARRIVALS);
        let rules = &self.facts.run_file.reward;
        let agreement = Agreement::new(self.task.undelayed.as_ref(), rules.tolerance());
        let ledger = if claims.is_some() { ledger.shared().comparing(agreement) } else { ledger };
        let writer = CommitWriter {
            store: Box::new(ledger),
            claims,
            roster: Arc::clone(&self.observer.roster),
            board: Arc::clone(&self.observer.board),
            committed,
            retry: RETRY,
        };
        let inserter = Inserter {
            hand_over: Arc::clone(&self.observer.hand_over),
            roster: Arc::clone(&self.observer.roster),
            board: Arc::clone(&self.observer.board),
            yields,
            findings,
        };
        Ok(vec![
            spawn("ingest", move || decider.run(arriving))?,
            spawn("ledger", move || report(writer.run(queue), failed))?,
            spawn("inserter", move || inserter.run(&to_keep))?,
        ])
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
