//! `/metrics` of an actor, for Prometheus: counts and waits, nothing of objects or secrets. It asks for
//! no token: whoever reaches the port may read it.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;
use tributary_proto::limits;

use crate::error::ActorError;
use crate::progress::Progress;

/// Readers at a time; more wait.
const READERS: usize = 8;

type Labelled = Vec<(String, f64)>;

enum Read {
    /// Only ever grows; its name gets `_total`.
    Counter(fn(&Progress) -> f64),
    Gauge(fn(&Progress) -> f64),
    /// A counter for each value of one label, which comes from a list in the program.
    Counters(&'static str, fn(&Progress) -> Labelled),
}

const METRICS: [(&str, &str, Read); 11] = [
    (
        "tributary_actor_trajectories_drawn",
        "trajectories drawn",
        Read::Counter(|of| of.trajectories.load(Relaxed) as f64),
    ),
    (
        "tributary_actor_evaluations",
        "objects measured",
        Read::Counter(|of| of.evaluations.load(Relaxed) as f64),
    ),
    (
        "tributary_actor_evaluation_seconds",
        "seconds that measuring took, summed over threads",
        Read::Counter(Progress::evaluation_seconds),
    ),
    (
        "tributary_actor_evaluations_reused",
        "objects whose value somebody else had paid for",
        Read::Counter(|of| of.reused.load(Relaxed) as f64),
    ),
    (
        "tributary_actor_objects_failed",
        "objects that the reward could not measure; their trajectories were not sent",
        Read::Counter(|of| of.failed.load(Relaxed) as f64),
    ),
    (
        "tributary_actor_reward_failures",
        "requests to the reward that failed, by kind",
        Read::Counters("kind", |of| {
            of.reward_failures().into_iter().map(|(kind, count)| (kind, count as f64)).collect()
        }),
    ),
    (
        "tributary_actor_reward_troubled",
        "1 while something keeps the reward from working, else 0",
        Read::Gauge(|of| f64::from(u8::from(of.reward_trouble().is_some()))),
    ),
    (
        "tributary_actor_records_completed",
        "trajectories with their values: acked, or held until they are",
        Read::Counter(|of| of.stamped.load(Relaxed) as f64),
    ),
    (
        "tributary_actor_records_acked",
        "trajectories that the learner took care of",
        Read::Counter(|of| of.acked.load(Relaxed) as f64),
    ),
    (
        "tributary_actor_reconnects",
        "times that the actor connected again",
        Read::Counter(|of| of.reconnects.load(Relaxed) as f64),
    ),
    (
        "tributary_actor_waited_seconds",
        "seconds waited, summed over threads, by what was waited for",
        Read::Counters("edge", |of| of.waited_seconds().into_iter().collect()),
    ),
];

/// Shows an actor until it is dropped.
#[derive(Debug)]
pub struct ActorMetrics {
    /// Where.
    pub address: SocketAddr,
    shown: watch::Sender<Arc<Progress>>,
    _serving: AbortOnDropHandle<()>,
}

impl ActorMetrics {
    /// Listens.
    ///
    /// # Errors
    /// An address that cannot be listened on.
    pub async fn listen(address: SocketAddr) -> Result<Self, ActorError> {
        let failed = |source| ActorError::Listen { address, source };
        let socket = TcpListener::bind(address).await.map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        let (shown, seen) = watch::channel(Arc::default());
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Seen(seen)));
        let _serving = AbortOnDropHandle::new(tokio::spawn(serve(socket, Arc::new(registry))));
        tracing::info!("metrics are at http://{address}/metrics");
        Ok(Self { address, shown, _serving })
    }

    /// This actor is shown from now on.
    pub fn show(&self, progress: Arc<Progress>) {
        self.shown.send_replace(progress);
    }
}

async fn serve(socket: TcpListener, registry: Arc<Registry>) {
    let readers = Arc::new(Semaphore::new(READERS));
    loop {
        // It is never closed.
        let Ok(permit) = Arc::clone(&readers).acquire_owned().await else { return };
        match socket.accept().await {
            Ok((stream, _)) => {
                let registry = Arc::clone(&registry);
                tokio::spawn(async move {
                    let _ = timeout(limits::HTTP_TIMEOUT, converse(stream, registry)).await;
                    drop(permit);
                });
            }
            // No file may be left for it.
            Err(_) => sleep(limits::ACCEPT_BACK_OFF_CAP).await,
        }
    }
}

