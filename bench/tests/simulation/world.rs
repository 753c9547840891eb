//! What outlives the hosts of a simulation: the learner's disk, and what is known of every life of
//! every actor.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tributary_actor::progress::Progress;
use tributary_actor::{Outcome, Shutdown};
use tributary_common::ids::PolicyVersion;
use tributary_common::random::{Purpose, Stream};
use tributary_common::session::sessions::SavedSessions;
use tributary_learner::roster::Roster;

use crate::network::Cutter;

/// An error planted in the simulated disk: what would be wrong with the simulation if it were not
/// found?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// Records are acked, then they are written.
    AckBeforeCommit,
    /// Records are written without the marks that tell them apart from duplicates.
    RecordsWithoutMarks,
}

/// What one simulation is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub(crate) seed: u64,
    /// Acks mean "on disk".
    pub(crate) durable: bool,
    pub(crate) actors: usize,
    pub(crate) mistake: Option<Mistake>,
    /// With room for no more than its actors, one that comes back waits until its old session is
    /// found to be dead.
    pub(crate) most_sessions: usize,
    /// The mean time between two batches of an actor.
    pub(crate) pause: Duration,
    /// The longest that the learner takes for a batch, when nothing holds it up.
    pub(crate) slowness: Duration,
}

/// Records that the learner decided.
#[derive(Clone, Debug, Default)]
pub(crate) struct Decided {
    pub(crate) accepted: Vec<u32>,
    pub(crate) rejected: Vec<u32>,
}

/// What survives a crash of the learner's host.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    pub(crate) incarnation: u32,
    pub(crate) sessions: SavedSessions,
    pub(crate) decided: Decided,
}

/// The learner that runs now.
pub(crate) struct Running {
    pub(crate) incarnation: u32,
    pub(crate) roster: Arc<Roster>,
    pub(crate) decided: Arc<Mutex<Decided>>,
}

/// One process of an actor, from its start to its end.
#[derive(Debug, Default)]
pub(crate) struct Life {
    pub(crate) actor: usize,
    /// Records handed to the session, in order; the first `progress.stamped` of them are stamped.
    pub(crate) handed: Mutex<Vec<u32>>,
    pub(crate) progress: Arc<Progress>,
    /// The newest weights at the last batch.
    pub(crate) policy: Mutex<Option<PolicyVersion>>,
    pub(crate) drain: CancellationToken,
    pub(crate) outcome: Mutex<Option<Outcome>>,
}

impl Life {
    pub(crate) fn stamped(&self) -> usize {
        self.progress.stamped.load(Relaxed) as usize
    }

    /// Records whose ack the actor got.
    pub(crate) fn acked(&self) -> usize {
        self.progress.acked.load(Relaxed) as usize
    }

    pub(crate) fn shutdown(&self) -> Shutdown {
        Shutdown { drain: self.drain.clone(), ..Shutdown::default() }
    }
}

/// Shared by everything in a simulation.
pub(crate) struct World {
    pub(crate) setting: Setting,
    pub(crate) disk: Mutex<Disk>,
    pub(crate) running: Mutex<Option<Running>>,
    pub(crate) lives: Mutex<Vec<Arc<Life>>>,
    /// Of each actor.
    pub(crate) cutters: Vec<Arc<Cutter>>,
    /// Whether things go wrong now.
    pub(crate) trouble: AtomicBool,
    records: Mutex<u32>,
    /// What must never happen and did.
    wrong: Mutex<BTreeSet<String>>,
}

impl World {
    pub(crate) fn new(setting: Setting) -> Arc<Self> {
        Arc::new(Self {
            setting,
            disk: Mutex::default(),
            running: Mutex::default(),
            lives: Mutex::default(),
            cutters: (0..setting.actors).map(|_| Arc::default()).collect(),
            trouble: AtomicBool::new(true),
            records: Mutex::default(),
            wrong: Mutex::default(),
        })
    }

    /// Random numbers of one kind of thing, one place and one time.
    pub(crate) fn stream(&self, kind: u64, place: u64) -> Stream {
        Stream::new(self.setting.seed, Purpose::Walk, kind, place)
    }

    /// A new process of an actor.
    pub(crate) fn born(&self, actor: usize) -> (Arc<Life>, u64) {
        let life = Arc::new(Life { actor, ..Life::default() });
        let mut lives = held(&self.lives);
        lives.push(Arc::clone(&life));
        (life, lives.len() as u64)
    }

    /// The newest life of each actor.
    pub(crate) fn current(&self) -> Vec<Arc<Life>> {
        let lives = held(&self.lives);
        let newest = |actor| lives.iter().rev().find(|life| life.actor == actor).cloned();
        (0..self.setting.actors).filter_map(newest).collect()
    }

    /// A record that nobody made before.
    pub(crate) fn record(&self) -> u32 {
        let mut records = held(&self.records);
        *records += 1;
        *records
    }

    pub(crate) fn went_wrong(&self, what: String) {
        held(&self.wrong).insert(what);
    }

    pub(crate) fn wrong(&self) -> Vec<String> {
        held(&self.wrong).iter().cloned().collect()
    }
}

/// The lock of a simulation, which is one thread: never contended, poisoned only by a panic that
/// fails the simulation anyway.
pub(crate) fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A time of this mean, uniform from nothing to twice that.
pub(crate) fn around(mean: Duration, stream: &mut Stream) -> Duration {
    mean.mul_f64(2.0 * stream.uniform())
}
