//! The hot parts, set up for `parts` and for the micro-benchmarks.
#![allow(clippy::expect_used)]

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;
use tributary_common::environment::Environment;
use tributary_common::estimate::EvaluationData;
use tributary_common::ids::{Incarnation, PolicyVersion, RunId, Seq};
use tributary_common::ledger::Ledger;
use tributary_common::log_space::LogReward;
use tributary_common::network::cpu::{Scratch, Snapshot};
use tributary_common::network::{Network, Ragged, Weights};
use tributary_common::random::{Purpose, Stream};
use tributary_common::registry::{Registry, Task};
use tributary_common::reward::ObjectKey;
use tributary_common::rollout::{Exploration, Rollouts, Trajectory};
use tributary_common::run_file::{self, RunFile};
use tributary_common::session::learner::Incoming;
use tributary_common::session::sessions::SessionsConfig;
use tributary_common::session::{Secret, SessionKey, batch_bytes};
use tributary_common::trajectory::{TrajectoryBatch, TrajectoryKind, TrajectoryView};
use tributary_learner::adam::{Adam, Settings};
use tributary_learner::batch::Batch;
use tributary_learner::dead_letters::DeadLetters;
use tributary_learner::engine::{Engine, Step, engine};
use tributary_learner::examine::{Examiner, Sound};
use tributary_learner::figures::Board;
use tributary_learner::findings::Findings;
use tributary_learner::hand_over::HandOver;
use tributary_learner::ingest::{Arrival, Ingest, IngestDeps};
use tributary_learner::intake::{Intake, IntakeGoals};
use tributary_learner::ledger_writer::{BehindWriter, WriteBehind};
use tributary_learner::outbox::Outbox;
use tributary_learner::replay::{Replay, Samples};
use tributary_learner::roster::{Card, Roster};
use tributary_learner::train::Trainer;
use tributary_learner::training::Training as _;
use tributary_learner::yields::Yields;

const SEED: u64 = 1;

/// A run file, and how much is done at a time.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    kind: Kind,
    objective: &'static str,
    /// Width of both hidden layers.
    width: usize,
    /// Trajectories at a time.
    pub(crate) batch: usize,
}

#[derive(Clone, Copy)]
enum Kind {
    Grid { dimensions: usize, side: usize },
    Bits { length: usize },
}

impl Shape {
    /// A hypergrid.
    pub(crate) const fn grid(dimensions: usize, side: usize, batch: usize) -> Self {
        Self {
            kind: Kind::Grid { dimensions, side },
            objective: "trajectory_balance",
            width: 256,
            batch,
        }
    }

    /// A network of 10 MB.
    pub(crate) const LARGE: Self = Self { width: 1536, ..Self::grid(4, 16, 16) };

    /// 64 bits, one after the other.
    pub(crate) const fn bits(objective: &'static str) -> Self {
        Self { kind: Kind::Bits { length: 64 }, objective, width: 256, batch: 16 }
    }

    /// 32 bits, in messages of about 400 kB.
    pub(crate) const fn tokens() -> Self {
        Self {
            kind: Kind::Bits { length: 32 },
            objective: "trajectory_balance",
            width: 256,
            batch: 2_000,
        }
    }

    fn run_file(self) -> String {
        let Self { kind, objective, width, batch } = self;
        let task = match kind {
            Kind::Grid { dimensions, side } => format!(
                "[environment]\nkind = \"hypergrid\"\ndimensions = {dimensions}\nside = {side}\n\
                 [reward]\nkind = \"original\"\nr0 = 0.1\nr1 = 0.5\nr2 = 2.0\n"
            ),
            Kind::Bits { length } => format!(
                "[environment]\nkind = \"sequence\"\nconstruction = \"append\"\nword_bits = 1\n\
                 length = {length}\n[reward]\nkind = \"bit_sequence\"\ndistance_scale = \"raw\"\n\
                 exponent = 1.0\n"
            ),
        };
        format!(
            "{task}[policy]\nhidden = [{width}, {width}]\nbackward = \"learned\"\n[objective]\n\
             kind = \"{objective}\"\n[learner]\nupdates = 1\nbatch = {batch}\n"
        )
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Grid { dimensions, side } => {
                write!(f, "{dimensions}D H{side} batch {}", self.batch)
            }
            Kind::Bits { length } => {
                write!(f, "{length} bits {} batch {}", self.objective, self.batch)
            }
        }
    }
}

