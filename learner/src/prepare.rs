//! Everything that can be wrong before a run starts: the run file, its data, the addresses, the
//! directory. Nothing is written before all of it is right.

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use tokio::net::TcpListener;
use tonic::codegen::Bytes;
use tributary_common::data_set;
use tributary_common::estimate::EvaluationData;
use tributary_common::ledger::{self, Ledger};
use tributary_common::network::Network;
use tributary_common::registry::{Registry, Task, data_files, redirect};
use tributary_common::run_file::{Problem, RunFile, RunFileError};
use tributary_common::session::record_bytes;
use tributary_common::session::refusal::Fingerprints;
use tributary_common::session::sessions::SessionsConfig;
use tributary_proto::convert::learner::Asset;
use tributary_proto::limits;

use crate::entropy;
use crate::error::LearnerError;
use crate::memory::{MemoryBound, Sizes};
use crate::options::Options;
use crate::replay::Replay;
use crate::run_directory::RunDirectory;
use crate::security::Security;
use crate::service::RunFacts;

/// Sessions at the same time, and actors remembered.
const MOST_SESSIONS: usize = 2_048;
const MOST_REMEMBERED: usize = 8_192;
/// Rollout batches that an actor may have under way to replay: one on its way, one being drawn. More
/// would only make trajectories older when they are trained on.
const BATCHES_UNDER_WAY: u64 = 1;

/// A run that is ready to start.
pub struct Prepared {
    /// As its actors are told.
    pub facts: RunFacts,
    /// Environment and reward.
    pub task: Task,
    /// What the policy is evaluated on.
    pub data: EvaluationData,
    /// Empty.
    pub replay: Replay,
    /// Ours.
    pub directory: RunDirectory,
    /// What was measured, and in a durable run what was accepted.
    pub ledger: Ledger,
    /// For actors.
    pub grpc: TcpListener,
    /// For Prometheus.
    pub http: TcpListener,
    /// TLS, and who may call what.
    pub security: Security,
    /// For the actors' sessions.
    pub sessions: SessionsConfig,
}

impl Prepared {
    /// Reads, checks, binds, and takes the run directory.
    ///
    /// # Errors
    /// Whatever is wrong, before anything was written.
    pub async fn new(options: &Options, registry: &Registry) -> Result<Self, LearnerError> {
        let secured = options.security.read(&[options.listen, options.http])?;
        let folder = options.run_file.parent().unwrap_or(Path::new(""));
        let (mut run_file, task) = read(options, registry, folder)?;
        let in_file = |problems: Vec<Problem>| {
            LearnerError::RunFile(RunFileError::from(problems).in_file(&options.run_file))
        };
        let data = EvaluationData::load(&run_file, &task, folder).map_err(in_file)?;
        let initial = data_set::initial(&run_file, &task, folder).map_err(in_file)?;
        let replay = Replay::new(&run_file.replay, run_file.learner.batch)?
            .with_log_reward_min(run_file.objective.log_reward_min)
            .with_initial(initial)
            .with_distance_of(Arc::clone(&task.environment), &run_file.replay);
        let bytes = record_bytes(task.environment.max_steps(), task.reward.outputs().len());
        if bytes > limits::RECORD_BYTES {
            return Err(LearnerError::Record { bytes, most: limits::RECORD_BYTES });
        }
        let (grpc, http) = (listen(options.listen).await?, listen(options.http).await?);
        let run_id = entropy::run_id()
            .map_err(|source| LearnerError::System { what: "no random numbers", source })?;
        let directory = RunDirectory::claim(&options.run_dir, run_id, &run_file.run.name)?;
        let security = secured.for_run(&run_file.run.name, &options.run_dir)?;
        let assets = keep_data(&mut run_file, folder, &directory)?;
        directory.write("run.toml", run_file.to_toml().as_bytes())?;

        let network = Arc::new(Network::of_run(&run_file, task.environment.as_ref()));
        let of_task = task.fingerprints();
        let fingerprints = Fingerprints {
            environment: of_task.environment,
            reward: of_task.reward,
            architecture: network.fingerprint(),
        };
        let incarnation = directory.incarnation;
        let ledger = Ledger::open(&directory.join(ledger::FILE), run_id, incarnation)?;
        let sessions = SessionsConfig {
            incarnation,
            durable: run_file.reward.durable == Some(true),
            most_sessions: MOST_SESSIONS,
            most_remembered: MOST_REMEMBERED,
            budget_bytes: run_file.learner.credit_budget.0,
            window_bytes: window_bytes(&run_file, bytes),
            record_bytes: bytes,
        };
        let environment = task.environment.identity();
        let environment = format!("{} {}", environment.kind, environment.configuration);
        let facts =
            RunFacts { run_id, incarnation, run_file, assets, fingerprints, environment, network };
        Ok(Self { facts, task, data, replay, directory, ledger, grpc, http, security, sessions })
    }

