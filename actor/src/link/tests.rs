#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::path::Path;

use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tributary_common::environment::{Environment, Hypergrid, Identity};
use tributary_common::ids::Seq;
use tributary_common::log_space::LogReward;
use tributary_common::object::Object;
use tributary_common::reward::{InvalidRaw, Output, Reward, RewardError, Role};
use tributary_common::trajectory;
use tributary_proto::convert::chunks::WeightSet;
use tributary_proto::credentials::Credentials;

mod exploration;
mod spool;

use super::*;
use crate::fakes::learner::{Acks, BUDGET, FakeLearner, Offer, Setting};
use crate::fakes::until;

const LIMIT: Duration = Duration::from_secs(60);

const GRID: &str = "
    [environment]
    kind = 'hypergrid'
    dimensions = 3
    side = 5
    [reward]
    kind = 'cosine'
    [policy]
    hidden = [8]
    [learner]
    updates = 1
    [actor]
    batch = 16
    on_learner_loss = { wait = '5m', then = 'exit' }
";

const WORDS: &str = "
    [environment]
    kind = 'sequence'
    alphabet = 'AC'
    length = 1
    [reward]
    kind = 'table'
    file = 'words.tsv'
    [learner]
    updates = 1
    [actor]
    batch = 4
";

type Change = fn(&mut Offer);

fn setting(run_file: &str) -> Setting {
    Setting { run_file: run_file.into(), files: Vec::new(), change: |_| () }
}

fn words() -> Setting {
    let table = b"word\tvalue\nA\t0.25\nC\t1.0\n".to_vec();
    Setting { files: vec![("words.tsv".into(), table)], ..setting(WORDS) }
}

/// A learner, an actor and a folder of both.
struct Pair {
    learner: FakeLearner,
    shutdown: Shutdown,
    actor: JoinHandle<Result<Outcome, ActorError>>,
    _folder: TempDir,
}

impl Pair {
    async fn start(setting: Setting) -> Self {
        Self::with(setting, Registry::builtin()).await
    }

    async fn with(setting: Setting, registry: Registry) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let learner = FakeLearner::start(setting, &registry, folder.path()).await;
        let shutdown = Shutdown::default();
        let config = config(&learner.address, &folder.path().join("cache"));
        let actor = tokio::spawn(crate::run(config, registry, shutdown.clone()));
        Self { learner, shutdown, actor, _folder: folder }
    }

    async fn accepts(&self, count: usize) {
        let what = format!("{count} accepted trajectories");
        until(&what, || self.learner.accepted().len() >= count || self.actor.is_finished()).await;
        assert!(!self.actor.is_finished(), "the actor ended before {what}");
    }

    /// The actor's end, once it comes by itself.
    async fn end(self) -> (Result<Outcome, ActorError>, FakeLearner) {
        let end = timeout(LIMIT, self.actor).await.unwrap();
        (end.unwrap(), self.learner)
    }

    async fn fails(self) -> ActorError {
        self.end().await.0.unwrap_err()
    }
}

fn config(learner: &str, cache: &Path) -> ActorConfig {
    let (learner, name) = (learner.to_owned(), "test".to_owned());
    let credentials = Credentials::default();
    let cache = cache.to_owned();
    ActorConfig { learner, credentials, name, threads: Some(1), cache, spool: None, commands: None }
}

/// Everything that the actor counts as acked was accepted, once, without a gap.
fn check_books(learner: &FakeLearner, outcome: &Outcome) {
    let (accepted, books) = (learner.accepted(), learner.books());
    let keys: BTreeSet<_> = accepted.iter().map(|one| one.key).collect();
    assert_eq!(keys.len(), accepted.len(), "a trajectory was accepted twice");
    for (actor, epoch, seq) in &keys {
        let before = seq.0.checked_sub(1).map(|before| (*actor, *epoch, Seq(before)));
        assert!(before.is_none_or(|before| keys.contains(&before)), "{epoch} has a gap at {seq}");
    }
    assert_eq!((outcome.acked, outcome.unacked), (accepted.len() as u64, 0), "{books:?}");
    assert_eq!(books.received, books.accepted + books.duplicate, "{books:?}");
}

#[tokio::test]
async fn a_session_streams_legal_trajectories_until_the_actor_is_stopped() {
    let pair = Pair::start(setting(GRID)).await;
    pair.accepts(300).await;
    pair.shutdown.drain.cancel();
    let (outcome, learner) = pair.end().await;
    let outcome = outcome.unwrap();
    check_books(&learner, &outcome);
    assert_eq!(learner.goodbyes(), [0]);
    let environment = Hypergrid::new(3, 5).unwrap();
    let mut state = vec![0; environment.state_width()];
    for one in learner.accepted() {
        trajectory::replay(&environment, &one.actions, &mut state, |_, _| ()).unwrap();
        assert_eq!((one.raw.len(), one.policy.step), (1, 1));
    }
}

