//! Connections that say nothing, or nothing that is allowed, make way for those that do.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tributary_common::soak;
use tributary_proto::credentials::{CredentialFiles, Credentials};
use tributary_proto::limits;

use super::super::actor::{PATIENCE, TestActor, hello};
use super::super::{GOOD, GRID, TestLearner};
use super::certificates::Files;

/// Some more than may wait.
const PUSHED_OUT: usize = 40;

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_never_keep_an_actor_out() {
    let mut learner = TestLearner::start(GRID, &[]).await;
    crate::listener::files::most_open();
    let address = learner.url.strip_prefix("http://").unwrap().to_owned();
    let mut idle = Vec::new();
    for _ in 0..limits::UNADMITTED_CONNECTIONS + PUSHED_OUT {
        idle.push(TcpStream::connect(&address).await.unwrap());
    }
    let mut actor = TestActor::join(&learner.url, None).await;
    actor.send(&[GOOD; 100]).await;
    actor.acked().await;
    // The oldest were pushed out: they read the end.
    for stream in &mut idle[..PUSHED_OUT] {
        let mut settings = Vec::new();
        let ended = timeout(PATIENCE, stream.read_to_end(&mut settings)).await;
        assert!(ended.is_ok(), "it is still open");
    }
    actor.leave_when_drained().await;
    learner.end().await;
}

/// All of them stream within this time.
const ALL_STREAM: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn many_actors_with_mutual_tls_stream_and_are_acked() {
    let actors = soak::count(60, 300);
    let folder = tempfile::tempdir().unwrap();
    let files = Files::make(folder.path());
    let learner = TestLearner::start_secured(GRID, folder, files.learner()).await;
    let path = |name| Some(files.path(name));
    let files = CredentialFiles {
        ca: path("ca.pem"),
        certificate: path("actor.pem"),
        key: path("actor-key.pem"),
        token: path("actor.token"),
    };
    let dialer = Credentials::read(&files).unwrap().dialer(&learner.url).unwrap();
    let start = Instant::now();
    let mut joining = JoinSet::new();
    for _ in 0..actors {
        let dialer = dialer.clone();
        joining.spawn(async move {
            let line = dialer.connect().await.unwrap();
            TestActor::join_on(line, hello(None)).await
        });
    }
    let mut all = joining.join_all().await;
    let seconds = start.elapsed();
    println!("{actors} actors stream after {seconds:?}");
    assert!(seconds < ALL_STREAM, "{seconds:?}");
    for actor in all.iter_mut().take(20) {
        actor.send(&[GOOD; 2]).await;
        actor.acked().await;
    }
    learner.interrupt.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http_head_without_end_or_a_large_body_is_refused() {
    let learner = TestLearner::start(GRID, &[]).await;
    let address = learner.http.strip_prefix("http://").unwrap();
    let ask = async |text: String| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The server may close before it has read all.
        let _ = stream.write_all(text.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("it ends");
        String::from_utf8_lossy(&answer).into_owned()
    };
    let head = format!("GET /metrics HTTP/1.1\r\nHost: x\r\nX: {}", "x".repeat(100_000));
    let answer = ask(head).await;
    assert!(!answer.contains("200 OK"), "{answer}");
    let headers: String = (0..200).map(|i| format!("X-{i}: x\r\n")).collect();
    let answer = ask(format!("GET /metrics HTTP/1.1\r\nHost: x\r\n{headers}\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let head = "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n";
    let answer = ask(head.to_owned()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    learner.interrupt.cancel();
}
