//! The two listeners with their guards, and the metrics of their connections.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

use crate::listener::Listener;
use crate::listener::connections::{Bounds, Connections, Counts};
use crate::listener::files;
use crate::listener::guard::Guard;
use crate::security::Security;

/// A listener for gRPC and one for HTTP.
pub(crate) struct Doors {
    pub(crate) grpc: (Listener, Guard),
    pub(crate) http: (Listener, Guard),
}

impl Doors {
    /// Raises the limit of open files, and registers the metrics.
    pub(crate) fn new(
        grpc: TcpListener,
        http: TcpListener,
        security: Security,
        registry: &mut Registry,
    ) -> Self {
        let Security { grpc: grpc_tls, http: http_tls, callers } = security;
        let bounds = [Bounds::of_grpc(files::most_open()), Bounds::of_http()];
        let [of_grpc, of_http] = bounds.map(|bounds| Arc::new(Connections::new(bounds)));
        let all = [("grpc", Arc::clone(&of_grpc)), ("http", Arc::clone(&of_http))];
        registry.register_collector(Box::new(ConnectionMetrics(all)));
        let guard = |connections: &Arc<Connections>| Guard {
            callers: Arc::clone(&callers),
            connections: Arc::clone(connections),
        };
        Self {
            grpc: (Listener::new(grpc, grpc_tls, Arc::clone(&of_grpc)), guard(&of_grpc)),
            http: (Listener::new(http, http_tls, Arc::clone(&of_http)), guard(&of_http)),
        }
    }
}

/// Read at each scrape; the label is one of two words.
struct ConnectionMetrics([(&'static str, Arc<Connections>); 2]);

impl fmt::Debug for ConnectionMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConnectionMetrics")
    }
}

type Metric = (&'static str, &'static str, MetricType, fn(&Counts) -> u64);

const METRICS: [Metric; 4] = [
    (
        "tributary_learner_connections",
        "connections with an allowed call",
        MetricType::Gauge,
        |counts| counts.admitted,
    ),
    (
        "tributary_learner_connections_waiting",
        "connections without an allowed call so far",
        MetricType::Gauge,
        |counts| counts.waiting,
    ),
    (
        "tributary_learner_connections_turned_away",
        "connections that ended without an allowed call",
        MetricType::Counter,
        |counts| counts.turned_away,
    ),
    (
        "tributary_learner_calls_denied",
        "calls and pages that were not allowed",
        MetricType::Counter,
        |counts| counts.denied,
    ),
];

impl Collector for ConnectionMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let counts = self.0.each_ref().map(|(name, connections)| (*name, connections.counts()));
        for (name, help, kind, value) in METRICS {
            let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
            for (listener, counts) in &counts {
                let labels = [("listener", *listener)];
                let (encoder, value) = (metric.encode_family(&labels)?, value(counts));
                match kind {
                    MetricType::Gauge => ConstGauge::new(value as f64).encode(encoder)?,
                    _ => ConstCounter::new(value).encode(encoder)?,
                }
            }
        }
        Ok(())
    }
}
