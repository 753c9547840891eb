//! What people and scripts ask: status, metrics as they are made, an orderly end.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use tributary_common::plain_text::plain;
use tributary_proto::code::Code;
use tributary_proto::limits;
use tributary_proto::v1::control_server::Control;
use tributary_proto::v1::{
    ActorRow, Books, Counters, DrainReply, DrainRequest, ExactEvaluation, Goals, KindYield,
    LedgerState, MetricsRecord, SettingYield, Stall, StatusReply, StatusRequest, WatchRequest,
};
use tributary_proto::v1::{ActorState as WireActorState, RunState as WireRunState};

use super::{RunFacts, ServiceDeps};
use crate::figures::{CheckpointFigures, ExactFigures, RunState};
use crate::record::Record;
use crate::roster::{self, ActorState};
use crate::view::View;
use crate::watchdog;
use crate::yields::Yield;

/// Name and version of this program, for people.
pub(crate) const SOFTWARE: &str = concat!("tributary-learner ", env!("CARGO_PKG_VERSION"));

pub(super) struct ControlService(ServiceDeps);

impl ControlService {
    pub(super) fn new(deps: ServiceDeps) -> Self {
        Self(deps)
    }
}

#[tonic::async_trait]
impl Control for ControlService {
    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusReply>, Status> {
        Ok(Response::new(status(&self.0.facts, &self.0.observer.look())))
    }

    type WatchStream = ReceiverStream<Result<MetricsRecord, Status>>;

