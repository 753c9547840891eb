//! A learner's life: prepare, start the threads, serve, wait for the end, drain with a deadline.

#[cfg(test)]
mod tests;
mod workers;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, broadcast, mpsc, oneshot, watch};
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;
use tributary_common::ledger::{FILE, Ledger, LedgerError, LedgerReader};
use tributary_common::registry::{Registry, Task};
use tributary_proto::limits;

use crate::claims::{Claims, ClaimsStart};
use crate::costs::{self, Costs};
use crate::dashboard::{Dashboard, DashboardDeps};
use crate::doors::Doors;
use crate::edges::Edge;
use crate::entropy::Entropy;
use crate::error::LearnerError;
use crate::figures::{Board, LedgerFigures, RunState};
use crate::findings::Findings;
use crate::hand_over::HandOver;
use crate::http::{self, Shown};
use crate::keeper::{Keeper, NothingKept};
use crate::ledger_writer::Committer;
use crate::limit::{Limit, Moment, Watch};
use crate::lockstep::Lockstep;
use crate::metrics::LearnerMetrics;
use crate::options::Options;
use crate::prepare::Prepared;
use crate::probes::Probes;
use crate::publish::Publisher;
use crate::quarantine::Quarantine;
use crate::record::{Record, Recorder, RunNames, Summary};
use crate::resume::Beginning;
use crate::roster::Roster;
use crate::run_directory::RunDirectory;
use crate::service::{self, Recorded, RunFacts, ServiceDeps, SharedRewards};
use crate::tensorboard::{self, EventFile};
use crate::threads::spawn;
use crate::training::{TrainError, Training};
use crate::view::Observer;
use crate::watchdog;
use workers::{Common, Ends, Workers};

/// How often the time of the run is looked at.
const TICK: Duration = Duration::from_millis(100);
/// Time between two records.
const RECORD_EVERY: Duration = Duration::from_secs(1);
/// Messages of trajectories between the sessions and ingest; their bytes are bounded by credit.
const ARRIVALS: usize = 1_024;
/// Records that a watcher may be behind before it skips some.
const RECORDS: usize = 64;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It reached one of its goals.
    Complete,
    /// Somebody stopped it.
    Interrupted,
}

/// A learner whose threads run.
struct App {
    facts: Arc<RunFacts>,
    /// Who measures what, where rewards are shared.
    claims: Option<Arc<Claims>>,
    /// When the budget for evaluations was found to be spent.
    spent_at: Option<Instant>,
    directory: RunDirectory,
    observer: Observer,
    drain_requests: mpsc::Receiver<String>,
    stop: CancellationToken,
    workers: Workers,
    recorder: tokio::task::JoinHandle<()>,
    server: tokio::task::JoinHandle<Result<(), tonic::transport::Error>>,
    interrupted: bool,
}

/// Runs a learner to the end of its run, or until `interrupt`. `make_training` makes what trains:
/// libtorch in the program, a fake in tests.
///
/// # Errors
/// Whatever is wrong before the start, and training or serving that cannot go on.
pub async fn run(
    options: &Options,
    registry: &Registry,
    make_training: impl FnOnce(&Prepared) -> Result<Box<dyn Training>, TrainError>,
    interrupt: CancellationToken,
) -> Result<Outcome, LearnerError> {
    let probes = match options.probes {
        Some(address) => Some(Probes::listen(address).await?),
        None => None,
    };
    let prepared = Prepared::new(options, registry).await?;
    let training = make_training(&prepared).and_then(|mut training| {
        prepared.resumed.iter().try_for_each(|contents| training.restore(&contents.training))?;
        Ok(training)
    });
    let training = match training {
        Ok(training) => training,
        Err(error) => {
            if prepared.is_new {
                // Nothing ran: the directory is as good as new for the next try.
                prepared.directory.give_up();
            }
            return Err(error.into());
        }
    };
    let (ledger_failed, failure) = oneshot::channel();
    let mut app = App::start(prepared, training, ledger_failed, options.advertise.as_deref())?;
    if let Some(probes) = &probes {
        probes.running(Arc::clone(&app.observer.board));
    }
    let outcome = tokio::select! {
        biased;
        // At once: nothing that comes after may look as if it were kept.
        error = failed(failure) => return Err(error.into()),
        outcome = async {
            app.wait(interrupt.clone()).await?;
            app.finish().await
        } => outcome?,
    };
    if options.stay && !interrupt.is_cancelled() {
        if let Some(probes) = &probes {
            probes.over();
        }
        tracing::info!("staying until a signal");
        interrupt.cancelled().await;
    }
    Ok(outcome)
}

