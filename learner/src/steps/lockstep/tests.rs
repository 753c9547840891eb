#![allow(clippy::unwrap_used)]
use std::path::Path;
use std::sync::Arc;
use std::thread;

use tributary_common::estimate::EvaluationData;
use tributary_common::ids::{Incarnation, Seq};
use tributary_common::network::Network;
use tributary_common::network::cpu::Snapshot;
use tributary_common::random::{Purpose, Stream};
use tributary_common::registry::{Registry, Task};
use tributary_common::rollout::{Exploration, Rollouts};
use tributary_common::run_file::{RunFile, Weights};
use tributary_common::session::sessions::SessionsConfig;
use tributary_common::session::work::{Place, WorkOrder};
use tributary_common::session::{Secret, SessionKey};
use tributary_common::trajectory::{TrajectoryKind, TrajectoryView};

use crate::checkpoint::Contents;
use crate::examine::{Examiner, Sound};
use crate::figures::Board;
use crate::findings::Findings;
use crate::hand_over::HandOver;
use crate::lockstep::Lockstep;
use crate::lockstep::rounds::Standing;
use crate::outbox::Outbox;
use crate::publish::{Newest, Publisher};
use crate::replay::Replay;
use crate::roster::{Card, Roster};
use crate::skipped::SkippedBatches;
use crate::steps::{Steps, StepsConfig, StepsDeps};
use crate::train::Trainer;
use crate::training::Training;

const GRID: &str = "[run]\nseed = 5\nlockstep = true\n[environment]\nkind = 'hypergrid'\n\
                    dimensions = 2\nside = 6\n[reward]\nkind = 'original'\n[policy]\n\
                    hidden = [8]\n[learner]\nupdates = 24\nbatch = 8\npublish_every = 3\n";

/// One life of a learner, from its start or from a checkpoint; an actor answers its orders.
struct Life {
    run_file: RunFile,
    task: Task,
    roster: Arc<Roster>,
    lockstep: Arc<Lockstep>,
    hand_over: Arc<HandOver>,
    board: Arc<Board>,
}

impl Life {
    fn new(incarnation: Incarnation, from: Option<&Contents>) -> Self {
        let (run_file, task) = Registry::builtin().read(GRID, &[], Path::new("")).unwrap();
        let config = SessionsConfig {
            incarnation,
            durable: false,
            most_sessions: 2,
            most_remembered: 2,
            budget_bytes: 1 << 20,
            window_bytes: 1 << 20,
            record_bytes: 1 << 10,
        };
        let roster = Arc::new(Roster::new(config, 1));
        let mut replay = Replay::new(&run_file.replay, run_file.learner.batch).unwrap();
        if let Some(contents) = from {
            replay.restore(&contents.replay, &*task.environment).unwrap();
        }
        let rounds = from.and_then(|contents| contents.rounds).unwrap_or_default();
        let replayed = replay.replayed_in_batch();
        let lockstep = Lockstep::of_run(&run_file, replayed, &roster, rounds).unwrap();
        let (hand_over, board) = (Arc::new(HandOver::new(replay)), Arc::new(Board::default()));
        board.update(|figures| figures.accept(from.map_or(0, |of| of.generated), 0));
        Self { run_file, task, roster, lockstep, hand_over, board }
    }

    fn findings(&self) -> Arc<Findings> {
        let (config, data) = (&self.run_file.evaluation, EvaluationData::default());
        Arc::new(Findings::new(config, &self.task.environment, &data))
    }

    /// The last checkpoint, after so many updates of the whole run.
    fn live(self, incarnation: Incarnation, from: Option<&Contents>, updates: u64) -> Contents {
        tch::set_num_threads(1);
        let mut trainer = Trainer::new(&self.run_file, &self.task, incarnation).unwrap();
        from.into_iter().for_each(|contents| trainer.restore(&contents.training).unwrap());
        let (publisher, newest) = Publisher::new();
        let (checkpoints, written) = crossbeam_channel::bounded(1);
        let folder = tempfile::tempdir().unwrap();
        let config = StepsConfig {
            seed: self.run_file.run.seed,
            updates: Some(updates),
            publish_every: self.run_file.publish_every(),
            checkpoint_every: self.run_file.learner.checkpoint_every,
        };
        let deps = StepsDeps {
            hand_over: Arc::clone(&self.hand_over),
            publisher,
            board: Arc::clone(&self.board),
            roster: Arc::clone(&self.roster),
            findings: self.findings(),
            skipped: SkippedBatches::new(folder.path()),
            checkpoints,
            interference: None,
            redraw: None,
            lockstep: Some(Arc::clone(&self.lockstep)),
        };
        let draws = from.map_or(0, |contents| contents.draws);
        let steps = Steps::new(Box::new(trainer), config, deps).unwrap().behind(draws);
        thread::scope(|scope| {
            let actor = scope.spawn(|| self.act(&newest));
            steps.run().unwrap();
            self.roster.drain("over", std::time::Duration::ZERO);
            actor.join().unwrap();
        });
        written.recv().unwrap()
    }

