//! The threads of an actor: rollouts, then scoring, joined by bounded channels. Where a program
//! outside measures, one desk takes the place of the scoring threads.
//!
//! To end them in order, cancel `stop`: the rollout threads finish their batch and end, the scoring
//! threads measure what is left and end, and the pipeline is finished behind the last record.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};
use tokio::sync::mpsc;
use tributary_common::environment::Environment;
use tributary_common::random::{Purpose, Stream};
use tributary_common::reward::table::file::objects::Listed;
use tributary_common::reward::{KeyMaker, Outside, Reward};
use tributary_common::run_file::{self, Schedule};

use crate::claiming::Claiming;
use crate::desk::{Desk, Open};
use crate::drawing::Drawing;
use crate::error::ActorError;
use crate::known::KnownObjects;
use crate::oracle::Oracle;
use crate::orders::Orders;
use crate::outside::{self, Commands, Pool, Values};
use crate::scoring::{Drawn, Record, Scoring};
use crate::shared::SharedRewards;
use crate::surroundings::Works;
use crate::workers::Workers;

/// How often a waiting thread looks whether it should end, and reports its wait.
pub(crate) const LOOK: Duration = Duration::from_millis(50);
/// Batches of records between scoring and the session: the next one is ready while one is sent.
const RECORD_BATCHES: usize = 1;

/// What the threads draw.
#[derive(Clone)]
pub struct Order {
    /// How objects are built.
    pub environment: Arc<dyn Environment>,
    /// What measures them.
    pub reward: Arc<dyn Reward>,
    /// The run file's schedules of exploration.
    pub exploration: run_file::Exploration,
    /// Which exploration setting the learner assigned.
    pub setting: u32,
    /// The run's seed.
    pub seed: u64,
    /// The number of this actor's random streams.
    pub stream: u64,
    /// Trajectories in lockstep per thread.
    pub batch: usize,
    /// Rollout threads; as many scoring threads.
    pub threads: usize,
    /// Objects to start from.
    pub initial: Arc<Vec<Listed>>,
    /// In a lockstep run: what to draw.
    pub orders: Option<Arc<Orders>>,
    /// How commands are started, if they may be.
    pub commands: Option<Commands>,
    /// Who is asked before anything is measured, where rewards are shared.
    pub shared: Option<Arc<SharedRewards>>,
}

impl Order {
    /// The initial objects; the best found so far too if this setting goes back from them.
    fn known_objects(&self) -> KnownObjects {
        let share = self.exploration.backward.of(self.setting as usize);
        let keeps_best = share != Schedule::Constant(0.0);
        // No trajectory has this number.
        let mut order = Stream::new(self.seed, Purpose::Backward, self.stream, u64::MAX);
        KnownObjects::new(self.reward.clone(), keeps_best, &self.initial, &mut order)
    }

    /// Starts the threads that measure in this process.
    fn score(
        &self,
        workers: &mut Workers,
        to_score: &Receiver<Drawn>,
        to_session: &mpsc::Sender<Vec<Record>>,
        known: &Arc<KnownObjects>,
        works: &Works<'_>,
    ) -> Result<(), ActorError> {
        let Works { progress, stop, gate, .. } = *works;
        for thread in 0..self.threads {
            let (receiver, sender) = (to_score.clone(), to_session.clone());
            let gate = (gate.clone(), stop.clone());
            let scoring = Scoring::new(self.reward.clone(), progress.clone(), known.clone(), gate)
                .sharing(self.shared.clone(), stop.clone());
            let scoring = if self.orders.is_some() { scoring.of_all_or_nothing() } else { scoring };
            workers.spawn(format!("scoring-{thread}"), move || scoring.run(&receiver, &sender))?;
        }
        Ok(())
    }

    /// Where trajectories wait for what programs outside measure.
    fn desk(
        &self,
        outside: &Outside,
        room: usize,
        known: &Arc<KnownObjects>,
        works: &Works<'_>,
    ) -> Result<Desk<Box<dyn Oracle>>, ActorError> {
        let Works { progress, stop, gate, .. } = *works;
        let outputs = self.reward.outputs().len();
        // A batch is taken as long as there is room for an object.
        let most = room + self.batch;
        let (found, findings) = bounded(most);
        let commands = self.commands.as_ref();
        let values = Values::of(self.reward.as_ref());
        let pool = Pool::start(outside, values, commands, progress, found)?;
        let (oracle, findings): (Box<dyn Oracle>, _) = match &self.shared {
            None => (Box::new(pool), findings),
            Some(shared) => {
                // Others could measure what this actor was granted.
                pool.hand_back();
                let (to_desk, told) = bounded(most);
                let (shared, progress) = (Arc::clone(shared), Arc::clone(progress));
                let claiming = Claiming::start(shared, progress, (pool, findings), to_desk, most)?;
                (Box::new(claiming), told)
            }
        };
        let refused = outside.asking().refused.map(|value| {
            let mut raw = vec![0.0; outputs];
            raw[0] = value;
            raw
        });
        Ok(Desk {
            oracle,
            findings,
            room,
            keys: KeyMaker::new(self.reward.clone()),
            refused,
            known: known.clone(),
            progress: progress.clone(),
            stop: stop.clone(),
            gate: gate.clone(),
            open: Open::default(),
        })
    }
}

/// The running threads.
pub struct Pipeline {
    /// Closed when all threads have ended.
    records: mpsc::Receiver<Vec<Record>>,
    workers: Workers,
    finished: bool,
}