/// The desk at which actors ask before they measure, if they do. What the actors known to the ledger
/// may still be measuring is not granted at once.
fn shared_rewards(
    facts: &RunFacts,
    task: &Task,
    directory: &RunDirectory,
    ledger: &Ledger,
    board: &Arc<Board>,
) -> Result<Option<Arc<Claims>>, LedgerError> {
    if !facts.run_file.reward.is_shared() {
        return Ok(None);
    }
    let reader = LedgerReader::open(&directory.join(FILE))?;
    let missing = ledger.sessions().actors().collect();
    let alarms = ledger.alarms()?;
    board.update(|figures| figures.trust = Some(alarms));
    let start = ClaimsStart {
        incarnation: facts.incarnation,
        run_file: &facts.run_file,
        reward: Arc::clone(&task.undelayed),
        reader,
        spent: ledger.spent(),
        missing,
        board: Arc::clone(board),
    };
    Ok(Some(Arc::new(Claims::new(start))))
}

/// Why the ledger's thread had to end; never, if it did not have to.
async fn failed(failure: oneshot::Receiver<LedgerError>) -> LedgerError {
    match failure.await {
        Ok(error) => error,
        Err(_) => std::future::pending().await,
    }
}

impl App {
    fn start(
        mut prepared: Prepared,
        training: Box<dyn Training>,
        ledger_failed: oneshot::Sender<LedgerError>,
        host: Option<&str>,
    ) -> Result<Self, LearnerError> {
        prepared.announce(host)?;
        prepared.memory().announce();
        let beginning = Beginning::of(&mut prepared)?;
        let Prepared {
            facts,
            task,
            data,
            replay,
            directory,
            ledger,
            grpc,
            http,
            security,
            sessions,
            ..
        } = prepared;
        let quarantine = Quarantine::open(&directory.join(""))
            .map_err(|source| LearnerError::System { what: "quarantined.json", source })?;
        let board = Arc::new(Board::new(quarantine));
        let claims = shared_rewards(&facts, &task, &directory, &ledger, &board)?;
        let facts = Arc::new(facts);
        let exploration = &facts.run_file.exploration;
        // At most `Exploration::MOST_SETTINGS`.
        let settings = exploration.settings() as u32;
        let roster = Arc::new(Roster::restore(sessions, settings, beginning.sessions.clone()));
        let replayed = replay.replayed_in_batch();
        let lockstep = Lockstep::of_run(&facts.run_file, replayed, &roster, beginning.rounds);
        let observer = Observer { board, roster, hand_over: Arc::new(HandOver::new(replay)) };
        let (durable, journal) = (sessions.durable, ledger.journal().describe());
        let ledger_figures = LedgerFigures { durable, journal, ..LedgerFigures::default() };
        observer.board.update(|figures| {
            figures.ledger = ledger_figures;
            figures.restore(&beginning.figures, beginning.generated);
        });
        let commits = durable.then(Committer::new);
        let keeper: Arc<dyn Keeper> = match &commits {
            Some((committer, _)) => Arc::new(committer.clone()),
            None => Arc::new(NothingKept),
        };
        let shared = claims.clone().zip(commits.as_ref());
        let shared = shared
            .map(|(claims, (committer, _))| SharedRewards { claims, committer: committer.clone() });
        let stop = CancellationToken::new();
        let (publisher, newest) = Publisher::new();
        let (arrivals, arriving) = mpsc::channel(ARRIVALS);
        let (drain, drain_requests) = mpsc::channel(1);
        let (records, _) = broadcast::channel(RECORDS);
        let compared = Arc::new(Notify::new());
        let metrics = directory.join("metrics.jsonl");
        let metrics_error = |source| LearnerError::System { what: "metrics.jsonl", source };
        let recorder = Recorder::append(&metrics, Instant::now()).map_err(metrics_error)?;
        let before = metrics.metadata().map_err(metrics_error)?.len();
        let (last, recorded) = watch::channel(0);
        let recorded = Recorded { path: metrics.clone(), last: recorded };
        let events_error = |source| LearnerError::System { what: tensorboard::FOLDER, source };
        let events = facts.run_file.run.tensorboard;
        let events = events.then(|| EventFile::create(&directory.join(""), facts.incarnation));
        let events = events.transpose().map_err(events_error)?;

        let ends = Ends {
            publisher,
            newest: newest.clone(),
            arriving,
            compared: Arc::clone(&compared),
            commits,
            claims: claims.clone(),
            ledger_failed,
        };
        let common = Common {
            facts: &facts,
            task,
            data,
            observer: &observer,
            lockstep: &lockstep,
            directory: &directory,
            beginning: &beginning,
        };
        let workers = Workers::start(&common, training, ledger, ends)?;
        // In lockstep everybody waits for everybody.
        let limits =
            (!facts.run_file.run.lockstep).then(|| Watch::new(facts.run_file.actor.threads));
        let recording = record(
            recorder,
            observer.clone(),
            Heard { records: records.clone(), last, events },
            compared,
            limits,
            stop.child_token(),
        );
        let mut registry = prometheus_client::registry::Registry::default();
        LearnerMetrics::register(&mut registry, observer.clone());
        let Doors { grpc, http } = Doors::new(grpc, http, security, &mut registry);
        let shown = Shown { registry: Arc::new(registry), board: Arc::clone(&observer.board) };
        let dashboard = Arc::new(Dashboard::new(DashboardDeps {
            facts: Arc::clone(&facts),
            observer: observer.clone(),
            findings: Arc::clone(&workers.findings),
            claims: claims.clone(),
        }));
        dashboard.restore(metrics, before, stop.child_token())?;
        tokio::spawn(Arc::clone(&dashboard).follow(records.subscribe()));
        tokio::spawn(http::serve(http.0, http.1, shown, dashboard, stop.child_token()));
        if let Some(claims) = claims.clone() {
            tokio::spawn(claims.watch(stop.child_token()));
        }
        let (watched, until) = (observer.clone(), stop.child_token());
        spawn("watchdog", move || watchdog::watch(&watched, &until))?;
        let deps = ServiceDeps {
            facts: Arc::clone(&facts),
            roster: Arc::clone(&observer.roster),
            keeper,
            entropy: Entropy::System,
            lockstep,
            shared,
            arrivals,
            newest,
            observer: observer.clone(),
            findings: Arc::clone(&workers.findings),
            records,
            recorded,
            drain,
            stop: stop.clone(),
        };
        Ok(Self {
            facts,
            claims,
            spent_at: None,
            directory,
            observer,
            drain_requests,
            workers,
            recorder: tokio::spawn(recording),
            server: tokio::spawn(service::serve(grpc.0.incoming(stop.clone()), grpc.1, deps)),
            stop,
            interrupted: false,
        })
    }

