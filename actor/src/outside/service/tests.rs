//! Services of this process: they come, fail and go while objects are asked for.
#![allow(clippy::unwrap_used)]
use std::fs;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response};
use tributary_common::reward::OutsideReward;
use tributary_common::run_file::Section;
use tributary_proto::v1::reward_service_server::{RewardService, RewardServiceServer};
use tributary_proto::v1::{DescribeReply, Measured, RewardOutput};

use super::*;
use crate::fakes::until;
use crate::oracle::Oracle;
use crate::outside::tests::{Bench, plain};

/// Measures the length of words; refuses "no", and dies at "bad".
#[derive(Clone)]
struct Lengths {
    kind: &'static str,
    asked: Arc<AtomicUsize>,
}

#[tonic::async_trait]
impl RewardService for Lengths {
    async fn describe(
        &self,
        _: Request<DescribeRequest>,
    ) -> Result<Response<DescribeReply>, Status> {
        let output = RewardOutput { name: "value".to_owned(), role: 1 };
        let (kind, version) = (self.kind.to_owned(), "1".to_owned());
        Ok(Response::new(DescribeReply { kind, version, outputs: vec![output], batch: 0 }))
    }

    type EvaluateStream =
        Pin<Box<dyn tokio_stream::Stream<Item = Result<EvaluateReply, Status>> + Send>>;

    async fn evaluate(
        &self,
        requests: Request<Streaming<EvaluateRequest>>,
    ) -> Result<Response<Self::EvaluateStream>, Status> {
        let asked = Arc::clone(&self.asked);
        let replies = requests.into_inner().map(move |request| {
            let request = request?;
            asked.fetch_add(1, Relaxed);
            let measured = |text: &String| {
                let word: String = serde_json::from_str(text).unwrap();
                match word.as_str() {
                    "bad" => Err(Status::internal("out of memory")),
                    "no" => Ok(Measured {
                        status: EvaluationStatus::Failed.into(),
                        error: "not mine".to_owned(),
                        ..Measured::default()
                    }),
                    _ => Ok(Measured {
                        status: EvaluationStatus::Measured.into(),
                        raw: vec![word.len() as f64],
                        ..Measured::default()
                    }),
                }
            };
            let measured = request.objects.iter().map(measured).collect::<Result<_, _>>()?;
            Ok(EvaluateReply { id: request.id, measured })
        });
        Ok(Response::new(Box::pin(replies)))
    }
}

/// A running service.
struct Running {
    address: String,
    asked: Arc<AtomicUsize>,
    server: JoinHandle<()>,
}

async fn serve(kind: &'static str) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::default();
    let service = RewardServiceServer::new(Lengths { kind, asked: Arc::clone(&asked) });
    let incoming = TcpListenerStream::new(listener);
    let server = tokio::spawn(async move {
        Server::builder().add_service(service).serve_with_incoming(incoming).await.unwrap();
    });
    Running { address, asked, server }
}

/// A pool that asks services.
fn bench(keys: &str, files: &Path) -> Bench {
    let keys =
        format!("kind = 'grpc'\nservice = 'lengths'\nretries = 1\nretry_wait = '1ms'\n{keys}");
    let section = Section::from_toml("reward", &keys).unwrap();
    Bench::of(OutsideReward::services(&section, files).unwrap())
}

impl Bench {
    /// The next findings, by ticket; services go on meanwhile.
    async fn found(&self, count: usize) -> Vec<(u64, Result<f64, FailureKind>)> {
        until("findings", || self.findings.len() >= count).await;
        let mut found: Vec<_> = self.findings.try_iter().map(plain).collect();
        found.sort_by_key(|(ticket, _)| *ticket);
        found
    }
}

#[tokio::test]
async fn services_measure_refuse_and_fail_like_workers() {
    let service = serve("lengths").await;
    let keys = format!("endpoints = ['{}']\nconcurrency = 2\nmax_batch = 2", service.address);
    let mut bench = bench(&keys, Path::new(""));
    bench.ask(&["A", "AC", "no", "ACGT"]);
    let found = bench.found(4).await;
    let expected = [Ok(1.0), Ok(2.0), Err(FailureKind::Refused), Ok(4.0)];
    assert_eq!(found.into_iter().map(|(_, outcome)| outcome).collect::<Vec<_>>(), expected);
    // It is tried again, and judged when there is nothing else to ask.
    bench.ask(&["bad"]);
    assert_eq!(bench.found(1).await, [(4, Err(FailureKind::Crash))]);
    bench.ask(&["ACG"]);
    assert_eq!(bench.found(1).await, [(5, Ok(3.0))]);
}

#[tokio::test]
async fn services_may_come_and_go() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("services.txt");
    let (first, second, other) =
        (serve("lengths").await, serve("lengths").await, serve("widths").await);
    fs::write(&file, format!("# one\n{}\n", first.address)).unwrap();
    let mut bench = bench("endpoints_file = 'services.txt'", folder.path());
    bench.ask(&["A"]);
    assert_eq!(bench.found(1).await, [(0, Ok(1.0))]);
    // One that measures something else gets no object.
    fs::write(&file, format!("{}\n{}\n", second.address, other.address)).unwrap();
    let mut word = 0;
    while second.asked.load(Relaxed) == 0 {
        word += 1;
        bench.ask(&["AC"]);
        assert_eq!(bench.found(1).await, [(word, Ok(2.0))]);
    }
    assert_eq!(other.asked.load(Relaxed), 0);
    // The first is asked no more: the second does everything.
    let before = first.asked.load(Relaxed);
    first.server.abort();
    bench.ask(&["ACG"; 20]);
    assert!(bench.found(20).await.iter().all(|(_, outcome)| *outcome == Ok(3.0)));
    assert_eq!(first.asked.load(Relaxed), before);
}

#[tokio::test]
async fn an_address_that_nobody_answers_at_is_said_and_no_object_is_blamed() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut bench = bench(&format!("endpoints = ['http://{nobody}']"), Path::new(""));
    bench.ask(&["A"]);
    until("trouble", || bench.progress.reward_trouble().is_some()).await;
    let trouble = bench.progress.reward_trouble().unwrap();
    let expected = format!("the reward service at http://{nobody} does not work: unavailable: ");
    assert!(trouble.starts_with(&expected), "{trouble}");
    bench.pool.stop();
    assert_eq!(bench.found(1).await, [(0, Err(FailureKind::Cancelled))]);
}
