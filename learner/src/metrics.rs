//! The learner's Prometheus metrics: all names in this file, read from the board at each scrape.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use tributary_common::exact::Comparison;

use crate::figures::NotWritten;
use crate::memory;
use crate::roster::{ActorRow, ActorState};
use crate::view::{Observer, View};
use crate::watchdog::Stall;

enum Read {
    /// Only ever grows; its name gets `_total`.
    Counter(fn(&View) -> f64),
    /// `None`: not known yet.
    Gauge(fn(&View) -> Option<f64>),
    /// A counter for each value of one label, which the learner names, not the network.
    Counters(&'static str, fn(&View) -> Vec<(String, f64)>),
    /// A gauge likewise.
    Gauges(&'static str, fn(&View) -> Vec<(String, f64)>),
}

struct Metric {
    name: &'static str,
    help: &'static str,
    read: Read,
}

const fn metric(name: &'static str, help: &'static str, read: Read) -> Metric {
    Metric { name, help, read }
}

const METRICS: &[Metric] = &[
    metric(
        "tributary_learner_trajectories_accepted",
        "trajectories accepted",
        Read::Counter(|view| view.figures.generated as f64),
    ),
    metric(
        "tributary_learner_trajectories_received",
        "trajectories received, duplicates and rejected ones too",
        Read::Counter(|view| view.books.received as f64),
    ),
    metric(
        "tributary_learner_trajectories_duplicate",
        "trajectories received again after a lost ack",
        Read::Counter(|view| view.books.duplicate as f64),
    ),
    metric(
        "tributary_learner_trajectories_rejected",
        "trajectories rejected, by reason",
        Read::Counters("reason", |view| {
            let counts = view.rejected().into_iter();
            counts.map(|(reason, count)| (reason.to_owned(), count as f64)).collect()
        }),
    ),
    metric(
        "tributary_learner_objects_paid",
        "distinct objects among the accepted trajectories",
        Read::Counter(|view| view.figures.paid as f64),
    ),
    metric(
        "tributary_learner_updates",
        "optimizer steps",
        Read::Counter(|view| view.figures.updates as f64),
    ),
    metric(
        "tributary_learner_samples",
        "trajectories trained on, each as often as it was used",
        Read::Counter(|view| view.figures.samples as f64),
    ),
    metric(
        "tributary_learner_samples_redrawn",
        "samples whose path was drawn backward from an object that an actor found",
        Read::Counter(|view| view.replay.redrawn as f64),
    ),
    metric(
        "tributary_learner_samples_initial",
        "samples of the objects of replay.initial",
        Read::Counter(|view| view.replay.imported_sampled as f64),
    ),
    metric(
        "tributary_learner_trajectories_merged",
        "trajectories that made way for a newer one of their object",
        Read::Counter(|view| view.replay.merged as f64),
    ),
    metric(
        "tributary_learner_batches_skipped",
        "batches without a step: an error, or a number that was not finite",
        Read::Counter(|view| view.figures.skipped_batches as f64),
    ),
    metric(
        "tributary_learner_rewards_clipped",
        "accepted trajectories whose log R was below objective.log_reward_min",
        Read::Counter(|view| view.replay.clipped_rewards as f64),
    ),
    metric(
        "tributary_learner_waited_seconds",
        "seconds waited, by edge who.for_what",
        Read::Counters("edge", |view| {
            let known = |edge: &String| KNOWN_EDGES.contains(&edge.as_str());
            let waited = view.waited_seconds().into_iter();
            waited.filter(|(edge, _)| known(edge)).collect()
        }),
    ),
    metric(
        "tributary_learner_stalled_seconds",
        "how long somebody has waited without progress, by edge who.for_what",
        Read::Gauges("edge", |view| {
            let seconds =
                |stall: &Stall| (stall.edge.name().to_owned(), stall.waited.as_secs_f64());
            view.figures.stalls.iter().map(seconds).collect()
        }),
    ),
    metric(
        "tributary_learner_not_written",
        "rejected trajectories and skipped batches without a file, because there are too many",
        Read::Counters("what", |view| {
            let NotWritten { rejected, skipped } = view.figures.not_written;
            [("rejected", rejected), ("skipped", skipped)]
                .map(|(what, count)| (what.to_owned(), count as f64))
                .into()
        }),
    ),
    metric(
        "tributary_learner_audits",
        "evaluations of objects that another actor had measured, on purpose",
        Read::Counter(|view| view.figures.trust.as_ref().map_or(0, |trust| trust.audits) as f64),
    ),
    metric(
        "tributary_learner_reward_alarms",
        "evaluations that differ from what another actor measured",
        Read::Counter(|view| view.figures.trust.as_ref().map_or(0, |trust| trust.alarms) as f64),
    ),
    metric(
        "tributary_learner_actors_quarantined",
        "actors whose records and values are refused",
        Read::Gauge(|view| Some(view.figures.quarantined.len() as f64)),
    ),
    metric(
        "tributary_learner_checkpoints",
        "checkpoints written",
        Read::Counter(|view| view.figures.checkpoints.written as f64),
    ),
    metric(
        "tributary_learner_checkpoint_failures",
        "checkpoints that could not be written; the older ones stay",
        Read::Counter(|view| view.figures.checkpoints.failures as f64),
    ),
    metric(
        "tributary_learner_checkpoint_pause_seconds",
        "seconds for which training stood still while the last checkpoint was copied",
        Read::Gauge(|view| Some(view.figures.checkpoints.pause_seconds)),
    ),
    metric(
        "tributary_learner_memory_bytes",
        "memory of the process that is resident",
        Read::Gauge(|_| memory::resident_bytes().map(|bytes| bytes as f64)),
    ),
    metric(
        "tributary_learner_replay_trajectories",
        "trajectories in replay",
        Read::Gauge(|view| Some(view.resident() as f64)),
    ),
    metric(
        "tributary_learner_actors_connected",
        "actors whose stream is up",
        Read::Gauge(|view| Some(view.connected() as f64)),
    ),
    metric(
        "tributary_learner_actors_without_credit",
        "actors that wait because they have used up their credit",
        Read::Gauge(|view| {
            let waits = |actor: &&ActorRow| actor.state == ActorState::Backpressured;
            Some(view.actors.iter().filter(waits).count() as f64)
        }),
    ),
    metric(
        "tributary_learner_actors_wanted",
        "actors that would keep training busy, and no more",
        Read::Gauge(|view| view.figures.limit.map(|limit| limit.wanted as f64)),
    ),
    metric(
        "tributary_learner_limited_seconds",
        "seconds for which each has limited the run: rewards, rollouts, learner, network",
        Read::Counters("by", |view| {
            let seconds = view.figures.limited_seconds.iter();
            seconds.map(|(bound, seconds)| (bound.name().to_owned(), *seconds)).collect()
        }),
    ),
    metric(
        "tributary_learner_evaluations_under_way",
        "evaluations that actors were granted and have not finished",
        Read::Gauge(|view| view.figures.spending.map(|of| of.under_way as f64)),
    ),
    metric(
        "tributary_learner_evaluations",
        "evaluations in the ledger, failed and repeated ones too, where rewards are shared",
        Read::Counters("what", |view| {
            let of = view.figures.spending.iter();
            of.flat_map(|of| [("paid", of.spent.evaluations), ("saved", of.saved)])
                .map(|(what, count)| (what.to_owned(), count as f64))
                .collect()
        }),
    ),
    metric(
        "tributary_learner_loss",
        "loss of the last update",
        Read::Gauge(|view| view.figures.loss),
    ),
    metric("tributary_learner_log_z_nats", "learned log Z", Read::Gauge(|view| view.figures.log_z)),
    metric(
        "tributary_learner_lag_mean_updates",
        "mean updates between a trajectory's weights and the steps that trained on it",
        Read::Gauge(|view| Some(view.figures.lag_mean())),
    ),
    metric(
        "tributary_learner_lag_max_updates",
        "the largest such lag",
        Read::Gauge(|view| Some(view.figures.lag_max as f64)),
    ),
    metric(
        "tributary_learner_training_seconds",
        "seconds since the first accepted trajectory, until training ends",
        Read::Gauge(|view| Some(view.figures.training_time().as_secs_f64())),
    ),
    metric(
        "tributary_learner_total_variation_ratio",
        "exact total variation distance to the target, of the averaged weights",
        Read::Gauge(|view| exact(view, |exact| exact.total_variation)),
    ),
    metric(
        "tributary_learner_jensen_shannon_nats",
        "exact Jensen-Shannon divergence to the target",
        Read::Gauge(|view| exact(view, |exact| exact.jensen_shannon)),
    ),
    metric(
        "tributary_learner_evaluation_seconds",
        "seconds that the evaluation beside the training has worked",
        Read::Counter(|view| view.figures.evaluation.seconds),
    ),
    metric(
        "tributary_learner_test_set_spearman_ratio",
        "Spearman's correlation of log p and log R over the test set",
        Read::Gauge(|view| view.figures.evaluation.estimates?.test_set?.spearman),
    ),
    metric(
        "tributary_learner_elbo_nats",
        "evidence lower bound of log Z, from the policy's samples",
        Read::Gauge(|view| view.figures.evaluation.estimates?.samples?.elbo),
    ),
    metric(
        "tributary_learner_modes_found",
        "known modes that accepted objects have found",
        Read::Gauge(|view| view.figures.evaluation.modes.map(|modes| modes.found as f64)),
    ),
    metric(
        "tributary_learner_log_z_target_nats",
        "exact log Z of the target",
        Read::Gauge(|view| exact(view, |exact| exact.log_z_target)),
    ),
];

/// Labels come from this list only: what actors call their waits never makes a new series.
const KNOWN_EDGES: [&str; 10] = [
    "trainer.data",
    "trainer.redraw",
    "ingest.replay",
    "actors.credit",
    "actors.weights",
    "actors.reward",
    "actors.queue",
    "actors.network",
    "actors.spool",
    "actors.ledger",
];

fn exact(view: &View, value: fn(&Comparison) -> f64) -> Option<f64> {
    view.figures.exact.as_ref().map(|exact| value(&exact.comparison))
}

/// Looks at the run when it is scraped.
pub struct LearnerMetrics(Observer);

impl fmt::Debug for LearnerMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LearnerMetrics")
    }
}

impl LearnerMetrics {
    /// Adds the learner's metrics to a registry.
    pub fn register(registry: &mut Registry, observer: Observer) {
        registry.register_collector(Box::new(Self(observer)));
    }
}

impl Collector for LearnerMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let view = self.0.look();
        METRICS.iter().try_for_each(|metric| metric.encode(&view, &mut encoder))
    }
}

impl Metric {
    fn encode(&self, view: &View, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Self { name, help, read } = self;
        match read {
            Read::Counter(value) => {
                let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
                ConstCounter::new(value(view)).encode(metric)
            }
            Read::Gauge(value) => match value(view) {
                Some(value) => {
                    let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
                    ConstGauge::new(value).encode(metric)
                }
                None => Ok(()),
            },
            Read::Counters(label, values) => {
                let mut metric =
                    encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
                values(view).into_iter().try_for_each(|(key, value)| {
                    let labels = [(*label, key)];
                    ConstCounter::new(value).encode(metric.encode_family(&labels)?)
                })
            }
            Read::Gauges(label, values) => {
                let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
                values(view).into_iter().try_for_each(|(key, value)| {
                    let labels = [(*label, key)];
                    ConstGauge::new(value).encode(metric.encode_family(&labels)?)
                })
            }
        }
    }
}