    /// Until training is over.
    async fn wait(&mut self, interrupt: CancellationToken) -> Result<(), LearnerError> {
        let goal = self.facts.run_file.learner.time;
        let mut tick = interval(TICK);
        loop {
            tokio::select! {
                biased;
                trained = self.workers.trainer.join() => return Ok(trained??),
                served = &mut self.server => return Err(LearnerError::Serve(match served {
                    Ok(Ok(())) => "it was stopped".to_owned(),
                    Ok(Err(error)) => error.to_string(),
                    Err(error) => error.to_string(),
                })),
                () = interrupt.cancelled(), if !self.interrupted => self.stop_early("a signal"),
                Some(reason) = self.drain_requests.recv(), if !self.interrupted => {
                    self.stop_early(&reason);
                }
                _ = tick.tick() => {
                    self.watch_spending();
                    let time = self.observer.board.update(|figures| figures.training_time());
                    if goal.is_some_and(|goal| time >= goal) {
                        self.observer.hand_over.close_intake();
                        self.observer.hand_over.end_training();
                    }
                }
            }
        }
    }

    /// Shows what evaluations cost. Once the budget is spent actors are asked for nothing any more: they
    /// hand in what they have, then intake is over.
    fn watch_spending(&mut self) {
        let Some(claims) = &self.claims else { return };
        let Observer { board, roster, hand_over } = &self.observer;
        let spending = claims.spending();
        board.update(|figures| figures.spending = Some(spending));
        let Some(spent_at) = self.spent_at else {
            if claims.is_exhausted() {
                let reason = "the run has spent what it may on evaluations";
                tracing::info!("{reason}");
                roster.drain(reason, limits::DRAIN_TIMEOUT);
                board.update(|figures| figures.is_budget_spent = true);
                self.spent_at = Some(Instant::now());
            }
            return;
        };
        if *roster.connected().borrow() == 0 || spent_at.elapsed() >= limits::DRAIN_TIMEOUT {
            hand_over.close_intake();
        }
    }

    /// Ends training now; actors hand in what they have finished.
    fn stop_early(&mut self, reason: &str) {
        tracing::warn!(reason, "stopping before the end of the run");
        self.interrupted = true;
        self.observer.roster.drain("the learner was asked to stop", limits::DRAIN_TIMEOUT);
        self.observer.hand_over.end_training();
    }

