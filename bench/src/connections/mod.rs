//! Many actors with mutual TLS from one process, in quiet and with others who only take up room.
//!
//! The sessions are bare: they say hello, follow the weights and send small batches, each when the one before
//! is acked, so that what is measured is connections and not rollouts.

mod crowd;
mod session;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tributary_proto::credentials::{CredentialFiles, Credentials, Dialer};

use crate::machine::Machine;
use crate::report::{Outputs, Table};
use crate::run::Tributary;
use crate::usage::Usage;
use crowd::Crowd;
use session::{Session, Tally};

/// All of them stream within this time.
const MOST_SECONDS: f64 = 20.0;
/// What a crowd may slow the others by.
const MOST_RATIO: f64 = 1.2;
const LEARNER_START: Duration = Duration::from_secs(60);

const RUN_FILE: &str = r#"
[run]
name = "connections"
seed = 1
[environment]
kind = "hypergrid"
dimensions = 2
side = 4
[reward]
kind = "original"
r0 = 0.1
[policy]
hidden = [16]
[replay]
capacity = 10_000
[learner]
generated = 1_000_000_000
batch = 64
publish_every = 100
[actor]
batch = 64
"#;

#[derive(Args, Serialize)]
pub(crate) struct Options {
    #[command(flatten)]
    #[serde(skip)]
    outputs: Outputs,
    /// Actors, each with a session and a stream of weights
    #[arg(long, default_value_t = 300)]
    actors: usize,
    /// Batches that each sends in a second, at most; by default so many that the machine is the limit and
    /// whatever the crowd costs is seen
    #[arg(long, default_value_t = 1_000.0)]
    per_second: f64,
    /// TCP connections that say nothing; one that was closed comes back after five seconds
    #[arg(long, default_value_t = 5_000)]
    idle: usize,
    /// TLS handshakes that stop in the middle; likewise
    #[arg(long, default_value_t = 500)]
    half_open: usize,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Measurements without and with the crowd, in turns
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

/// What was measured.
#[derive(Serialize)]
struct Figures {
    all_streaming_seconds: f64,
    late_actor_seconds: f64,
    learner_mebibytes: f64,
    learner_mebibytes_with_actors: f64,
    learner_mebibytes_with_crowd: f64,
    acks_per_second: [f64; 2],
    median_milliseconds: [f64; 2],
    p99_milliseconds: [f64; 2],
    crowd_connected: u64,
    crowd_closed: u64,
    lost_sessions: u64,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let figures = runtime.block_on(measure(options))?;
    let machine = Machine::this();
    options.outputs.section("connections", &section(options, &figures, &machine))?;
    options.outputs.json(&machine, options, &[&figures])?;
    let [calm, crowded] = figures.acks_per_second;
    ensure!(figures.all_streaming_seconds <= MOST_SECONDS, "not all streamed in time");
    ensure!(figures.lost_sessions == 0, "{} sessions were lost", figures.lost_sessions);
    ensure!(calm <= MOST_RATIO * crowded, "the crowd slows the actors: {calm} to {crowded} acks/s");
    Ok(())
}

async fn measure(options: &Options) -> Result<Figures> {
    let folder = tempfile::tempdir()?;
    let learner = Learner::start(folder.path()).await?;
    let dialer = learner.dialer()?;
    let learner_mebibytes = learner.usage()?.mebibytes();
    let tally = Arc::new(Tally::default());
    let start = Instant::now();
    let mut joining = JoinSet::new();
    for _ in 0..options.actors {
        joining.spawn(Session::join(dialer.clone()));
    }
    let mut sessions = JoinSet::new();
    let interval = Duration::from_secs_f64(1.0 / options.per_second);
    while let Some(joined) = joining.join_next().await {
        sessions.spawn(joined??.work(interval, Arc::clone(&tally)));
    }
    let all_streaming_seconds = start.elapsed().as_secs_f64();
    sleep(Duration::from_secs(1)).await;
    let learner_mebibytes_with_actors = learner.usage()?.mebibytes();

    let seconds = options.seconds as f64;
    let mut latencies: [Vec<f64>; 2] = Default::default();
    let (mut crowd_connected, mut crowd_closed) = (0, 0);
    let mut learner_mebibytes_with_crowd: f64 = 0.0;
    let mut late_actor_seconds: f64 = 0.0;
    for _ in 0..options.rounds {
        latencies[0].extend(tally.during(options.seconds).await);
        let crowd = Crowd::gather(&learner.address, options.idle, options.half_open).await?;
        let (during, late) = tokio::join!(tally.during(options.seconds), async {
            let start = Instant::now();
            Session::join(dialer.clone()).await.map(|_| start.elapsed().as_secs_f64())
        });
        latencies[1].extend(during);
        late_actor_seconds = late_actor_seconds.max(late?);
        learner_mebibytes_with_crowd =
            learner_mebibytes_with_crowd.max(learner.usage()?.mebibytes());
        let (connected, closed) = crowd.leave();
        crowd_connected += connected;
        crowd_closed += closed;
        sleep(Duration::from_secs(1)).await;
    }
    let measured = options.rounds as f64 * seconds;
    let mut ended = 0;
    while sessions.try_join_next().is_some() {
        ended += 1;
    }
    for all in &mut latencies {
        all.sort_by(f64::total_cmp);
        ensure!(!all.is_empty(), "nothing was acked");
    }
    let at = |share: f64| {
        latencies.each_ref().map(|all| 1e3 * all[((all.len() - 1) as f64 * share) as usize])
    };
    Ok(Figures {
        all_streaming_seconds,
        late_actor_seconds,
        learner_mebibytes,
        learner_mebibytes_with_actors,
        learner_mebibytes_with_crowd,
        acks_per_second: latencies.each_ref().map(|all| all.len() as f64 / measured),
        median_milliseconds: at(0.5),
        p99_milliseconds: at(0.99),
        crowd_connected,
        crowd_closed,
        lost_sessions: ended,
    })
}

fn section(options: &Options, figures: &Figures, machine: &Machine) -> String {
    let mut table = Table::new(&["", "quiet", "with the crowd"]);
    let [acks, median, p99] =
        [figures.acks_per_second, figures.median_milliseconds, figures.p99_milliseconds];
    for (name, [quiet, crowded], digits) in [
        ("batches acked per second", acks, 1),
        ("median ms to the ack", median, 1),
        ("99 % ms", p99, 1),
    ] {
        let cells = [quiet, crowded].map(|value| format!("{value:.digits$}"));
        table.row([name.to_owned()].into_iter().chain(cells));
    }
    let memory = [figures.learner_mebibytes_with_actors, figures.learner_mebibytes_with_crowd];
    let memory = memory.map(|mebibytes| format!("{mebibytes:.0}"));
    table.row(["MiB of the learner".to_owned()].into_iter().chain(memory));
    format!(
        "{} actors with mutual TLS stream after {:.1} s; the learner alone takes {:.0} MiB. The crowd: \
         {} idle connections and {} half handshakes at a time, {} connects, {} closed by the learner; \
         an actor that comes then streams after {:.2} s at most. Sessions lost: {}. ({machine})\n\n{table}",
        options.actors,
        figures.all_streaming_seconds,
        figures.learner_mebibytes,
        options.idle,
        options.half_open,
        figures.crowd_connected,
        figures.crowd_closed,
        figures.late_actor_seconds,
        figures.lost_sessions,
    )
}

/// The learner's program with certificates of its own.
struct Learner {
    process: Child,
    /// HOST:PORT.
    address: String,
    certs: PathBuf,
}

impl Learner {
    async fn start(folder: &Path) -> Result<Self> {
        let tributary = Tributary::find()?;
        let certs = folder.join("certs");
        let made = Command::new(tributary.path()).arg("certs").arg(&certs).output()?;
        ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let (run_file, directory) = (folder.join("run.toml"), folder.join("run"));
        std::fs::write(&run_file, RUN_FILE)?;
        let log = std::fs::File::create(folder.join("log"))?;
        let process = Command::new(tributary.path().with_file_name("tributary-learner"))
            .arg("--run-file")
            .arg(&run_file)
            .arg("--run-dir")
            .arg(&directory)
            .arg("--credentials")
            .arg(certs.join("learner"))
            .args(["--threads", "1"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        let mut learner = Self { process, address: String::new(), certs };
        let start = Instant::now();
        loop {
            let text = std::fs::read(directory.join("address.json")).unwrap_or_default();
            let file: Option<serde_json::Value> = serde_json::from_slice(&text).ok();
            if let Some(url) = file.as_ref().and_then(|file| file["grpc"].as_str()) {
                learner.address = url.trim_start_matches("https://").to_owned();
                return Ok(learner);
            }
            let log = || std::fs::read_to_string(folder.join("log")).unwrap_or_default();
            ensure!(learner.process.try_wait()?.is_none(), "the learner ended:\n{}", log());
            ensure!(start.elapsed() < LEARNER_START, "the learner does not listen:\n{}", log());
            sleep(Duration::from_millis(20)).await;
        }
    }

    fn dialer(&self) -> Result<Dialer> {
        let path = |name| Some(self.certs.join("actor-1").join(name));
        let credentials = Credentials::read(&CredentialFiles {
            ca: path("ca.pem"),
            certificate: path("cert.pem"),
            key: path("key.pem"),
            token: path("token"),
        })?;
        Ok(credentials.dialer(&format!("https://{}", self.address))?)
    }

    /// What it has taken so far.
    fn usage(&self) -> Result<Usage> {
        Usage::of(self.process.id())
    }
}

impl Drop for Learner {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
