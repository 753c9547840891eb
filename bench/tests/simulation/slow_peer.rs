//! A peer that stops reading, or stands still, costs the others nothing and the learner no memory.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tributary_common::ids::{Incarnation, PolicyVersion, Seq};
use tributary_common::trajectory::{TrajectoryBatch, TrajectoryKind, TrajectoryView};
use tributary_learner::roster::ActorState;
use tributary_proto::convert::actor::{ActorEvent, Hello};
use tributary_proto::convert::batch::StampedBatch;
use tributary_proto::convert::learner::LearnerEvent;
use tributary_proto::limits;
use tributary_proto::v1::LearnerMessage;

use crate::actor;
use crate::network::{self, Cutter, LEARNER};
use crate::run::{simulation, step_until};
use crate::seeds::alone;
use crate::world::{Setting, World, held};

/// Bytes that the learner can send to one that does not read.
const SMALL_WINDOW: u32 = 256;
const SLEEP: Duration = Duration::from_secs(25);
const POLICY: PolicyVersion = PolicyVersion { incarnation: Incarnation(1), step: 0 };
const SLEEPER: &str = "sleeper";

/// Actors that are held up by nothing but credit.
fn setting() -> Setting {
    Setting {
        seed: 1,
        durable: true,
        actors: 2,
        mistake: None,
        most_sessions: 64,
        pause: Duration::from_millis(15),
        slowness: Duration::ZERO,
    }
}

/// Uses up its credit, one record in each message, and reads nothing for a while.
async fn fall_asleep(heard: mpsc::Sender<u64>) -> turmoil::Result {
    let endpoint = limits::endpoint(&network::address())?.initial_stream_window_size(SMALL_WINDOW);
    let channel = network::connect(Arc::new(Cutter::default()))(endpoint).await?;
    let (up, messages) = mpsc::channel(4);
    let hello = Hello {
        protocol: limits::PROTOCOL,
        run: None,
        software: SLEEPER.to_owned(),
        name: SLEEPER.to_owned(),
        host: String::new(),
        process: 0,
        threads: 1,
        resume: None,
        attempt: None,
        claims: vec![],
    };
    up.send(ActorEvent::Hello(hello).into()).await?;
    let mut client = limits::sessions_client(channel);
    let mut down = client.open(ReceiverStream::new(messages)).await?.into_inner();
    let LearnerEvent::Welcome(welcome) = next(&mut down).await? else { panic!("no Welcome") };
    up.send(ActorEvent::Ready(welcome.fingerprints).into()).await?;
    let LearnerEvent::Credit(credit) = next(&mut down).await? else { panic!("no Credit") };
    let epoch = welcome.identity.epoch;
    let records = credit.bytes / 72;
    for seq in 0..records {
        let mut batch = TrajectoryBatch::default();
        batch.push(&record(Seq(seq)));
        up.send(ActorEvent::Batch(StampedBatch { epoch, batch }).into()).await?;
    }
    sleep(SLEEP).await;
    let mut messages = 0;
    loop {
        messages += 1;
        if let LearnerEvent::Ack(ack) = next(&mut down).await?
            && ack.acked.below == Seq(records)
        {
            heard.send(messages).await?;
            return Ok(());
        }
    }
}

async fn next(down: &mut Streaming<LearnerMessage>) -> turmoil::Result<LearnerEvent> {
    let message = down.message().await?.ok_or("the stream ended")?;
    Ok(message.try_into()?)
}

/// It costs 72 bytes.
fn record(seq: Seq) -> TrajectoryView<'static> {
    TrajectoryView {
        seq,
        actions: &[],
        raw: &[0.5],
        policy: POLICY,
        kind: TrajectoryKind::Forward,
        setting: 0,
        log_mu: 0.0,
        seconds: 0.0,
    }
}

/// Records of the world's actors that were acked in 20 s, with or without one that is asleep.
fn acked(with_sleeper: bool) -> usize {
    let _alone = alone();
    let world = World::new(setting());
    world.trouble.store(false, Relaxed);
    let mut simulation = simulation(&world);
    let (sender, mut heard) = mpsc::channel(1);
    if with_sleeper {
        simulation.host(SLEEPER, move || fall_asleep(sender.clone()));
    }
    let step = |simulation: &mut _, seconds| {
        step_until(simulation, &world, Duration::from_secs(seconds), || false).unwrap();
    };
    step(&mut simulation, 3);
    let acked = || world.current().iter().map(|life| life.acked()).sum::<usize>();
    let before = acked();
    step(&mut simulation, 20);
    let acked = acked() - before;
    if with_sleeper {
        let running = held(&world.running);
        let rows = running.as_ref().unwrap().roster.rows();
        let sleeper = rows.iter().find(|row| row.card.name == SLEEPER).unwrap();
        assert_eq!(sleeper.books.accepted, sleeper.books.received);
        assert!(sleeper.is_connected() && sleeper.state != ActorState::Suspect, "{sleeper:?}");
        let received = sleeper.books.received;
        drop(running);
        step(&mut simulation, 10);
        let messages = heard.try_recv().expect("the sleeper hears its last ack");
        assert!(messages < received, "{messages} messages for {received} records: not coalesced");
    }
    acked
}

#[test]
fn an_actor_that_reads_nothing_does_not_slow_the_others() {
    let (without, with) = (acked(false), acked(true));
    println!("acked in 20 s: {without} records, {with} beside one that reads nothing");
    assert!(without > 2_000, "{without}");
    assert!(with as f64 >= 0.98 * without as f64, "{with} instead of {without}");
}

#[test]
fn an_actor_that_stands_still_for_20_seconds_goes_on_on_the_same_link() {
    let _alone = alone();
    let world = World::new(setting());
    world.trouble.store(false, Relaxed);
    let mut simulation = simulation(&world);
    let step = |simulation: &mut _, time| step_until(simulation, &world, time, || false).unwrap();
    let epochs = || {
        let running = held(&world.running);
        let rows = running.as_ref().unwrap().roster.rows();
        rows.iter().map(|row| row.epoch).collect::<Vec<_>>()
    };
    step(&mut simulation, Duration::from_secs(3));
    let before = epochs();
    let others = Arc::clone(&world.current()[1]);
    let acked = others.acked();
    simulation.hold(actor::name(0), LEARNER);
    step(&mut simulation, Duration::from_secs(20));
    let rate = (others.acked() - acked) as f64 / 20.0;
    simulation.release(actor::name(0), LEARNER);
    let held_up = Arc::clone(&world.current()[0]);
    let made = held_up.stamped();
    let is_on =
        step_until(&mut simulation, &world, Duration::from_secs(1), || held_up.acked() > made);
    assert!(is_on.unwrap(), "not on within a second");
    assert_eq!((before.len(), epochs()), (2, before), "the links are others");
    assert!(rate > 50.0, "the other one was slowed to {rate} records a second");
}
