//! Everything that can be wrong before a run starts, or goes on: the run file, its data, the
//! addresses, the directory, its checkpoints. Nothing is written before all of it is right.

mod address;
mod data;
mod description;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tributary_common::estimate::EvaluationData;
use tributary_common::ledger::{self, Ledger};
use tributary_common::network::Network;
use tributary_common::registry::{Registry, Task};
use tributary_common::run_file::RunFile;
use tributary_common::session::record_bytes;
use tributary_common::session::refusal::Fingerprints;
use tributary_common::session::sessions::SessionsConfig;
use tributary_proto::limits;

use crate::checkpoint::Contents;
use crate::entropy;
use crate::error::LearnerError;
use crate::memory::{MemoryBound, Sizes};
use crate::options::Options;
use crate::replay::Replay;
use crate::resume;
use crate::run_directory::{Inhabited, RUN_FILE, RunDirectory};
use crate::security::{Security, SecurityError};
use crate::service::RunFacts;
use address::{AddressFile, Addresses, Listen};
use description::Described;

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
    /// Whether no learner of this run got as far before.
    pub is_new: bool,
    /// What the newest checkpoint of a run that goes on holds.
    pub resumed: Option<Contents>,
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
        let inhabited = Inhabited::look(&options.run_dir)?;
        let earlier = inhabited.as_ref().filter(|run| run.has_begun());
        let addresses =
            Addresses::choose(options.listen, options.http, earlier.map(|_| &*options.run_dir));
        let secured = options.security.read(&[addresses.grpc, addresses.http])?;
        if addresses.spoke_tls && !secured.speaks_tls() {
            return Err(SecurityError::NoLongerTls.into());
        }
        let described = Described::read(options, registry, earlier)?;
        let Described { run_file, task, data, evaluation, initial } = described;
        let replay = Replay::new(&run_file.replay, run_file.learner.batch)?
            .with_log_reward_min(run_file.objective.log_reward_min)
            .with_initial(initial)
            .with_distance_of(Arc::clone(&task.environment), &run_file.replay);
        let bytes = record_bytes(task.environment.max_steps(), task.reward.outputs().len());
        if bytes > limits::RECORD_BYTES {
            return Err(LearnerError::Record { bytes, most: limits::RECORD_BYTES });
        }
        let network = Arc::new(Network::of_run(&run_file, task.environment.as_ref()));
        let resumed = match earlier {
            Some(run) => resume::newest(run, &network)?,
            None => None,
        };
        let (grpc, http) = addresses.listen().await?;
        let is_new = earlier.is_none();
        let directory = match inhabited {
            Some(inhabited) => inhabited.reopen()?,
            None => {
                let run_id = entropy::run_id()
                    .map_err(|source| LearnerError::System { what: "no random numbers", source })?;
                RunDirectory::claim(&options.run_dir, run_id, &run_file.run.name)?
            }
        };
        let security = secured.for_run(&run_file.run.name, &options.run_dir)?;
        data.keep(&directory)?;
        directory.write(RUN_FILE, run_file.to_toml().as_bytes())?;

        let of_task = task.fingerprints();
        let fingerprints = Fingerprints {
            environment: of_task.environment,
            reward: of_task.reward,
            architecture: network.fingerprint(),
        };
        let RunDirectory { run_id, incarnation, .. } = directory;
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
        let assets = data.assets;
        let facts =
            RunFacts { run_id, incarnation, run_file, assets, fingerprints, environment, network };
        Ok(Self {
            facts,
            task,
            data: evaluation,
            replay,
            directory,
            is_new,
            resumed,
            ledger,
            grpc,
            http,
            security,
            sessions,
        })
    }

    /// How much memory the learner takes at most.
    pub fn memory(&self) -> MemoryBound {
        let RunFacts { run_file, assets, network, .. } = &self.facts;
        let sizes = Sizes {
            parameters: network.parameter_count() as u64,
            capacity: run_file.replay.capacity as u64,
            max_steps: self.task.environment.max_steps() as u64,
            assets: assets.iter().map(|(asset, _)| asset.size).sum(),
            is_shared: run_file.reward.is_shared(),
        };
        MemoryBound::new(&self.sessions, &sizes)
    }

    /// Tells where the learner listens: `address.json` in the run directory, with the host by which others
    /// reach this machine where one is given.
    ///
    /// # Errors
    /// The file system's.
    pub fn announce(&self, host: Option<&str>) -> Result<(), LearnerError> {
        let scheme = if self.security.grpc.is_some() { "https" } else { "http" };
        let bound = |listener: &TcpListener| {
            let address = listener.local_addr();
            address.map_err(|source| LearnerError::System { what: "no local address", source })
        };
        let listen = Listen { grpc: bound(&self.grpc)?, http: bound(&self.http)? };
        let url = |address: SocketAddr| match host {
            Some(host) => format!("{scheme}://{host}:{}", address.port()),
            None => address::url(scheme, address),
        };
        let file = AddressFile {
            schema: 1,
            grpc: url(listen.grpc),
            http: url(listen.http),
            pid: std::process::id(),
            listen: Some(listen),
        };
        let text = serde_json::to_vec(&file)
            .map_err(|error| LearnerError::System { what: "address.json", source: error.into() })?;
        let path = self.directory.write(address::FILE, &text)?;
        tracing::info!(file.grpc, file.http, file = %path.display(), "listening");
        let (durable, journal) = (self.sessions.durable, self.ledger.journal().describe());
        tracing::info!(durable, journal, "ledger");
        for warning in self.facts.run_file.replay.warnings() {
            tracing::warn!("{warning}");
        }
        Ok(())
    }
}

fn window_bytes(run_file: &RunFile, record_bytes: u64) -> u64 {
    let batch = (run_file.actor_batch() * run_file.actor.threads) as u64;
    BATCHES_UNDER_WAY.saturating_mul(batch).saturating_mul(record_bytes)
}