#[tokio::test]
async fn the_learners_drain_flushes_everything() {
    let pair = Pair::start(setting(GRID)).await;
    pair.accepts(50).await;
    pair.learner.drain();
    let (outcome, learner) = pair.end().await;
    let outcome = outcome.unwrap();
    assert_eq!(outcome.reason, "drained");
    check_books(&learner, &outcome);
    assert_eq!(learner.goodbyes(), [0]);
}

#[tokio::test]
async fn missing_credit_pauses_the_actor_and_loses_nothing() {
    let pair = Pair::start(setting(GRID)).await;
    pair.accepts(10).await;
    pair.learner.acks(Acks::Hold);
    let waits = |edge: &str| pair.learner.progress().waited_seconds.get(edge).copied();
    until("the actor waits for credit", || waits("credit") > Some(0.3)).await;
    until("the rollouts wait", || waits("queue") > Some(0.3)).await;
    let (drawn, received) = (pair.learner.progress().trajectories, pair.learner.books().received);
    until("a second wait", || waits("credit") > Some(0.8)).await;
    let after = pair.learner.progress().trajectories;
    let batches = (after - drawn) / 16;
    assert!(batches <= 1, "{batches} batches were drawn without credit");
    assert_eq!(pair.learner.books().received, received);
    let waiting = after - pair.learner.books().received;
    assert!(waiting <= 6 * 16, "{waiting} trajectories grow old in the actor");
    assert!(pair.learner.books().pending() * 72 <= BUDGET, "{:?}", pair.learner.books());
    let before = pair.learner.accepted().len();
    pair.learner.acks(Acks::Send);
    pair.accepts(before + 2_000).await;
    pair.shutdown.drain.cancel();
    let (outcome, learner) = pair.end().await;
    check_books(&learner, &outcome.unwrap());
}

#[tokio::test]
async fn after_a_cut_what_was_not_acked_is_sent_again_and_counted_once() {
    let pair = Pair::start(setting(GRID)).await;
    for (round, acks) in (1..).zip([Acks::Lose, Acks::Hold, Acks::Lose]) {
        let before = pair.learner.accepted().len();
        pair.accepts(before + 20).await;
        pair.learner.acks(acks);
        let received = pair.learner.books().received;
        until("more records", || pair.learner.books().received > received).await;
        pair.learner.cut();
        until("a new session", || pair.learner.hellos() > round).await;
        if acks == Acks::Hold {
            until("a record sent twice", || pair.learner.books().duplicate > 0).await;
        }
        pair.learner.acks(Acks::Send);
    }
    let before = pair.learner.accepted().len();
    pair.accepts(before + 100).await;
    until("a report", || pair.learner.progress().reconnects == 3).await;
    pair.shutdown.drain.cancel();
    let (outcome, learner) = pair.end().await;
    check_books(&learner, &outcome.unwrap());
}

#[tokio::test]
async fn the_set_of_weights_that_the_run_names_is_asked_for() {
    let ema = GRID.replace("[actor]", "[actor]\n    weights = 'ema'");
    for (run_file, set) in [(GRID, WeightSet::Raw), (ema.as_str(), WeightSet::Ema)] {
        let pair = Pair::start(setting(run_file)).await;
        pair.accepts(10).await;
        assert_eq!(pair.learner.subscribed(), [set]);
        pair.shutdown.drain.cancel();
        check_books(&pair.learner, &pair.actor.await.unwrap().unwrap());
    }
}

#[tokio::test]
async fn newer_weights_are_used() {
    let pair = Pair::start(setting(GRID)).await;
    pair.accepts(10).await;
    pair.learner.publish(5, 1_000);
    let step = |pair: &Pair| pair.learner.accepted().last().unwrap().policy.step;
    until("version 1.5", || step(&pair) == 5).await;
    pair.learner.publish(3, 1_000);
    let before = pair.learner.accepted().len();
    pair.accepts(before + 500).await;
    assert_eq!(step(&pair), 5, "the version went back");
    pair.shutdown.now.cancel();
    assert_eq!(pair.fails().await.exit_code(), 130);
}

#[tokio::test]
async fn data_files_come_from_the_learner() {
    let pair = Pair::start(words()).await;
    pair.accepts(50).await;
    pair.shutdown.drain.cancel();
    let (outcome, learner) = pair.end().await;
    check_books(&learner, &outcome.unwrap());
    for one in learner.accepted() {
        assert_eq!(one.raw, [[0.25, 1.0][one.actions[0] as usize]], "{one:?}");
    }
}

