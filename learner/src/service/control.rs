//! What people and scripts ask: status, metrics as they are made, an orderly end.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use tributary_common::ids::ActorId;
use tributary_common::plain_text::plain;
use tributary_proto::code::Code;
use tributary_proto::limits;
use tributary_proto::v1;
use tributary_proto::v1::control_server::Control;
use tributary_proto::v1::{
    ActorRow, Books, Counters, DrainReply, DrainRequest, ExactEvaluation, FoundObject, Goals,
    KindYield, LedgerState, MetricsRecord, QuarantineReply, QuarantineRequest, SettingYield,
    Spending, Stall, StatusReply, StatusRequest, StreamMetricsRequest, Trust, WatchRequest,
};
use tributary_proto::v1::{ActorState as WireActorState, RunState as WireRunState};

use super::{RunFacts, ServiceDeps, recorded};
use crate::claims;
use crate::figures::{ExactFigures, Figures, RunState};
use crate::findings::BestObject;
use crate::record::Record;
use crate::roster::{self, ActorState};
use crate::view::View;
use crate::watchdog;
use crate::yields::Yield;

/// Name and version of this program, for people.
pub(crate) const SOFTWARE: &str = concat!("tributary-learner ", env!("CARGO_PKG_VERSION"));

/// The best objects that a status has.
const BEST: usize = 20;

pub(super) struct ControlService(ServiceDeps);

impl ControlService {
    pub(super) fn new(deps: ServiceDeps) -> Self {
        Self(deps)
    }
}

#[tonic::async_trait]
impl Control for ControlService {
    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusReply>, Status> {
        let mut reply = status(&self.0.facts, &self.0.observer.look());
        reply.best = self.0.findings.best(BEST).into_iter().map(found).collect();
        Ok(Response::new(reply))
    }

    type WatchStream = ReceiverStream<Result<MetricsRecord, Status>>;

    async fn watch(
        &self,
        request: Request<WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let prefixes = request.into_inner().prefixes;
        check(&prefixes)?;
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

    type StreamMetricsStream = ReceiverStream<Result<MetricsRecord, Status>>;

    async fn stream_metrics(
        &self,
        request: Request<StreamMetricsRequest>,
    ) -> Result<Response<Self::StreamMetricsStream>, Status> {
        let request = request.into_inner();
        check(&request.prefixes)?;
        Ok(Response::new(self.0.recorded.stream(request, self.0.stop.clone())))
    }

    async fn drain(&self, request: Request<DrainRequest>) -> Result<Response<DrainReply>, Status> {
        let reason = plain(&request.into_inner().reason);
        let started = self.0.drain.try_send(reason).is_ok();
        Ok(Response::new(DrainReply { started }))
    }

    async fn quarantine(
        &self,
        request: Request<QuarantineRequest>,
    ) -> Result<Response<QuarantineReply>, Status> {
        let QuarantineRequest { actor_id, release, strike } = request.into_inner();
        let (actor, deps) = (ActorId(actor_id), &self.0);
        if deps.lockstep.is_some() {
            let why = "a lockstep run waits for each of its actors: stop the actor instead";
            return Err(Code::Mismatch.status(why));
        }
        let board = Arc::clone(&deps.observer.board);
        let is_known = deps.roster.rows().iter().any(|row| row.id == actor);
        if !is_known && !board.refuses(actor) {
            let why = format!("no actor {actor} is known; tributary status shows their numbers");
            return Err(Code::NotFound.status(why));
        }
        let shared = deps.shared.as_ref();
        if strike && (release || shared.is_none()) {
            let why = "values are struck of an actor that is quarantined, where rewards are shared";
            return Err(Code::Mismatch.status(why));
        }
        let refused = tokio::task::spawn_blocking(move || board.refuse(actor, !release)).await;
        let changed = refused.map_err(failed)?.map_err(failed)?;
        tracing::warn!(%actor, release, strike, changed, "somebody asks to quarantine or release");
        let mut struck = 0;
        if let Some(shared) = shared.filter(|_| !release) {
            shared.claims.expel(actor);
            if strike {
                struck = shared.committer.strike(actor).await.map_err(failed)?;
            }
        }
        Ok(Response::new(QuarantineReply { changed, struck }))
    }
}

/// A few names may be asked for.
fn check(prefixes: &[String]) -> Result<(), Status> {
    if prefixes.len() > limits::REPORT_ENTRIES {
        let message = format!("more than {} prefixes", limits::REPORT_ENTRIES);
        return Err(Code::TooLarge.status(message));
    }
    Ok(())
}

fn failed(error: impl std::fmt::Display) -> Status {
    Code::Unavailable.status(error)
}

fn chosen(record: &Record, prefixes: &[String]) -> MetricsRecord {
    let values = record.values.iter().filter(|(name, _)| recorded::is_wanted(name, prefixes));
    MetricsRecord {
        number: record.number,
        step: record.step,
        seconds: record.seconds,
        time: record.time,
        values: values.map(|(name, value)| (name.clone(), *value)).collect(),
        stalled_edge: record.stalled_edge.map(str::to_owned),
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
        actors: view.actors.iter().map(|actor| row(actor, figures)).collect(),
        trust: figures.trust.as_ref().map(|trust| Trust {
            audits: trust.audits,
            alarms: trust.alarms,
            recent: trust.recent.clone(),
        }),
        yields: yields(facts, view),
        evaluation: figures.evaluation_values().into_iter().collect(),
        warnings: facts.warnings(&figures.checkpoints),
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
            evaluations: learner.max_evaluations,
            cost: learner.max_cost,
        }),
        spending: figures.spending.as_ref().map(|of| spending(of, figures.is_budget_spent)),
        limit: figures.limit.as_ref().map(|limit| v1::Limit {
            by: limit.bound.name().to_owned(),
            text: limit.to_string(),
            actors_wanted: limit.wanted,
        }),
        best: Vec::new(),
    }
}

fn found(best: BestObject) -> FoundObject {
    let BestObject { object, log_reward, nearest } = best;
    FoundObject { object, log_reward, nearest }
}

fn spending(spending: &claims::Spending, exhausted: bool) -> Spending {
    let claims::Spending { spent, is_stated, saved, under_way } = *spending;
    Spending {
        evaluations: spent.evaluations,
        seconds: spent.seconds,
        cost: spent.cost,
        stated: is_stated,
        saved,
        under_way,
        exhausted,
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

fn row(actor: &roster::ActorRow, figures: &Figures) -> ActorRow {
    let trust = figures.trust.as_ref();
    let alarms = trust.and_then(|trust| trust.actors.get(&actor.id)).copied();
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
        quarantined: figures.quarantined.contains(&actor.id),
        alarms: alarms.unwrap_or(0),
    }
}