    /// How much memory the learner takes at most.
    pub fn memory(&self) -> MemoryBound {
        let RunFacts { run_file, assets, network, .. } = &self.facts;
        let sizes = Sizes {
            parameters: network.parameter_count() as u64,
            capacity: run_file.replay.capacity as u64,
            max_steps: self.task.environment.max_steps() as u64,
            assets: assets.iter().map(|(asset, _)| asset.size).sum(),
        };
        MemoryBound::new(&self.sessions, &sizes)
    }

    /// Tells where the learner listens: `address.json` in the run directory.
    ///
    /// # Errors
    /// The file system's.
    pub fn announce(&self) -> Result<(), LearnerError> {
        let scheme = if self.security.grpc.is_some() { "https" } else { "http" };
        let url = |listener: &TcpListener| {
            let mut address = listener
                .local_addr()
                .map_err(|source| LearnerError::System { what: "no local address", source })?;
            // All addresses of this machine: it reaches itself by this one.
            match address.ip() {
                IpAddr::V4(Ipv4Addr::UNSPECIFIED) => address.set_ip(Ipv4Addr::LOCALHOST.into()),
                IpAddr::V6(Ipv6Addr::UNSPECIFIED) => address.set_ip(Ipv6Addr::LOCALHOST.into()),
                _ => {}
            }
            Ok::<_, LearnerError>(format!("{scheme}://{address}"))
        };
        let (grpc, http) = (url(&self.grpc)?, url(&self.http)?);
        let address = json!({ "schema": 1, "grpc": grpc, "http": http, "pid": std::process::id() });
        let path = self.directory.write("address.json", address.to_string().as_bytes())?;
        tracing::info!(grpc, http, file = %path.display(), "listening");
        let (durable, journal) = (self.sessions.durable, self.ledger.journal().describe());
        tracing::info!(durable, journal, "ledger");
        for warning in self.facts.run_file.replay.warnings() {
            tracing::warn!("{warning}");
        }
        Ok(())
    }
}

fn read(
    options: &Options,
    registry: &Registry,
    folder: &Path,
) -> Result<(RunFile, Task), LearnerError> {
    let path = &options.run_file;
    let text = fs::read_to_string(path)
        .map_err(|source| LearnerError::Read { path: path.clone(), source })?;
    let read = registry.read(&text, &options.all_overrides(), folder);
    read.map_err(|error| LearnerError::RunFile(error.in_file(path)))
}

async fn listen(address: SocketAddr) -> Result<TcpListener, LearnerError> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|source| LearnerError::Listen { address, source })
}

/// Keeps a copy of every data file in the run directory and lets the run file name that. Returns
/// those that actors need too.
fn keep_data(
    run_file: &mut RunFile,
    folder: &Path,
    directory: &RunDirectory,
) -> Result<Vec<(Asset, Bytes)>, LearnerError> {
    let read = |name: &str| {
        let path = folder.join(name);
        fs::read(&path).map_err(|source| LearnerError::Read { path, source })
    };
    let (mut assets, mut kept) = (Vec::new(), HashMap::new());
    for file in data_files(run_file) {
        let bytes = read(&file.name)?;
        let name = directory.keep_data_file(&file.name, &bytes)?;
        redirect(run_file, &file, Path::new(&name));
        let blake3 = *blake3::hash(&bytes).as_bytes();
        assets.push((Asset { name: name.clone(), blake3, size: bytes.len() as u64 }, bytes.into()));
        kept.insert(file.name, name);
    }
    // One file may serve several purposes.
    let of_evaluation = run_file.evaluation.data_files().into_iter().map(|(_, file)| file);
    for file in of_evaluation.chain([&mut run_file.replay.initial]) {
        let Some(given) = file else { continue };
        let name = match kept.get(given) {
            Some(name) => String::clone(name),
            None => directory.keep_data_file(given, &read(given)?)?,
        };
        kept.insert(std::mem::replace(given, name.clone()), name);
    }
    Ok(assets)
}

fn window_bytes(run_file: &RunFile, record_bytes: u64) -> u64 {
    let actor = &run_file.actor;
    let batch = (actor.batch * actor.threads) as u64;
    BATCHES_UNDER_WAY.saturating_mul(batch).saturating_mul(record_bytes)
}