#[tokio::test]
async fn a_damaged_data_file_is_refused() {
    let change = |offer: &mut Offer| offer.assets[0].blake3 = [9; 32];
    let error = Pair::start(Setting { change, ..words() }).await.fails().await;
    let text = error.to_string();
    assert!(text.contains("words.tsv") && text.contains("hash"), "{text}");
    assert_eq!(error.exit_code(), 78);
}

#[tokio::test]
async fn who_does_not_fit_is_refused_with_the_field_named() {
    let cases: [(&str, Change); 4] = [
        ("environment", |offer| offer.fingerprints.environment = [9; 32]),
        ("reward", |offer| offer.fingerprints.reward = [9; 32]),
        ("architecture", |offer| offer.fingerprints.architecture = [9; 32]),
        ("protocol", |offer| offer.protocol = (7, 9)),
    ];
    for (field, change) in cases {
        let pair = Pair::start(Setting { change, ..setting(GRID) }).await;
        let (end, learner) = pair.end().await;
        let error = end.unwrap_err();
        assert!(error.to_string().contains(field), "{field}: {error}");
        assert_eq!(error.exit_code(), 78, "{error}");
        assert!(learner.hellos() <= 1, "{field}: it tried again");
    }
}

#[tokio::test]
async fn a_run_file_of_another_program_is_refused() {
    let theirs = Registry::builtin()
        .with_environment("cube", |section| Ok(Arc::new(Hypergrid::from_section(section)?)));
    let run_file = GRID.replace("'hypergrid'", "'cube'");
    let folder = tempfile::tempdir().unwrap();
    let learner = FakeLearner::start(setting(&run_file), &theirs, folder.path()).await;
    let config = config(&learner.address, folder.path());
    let end = crate::run(config, Registry::builtin(), Shutdown::default());
    let error = timeout(LIMIT, end).await.unwrap().unwrap_err();
    assert!(error.to_string().contains("cube"), "{error}");
    assert_eq!(error.exit_code(), 78);
}

#[tokio::test]
async fn a_learner_that_stays_away_is_given_up() {
    let pair = Pair::start(setting(&GRID.replace("5m", "300ms"))).await;
    pair.accepts(10).await;
    pair.learner.stop();
    let error = pair.fails().await;
    assert!(matches!(error, ActorError::LearnerLost { .. }), "{error}");
    assert_eq!(error.exit_code(), 75);
}

#[tokio::test]
async fn an_actor_without_a_learner_stops_when_told() {
    let shutdown = Shutdown::default();
    let folder = tempfile::tempdir().unwrap();
    let config = config("http://127.0.0.1:9", folder.path());
    let actor = tokio::spawn(crate::run(config, Registry::builtin(), shutdown.clone()));
    shutdown.drain.cancel();
    let outcome = timeout(LIMIT, actor).await.unwrap().unwrap().unwrap();
    assert_eq!((outcome.acked, outcome.unacked), (0, 0));
}

#[tokio::test]
async fn an_address_that_is_none_is_a_usage_error() {
    let folder = tempfile::tempdir().unwrap();
    for address in ["localhost", "ftp://localhost:1", "http://localhost"] {
        let config = config(address, folder.path());
        let end = crate::run(config, Registry::builtin(), Shutdown::default()).await;
        let error = end.unwrap_err();
        assert!(error.to_string().contains(address), "{error}");
        assert_eq!(error.exit_code(), 64);
    }
}

struct Panics;

impl Reward for Panics {
    fn identity(&self) -> Identity {
        Identity { kind: "panics".into(), version: 1, configuration: String::new() }
    }

    fn outputs(&self) -> Vec<Output> {
        vec![Output { name: "nothing".into(), role: Role::Objective }]
    }

    fn evaluate(&self, _: &[Object], _: &mut Vec<f64>) -> Result<(), RewardError> {
        panic!("the oracle is gone")
    }

    fn transform(&self, raw: &[f64]) -> Result<LogReward, InvalidRaw> {
        Err(InvalidRaw { raw: raw.to_vec(), reason: "none".into() })
    }
}

#[tokio::test]
async fn a_panic_in_the_reward_ends_the_actor_with_its_cause() {
    let registry = Registry::builtin().with_reward("panics", |_, _| Ok(Arc::new(Panics)));
    let pair = Pair::with(setting(&GRID.replace("cosine", "panics")), registry).await;
    let error = pair.fails().await;
    assert_eq!(error.to_string(), "thread scoring-0 panicked: the oracle is gone");
    assert_eq!(error.exit_code(), 70);
}
