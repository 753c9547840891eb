//! Durable runs: what an actor leaves in its spool, and who takes it over.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use tempfile::TempDir;
use tributary_common::ids::{ActorId, Epoch, Incarnation};
use tributary_common::session::Secret;

use super::*;
use crate::SpoolConfig;
use crate::fakes::learner::RUN;
use crate::spool::{self, Spool};

type Key = (ActorId, Epoch, Seq);

/// A learner of a durable run, and the folder of its actors' spools.
struct Durable {
    learner: FakeLearner,
    folder: TempDir,
    /// No connection succeeds.
    away: Arc<AtomicBool>,
    limit_bytes: u64,
}

/// A running actor.
struct Life {
    shutdown: Shutdown,
    progress: Arc<Progress>,
    actor: JoinHandle<Result<Outcome, ActorError>>,
}

impl Durable {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let setting = Setting { change: |offer| offer.durable = true, ..setting(GRID) };
        let learner = FakeLearner::start(setting, &Registry::builtin(), folder.path()).await;
        Self { learner, folder, away: Arc::default(), limit_bytes: 8 << 20 }
    }

    fn spool(&self) -> SpoolConfig {
        SpoolConfig { folder: self.folder.path().join("spool"), limit_bytes: self.limit_bytes }
    }

    fn actor(&self) -> Life {
        let mut config = config(&self.learner.address, &self.folder.path().join("cache"));
        config.spool = Some(self.spool());
        let away = Arc::clone(&self.away);
        let connect = move |endpoint: tonic::transport::Endpoint| {
            let nowhere = tonic::transport::Endpoint::from_static("http://127.0.0.1:1");
            let endpoint = if away.load(Relaxed) { nowhere } else { endpoint };
            let connected: tonic::codegen::BoxFuture<_, _> =
                Box::pin(async move { endpoint.connect().await });
            connected
        };
        let surroundings = Surroundings { connect: Arc::new(connect), ..Surroundings::default() };
        let (shutdown, progress) = (Shutdown::default(), Arc::clone(&surroundings.progress));
        let run = crate::run_in(config, Registry::builtin(), shutdown.clone(), surroundings);
        Life { shutdown, progress, actor: tokio::spawn(run) }
    }

    async fn accepts(&self, count: usize) {
        until("more trajectories", || self.learner.accepted().len() >= count).await;
    }

    fn folders(&self) -> Vec<PathBuf> {
        spool::folders(&self.spool().folder)
    }

    /// Records in all spools.
    fn left(&self) -> BTreeSet<Key> {
        self.folders().iter().flat_map(|folder| spool::held(folder)).collect()
    }

    fn bytes(&self) -> u64 {
        let files = self.folders().into_iter().flat_map(|folder| folder.read_dir().unwrap());
        files.map(|file| file.unwrap().metadata().map_or(0, |file| file.len())).sum()
    }

    /// Nothing acked was sent again, nothing counted twice, and nothing is left.
    async fn check(&self, left: &BTreeSet<Key>) {
        let accepted: Vec<Key> = self.learner.accepted().into_iter().map(|one| one.key).collect();
        let unique: BTreeSet<Key> = accepted.iter().copied().collect();
        assert_eq!(unique.len(), accepted.len(), "a trajectory was accepted twice");
        let lost: Vec<_> = left.difference(&unique).collect();
        assert_eq!(lost, [] as [&Key; 0], "what was in the spool is lost");
        assert_eq!(self.folders(), [] as [PathBuf; 0], "a spool is left");
        let books = self.learner.books();
        assert_eq!(books.received, books.accepted + books.duplicate, "{books:?}");
    }
}

impl Life {
    fn unacked(&self) -> u64 {
        self.progress.stamped.load(Relaxed) - self.progress.acked.load(Relaxed)
    }

    /// As by `kill -9`: what is not on disk is lost.
    async fn kill(self, durable: &Durable) {
        self.actor.abort();
        assert!(self.actor.await.unwrap_err().is_cancelled());
        let free = || spool::unlocked(&durable.spool().folder) == durable.folders().len();
        until("the lock to be free", free).await;
    }

    async fn drain(self) -> Outcome {
        self.shutdown.drain.cancel();
        timeout(LIMIT, self.actor).await.unwrap().unwrap().unwrap()
    }
}