impl Pipeline {
    /// Starts the threads.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(order: &Order, works: &Works<'_>) -> Result<Self, ActorError> {
        let Works { newest, progress, stop, .. } = *works;
        let mut workers = Workers::new(2 * order.threads);
        // One batch is drawn while another is measured; more would only grow old here.
        let (drawn, to_score) = bounded(0);
        let (to_session, records) = mpsc::channel(RECORD_BATCHES);
        let known = Arc::new(order.known_objects());
        let outside = order.reward.outside();
        let mut order = order.clone();
        match outside {
            Some(outside) => {
                let room = outside.asking().queue(outside::at_a_time(outside));
                // No more is drawn at a time than is asked for.
                order.batch = order.batch.min(room);
                let desk = order.desk(outside, room, &known, works)?;
                let (receiver, sender) = (to_score, to_session);
                workers.spawn("desk".to_owned(), move || desk.run(&receiver, &sender))?;
            }
            None => order.score(&mut workers, &to_score, &to_session, &known, works)?,
        }
        for thread in 0..order.threads {
            let drawing = Drawing::new(thread, &order, newest, progress, &known, stop);
            let sender = drawn.clone();
            workers.spawn(format!("rollout-{thread}"), move || drawing.run(&sender))?;
        }
        Ok(Self { records, workers, finished: false })
    }

    /// Without threads of its own: whoever holds the other end of `records` makes them, and lets go
    /// of it behind the last.
    #[must_use]
    pub fn fed(records: mpsc::Receiver<Vec<Record>>) -> Self {
        Self { records, workers: Workers::new(0), finished: false }
    }

    /// The next complete records; none behind the last. Waits for ever while they are not `wanted`,
    /// and after the last.
    ///
    /// # Errors
    /// The first failure of a thread.
    pub async fn next(&mut self, wanted: bool) -> Result<Vec<Record>, ActorError> {
        let wanted = wanted && !self.finished;
        tokio::select! {
            biased;
            Err(error) = self.workers.ended() => Err(error),
            records = self.records.recv(), if wanted => match records {
                Some(records) => Ok(records),
                None => {
                    // A thread lets go of its channel before it reports how it ended.
                    self.workers.ended().await?;
                    self.finished = true;
                    Ok(Vec::new())
                }
            },
            () = std::future::pending() => Ok(Vec::new()),
        }
    }

    /// Whether all threads have ended and all their records were taken.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.finished
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::fakes::{Grid, Sum, arrived, until};
    use crate::newest::Newest;
    use crate::progress::Progress;
    use std::collections::BTreeSet;
    use std::sync::atomic::Ordering::Relaxed;
    use tokio::time::timeout;
    use tokio_util::sync::CancellationToken;
    use tributary_common::ids::PolicyVersion;
    use tributary_common::network::Network;
    use tributary_common::rollout::BrokenEnvironment;

    const LIMIT: Duration = Duration::from_secs(30);

    fn order(reward: Sum) -> Order {
        Order {
            environment: Arc::new(Grid { side: 40 }),
            reward: Arc::new(reward),
            exploration: run_file::Exploration::default(),
            setting: 0,
            seed: 1,
            stream: 2,
            batch: 8,
            threads: 2,
            initial: Arc::default(),
            orders: None,
            commands: None,
            shared: None,
        }
    }

    fn start(order: &Order, progress: &Arc<Progress>, stop: &CancellationToken) -> Pipeline {
        let (newest, gate) = (newest(order), Arc::default());
        Pipeline::start(order, &Works { newest: &newest, progress, stop, gate: &gate }).unwrap()
    }

    fn newest(order: &Order) -> Arc<Newest> {
        let network = Network::mlp(&*order.environment, &[8], false, false);
        let newest = Arc::new(Newest::default());
        newest.offer(arrived(&network, Some(1), PolicyVersion::default()));
        newest
    }

    #[tokio::test]
    async fn stopping_closes_the_records_behind_the_last() {
        let order = order(Sum::default());
        let (progress, stop) = (Arc::new(Progress::default()), CancellationToken::new());
        let mut pipeline = start(&order, &progress, &stop);
        let mut received = Vec::new();
        while received.len() < 500 {
            received.extend(timeout(LIMIT, pipeline.next(true)).await.unwrap().unwrap());
        }
        stop.cancel();
        while !pipeline.is_finished() {
            received.extend(timeout(LIMIT, pipeline.next(true)).await.unwrap().unwrap());
        }
        assert_eq!(received.len() as u64, progress.trajectories.load(Relaxed));
        assert_eq!(received.len() as u64, progress.evaluations.load(Relaxed));
        let long = || received.iter().map(|r| &r.actions).filter(|actions| actions.len() > 7);
        let distinct: BTreeSet<_> = long().collect();
        assert!(distinct.len() > long().count() * 3 / 4, "two threads share random numbers");
    }

    #[tokio::test]
    async fn full_queues_pause_the_rollouts() {
        let order = order(Sum::default());
        let (progress, stop) = (Arc::new(Progress::default()), CancellationToken::new());
        let pipeline = start(&order, &progress, &stop);
        until("rollouts wait", || progress.waited_seconds()["queue"] > 0.5).await;
        let drawn = progress.trajectories.load(Relaxed);
        assert!(drawn <= 8 * 12, "{drawn} trajectories were drawn that nobody took");
        drop(pipeline);
        stop.cancel();
    }

    #[tokio::test]
    async fn a_failing_thread_is_reported() {
        let order = Order { environment: Arc::new(crate::fakes::DeadEnd), ..order(Sum::default()) };
        let (progress, stop) = (Arc::new(Progress::default()), CancellationToken::new());
        let mut pipeline = start(&order, &progress, &stop);
        let error = timeout(LIMIT, pipeline.next(false)).await.unwrap().unwrap_err();
        let dead_end = BrokenEnvironment::DeadEnd(vec![0]);
        assert!(matches!(&error, ActorError::Environment(found) if *found == dead_end), "{error}");
        stop.cancel();
    }
}