/// A task with its network and a policy of random weights.
pub(crate) struct Scene {
    shape: Shape,
    run_file: RunFile,
    task: Task,
    network: Arc<Network>,
}

impl Scene {
    pub(crate) fn new(shape: Shape) -> Self {
        let (run_file, task) =
            Registry::builtin().read(&shape.run_file(), &[], Path::new("")).expect("a run file");
        let network = Arc::new(Network::of_run(&run_file, &*task.environment));
        Self { shape, run_file, task, network }
    }

    fn weights(&self) -> Weights {
        let version = PolicyVersion { incarnation: Incarnation(1), step: 0 };
        let values = self.network.initial_values(SEED);
        Weights { version, log_z: 0.0, generated: 0, values }
    }

    /// Trajectories of the policy, as training gets them.
    fn samples(&self, batch: u64) -> Samples {
        let mut drawing = Drawing::new(self);
        drawing.index = batch * self.shape.batch as u64;
        drawing.draw();
        let mut samples = Samples::default();
        for (i, trajectory) in drawing.trajectories.iter().enumerate() {
            let raw = self.raw(trajectory);
            let log_reward = self.task.undelayed.transform(&raw).expect("a log-reward").get();
            let actions = trajectory.actions.iter().copied();
            samples.push(i as u64, actions, log_reward.max(-1e3), PolicyVersion::default());
        }
        samples
    }

    fn raw(&self, trajectory: &Trajectory) -> Vec<f64> {
        let mut raw = Vec::new();
        let object = std::slice::from_ref(&trajectory.object);
        self.task.undelayed.evaluate(object, &mut raw).expect("raw values");
        raw
    }
}

/// Rollouts in batches.
pub(crate) struct Drawing {
    rollouts: Rollouts,
    snapshot: Snapshot,
    batch: usize,
    index: u64,
    trajectories: Vec<Trajectory>,
}

impl Drawing {
    pub(crate) fn new(scene: &Scene) -> Self {
        Self {
            rollouts: Rollouts::new(Arc::clone(&scene.task.environment)),
            snapshot: Snapshot::new(Arc::clone(&scene.network), scene.weights()),
            batch: scene.shape.batch,
            index: 0,
            trajectories: Vec::new(),
        }
    }

    /// The same batch again and again; returns how many states the network was asked for: those
    /// that actions were taken in, the exit's where it was one.
    pub(crate) fn draw(&mut self) -> usize {
        let first = self.index;
        let streams = (first..first + self.batch as u64)
            .map(|index| Stream::new(SEED, Purpose::Rollout, 0, index));
        let mut streams: Vec<Stream> = streams.collect();
        self.trajectories.clear();
        self.rollouts
            .draw(
                &self.snapshot,
                Exploration::at(&run_file::Exploration::default(), 0, 0),
                &mut streams,
                &mut self.trajectories,
            )
            .expect("a sound environment");
        self.trajectories.iter().map(|trajectory| trajectory.actions.len() + 1).sum()
    }
}

/// The policy of 4D H16 with so many hidden layers of width 256, asked for one batch of states.
pub(crate) struct Forward {
    snapshot: Snapshot,
    features: Ragged,
    scratch: Scratch,
}

impl Forward {
    pub(crate) fn new(rows: usize, layers: usize) -> Self {
        let scene = Scene::new(Shape::grid(4, 16, rows));
        let environment = &*scene.task.environment;
        let network = Arc::new(Network::mlp(environment, &vec![256; layers], true, false));
        let values = network.initial_values(SEED);
        let snapshot = Snapshot::new(network, Weights { values, ..scene.weights() });
        let (mut stream, mut features) =
            (Stream::new(SEED, Purpose::Walk, 0, 0), Ragged::default());
        for _ in 0..rows {
            let state: Vec<u32> = (0..4).map(|_| stream.below(16) as u32).collect();
            features.push_with(|out| environment.active_features(&state, out));
        }
        Self { snapshot, features, scratch: Scratch::default() }
    }

    pub(crate) fn run(&mut self) -> f32 {
        self.snapshot.forward(&mut self.scratch, &self.features)[0]
    }
}