    /// Drains the actors, compares once more, and writes down how the run ended.
    async fn finish(mut self) -> Result<Outcome, LearnerError> {
        let Observer { board, roster, hand_over } = &self.observer;
        board.update(|figures| figures.state = RunState::Stopping);
        if !self.interrupted {
            hand_over.close_intake();
        }
        roster.drain("the run is complete", limits::DRAIN_TIMEOUT);
        drop(self.workers.finish_evaluation);
        let mut connected = roster.connected();
        let everybody_left = connected.wait_for(|count| *count == 0);
        if timeout(limits::DRAIN_TIMEOUT, everybody_left).await.is_err() {
            tracing::warn!("some actors did not leave in time");
        }
        hand_over.close_intake();
        self.workers.evaluator.join().await?;
        self.workers.writer.join().await?;
        self.stop.cancel();
        // Connections are cut off a little before.
        if timeout(2 * limits::SHUTDOWN_TIMEOUT, self.server).await.is_err() {
            tracing::warn!("some connections did not close in time");
        }
        for thread in &mut self.workers.intake {
            match timeout(limits::SHUTDOWN_TIMEOUT, thread.join()).await {
                Ok(ended) => ended?,
                Err(_) => tracing::warn!(thread = thread.name(), "did not end in time"),
            }
        }
        let spending = self.claims.as_ref().map(|claims| claims.spending());
        board.update(|figures| figures.spending = spending);
        let figures = board.figures();
        let (claims, findings) = (&self.claims, &self.workers.findings);
        let costs = claims.as_ref().map(|claims| costs_of(claims, findings, figures.paid));
        if self.recorder.await.is_err() {
            tracing::warn!("the last record is missing");
        }
        let facts = &self.facts;
        let exploration = &facts.run_file.exploration;
        let names = RunNames {
            stopped_by: costs::stopped_by(&facts.run_file.learner, &figures)
                .filter(|_| !self.interrupted),
            costs,
            name: facts.run_file.run.name.clone(),
            run_id: facts.run_id.to_string(),
            environment: facts.environment.clone(),
            warnings: facts.run_file.replay.warnings(),
            explorations: (0..exploration.settings()).map(|i| exploration.describe(i)).collect(),
        };
        let summary = Summary::new(&names, self.interrupted, &self.observer.look());
        let text = serde_json::to_vec_pretty(&summary)
            .map_err(|error| LearnerError::System { what: "summary.json", source: error.into() })?;
        let file = self.directory.write("summary.json", &text)?;
        tracing::info!(file = %file.display(), "the run is over");
        Ok(if self.interrupted { Outcome::Interrupted } else { Outcome::Complete })
    }
}

/// What evaluations have cost in all, and the best objects.
fn costs_of(claims: &Claims, findings: &Findings, paid: u64) -> Costs {
    let objects = findings.best_objects();
    let spent = claims.spent_until(&objects).unwrap_or_else(|error| {
        tracing::warn!(%error, "what the best objects have cost is not known");
        None
    });
    let best = spent.map(|spent| (objects.len() as u64, spent));
    Costs::new(&claims.spending(), paid, best)
}

/// What limits the run while it trains.
fn see_limits(limits: &mut Watch, observer: &Observer, now: Duration) -> Option<Limit> {
    let edges = &observer.board.vitals().edges;
    let (trainer, waits) = (edges.lasting(Edge::TrainerData), edges.now());
    let view = observer.look();
    let limit = limits.see(Moment::of(&view, now, trainer, &waits));
    limit.filter(|_| view.figures.state == RunState::Running && view.figures.updates > 0)
}

/// Who hears of records.
struct Heard {
    /// Each of them, if it is quick.
    records: broadcast::Sender<Arc<Record>>,
    /// The number of the last one that is in the file.
    last: watch::Sender<u64>,
    /// TensorBoard, if it is wanted.
    events: Option<EventFile>,
}

/// A record each second and after each comparison; a last one at the end.
async fn record(
    mut recorder: Recorder,
    observer: Observer,
    mut heard: Heard,
    compared: Arc<Notify>,
    mut limits: Option<Watch>,
    stop: CancellationToken,
) {
    let mut tick = interval(RECORD_EVERY);
    let (start, mut before) = (Instant::now(), Instant::now());
    loop {
        let is_last = tokio::select! {
            biased;
            () = stop.cancelled() => true,
            () = compared.notified() => false,
            _ = tick.tick() => false,
        };
        if let Some(limits) = &mut limits {
            let limit = see_limits(limits, &observer, start.elapsed());
            let since = std::mem::replace(&mut before, Instant::now()).elapsed();
            observer.board.update(|figures| {
                figures.limit = limit;
                if let Some(limit) = limit {
                    *figures.limited_seconds.entry(limit.bound).or_default() += since.as_secs_f64();
                }
            });
        }
        let (record, written) = recorder.write(&observer.look());
        if let Err(error) = written {
            tracing::warn!(%error, "metrics.jsonl could not be written");
        }
        let rate = record.values.get("trajectories_per_second").copied().unwrap_or_default();
        observer.board.update(|figures| figures.recent_rate = rate);
        heard.last.send_replace(record.number);
        if let Some(Err(error)) = heard.events.as_mut().map(|events| events.write(&record)) {
            // Half a record makes the rest of a file unreadable.
            heard.events = None;
            tracing::warn!(%error, "the event file for TensorBoard ends here until the next start");
        }
        // Nobody may be watching.
        let _ = heard.records.send(Arc::new(record));
        if is_last {
            return;
        }
    }
}
