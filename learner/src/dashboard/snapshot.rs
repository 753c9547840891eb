//! Everything that the page shows besides history, at one moment: `/api/v1/snapshot`.

use std::collections::BTreeMap;

use serde::Serialize;
use tributary_common::plain_text::{plain, plain_up_to};

use crate::claims::ClaimCounts;
use crate::figures::{CheckpointFigures, LagBin, LedgerFigures, RunState};
use crate::findings::BestObject;
use crate::record::Record;
use crate::roster::{ActorRow, ActorState};
use crate::service::{RunFacts, SOFTWARE};
use crate::view::View;
use crate::yields::Yield;

/// Characters of the environment's configuration that are shown.
const MOST_SHOWN: usize = 1_000;
/// Rows of actors; the others are in the counts.
const MOST_ACTORS: usize = 256;

/// The form of the snapshot: a field is never taken away or given another meaning under one number.
const SCHEMA: u32 = 1;

/// A run at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot {
    /// Of this form.
    pub schema: u32,
    /// What does not change while its learner lives.
    pub run: RunCard,
    /// What the learner is doing: `recovering`, `running`, `degraded`, `stopping`.
    pub state: &'static str,
    /// The last record's number, update, seconds and time, as in `metrics.jsonl`; 0 before the first.
    pub number: u64,
    /// Updates done.
    pub step: u64,
    /// Since the run's start.
    pub seconds: f64,
    /// Seconds since 1970.
    pub time: f64,
    /// Of training.
    pub training_seconds: f64,
    /// All figures of the last record, by their names in `metrics.jsonl`.
    pub values: BTreeMap<String, f64>,
    /// What to know before trusting the run, in sentences.
    pub warnings: Vec<String>,
    /// Hand-overs at which somebody waits without progress, the blocking first.
    pub stalls: Vec<StallRow>,
    /// Seconds waited so far on each edge `who.for_what`; of actors their mean.
    pub waited_seconds: BTreeMap<String, f64>,
    /// Samples by their lag.
    pub lags: Vec<LagBin>,
    /// Where all records went.
    pub books: BTreeMap<&'static str, u64>,
    /// Rejected records by reason.
    pub rejected: BTreeMap<&'static str, u64>,
    /// What rewards cost.
    pub rewards: Rewards,
    /// What each exploration setting has brought.
    pub yields: Vec<YieldRow>,
    /// The ledger.
    pub ledger: LedgerRow,
    /// Checkpoints of this life of the learner.
    pub checkpoints: CheckpointRow,
    /// Actors by what they are doing.
    pub actors_by_state: BTreeMap<&'static str, u64>,
    /// The actors, those that left last; not all, if they are many.
    pub actors: Vec<ActorCard>,
    /// The best objects so far, the best first.
    pub best: Vec<BestObject>,
    /// The update of what `/api/v1/distribution` shows; none where nothing is shown there.
    pub distribution_step: Option<u64>,
}

/// A run as its file says.
#[derive(Clone, Debug, Serialize)]
pub struct RunCard {
    /// `[run] name`.
    pub name: String,
    /// Its id.
    pub id: String,
    /// This start of its learner.
    pub incarnation: u32,
    /// Name and version of the learner.
    pub software: &'static str,
    /// The environment's kind and canonical configuration.
    pub environment: String,
    /// Whether acked means on disk.
    pub durable: bool,
    /// Whether it runs in lockstep.
    pub lockstep: bool,
    /// Where it stops.
    pub goals: GoalRow,
}

/// Where a run stops; none: not there.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct GoalRow {
    /// Accepted trajectories.
    pub generated: Option<u64>,
    /// Objects paid for.
    pub paid: Option<u64>,
    /// Updates.
    pub updates: Option<u64>,
    /// Of training.
    pub seconds: Option<f64>,
    /// Evaluations, failed and repeated ones too.
    pub evaluations: Option<u64>,
    /// What they cost.
    pub cost: Option<f64>,
}

/// Who waits without progress.
#[derive(Clone, Debug, Serialize)]
pub struct StallRow {
    /// `who.for_what`.
    pub edge: &'static str,
    /// For how long.
    pub seconds: f64,
    /// In words.
    pub reason: String,
    /// Whether nothing is trained on meanwhile.
    pub blocking: bool,
}