/// The learner's updates, each on the next of a few batches.
pub(crate) struct Training {
    environment: Arc<dyn Environment>,
    trainer: Trainer,
    engine: Box<dyn Engine>,
    adam: Adam,
    batch: Batch,
    logits: Vec<f32>,
    batches: Vec<Samples>,
    turn: usize,
}

impl Training {
    pub(crate) fn new(scene: &Scene) -> Self {
        let trainer =
            Trainer::new(&scene.run_file, &scene.task, Incarnation(1)).expect("a trainer");
        let definition = (*scene.network).clone();
        let heads = definition.heads;
        let values = definition.initial_values(SEED);
        let device = tributary_learner::torch::device(run_file::Device::Cpu).expect("a device");
        let engine = engine(&definition, &values, false, device).expect("an engine");
        Self {
            environment: Arc::clone(&scene.task.environment),
            trainer,
            adam: Adam::new(Settings::of_weights(&scene.run_file.learner)),
            engine,
            batch: Batch::new(heads),
            logits: Vec::new(),
            batches: (0..32).map(|i| scene.samples(i)).collect(),
            turn: 0,
        }
    }

    fn next(&mut self) -> usize {
        self.turn = (self.turn + 1) % self.batches.len();
        self.turn
    }

    pub(crate) fn update(&mut self) -> f64 {
        let next = self.next();
        self.trainer.update(&self.batches[next]).expect("an update").loss
    }

    pub(crate) fn build(&mut self) -> usize {
        let next = self.next();
        self.batch.build(&*self.environment, &self.batches[next]).expect("legal trajectories");
        self.batch.states.len()
    }

    /// What the network takes of an update, of the batch that was built last: forward, backward, the norm of
    /// the gradient, Adam, the average.
    pub(crate) fn compute(&mut self) -> f64 {
        let (features, values) = (&self.batch.states.features, &mut self.logits);
        self.engine.forward(features, 0, values).expect("logits");
        values.iter_mut().for_each(|value| *value *= 1e-3);
        let norm = self.engine.backward(values).expect("a gradient");
        let weights = self.adam.step(self.adam.rate(1.0));
        let (shares, average) = (self.adam.shares(), 0.01);
        let step = Step { gradient_scale: 1.0, shares, weights, average, target: None };
        self.engine.step(&step).expect("a step");
        norm
    }

    /// What training waits for when it publishes: copies of the weights.
    pub(crate) fn publish(&mut self) -> usize {
        self.trainer.publish(0).expect("weights").raw.values.len()
    }
}

/// The learner's ingest in a run that is not durable, and one actor that sends.
pub(crate) struct Receiving {
    ingest: Ingest,
    examiner: Examiner,
    roster: Arc<Roster>,
    session: SessionKey,
    _outbox: Arc<Outbox>,
    messages: Vec<TrajectoryBatch>,
    turn: usize,
    seq: u64,
    _folder: TempDir,
}

