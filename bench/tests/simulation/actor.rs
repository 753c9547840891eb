//! An actor's host: the real link and weights' subscription, records made by a task.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tributary_actor::newest::Newest;
use tributary_actor::pipeline::Pipeline;
use tributary_actor::scoring::Record;
use tributary_actor::surroundings::{Start, Surroundings};
use tributary_actor::{ActorConfig, run_in};
use tributary_common::random::Stream;
use tributary_common::registry::Registry;
use tributary_common::trajectory::TrajectoryKind;
use tributary_proto::credentials::Credentials;

use crate::network;
use crate::world::{Life, World, around, held};

/// How often a task without weights looks for them.
const LOOK: Duration = Duration::from_millis(100);
/// Records made together.
const MOST_RECORDS: usize = 6;
/// One record in so many has a reward that is no number.
const INVALID: usize = 31;
/// Ways through the grid.
const WAYS: [&[u32]; 5] = [&[], &[0], &[1], &[0, 1], &[1, 0, 0]];

/// The name of an actor's host.
pub(crate) fn name(actor: usize) -> String {
    format!("actor-{actor}")
}

/// One process of an actor.
pub(crate) async fn run(world: Arc<World>, actor: usize) -> turmoil::Result {
    let (life, number) = world.born(actor);
    let config = ActorConfig {
        credentials: Credentials::default(),
        learner: network::address(),
        name: name(actor),
        threads: None,
        cache: PathBuf::new(),
        spool: None,
        commands: None,
    };
    let surroundings = Surroundings {
        connect: network::connect(Arc::clone(&world.cutters[actor])),
        start: start(&world, &life, number),
        jitter: world.stream(1, number).bits(),
        progress: Arc::clone(&life.progress),
    };
    let outcome = run_in(config, Registry::builtin(), life.shutdown(), surroundings).await?;
    *held(&life.outcome) = Some(outcome);
    Ok(())
}

fn start(world: &Arc<World>, life: &Arc<Life>, number: u64) -> Start {
    let (world, life) = (Arc::clone(world), Arc::clone(life));
    Arc::new(move |_, works| {
        let (sender, records) = mpsc::channel(1);
        let maker = Maker {
            world: Arc::clone(&world),
            life: Arc::clone(&life),
            newest: Arc::clone(works.newest),
            stop: works.stop.clone(),
            stream: world.stream(2, number),
        };
        tokio::spawn(maker.run(sender));
        Ok(Pipeline::fed(records))
    })
}

/// Makes records in the place of rollouts and rewards.
struct Maker {
    world: Arc<World>,
    life: Arc<Life>,
    newest: Arc<Newest>,
    stop: CancellationToken,
    stream: Stream,
}

impl Maker {
    async fn run(mut self, records: mpsc::Sender<Vec<Record>>) {
        loop {
            let pause = match self.newest.version() {
                Some(_) => around(self.world.setting.pause, &mut self.stream),
                None => LOOK,
            };
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                () = sleep(pause) => {}
            }
            if records.send(self.batch()).await.is_err() {
                return;
            }
        }
    }

    /// Some records; none before the first weights.
    fn batch(&mut self) -> Vec<Record> {
        let Some(policy) = self.newest.version() else { return Vec::new() };
        let before = held(&self.life.policy).replace(policy);
        if before.is_some_and(|before| before > policy) {
            self.world.went_wrong(format!("the policy went back from {before:?} to {policy}"));
        }
        let count = 1 + self.stream.below(MOST_RECORDS);
        let ids: Vec<u32> = (0..count).map(|_| self.world.record()).collect();
        held(&self.life.handed).extend(&ids);
        let record = |id: u32| Record {
            place: None,
            actions: WAYS[self.stream.below(WAYS.len())].to_vec(),
            raw: vec![if self.stream.below(INVALID) == 0 { f64::NAN } else { 0.5 }],
            seconds: 0.0,
            kind: TrajectoryKind::Forward,
            policy,
            setting: 0,
            // The record's number: exact below 2^24, and nothing in the learner depends on it.
            log_mu: id as f32,
        };
        ids.into_iter().map(record).collect()
    }
}