/// What rewards cost.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Rewards {
    /// Distinct objects that were measured, of the whole run.
    pub paid: u64,
    /// Accepted trajectories whose object was known before.
    pub known: u64,
    /// Evaluations that the actors of `actors` report, of their processes' lives.
    pub evaluations: u64,
    /// Seconds that these took.
    pub evaluation_seconds: f64,
    /// Failed requests that they report.
    pub failures: u64,
    /// What the ledger spared actors, where rewards are shared; of this life of the learner.
    pub claims: Option<ClaimCounts>,
}

/// What an exploration setting has brought.
#[derive(Clone, Debug, Serialize)]
pub struct YieldRow {
    /// In words.
    pub exploration: String,
    /// What it has brought.
    #[serde(flatten)]
    pub found: Yield,
    /// The same for each kind of trajectory, where there are several.
    pub kinds: BTreeMap<&'static str, Yield>,
}

/// How the ledger is doing.
#[derive(Clone, Debug, Serialize)]
pub struct LedgerRow {
    /// Commits so far.
    pub commits: u64,
    /// How often it could not be written.
    pub failures: u64,
    /// Why it cannot be written now.
    pub trouble: Option<String>,
}

/// How checkpoints are doing.
#[derive(Clone, Debug, Serialize)]
pub struct CheckpointRow {
    /// Written.
    pub written: u64,
    /// How often one could not be written.
    pub failures: u64,
    /// Why the last one could not.
    pub trouble: Option<String>,
}

/// One actor.
#[derive(Clone, Debug, Serialize)]
pub struct ActorCard {
    /// Issued by the learner.
    pub id: u64,
    /// As it calls itself.
    pub name: String,
    /// Its machine.
    pub host: String,
    /// Its process there.
    pub process: u32,
    /// What it is doing: `connecting`, `streaming`, `backpressured`, `draining`, `suspect`, `lost`,
    /// `gone`.
    pub state: &'static str,
    /// Accepted over the time that it was connected.
    pub trajectories_per_second: f64,
    /// Its records that were accepted.
    pub accepted: u64,
    /// That were rejected.
    pub rejected: u64,
    /// Finished and not acked.
    pub unacked: u64,
    /// The update of the weights in use.
    pub policy_step: Option<u64>,
    /// Since something was heard of it.
    pub silent_seconds: f64,
    /// Objects that its process measured.
    pub evaluations: u64,
    /// Seconds that this took.
    pub evaluation_seconds: f64,
    /// Seconds its process waited, for each edge.
    pub waited_seconds: BTreeMap<String, f64>,
    /// What programs outside failed at, by kind.
    pub reward_failures: BTreeMap<String, u64>,
    /// Why its reward does not work now; empty while it does.
    pub reward_trouble: String,
}

/// What is looked at besides the view.
pub(super) struct Beside<'a> {
    pub(super) facts: &'a RunFacts,
    pub(super) record: Option<&'a Record>,
    pub(super) best: Vec<BestObject>,
    pub(super) claims: Option<ClaimCounts>,
}

impl Snapshot {
    pub(super) fn new(view: &View, beside: Beside<'_>) -> Self {
        let Beside { facts, record, best, claims } = beside;
        let figures = &view.figures;
        let yields = figures.yields.iter().enumerate().map(|(setting, row)| YieldRow {
            exploration: facts.run_file.exploration.describe(setting),
            found: row.all,
            kinds: row.kinds().collect(),
        });
        let stalls = figures.stalls.iter().map(|stall| StallRow {
            edge: stall.edge.name(),
            seconds: stall.waited.as_secs_f64(),
            reason: plain(&stall.reason),
            blocking: stall.edge.is_blocking(),
        });
        Self {
            schema: SCHEMA,
            run: RunCard::of(facts),
            state: state(figures.state, &figures.ledger),
            number: record.map_or(0, |record| record.number),
            step: figures.updates,
            seconds: record.map_or(0.0, |record| record.seconds),
            time: record.map_or(0.0, |record| record.time),
            training_seconds: figures.training_time().as_secs_f64(),
            values: record.map(|record| record.values.clone()).unwrap_or_default(),
            warnings: facts.warnings(&figures.checkpoints),
            stalls: stalls.collect(),
            waited_seconds: waited(view),
            lags: figures.lags.bins(),
            books: view.balance(),
            rejected: view.rejected(),
            rewards: Rewards::of(view, claims),
            yields: yields.collect(),
            ledger: LedgerRow::of(&figures.ledger),
            checkpoints: CheckpointRow::of(&figures.checkpoints),
            actors_by_state: by_state(&view.actors),
            actors: actors(&view.actors),
            best,
            distribution_step: figures.distribution.as_ref().map(|of| of.step),
        }
    }
}