    /// Draws what it is told to, until it is told to leave.
    fn act(&self, newest: &Newest) {
        let joined = self.roster.hello(Card::default(), None, Secret([1; 16])).unwrap();
        let identity = joined.admission.identity;
        let session = SessionKey { actor: identity.actor, epoch: identity.epoch };
        let outbox: &Outbox = &joined.outbox;
        self.lockstep.join(session, 2);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        loop {
            let news = runtime.block_on(outbox.take());
            for order in news.work {
                self.draw(session, &order, newest);
            }
            if news.drain.is_some() {
                return;
            }
        }
    }

    fn draw(&self, session: SessionKey, order: &WorkOrder, newest: &Newest) {
        let Task { environment, reward, .. } = &self.task;
        let weights = newest.borrow().as_ref().unwrap().weights(Weights::Raw).as_ref().clone();
        assert_eq!(weights.version, order.policy, "the order's weights are the newest");
        let network = Arc::new(Network::of_run(&self.run_file, environment.as_ref()));
        let snapshot = Snapshot::new(network, weights);
        let stream =
            |index| Stream::new(self.run_file.run.seed, Purpose::Rollout, order.round, index);
        let (mut streams, mut drawn) = (order.indices().map(stream).collect::<Vec<_>>(), vec![]);
        let mut rollouts = Rollouts::new(Arc::clone(environment));
        rollouts.draw(&snapshot, Exploration::NONE, &mut streams, &mut drawn).unwrap();
        let mut examiner = Examiner::new(Arc::clone(environment), Arc::clone(reward));
        for (trajectory, index) in drawn.iter().zip(order.indices()) {
            let mut raw = Vec::new();
            reward.evaluate(std::slice::from_ref(&trajectory.object), &mut raw).unwrap();
            let view = TrajectoryView {
                seq: Seq(0),
                actions: &trajectory.actions,
                raw: &raw,
                policy: order.policy,
                kind: TrajectoryKind::Forward,
                setting: 0,
                log_mu: 0.0,
                seconds: 0.0,
            };
            let place = Place { round: order.round, index };
            assert_eq!(self.lockstep.standing(place, order.policy), Standing::New);
            let sound = examiner.examine(&view).unwrap();
            self.lockstep.answer(session, index, Some((sound, 0)));
        }
        let Some(round) = self.lockstep.take() else { return };
        let sounds: Vec<&Sound> = round.iter().map(|(sound, _)| sound).collect();
        let count = || {
            let more = round.len() as u64;
            self.board.update(|figures| figures.accept(figures.generated + more, 0));
            false
        };
        self.hand_over.insert_round(sounds.into_iter(), count);
    }
}

fn live(incarnation: u32, from: Option<&Contents>, updates: u64) -> Contents {
    let incarnation = Incarnation(incarnation);
    Life::new(incarnation, from).live(incarnation, from, updates)
}

#[test]
fn a_life_from_a_checkpoint_ends_with_the_same_weights() {
    let whole = live(1, None, 24);
    let rounds = whole.rounds.unwrap();
    assert_eq!((rounds.round, rounds.next, whole.draws), (8, 192, 24));
    for cut in [3, 12, 21] {
        let first = live(1, None, cut);
        assert_ne!(first.training.blake3(), whole.training.blake3());
        let second = live(2, Some(&first), 24);
        assert_eq!(second.training, whole.training, "cut after {cut} updates, seed 5");
        assert_eq!((second.rounds, second.generated), (whole.rounds, whole.generated));
    }
}
