//! One lockstep run: a learner and its actors as tasks of this process.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;
use tributary_actor::{ActorConfig, Shutdown};
use tributary_common::environment::Identity;
use tributary_common::log_space::LogReward;
use tributary_common::object::Object;
use tributary_common::registry::Registry;
use tributary_common::reward::{HypergridReward, InvalidRaw, Output, Reward, RewardError};
use tributary_learner::app::{self, Outcome};
use tributary_learner::options::Options;
use tributary_learner::prepare::Prepared;
use tributary_learner::torch;
use tributary_learner::train::Trainer;
use tributary_learner::training::{TrainError, Training};
use tributary_proto::credentials::Credentials;

/// How long a run may take.
const LIMIT: Duration = Duration::from_secs(300);

/// What to run, and with whom.
pub(super) struct Run<'a> {
    pub(super) run_file: &'a str,
    /// Changes of the run file, "section.key=value".
    pub(super) sets: &'a [String],
    /// The rollout threads of each actor.
    pub(super) actors: &'a [usize],
    /// All actors die whenever so many objects were measured, and others take their place.
    pub(super) death_every: Option<u64>,
}

/// How it ended.
pub(super) struct End {
    pub(super) summary: Value,
    /// How often all actors died.
    pub(super) deaths: usize,
}

impl End {
    /// The hash of the last weights.
    pub(super) fn weights(&self) -> Result<String> {
        let hash = self.summary["weights_blake3"].as_str();
        Ok(hash.context("the summary has no hash of the weights")?.to_owned())
    }

    pub(super) fn seconds(&self) -> f64 {
        self.summary["seconds"].as_f64().unwrap_or_default()
    }
}

impl Run<'_> {
    /// Trains to the end.
    ///
    /// # Errors
    /// A learner or an actor that fails, or a run that does not end in time.
    pub(super) fn train(&self) -> Result<End> {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("run.toml"), self.run_file)?;
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let result = runtime.block_on(async { timeout(LIMIT, self.live(&folder)).await });
        runtime.shutdown_background();
        let deaths = result.context("the run does not end")??;
        let summary = fs::read(folder.path().join("run/summary.json"))?;
        Ok(End { summary: serde_json::from_slice(&summary)?, deaths })
    }

    /// Returns how often all actors died.
    async fn live(&self, folder: &TempDir) -> Result<usize> {
        let options = self.options(folder.path())?;
        let directory = options.run_dir.clone();
        let mut learner = tokio::spawn(async move {
            app::run(&options, &Registry::builtin(), libtorch, CancellationToken::new()).await
        });
        let address = tokio::select! {
            ended = &mut learner => bail!("the learner ended before it began: {:?}", ended?),
            address = address(&directory) => address,
        };
        let mortal = Arc::new(Mortality::every(self.death_every));
        let registry = mortal.registry();
        let (mut actors, mut crews) = (JoinSet::new(), 0);
        loop {
            for (number, &threads) in self.actors.iter().enumerate() {
                let config = ActorConfig {
                    credentials: Credentials::default(),
                    learner: address.clone(),
                    name: format!("actor-{crews}-{number}"),
                    threads: Some(threads),
                    cache: folder.path().join("cache"),
                    spool: None,
                    commands: None,
                };
                let registry = registry.clone();
                actors.spawn(tributary_actor::run(config, registry, Shutdown::default()));
            }
            crews += 1;
            tokio::select! {
                ended = &mut learner => {
                    let outcome = ended??;
                    ensure!(outcome == Outcome::Complete, "{outcome:?}");
                    return Ok(crews - 1);
                }
                () = mortal.strikes.notified() => actors.abort_all(),
            }
        }
    }

    fn options(&self, folder: &Path) -> Result<Options> {
        let (run_file, run_dir) = (folder.join("run.toml"), folder.join("run"));
        let mut arguments = vec!["tributary-learner".into(), "--run-file".into()];
        arguments.extend([run_file.into_os_string(), "--run-dir".into(), run_dir.into()]);
        arguments.extend(self.sets.iter().flat_map(|set| ["--set".into(), set.into()]));
        Ok(Options::try_parse_from(arguments)?)
    }
}

/// Training with libtorch, as the program does it.
fn libtorch(prepared: &Prepared) -> Result<Box<dyn Training>, TrainError> {
    torch::set_threads(1);
    let Prepared { facts, task, .. } = prepared;
    Ok(Box::new(Trainer::new(&facts.run_file, task, facts.incarnation)?))
}

/// Lets all actors die now and then: in the middle of the work, whenever so many objects were
/// measured.
struct Mortality {
    every: Option<u64>,
    measured: AtomicU64,
    strikes: Notify,
}

impl Mortality {
    fn every(every: Option<u64>) -> Self {
        Self { every, measured: AtomicU64::new(0), strikes: Notify::new() }
    }

    /// With a reward of hypergrids that counts.
    fn registry(self: &Arc<Self>) -> Registry {
        let mortality = Arc::clone(self);
        Registry::builtin().with_reward("original", move |section, context| {
            let inner = HypergridReward::from_section(section, context.environment.as_ref())?;
            Ok(Arc::new(Counted { inner, mortality: Arc::clone(&mortality) }))
        })
    }

    fn measured(&self, objects: u64) {
        let Some(every) = self.every else { return };
        let before = self.measured.fetch_add(objects, Relaxed);
        if before / every < (before + objects) / every {
            self.strikes.notify_one();
        }
    }
}

/// Its inner reward, counted.
struct Counted {
    inner: HypergridReward,
    mortality: Arc<Mortality>,
}

impl Reward for Counted {
    fn identity(&self) -> Identity {
        self.inner.identity()
    }

    fn outputs(&self) -> Vec<Output> {
        self.inner.outputs()
    }

    fn evaluate(&self, objects: &[Object], raw: &mut Vec<f64>) -> Result<(), RewardError> {
        self.mortality.measured(objects.len() as u64);
        self.inner.evaluate(objects, raw)
    }

    fn transform(&self, raw: &[f64]) -> Result<LogReward, InvalidRaw> {
        self.inner.transform(raw)
    }
}

/// Where the learner listens, once it does.
async fn address(directory: &Path) -> String {
    let mut tick = interval(Duration::from_millis(5));
    loop {
        tick.tick().await;
        let read = fs::read(directory.join("address.json")).ok();
        let address: Option<Value> = read.and_then(|text| serde_json::from_slice(&text).ok());
        if let Some(grpc) = address.as_ref().and_then(|address| address["grpc"].as_str()) {
            return grpc.to_owned();
        }
    }
}