impl Receiving {
    pub(crate) fn new(scene: &Scene) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = SessionsConfig {
            incarnation: Incarnation(1),
            durable: false,
            most_sessions: 1,
            most_remembered: 1,
            budget_bytes: 1 << 30,
            window_bytes: 1 << 30,
            record_bytes: 1_000,
        };
        let roster = Arc::new(Roster::new(config, 1));
        let joined = roster.hello(Card::default(), None, Secret([1; 16])).expect("a session");
        let identity = joined.admission.identity;
        let session = SessionKey { actor: identity.actor, epoch: identity.epoch };
        roster.ready(session).expect("ready");
        let RunFile { replay, evaluation, .. } = &scene.run_file;
        let hand_over = HandOver::new(Replay::new(replay, 16).expect("a replay"));
        hand_over.end_training();
        let board = Arc::new(Board::default());
        let path = folder.path().join("ledger.sqlite");
        let ledger = Ledger::open(&path, RunId([1; 16]), Incarnation(1)).expect("a ledger");
        let intake = Intake::new(IntakeGoals::default(), &ledger, 0).expect("an intake");
        let behind = Arc::new(WriteBehind::default());
        let writer = BehindWriter {
            store: Box::new(ledger),
            from: Arc::clone(&behind),
            board: Arc::clone(&board),
            retry: Duration::from_secs(1),
        };
        thread::spawn(move || writer.run());
        let examiner = || {
            let Task { environment, undelayed, .. } = &scene.task;
            Examiner::new(Arc::clone(environment), Arc::clone(undelayed))
        };
        let data = EvaluationData::load(&scene.run_file, &scene.task, Path::new("")).expect("data");
        let deps = IngestDeps {
            examiner: examiner(),
            roster: Arc::clone(&roster),
            hand_over: Arc::new(hand_over),
            board,
            dead_letters: DeadLetters::new(&folder.path().join("rejected")),
            yields: Yields::new(1, None),
            findings: Arc::new(Findings::new(evaluation, &scene.task.environment, &data)),
            lockstep: None,
            ledger: behind,
        };
        let messages = (0..32).map(|i| message(scene, i)).collect();
        Self {
            ingest: Ingest::new(intake, deps),
            examiner: examiner(),
            roster,
            session,
            _outbox: joined.outbox,
            messages,
            turn: 0,
            seq: 0,
            _folder: folder,
        }
    }

    /// Trajectories of a message.
    pub(crate) fn batch(&self) -> usize {
        self.messages[0].len()
    }

    /// Receives the next message and takes it; objects come again after 32.
    pub(crate) fn take(&mut self) {
        self.turn = (self.turn + 1) % self.messages.len();
        let mut batch = self.messages[self.turn].clone();
        batch.first_seq = Seq(self.seq);
        let (epoch, count) = (self.session.epoch, batch.len() as u64);
        let bytes = batch_bytes(&batch);
        let incoming = Incoming { epoch, first: Seq(self.seq), count, bytes };
        let duplicates = self.roster.receive(self.session, &incoming).expect("received") as usize;
        self.seq += count;
        self.ingest.take(&Arrival { session: self.session, epoch, duplicates, batch });
    }

    pub(crate) fn examine(&mut self) -> usize {
        self.turn = (self.turn + 1) % self.messages.len();
        let views = self.messages[self.turn].iter();
        views.map(|view| self.examiner.examine(&view).expect("sound").actions.len()).sum()
    }
}

fn message(scene: &Scene, number: u64) -> TrajectoryBatch {
    let mut drawing = Drawing::new(scene);
    drawing.index = number * scene.shape.batch as u64;
    drawing.draw();
    let mut batch = TrajectoryBatch::default();
    for trajectory in &drawing.trajectories {
        batch.push(&TrajectoryView {
            seq: Seq(batch.len() as u64),
            actions: &trajectory.actions,
            raw: &scene.raw(trajectory),
            policy: PolicyVersion { incarnation: Incarnation(1), step: 0 },
            kind: TrajectoryKind::Forward,
            setting: 0,
            log_mu: 0.0,
            seconds: 0.0,
        });
    }
    batch
}

/// A full replay.
pub(crate) struct Replaying {
    replay: Replay,
    samples: Samples,
    stream: Stream,
}

impl Replaying {
    pub(crate) fn new(selector: run_file::Selector, capacity: usize) -> Self {
        let config = run_file::Replay {
            selector,
            capacity,
            // As many as are ever drawn.
            samples_per_insert: 1e6,
            ..run_file::Replay::default()
        };
        let mut replay = Replay::new(&config, 128).expect("a replay");
        let mut stream = Stream::new(SEED, Purpose::Replay, 0, 0);
        for i in 0..capacity as u64 {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&i.to_le_bytes());
            replay.insert(&Sound {
                actions: vec![(i % 4) as u32; 8],
                log_reward: LogReward::try_from(stream.uniform() - 1.0).expect("finite"),
                policy: PolicyVersion::default(),
                built: tributary_common::object::Object::Integers(Vec::new()),
                object: i,
                key: ObjectKey(key),
                kind: TrajectoryKind::Forward,
                seconds: 0.0,
            });
        }
        Self { replay, samples: Samples::default(), stream }
    }

    /// Trajectories of a draw.
    pub(crate) fn batch(&self) -> usize {
        128
    }

    pub(crate) fn draw(&mut self) -> usize {
        assert!(self.replay.sample(0, &mut self.stream, &mut self.samples), "no draw is left");
        self.samples.len()
    }
}
