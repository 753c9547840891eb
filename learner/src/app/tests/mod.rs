//! A whole learner in process, with a fake training, against actors over real gRPC.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod actor;
mod claims;
mod control;
mod dashboard;
mod durable;
mod end;
mod evaluation;
mod exploration;
mod refusals;
mod replay;
mod resume;
mod security;
mod sessions;
mod stalls;
mod training;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tributary_common::registry::Registry;
use tributary_common::token::Token;
use tributary_proto::credentials::{Credentials, Line};
use tributary_proto::limits;
use tributary_proto::v1::control_client::ControlClient;

use super::{Outcome, run};
use crate::error::LearnerError;
use crate::options::Options;
use crate::security::SecurityOptions;
use actor::PATIENCE;
use training::{FakeTraining, Gate, Seen};

const GRID: &str = r#"
[run]
name = "grid"
[environment]
kind = "hypergrid"
dimensions = 2
side = 4
[reward]
kind = "original"
r0 = 0.1
r1 = 0.5
r2 = 2.0
[policy]
hidden = [8]
[learner]
generated = 100
batch = 16
[actor]
batch = 128
"#;

const WORDS: &str = r#"
[environment]
kind = "sequence"
construction = "append"
alphabet = "AB"
length = 2
[reward]
kind = "table"
file = "words.tsv"
[policy]
hidden = [8]
[learner]
generated = 4
batch = 2
[actor]
batch = 128
"#;

const WORDS_TABLE: &str = "word\tvalue\nAA\t1\nAB\t2\nBA\t3\nBB\t4\n";

const CELLS: &str = "cell\n0 0\n3 3\n1 2\n2 1\n";

/// A trajectory of the grid that is legal, and its reward.
const GOOD: (&[u32], f64) = (&[0, 1, 0], 0.6);

/// A learner that runs in this process.
struct TestLearner {
    folder: TempDir,
    url: String,
    http: String,
    seen: Seen,
    gate: Gate,
    interrupt: CancellationToken,
    ended: JoinHandle<Result<Outcome, LearnerError>>,
}

fn options(folder: &Path, run_file: &str, sets: &[&str]) -> Options {
    let path = folder.join("input.toml");
    fs::write(&path, run_file).unwrap();
    fs::write(folder.join("words.tsv"), WORDS_TABLE).unwrap();
    fs::write(folder.join("cells.csv"), CELLS).unwrap();
    let pair = |set: &&str| tributary_common::run_file::parse_override(set).unwrap();
    Options {
        run_file: Some(path),
        run_dir: folder.join("run"),
        listen: None,
        http: None,
        probes: None,
        stay: false,
        advertise: None,
        overrides: sets.iter().map(pair).collect(),
        seed: None,
        threads: None,
        security: SecurityOptions::default(),
    }
}

impl TestLearner {
    async fn start(run_file: &str, sets: &[&str]) -> Self {
        Self::start_with(run_file, sets, &[], &[]).await
    }

    /// With TLS and tokens of files in the folder.
    async fn start_secured(run_file: &str, folder: TempDir, security: SecurityOptions) -> Self {
        let options = Options { security, ..options(folder.path(), run_file, &[]) };
        Self::start_as(folder, options, &[], &[]).await
    }

    /// `skip` and `panic` are the attempts to update that fail, from 1.
    async fn start_with(run_file: &str, sets: &[&str], skip: &[u64], panic: &[u64]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = options(folder.path(), run_file, sets);
        Self::start_as(folder, options, skip, panic).await
    }

    async fn start_as(folder: TempDir, options: Options, skip: &[u64], panic: &[u64]) -> Self {
        let (seen, interrupt) = (Seen::default(), CancellationToken::new());
        let (trained, token) = (seen.clone(), interrupt.clone());
        let gate = Gate::default();
        let held = gate.clone();
        let (skip, panic) = (skip.to_vec(), panic.to_vec());
        let ended = tokio::spawn(async move {
            let fake = |prepared: &crate::prepare::Prepared| {
                let network = prepared.facts.network.as_ref().clone();
                let (step, attempts) = (0, 0);
                let seen = trained;
                let fake = FakeTraining { network, step, seen, skip, panic, attempts, gate: held };
                Ok(Box::new(fake) as Box<dyn crate::training::Training>)
            };
            run(&options, &Registry::builtin(), fake, token).await
        });
        let path = folder.path().join("run/address.json");
        until("the learner's address", || path.exists() || ended.is_finished()).await;
        // A short run may be over already, but it has told its address.
        assert!(path.exists(), "{:?}", ended.await);
        let address: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        let text = |key: &str| address[key].as_str().unwrap().to_owned();
        Self { url: text("grpc"), http: text("http"), folder, seen, gate, interrupt, ended }
    }

    /// The control token.
    fn token(&self) -> Token {
        Token::read(&self.path("token")).unwrap()
    }

    /// A client that shows it.
    async fn control(&self) -> ControlClient<Line> {
        let credentials = Credentials::default().or_token(Some(self.token()));
        let line = credentials.dialer(&self.url).unwrap().connect().await.unwrap();
        limits::control_client(line)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("run").join(name)
    }

    /// Waits for the end of the run; its outcome and its summary.
    async fn end(&mut self) -> (Outcome, Value) {
        let ended = tokio::time::timeout(PATIENCE, &mut self.ended).await;
        let outcome = ended.expect("the learner did not end in time").unwrap().unwrap();
        (outcome, serde_json::from_slice(&fs::read(self.path("summary.json")).unwrap()).unwrap())
    }
}

/// Waits for a condition, with a deadline.
async fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    let start = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_millis(5));
    while !is_true() {
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        tick.tick().await;
    }
}

/// What the books of a summary must always say.
fn assert_balance(summary: &Value) {
    let of = |name: &str| summary["books"][name].as_u64().unwrap();
    let decided = of("accepted") + of("duplicate") + of("rejected") + of("pending");
    assert_eq!(of("received"), decided, "{summary:#}");
    let kept = of("resident") + of("evicted") + of("merged") + of("lost_in_restart");
    assert_eq!(of("accepted"), kept + of("waiting"), "{summary:#}");
}