    async fn watch(
        &self,
        request: Request<WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let prefixes = request.into_inner().prefixes;
        if prefixes.len() > limits::REPORT_ENTRIES {
            let message = format!("more than {} prefixes", limits::REPORT_ENTRIES);
            return Err(Code::TooLarge.status(message));
        }
        let (sender, stream) = mpsc::channel(1);
        let mut records = self.0.records.subscribe();
        let stop = self.0.stop.clone();
        tokio::spawn(async move {
            loop {
                let record = tokio::select! {
                    biased;
                    () = stop.cancelled() => return,
                    () = sender.closed() => return,
                    record = records.recv() => record,
                };
                let sent = match record {
                    Ok(record) => sender.send(Ok(chosen(&record, &prefixes))).await,
                    Err(RecvError::Lagged(_)) => continue,
                    Err(RecvError::Closed) => return,
                };
                if sent.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn drain(&self, request: Request<DrainRequest>) -> Result<Response<DrainReply>, Status> {
        let reason = plain(&request.into_inner().reason);
        let started = self.0.drain.try_send(reason).is_ok();
        Ok(Response::new(DrainReply { started }))
    }
}

fn chosen(record: &Record, prefixes: &[String]) -> MetricsRecord {
    let is_wanted = |name: &String| {
        prefixes.is_empty() || prefixes.iter().any(|prefix| name.starts_with(prefix.as_str()))
    };
    let values = record.values.iter().filter(|(name, _)| is_wanted(name));
    MetricsRecord {
        number: record.number,
        step: record.step,
        seconds: record.seconds,
        time: record.time,
        values: values.map(|(name, value)| (name.clone(), *value)).collect(),
    }
}

fn status(facts: &Arc<RunFacts>, view: &View) -> StatusReply {
    let figures = &view.figures;
    let state = match figures.state {
        RunState::Recovering => WireRunState::Recovering,
        RunState::Running if figures.ledger.trouble.is_some() => WireRunState::Degraded,
        RunState::Running => WireRunState::Running,
        RunState::Degraded => WireRunState::Degraded,
        RunState::Stopping => WireRunState::Stopping,
    };
    let learner = &facts.run_file.learner;
    let (generated, paid) = (figures.generated, figures.paid);
    let (updates, samples) = (figures.updates, figures.samples);
    StatusReply {
        run_id: facts.run_id.0.to_vec(),
        run_name: facts.run_file.run.name.clone(),
        incarnation: facts.incarnation.0,
        state: state.into(),
        software: SOFTWARE.to_owned(),
        seconds: figures.training_time().as_secs_f64(),
        counters: Some(Counters { generated, paid, updates, samples }),
        books: Some(books(view)),
        policy: figures.policy.map(Into::into),
        log_z: figures.log_z,
        loss: figures.loss,
        exact: figures.exact.as_ref().map(exact),
        lag_mean: figures.lag_mean(),
        lag_max: figures.lag_max,
        trajectories_per_second: figures.recent_rate,
        waited_seconds: view.waited_seconds().into_iter().collect(),
        actors: view.actors.iter().map(row).collect(),
        yields: yields(facts, view),
        evaluation: figures.evaluation_values().into_iter().collect(),
        warnings: warnings(facts, &figures.checkpoints),
        stalls: figures.stalls.iter().map(stall).collect(),
        ledger: Some(LedgerState {
            durable: figures.ledger.durable,
            journal: figures.ledger.journal.clone(),
            commits: figures.ledger.commits,
            failures: figures.ledger.failures,
            trouble: figures.ledger.trouble.clone(),
        }),
        goals: Some(Goals {
            generated: learner.generated,
            paid: learner.paid,
            updates: learner.updates,
            seconds: learner.time.map(|time| time.as_secs_f64()),
        }),
    }
}

fn stall(stall: &watchdog::Stall) -> Stall {
    Stall {
        edge: stall.edge.name().to_owned(),
        seconds: stall.waited.as_secs_f64(),
        reason: stall.reason.clone(),
        blocking: stall.edge.is_blocking(),
    }
}

fn warnings(facts: &RunFacts, checkpoints: &CheckpointFigures) -> Vec<String> {
    let lockstep = "in lockstep: training waits for the slowest actor, and actors for training";
    let lockstep = facts.run_file.run.lockstep.then_some(lockstep);
    let of_replay = facts.run_file.replay.warnings().into_iter();
    let failed = checkpoints.trouble.as_ref().map(|why| {
        let failures = checkpoints.failures;
        format!("{failures} checkpoints were not written, the older ones stay: {why}")
    });
    of_replay.chain(lockstep).map(str::to_owned).chain(failed).collect()
}

fn yields(facts: &RunFacts, view: &View) -> Vec<SettingYield> {
    let rows = view.figures.yields.iter().enumerate();
    rows.map(|(setting, row)| SettingYield {
        setting: setting as u32,
        description: facts.run_file.exploration.describe(setting),
        generated: row.all.generated,
        objects: row.all.objects,
        good_objects: row.all.good_objects,
        kinds: row.kinds().map(kind_yield).collect(),
    })
    .collect()
}

fn kind_yield((kind, row): (&str, Yield)) -> KindYield {
    let Yield { generated, objects, good_objects } = row;
    KindYield { kind: kind.to_owned(), generated, objects, good_objects }
}

fn books(view: &View) -> Books {
    let View { books, replay, .. } = view;
    let rejected: BTreeMap<String, u64> =
        view.rejected().into_iter().map(|(reason, count)| (reason.to_owned(), count)).collect();
    Books {
        received: books.received,
        accepted: books.accepted,
        duplicate: books.duplicate,
        rejected: rejected.into_iter().collect(),
        pending: books.pending(),
        resident: view.resident(),
        evicted: replay.evicted,
        merged: replay.merged,
        lost_in_restart: books.lost_in_restart,
        waiting: view.waiting(),
    }
}

/// On the wire a divergence without a finite value is infinite, a correlation that is not there NaN.
fn exact(figures: &ExactFigures) -> ExactEvaluation {
    let comparison = &figures.comparison;
    ExactEvaluation {
        policy: Some(figures.policy.into()),
        total_variation: comparison.total_variation,
        jensen_shannon: comparison.jensen_shannon,
        kl_target_policy: comparison.kl_target_policy.unwrap_or(f64::INFINITY),
        kl_policy_target: comparison.kl_policy_target.unwrap_or(f64::INFINITY),
        log_z_target: comparison.log_z_target,
        log_z: figures.log_z,
        pearson: comparison.pearson.unwrap_or(f64::NAN),
        spearman: comparison.spearman.unwrap_or(f64::NAN),
        generated: figures.generated,
    }
}

fn row(actor: &roster::ActorRow) -> ActorRow {
    let state = match actor.state {
        ActorState::Connecting => WireActorState::Connecting,
        ActorState::Streaming => WireActorState::Streaming,
        ActorState::Backpressured => WireActorState::Backpressured,
        ActorState::Draining => WireActorState::Draining,
        ActorState::Suspect => WireActorState::Suspect,
        ActorState::Lost => WireActorState::Lost,
        ActorState::Gone => WireActorState::Gone,
    };
    ActorRow {
        id: actor.id.0,
        name: actor.card.name.clone(),
        host: actor.card.host.clone(),
        process: actor.card.process,
        state: state.into(),
        epoch: Some(actor.epoch.into()),
        received: actor.books.received,
        accepted: actor.books.accepted,
        duplicate: actor.books.duplicate,
        rejected: actor.books.rejected_total(),
        unacked: actor.report.unacked_records,
        credit_bytes: actor.credit_bytes,
        policy: actor.report.policy.map(Into::into),
        trajectories_per_second: actor.trajectories_per_second,
        waited_seconds: actor.report.waited_seconds.clone().into_iter().collect(),
        silent_seconds: actor.silent.as_secs_f64(),
        reward_failures: actor.report.reward_failures.clone(),
        reward_trouble: actor.report.reward_trouble.clone(),
    }
}
