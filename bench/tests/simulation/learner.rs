//! The learner's host: the real service, sessions, roster and ingest; a task instead of ingest's
//! thread, another instead of the trainer, and the world's disk instead of ledger and checkpoints.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tributary_common::estimate::EvaluationData;
use tributary_common::ids::{ActorId, Incarnation, PolicyVersion, RunId};
use tributary_common::network::{Network, Weights};
use tributary_common::random::Stream;
use tributary_common::registry::{Registry, Task};
use tributary_common::run_file::RunFile;
use tributary_common::session::learner::SavedSession;
use tributary_common::session::record_bytes;
use tributary_common::session::refusal::Fingerprints;
use tributary_common::session::sessions::SessionsConfig;
use tributary_common::token::Token;
use tributary_learner::callers::Callers;
use tributary_learner::dead_letters::DeadLetters;
use tributary_learner::entropy::Entropy;
use tributary_learner::examine::Examiner;
use tributary_learner::figures::Board;
use tributary_learner::findings::Findings;
use tributary_learner::hand_over::HandOver;
use tributary_learner::ingest::{Arrival, Ingest, IngestDeps};
use tributary_learner::intake::Intake;
use tributary_learner::keeper::{Keeper, NothingKept};
use tributary_learner::listener::connections::{Bounds, Connections};
use tributary_learner::listener::guard::Guard;
use tributary_learner::publish::Publisher;
use tributary_learner::replay::Replay;
use tributary_learner::roster::Roster;
use tributary_learner::service::{self, Recorded, RunFacts, ServiceDeps};
use tributary_learner::view::Observer;
use tributary_learner::yields::Yields;

use crate::network;
use crate::world::{Decided, Mistake, Running, Setting, World, around, held};

const RUN: &str = r#"
[run]
name = "simulation"
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
hidden = [2]
[learner]
updates = 1_000_000
batch = 16
"#;

/// Small, so that credit runs out now and then.
const BUDGET_BYTES: u64 = 12_000;
const WINDOW_BYTES: u64 = 4_000;
/// One batch in so many holds the learner up, for so long at most.
const STALLS: usize = 40;
const STALL: Duration = Duration::from_secs(8);
/// The longest sync of the disk.
const SYNC: Duration = Duration::from_millis(20);
/// How late a planted mistake writes what was acked.
const LATE: Duration = Duration::from_millis(500);
/// The mean time between two checkpoints of a run that is not durable, and of writing one.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(4);
const CHECKPOINT_TAKES: Duration = Duration::from_millis(200);
/// Time between two versions of the weights.
const PUBLISH_EVERY: Duration = Duration::from_secs(1);

/// One process of the learner.
pub(crate) async fn run(world: Arc<World>) -> turmoil::Result {
    let (incarnation, sessions, decided) = {
        let mut disk = held(&world.disk);
        disk.incarnation += 1;
        (disk.incarnation, disk.sessions.clone(), disk.decided.clone())
    };
    let mut parts = Parts::new(incarnation, world.setting.durable)?;
    parts.sessions.most_sessions = world.setting.most_sessions;
    let roster = Arc::new(Roster::restore(parts.sessions, 1, sessions));
    let decided = Arc::new(Mutex::new(decided));
    let running =
        Running { incarnation, roster: Arc::clone(&roster), decided: Arc::clone(&decided) };
    *held(&world.running) = Some(running);

    let (publisher, newest) = Publisher::new();
    let (arrivals, arriving) = mpsc::channel(64);
    let observer = Observer {
        board: Arc::new(Board::default()),
        roster: Arc::clone(&roster),
        hand_over: Arc::new(parts.hand_over()?),
    };
    let keeping = Keeping { world: Arc::clone(&world), roster, decided };
    tokio::spawn(train(publisher, incarnation, Arc::clone(&parts.facts.network)));
    let stream = world.stream(3, u64::from(incarnation));
    tokio::spawn(keeping.clone().ingest(arriving, parts.ingest(&observer)?, stream));
    if !world.setting.durable {
        tokio::spawn(keeping.clone().checkpoints(world.stream(4, u64::from(incarnation))));
    }
    let known = world.stream(5, u64::from(incarnation));
    let keeper: Arc<dyn Keeper> = match world.setting.durable {
        true => Arc::new(keeping),
        false => Arc::new(NothingKept),
    };
    let findings = parts.findings()?;
    let deps = ServiceDeps {
        lockstep: None,
        shared: None,
        facts: parts.facts,
        roster: Arc::clone(&observer.roster),
        keeper,
        entropy: Entropy::Known(Arc::new(Mutex::new(known))),
        arrivals,
        newest,
        observer,
        findings,
        records: broadcast::channel(1).0,
        recorded: Recorded { path: PathBuf::new(), last: watch::channel(0).1 },
        drain: mpsc::channel(1).0,
        stop: CancellationToken::new(),
    };
    let connections = Arc::new(Connections::new(Bounds::of_grpc(1 << 16)));
    let callers = Callers {
        run: deps.facts.run_file.run.name.clone(),
        certificates: false,
        actor: None,
        control: Token::of_bytes([0; 32]),
    };
    let guard = Guard { callers: Arc::new(callers), connections: Arc::clone(&connections) };
    Ok(service::serve(network::listen(connections).await?, guard, deps).await?)
}