#[tokio::test]
async fn the_next_actor_sends_what_a_killed_one_left() {
    let durable = Durable::start().await;
    let mut left = BTreeSet::new();
    for acks in [Acks::Hold, Acks::Lose, Acks::Hold] {
        let life = durable.actor();
        durable.accepts(durable.learner.accepted().len() + 200).await;
        durable.learner.acks(acks);
        until("records that are not acked", || life.unacked() > 40).await;
        life.kill(&durable).await;
        assert!(!durable.left().is_empty());
        left.extend(durable.left());
        durable.learner.acks(Acks::Send);
    }
    let life = durable.actor();
    durable.accepts(durable.learner.accepted().len() + 200).await;
    life.drain().await;
    durable.check(&left).await;
    let actors: BTreeSet<ActorId> =
        durable.learner.accepted().iter().map(|one| one.key.0).collect();
    assert_eq!(actors.len(), 1, "all lives are of one actor");
}

#[tokio::test]
async fn spools_are_taken_over_one_after_the_other() {
    let durable = Durable::start().await;
    let lives = [durable.actor(), durable.actor(), durable.actor()];
    until("three spools", || durable.folders().len() == 3).await;
    durable.learner.acks(Acks::Hold);
    let all_hold = || durable.folders().iter().all(|folder| spool::held(folder).len() > 10);
    until("records in all spools", all_hold).await;
    for life in lives {
        life.actor.abort();
    }
    until("free spools", || spool::unlocked(&durable.spool().folder) == 3).await;
    let left = durable.left();
    durable.learner.acks(Acks::Send);
    let life = durable.actor();
    until("the last spool", || durable.folders().len() == 1).await;
    durable.accepts(durable.learner.accepted().len() + 200).await;
    life.drain().await;
    durable.check(&left).await;
    assert_eq!(durable.learner.goodbyes(), [0, 0, 0]);
}

#[tokio::test]
async fn without_a_learner_an_actor_fills_its_spool_pauses_and_goes_on() {
    let mut durable = Durable::start().await;
    durable.limit_bytes = 64 << 10;
    let life = durable.actor();
    durable.accepts(100).await;
    durable.away.store(true, Relaxed);
    durable.learner.cut();
    until("the spool is full", || durable.bytes() >= durable.limit_bytes).await;
    let waits = || life.progress.waited_seconds()["queue"];
    let before = waits();
    until("scoring waits", || waits() > before + 1.0).await;
    let paid = life.progress.evaluations.load(Relaxed);
    let before = waits();
    until("scoring waits on", || waits() > before + 1.0).await;
    assert_eq!(life.progress.evaluations.load(Relaxed), paid, "rewards are paid for");
    assert!(durable.bytes() < durable.limit_bytes + (16 << 10), "{}", durable.bytes());
    let left = durable.left();
    durable.away.store(false, Relaxed);
    durable.accepts(durable.learner.accepted().len() + left.len() + 200).await;
    life.drain().await;
    durable.check(&left).await;
}

#[tokio::test]
async fn spools_that_are_not_its_own_are_left_alone() {
    let durable = Durable::start().await;
    let identity = |actor| tributary_common::session::Identity {
        actor: ActorId(actor),
        secret: Secret([3; 16]),
        epoch: Epoch::default(),
    };
    // Of another run; and one of an actor that the learner does not know.
    for (run, actor) in [(RunId([1; 16]), 5), (RUN, 77)] {
        let spool = Spool::create(&durable.spool(), run, identity(actor)).unwrap();
        spool.welcomed(Epoch { incarnation: Incarnation(1), counter: 1 });
        spool.close(false);
    }
    let life = durable.actor();
    durable.accepts(50).await;
    life.drain().await;
    let root = durable.spool().folder;
    assert_eq!(durable.folders(), [root.join(RunId([1; 16]).to_string()).join("5")]);
    assert!(root.join(RUN.to_string()).join("77.refused").is_dir());
    assert_eq!(durable.learner.goodbyes(), [0]);
}

#[tokio::test]
async fn a_run_that_is_not_durable_has_no_spool() {
    let folder = tempfile::tempdir().unwrap();
    let learner = FakeLearner::start(setting(GRID), &Registry::builtin(), folder.path()).await;
    let spool = folder.path().join("spool");
    let mut config = config(&learner.address, folder.path());
    config.spool = Some(SpoolConfig { folder: spool.clone(), limit_bytes: 1 << 20 });
    let shutdown = Shutdown::default();
    let actor = tokio::spawn(crate::run(config, Registry::builtin(), shutdown.clone()));
    until("trajectories", || learner.accepted().len() > 50).await;
    assert!(!spool.exists());
    shutdown.drain.cancel();
    check_books(&learner, &actor.await.unwrap().unwrap());
}