fn state(state: RunState, ledger: &LedgerFigures) -> &'static str {
    match state {
        RunState::Recovering => "recovering",
        RunState::Running if ledger.trouble.is_some() => "degraded",
        RunState::Running => "running",
        RunState::Degraded => "degraded",
        RunState::Stopping => "stopping",
    }
}

/// As in the figures, but for actors the mean of those that report.
fn waited(view: &View) -> BTreeMap<String, f64> {
    let mut waited = view.waited_seconds();
    let reports = view.actors.iter().filter(|actor| !actor.report.waited_seconds.is_empty());
    let reporting = reports.count().max(1) as f64;
    for (_, seconds) in waited.iter_mut().filter(|(edge, _)| edge.starts_with("actors.")) {
        *seconds /= reporting;
    }
    waited
}

fn by_state(actors: &[ActorRow]) -> BTreeMap<&'static str, u64> {
    let mut counts = BTreeMap::new();
    for actor in actors {
        *counts.entry(actor.state.name()).or_default() += 1;
    }
    counts
}

/// Those that are there first, by their ids.
fn actors(actors: &[ActorRow]) -> Vec<ActorCard> {
    let (here, left): (Vec<&ActorRow>, Vec<&ActorRow>) =
        actors.iter().partition(|actor| actor.is_connected());
    here.into_iter().chain(left).take(MOST_ACTORS).map(ActorCard::of).collect()
}

impl RunCard {
    fn of(facts: &RunFacts) -> Self {
        let learner = &facts.run_file.learner;
        Self {
            name: facts.run_file.run.name.clone(),
            id: facts.run_id.to_string(),
            incarnation: facts.incarnation.0,
            software: SOFTWARE,
            environment: plain_up_to(&facts.environment, MOST_SHOWN),
            durable: facts.run_file.reward.durable == Some(true),
            lockstep: facts.run_file.run.lockstep,
            goals: GoalRow {
                generated: learner.generated,
                paid: learner.paid,
                updates: learner.updates,
                seconds: learner.time.map(|time| time.as_secs_f64()),
                evaluations: learner.max_evaluations,
                cost: learner.max_cost,
            },
        }
    }
}

impl Rewards {
    fn of(view: &View, claims: Option<ClaimCounts>) -> Self {
        let figures = &view.figures;
        let reports = || view.actors.iter().map(|actor| &actor.report);
        Self {
            paid: figures.paid,
            known: figures.generated.saturating_sub(figures.paid),
            evaluations: reports().map(|report| report.evaluations).sum(),
            evaluation_seconds: reports().map(|report| report.evaluation_seconds).sum(),
            failures: reports().flat_map(|report| report.reward_failures.values()).sum(),
            claims,
        }
    }
}

impl LedgerRow {
    fn of(figures: &LedgerFigures) -> Self {
        let LedgerFigures { commits, failures, trouble, .. } = figures.clone();
        Self { commits, failures, trouble }
    }
}

impl CheckpointRow {
    fn of(figures: &CheckpointFigures) -> Self {
        let CheckpointFigures { written, failures, trouble, .. } = figures.clone();
        Self { written, failures, trouble }
    }
}

impl ActorCard {
    fn of(actor: &ActorRow) -> Self {
        let ActorRow { card, report, books, .. } = actor;
        Self {
            id: actor.id.0,
            name: card.name.clone(),
            host: card.host.clone(),
            process: card.process,
            state: actor.state.name(),
            trajectories_per_second: actor.trajectories_per_second,
            accepted: books.accepted,
            rejected: books.rejected_total(),
            unacked: report.unacked_records,
            policy_step: report.policy.map(|policy| policy.step),
            silent_seconds: actor.silent.as_secs_f64(),
            evaluations: report.evaluations,
            evaluation_seconds: report.evaluation_seconds,
            waited_seconds: report.waited_seconds.clone(),
            reward_failures: report.reward_failures.clone(),
            reward_trouble: report.reward_trouble.clone(),
        }
    }
}

impl ActorState {
    /// In one word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Streaming => "streaming",
            Self::Backpressured => "backpressured",
            Self::Draining => "draining",
            Self::Suspect => "suspect",
            Self::Lost => "lost",
            Self::Gone => "gone",
        }
    }
}