/// A run, built.
pub(crate) struct Parts {
    pub(crate) facts: Arc<RunFacts>,
    task: Task,
    pub(crate) sessions: SessionsConfig,
}

impl Parts {
    pub(crate) fn new(incarnation: u32, durable: bool) -> Result<Self, Box<dyn std::error::Error>> {
        let (run_file, task) = Registry::builtin().read(RUN, &[], Path::new(""))?;
        let network = Arc::new(Network::of_run(&run_file, task.environment.as_ref()));
        let of_task = task.fingerprints();
        let fingerprints = Fingerprints {
            environment: of_task.environment,
            reward: of_task.reward,
            architecture: network.fingerprint(),
        };
        let incarnation = Incarnation(incarnation);
        let sessions = SessionsConfig {
            incarnation,
            durable,
            most_sessions: 64,
            most_remembered: 1_000,
            budget_bytes: BUDGET_BYTES,
            window_bytes: WINDOW_BYTES,
            record_bytes: record_bytes(task.environment.max_steps(), 1),
        };
        let facts = RunFacts {
            run_id: RunId([7; 16]),
            incarnation,
            run_file,
            assets: Vec::new(),
            fingerprints,
            environment: "hypergrid".to_owned(),
            network,
        };
        Ok(Self { facts: Arc::new(facts), task, sessions })
    }

    /// Nobody trains, so nothing waits for a draw.
    pub(crate) fn hand_over(&self) -> Result<HandOver, Box<dyn std::error::Error>> {
        let RunFile { replay, learner, .. } = &self.facts.run_file;
        let hand_over = HandOver::new(Replay::new(replay, learner.batch)?);
        hand_over.end_training();
        Ok(hand_over)
    }

    pub(crate) fn findings(&self) -> Result<Arc<Findings>, Box<dyn std::error::Error>> {
        let run_file = &self.facts.run_file;
        let data = EvaluationData::load(run_file, &self.task, Path::new(""))
            .map_err(|problems| format!("{} problems with data", problems.len()))?;
        Ok(Arc::new(Findings::new(&run_file.evaluation, &self.task.environment, &data)))
    }

    pub(crate) fn ingest(&self, observer: &Observer) -> Result<Ingest, Box<dyn std::error::Error>> {
        let Task { environment, undelayed, .. } = &self.task;
        let deps = IngestDeps {
            lockstep: None,
            ledger: Arc::default(),
            examiner: Examiner::new(Arc::clone(environment), Arc::clone(undelayed)),
            roster: Arc::clone(&observer.roster),
            hand_over: Arc::clone(&observer.hand_over),
            board: Arc::clone(&observer.board),
            dead_letters: DeadLetters::new(Path::new("/dev/null")),
            yields: Yields::new(1, None),
            findings: self.findings()?,
        };
        Ok(Ingest::new(Intake::default(), deps))
    }
}

