//! Everything that shows a run, open at once.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tributary_common::token::Token;
use tributary_proto::credentials::{Credentials, Dialer};
use tributary_proto::limits;
use tributary_proto::v1::{StatusRequest, StreamMetricsRequest, WatchRequest};

/// Between two looks of who asks again and again.
const EVERY: Duration = Duration::from_secs(1);

/// Who can watch one learner.
pub(super) struct Observers {
    runtime: Runtime,
    learner: Arc<Learner>,
}

struct Learner {
    /// HOST:PORT of its pages.
    http: String,
    token: Token,
    dialer: Dialer,
    /// What was heard: bytes of the dashboard's events, scrapes, statuses, records as they are made
    /// and those that none may be missing of.
    events: AtomicU64,
    scrapes: AtomicU64,
    statuses: AtomicU64,
    records: AtomicU64,
    lines: AtomicU64,
}

impl Observers {
    /// Of the learner of a run directory.
    pub(super) fn new(run: &Path) -> Result<Self> {
        let file: Value = serde_json::from_slice(&fs::read(run.join("address.json"))?)?;
        let address = |name: &str| file[name].as_str().context("an address.json of another form");
        let token = Token::read(&run.join("token"))?;
        let credentials = Credentials::default().or_token(Some(token.clone()));
        let learner = Learner {
            http: address("http")?.trim_start_matches("http://").to_owned(),
            dialer: credentials.dialer(address("grpc")?)?,
            token,
            events: AtomicU64::new(0),
            scrapes: AtomicU64::new(0),
            statuses: AtomicU64::new(0),
            records: AtomicU64::new(0),
            lines: AtomicU64::new(0),
        };
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        Ok(Self { runtime, learner: Arc::new(learner) })
    }

    /// All of them watch until this is dropped.
    pub(super) fn watch(&self) -> JoinSet<()> {
        let mut watching = JoinSet::new();
        let of = || Arc::clone(&self.learner);
        let handle = self.runtime.handle();
        watching.spawn_on(said("the dashboard's events", of().events()), handle);
        watching.spawn_on(said("/metrics", of().scrapes()), handle);
        watching.spawn_on(said("the status", of().statuses()), handle);
        watching.spawn_on(said("the records", of().records()), handle);
        watching.spawn_on(said("all records", of().lines()), handle);
        watching
    }

    /// What was heard of the learner, in words.
    ///
    /// # Errors
    /// One of them heard nothing.
    pub(super) fn heard(&self) -> Result<String> {
        let Learner { events, scrapes, statuses, records, lines, .. } = &*self.learner;
        let counts = [events, scrapes, statuses, records, lines].map(|count| count.load(Relaxed));
        ensure!(counts.iter().all(|count| *count > 0), "somebody heard nothing: {counts:?}");
        let [events, scrapes, statuses, records, lines] = counts;
        Ok(format!(
            "a reader of the dashboard's events ({} kB), /metrics and the status every second ({scrapes} and \
             {statuses} times), `tributary watch` ({records} records), `tributary metrics --follow` ({lines} records)",
            events / 1_000
        ))
    }
}

async fn said(who: &str, watching: impl Future<Output = Result<()>>) {
    if let Err(error) = watching.await {
        eprintln!("warning: {who}: {error:#}");
    }
}

impl Learner {
    /// A page that is open.
    async fn events(self: Arc<Self>) -> Result<()> {
        let mut stream = self.get("/api/v1/events").await?;
        let mut part = vec![0; 64 * 1024];
        loop {
            match stream.read(&mut part).await? {
                0 => bail!("it ended"),
                count => self.events.fetch_add(count as u64, Relaxed),
            };
        }
    }

    async fn scrapes(self: Arc<Self>) -> Result<()> {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let mut answer = Vec::new();
            self.get("/metrics").await?.read_to_end(&mut answer).await?;
            ensure!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
            self.scrapes.fetch_add(1, Relaxed);
        }
    }

    async fn statuses(self: Arc<Self>) -> Result<()> {
        let mut control = limits::control_client(self.dialer.connect().await?);
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            control.status(StatusRequest {}).await?;
            self.statuses.fetch_add(1, Relaxed);
        }
    }

    async fn records(self: Arc<Self>) -> Result<()> {
        let mut control = limits::control_client(self.dialer.connect().await?);
        let mut records = control.watch(WatchRequest::default()).await?.into_inner();
        while records.message().await?.is_some() {
            self.records.fetch_add(1, Relaxed);
        }
        bail!("it ended")
    }

    async fn lines(self: Arc<Self>) -> Result<()> {
        let mut control = limits::control_client(self.dialer.connect().await?);
        let request = StreamMetricsRequest { follow: true, ..StreamMetricsRequest::default() };
        let mut records = control.stream_metrics(request).await?.into_inner();
        while records.message().await?.is_some() {
            self.lines.fetch_add(1, Relaxed);
        }
        bail!("it ended")
    }

    async fn get(&self, path: &str) -> Result<TcpStream> {
        let mut stream = TcpStream::connect(&self.http).await?;
        let close = if path == "/metrics" { "Connection: close\r\n" } else { "" };
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n{close}\r\n",
            self.http,
            self.token.reveal()
        );
        stream.write_all(request.as_bytes()).await?;
        Ok(stream)
    }
}
