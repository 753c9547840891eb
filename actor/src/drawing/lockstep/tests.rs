#![allow(clippy::unwrap_used)]
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tributary_common::ids::{Incarnation, PolicyVersion};
use tributary_common::network::Network;
use tributary_common::run_file::{self, RunFile};
use tributary_common::session::work::WorkOrder;

use crate::fakes::{Grid, Sum, arrived};
use crate::newest::Newest;
use crate::orders::Orders;
use crate::pipeline::{Order, Pipeline};
use crate::progress::Progress;
use crate::scoring::Record;
use crate::surroundings::Works;

const LIMIT: Duration = Duration::from_secs(30);
const VERSION: PolicyVersion = PolicyVersion { incarnation: Incarnation(1), step: 8 };

fn exploration() -> run_file::Exploration {
    let text = "[environment]\nkind = 'grid'\n[reward]\nkind = 'sum'\n[learner]\nupdates = 1\n\
                [exploration]\nepsilon = [0.0, 0.5, 0.1]\ntemperature = [1.0, 1.0, 3.0]\n";
    RunFile::parse(text, &[]).unwrap().exploration
}

fn work(first_index: u64, count: u32) -> WorkOrder {
    WorkOrder { round: 3, first_index, count, policy: VERSION }
}

/// What an actor draws for these orders, by index.
async fn drawn(
    orders: &[WorkOrder],
    batch: usize,
    threads: usize,
    seed: u64,
) -> BTreeMap<u64, Record> {
    let queue = Arc::new(Orders::default());
    let order = Order {
        environment: Arc::new(Grid { side: 12 }),
        reward: Arc::new(Sum::default()),
        exploration: exploration(),
        setting: 0,
        seed,
        // An actor's own stream, which must not matter.
        stream: (batch * threads) as u64,
        batch,
        threads,
        initial: Arc::default(),
        orders: Some(queue.clone()),
        commands: None,
        shared: None,
    };
    let network = Network::mlp(&*order.environment, &[8], false, false);
    let newest = Arc::new(Newest::default());
    let (progress, stop) = (Arc::new(Progress::default()), CancellationToken::new());
    let gate = Arc::default();
    let works = Works { newest: &newest, progress: &progress, stop: &stop, gate: &gate };
    let mut pipeline = Pipeline::start(&order, &works).unwrap();
    orders.iter().for_each(|&order| assert!(queue.push(order)));
    // The orders are there before their weights.
    newest.offer(arrived(&network, Some(1), PolicyVersion::default()));
    newest.offer(arrived(&network, Some(2), VERSION));
    let expected: u64 = orders.iter().map(|order| u64::from(order.count)).sum();
    let mut records = BTreeMap::new();
    while (records.len() as u64) < expected {
        for record in timeout(LIMIT, pipeline.next(true)).await.unwrap().unwrap() {
            assert_eq!(record.policy, VERSION);
            let place = record.place.unwrap();
            assert_eq!(place.round, 3);
            let record = Record { seconds: 0.0, ..record };
            assert!(records.insert(place.index, record).is_none(), "{place:?} was drawn twice");
        }
    }
    stop.cancel();
    records
}

#[tokio::test]
async fn a_trajectory_is_a_function_of_its_place() {
    let seed = 5;
    let whole = drawn(&[work(100, 60)], 64, 1, seed).await;
    assert_eq!(whole.keys().copied().collect::<Vec<_>>(), (100..160).collect::<Vec<_>>());
    assert!(whole.iter().all(|(index, record)| u64::from(record.setting) == index % 3));
    let parts = [work(131, 29), work(100, 1), work(101, 30)];
    for (orders, batch, threads) in [(&[work(100, 60)][..], 7, 2), (&parts, 16, 1), (&parts, 4, 3)]
    {
        assert_eq!(drawn(orders, batch, threads, seed).await, whole, "seed {seed}");
    }
    assert_ne!(drawn(&[work(100, 60)], 64, 1, seed + 1).await, whole);
}

#[tokio::test]
async fn orders_for_older_weights_are_dropped() {
    let older = WorkOrder { policy: PolicyVersion { step: 4, ..VERSION }, ..work(0, 8) };
    let queue = Arc::new(Orders::default());
    let newest = Newest::default();
    let network = Network::mlp(&Grid { side: 3 }, &[4], false, false);
    newest.offer(arrived(&network, None, VERSION));
    let order = Order {
        environment: Arc::new(Grid { side: 3 }),
        reward: Arc::new(Sum::default()),
        exploration: exploration(),
        setting: 0,
        seed: 1,
        stream: 0,
        batch: 8,
        threads: 1,
        initial: Arc::default(),
        orders: Some(queue.clone()),
        commands: None,
        shared: None,
    };
    let (newest, progress) = (Arc::new(newest), Arc::new(Progress::default()));
    let stop = CancellationToken::new();
    let gate = Arc::default();
    let works = Works { newest: &newest, progress: &progress, stop: &stop, gate: &gate };
    let mut pipeline = Pipeline::start(&order, &works).unwrap();
    assert!(queue.push(older) && queue.push(work(8, 2)));
    let records = timeout(LIMIT, pipeline.next(true)).await.unwrap().unwrap();
    assert!(records.iter().all(|record| record.place.unwrap().index >= 8), "{records:?}");
    stop.cancel();
}