/// Answers one request.
async fn converse(stream: TcpStream, registry: Arc<Registry>) {
    let service = service_fn(|request: Request<Incoming>| {
        let response = answer(&request, &registry);
        async move { Ok::<_, Infallible>(response) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits::HTTP_HEAD_TIMEOUT)
        .max_headers(limits::HTTP_HEADERS)
        .max_buf_size(limits::HTTP_HEAD_BYTES)
        .keep_alive(false);
    if let Err(error) = http.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a reader of the metrics broke off");
    }
}

fn answer(request: &Request<Incoming>, registry: &Registry) -> Response<String> {
    let mut text = String::new();
    let status = match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") if encode(&mut text, registry).is_ok() => StatusCode::OK,
        (&Method::GET, "/metrics") => StatusCode::INTERNAL_SERVER_ERROR,
        (_, "/metrics") => StatusCode::METHOD_NOT_ALLOWED,
        _ => StatusCode::NOT_FOUND,
    };
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let mut response = Response::new(text);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Looks at the actor when it is scraped.
struct Seen(watch::Receiver<Arc<Progress>>);

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seen")
    }
}

impl Collector for Seen {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let progress = Arc::clone(&self.0.borrow());
        for (name, help, read) in &METRICS {
            let kind = match read {
                Read::Gauge(_) => MetricType::Gauge,
                Read::Counter(_) | Read::Counters(..) => MetricType::Counter,
            };
            let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
            match read {
                Read::Counter(value) => ConstCounter::new(value(&progress)).encode(metric)?,
                Read::Gauge(value) => ConstGauge::new(value(&progress)).encode(metric)?,
                Read::Counters(label, values) => {
                    for (key, value) in values(&progress) {
                        let labels = [(*label, key)];
                        ConstCounter::new(value).encode(metric.encode_family(&labels)?)?;
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::progress::Edge;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn get(address: SocketAddr, head: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("{head} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn an_actor_is_shown_and_then_the_next_one() {
        let metrics = ActorMetrics::listen(([127, 0, 0, 1], 0).into()).await.unwrap();
        let before = get(metrics.address, "GET /metrics").await;
        assert!(before.contains("tributary_actor_trajectories_drawn_total 0.0\n"), "{before}");
        let progress = Arc::new(Progress::default());
        metrics.show(Arc::clone(&progress));
        progress.trajectories.store(7, Relaxed);
        progress.waited(Edge::Credit, Duration::from_millis(1_500));
        progress.set_reward_trouble(Some("no key".to_owned()));
        let text = get(metrics.address, "GET /metrics").await;
        for line in [
            "HTTP/1.1 200 OK\r",
            "# TYPE tributary_actor_trajectories_drawn counter",
            "tributary_actor_trajectories_drawn_total 7.0",
            "tributary_actor_waited_seconds_total{edge=\"credit\"} 1.5",
            "tributary_actor_reward_troubled 1.0",
            "# EOF",
        ] {
            assert!(text.lines().any(|told| told == line.trim_end()), "{line} is not in\n{text}");
        }
        metrics.show(Arc::default());
        let text = get(metrics.address, "GET /metrics").await;
        assert!(text.contains("tributary_actor_trajectories_drawn_total 0.0\n"), "{text}");
    }

    #[tokio::test]
    async fn nothing_else_is_there() {
        let metrics = ActorMetrics::listen(([127, 0, 0, 1], 0).into()).await.unwrap();
        for (head, status) in [("GET /", 404), ("GET /healthz", 404), ("POST /metrics", 405)] {
            let answer = get(metrics.address, head).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{head}: {answer}");
        }
        let taken = ActorMetrics::listen(metrics.address).await.unwrap_err();
        let address = metrics.address.to_string();
        assert!(taken.to_string().contains(&address), "{taken}");
    }
}