/// Publishes weights in the place of a trainer.
async fn train(publisher: Publisher, incarnation: u32, network: Arc<Network>) {
    for step in 0.. {
        let version = PolicyVersion { incarnation: Incarnation(incarnation), step };
        let values = network.initial_values(step);
        let weights = Weights { version, log_z: 0.0, generated: 0, values };
        let weights = Arc::new(weights);
        publisher.publish(Arc::clone(&weights), weights);
        sleep(PUBLISH_EVERY).await;
    }
}

/// What a learner's process does with its disk.
#[derive(Clone)]
struct Keeping {
    world: Arc<World>,
    roster: Arc<Roster>,
    decided: Arc<Mutex<Decided>>,
}

impl Keeping {
    /// A batch is under way for a while, in a durable run for a sync; a crash meanwhile loses it.
    /// Then it is decided, in a durable run on disk, and acked.
    async fn ingest(
        self,
        mut arrivals: mpsc::Receiver<Arrival>,
        mut ingest: Ingest,
        mut stream: Stream,
    ) {
        while let Some(arrival) = arrivals.recv().await {
            sleep(self.busy(&mut stream)).await;
            let Setting { durable, mistake, .. } = self.world.setting;
            let sync = SYNC.mul_f64(stream.uniform());
            if durable && mistake != Some(Mistake::AckBeforeCommit) {
                sleep(sync).await;
            }
            let before = self.roster.books();
            ingest.take(&arrival);
            let after = self.roster.books();
            let (accepted, rejected) = self.decide(&arrival);
            let counted = (
                after.accepted - before.accepted,
                after.rejected_total() - before.rejected_total(),
            );
            if counted != (accepted, rejected) {
                let wrong = format!("{accepted} and {rejected} are to be counted, not {counted:?}");
                self.world.went_wrong(wrong);
            }
            if mistake == Some(Mistake::AckBeforeCommit) {
                sleep(LATE).await;
            }
            match mistake {
                Some(Mistake::RecordsWithoutMarks) => {
                    held(&self.world.disk).decided = held(&self.decided).clone();
                }
                _ if durable => self.write(),
                _ => {}
            }
        }
    }

    /// How long a batch takes. Now and then something holds the learner up while batches queue; an
    /// actor that comes back meanwhile sends them again.
    fn busy(&self, stream: &mut Stream) -> Duration {
        let is_held_up = stream.below(STALLS) == 0 && self.world.trouble.load(Relaxed);
        let longest = if is_held_up { STALL } else { self.world.setting.slowness };
        longest.mul_f64(stream.uniform())
    }

    /// Adds a batch's records to those decided; how many are accepted, how many rejected.
    fn decide(&self, arrival: &Arrival) -> (u64, u64) {
        let mut decided = held(&self.decided);
        let before = (decided.accepted.len(), decided.rejected.len());
        for record in arrival.batch.iter().skip(arrival.duplicates) {
            let list = match record.raw[0].is_nan() {
                true => &mut decided.rejected,
                false => &mut decided.accepted,
            };
            list.push(record.log_mu as u32);
        }
        ((decided.accepted.len() - before.0) as u64, (decided.rejected.len() - before.1) as u64)
    }

    /// Commits what is so now.
    fn write(&self) {
        let (sessions, decided) = (self.roster.save(), held(&self.decided).clone());
        let mut disk = held(&self.world.disk);
        disk.sessions = sessions;
        disk.decided = decided;
    }

    async fn checkpoints(self, mut stream: Stream) {
        loop {
            sleep(around(CHECKPOINT_EVERY, &mut stream)).await;
            let (sessions, decided) = (self.roster.save(), held(&self.decided).clone());
            sleep(around(CHECKPOINT_TAKES, &mut stream)).await;
            let mut disk = held(&self.world.disk);
            disk.sessions = sessions;
            disk.decided = decided;
        }
    }
}

#[tonic::async_trait]
impl Keeper for Keeping {
    async fn keep(&self, _: ActorId, _: SavedSession, _: Vec<ActorId>) -> io::Result<()> {
        sleep(SYNC).await;
        self.write();
        Ok(())
    }
}
