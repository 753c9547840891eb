//! The newest weights, shared by all threads of an actor. They are read and packed by the first thread that
//! draws with them: most are superseded before anybody does.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tributary_common::ids::PolicyVersion;
use tributary_common::network::cpu::Snapshot;
use tributary_common::network::weights::InvalidWeights;
use tributary_common::network::{Network, Weights};

/// Whole weights as they came.
pub struct Arrived {
    /// Their version, as the learner announced it.
    pub version: PolicyVersion,
    /// Safetensors.
    pub bytes: Vec<u8>,
    /// What they must fit.
    pub network: Arc<Network>,
}

impl Arrived {
    fn unpack(&self) -> Result<Snapshot, InvalidWeights> {
        let weights = Weights::from_bytes(&self.network, &self.bytes)?;
        Ok(Snapshot::new(self.network.clone(), weights))
    }
}

/// Holds the newest weights; their version never goes back.
#[derive(Default)]
pub struct Newest {
    held: Mutex<Held>,
    changed: Condvar,
    /// Held by the thread that unpacks: others want the same.
    unpacking: Mutex<()>,
}

#[derive(Default)]
struct Held {
    /// Newer than the snapshot; nobody has needed them yet.
    arrived: Option<Arc<Arrived>>,
    snapshot: Option<Arc<Snapshot>>,
}

impl Held {
    fn version(&self) -> Option<PolicyVersion> {
        let arrived = self.arrived.as_ref().map(|arrived| arrived.version);
        arrived.or_else(|| Some(self.snapshot.as_ref()?.weights().version))
    }
}

impl Newest {
    /// Offers weights. Returns whether they are newer than those before and were taken.
    pub fn offer(&self, arrived: Arrived) -> bool {
        let mut held = lock(&self.held);
        let is_newer = held.version().is_none_or(|version| arrived.version > version);
        if is_newer {
            held.arrived = Some(Arc::new(arrived));
            self.changed.notify_all();
        }
        is_newer
    }

    /// The newest that can be used, if there are some yet.
    fn get(&self) -> Option<Arc<Snapshot>> {
        let _unpacking = lock(&self.unpacking);
        let held = lock(&self.held);
        let Some(arrived) = held.arrived.clone() else { return held.snapshot.clone() };
        drop(held);
        let unpacked = arrived.unpack();
        let mut held = lock(&self.held);
        // Newer ones may have come meanwhile.
        if held.arrived.as_ref().is_some_and(|newest| Arc::ptr_eq(newest, &arrived)) {
            held.arrived = None;
        }
        match unpacked {
            Ok(snapshot) => held.snapshot = Some(Arc::new(snapshot)),
            Err(error) => {
                let version = arrived.version;
                tracing::error!(%version, %error, "weights that cannot be used; waiting for newer");
            }
        }
        held.snapshot.clone()
    }

    /// The newest snapshot; waits so long for the first.
    #[must_use]
    pub fn wait(&self, limit: Duration) -> Option<Arc<Snapshot>> {
        self.wait_while(limit, |held| held.version().is_none());
        self.get()
    }

    /// The newest snapshot, if it is at least of this version; waits so long for one.
    #[must_use]
    pub fn wait_for(&self, version: PolicyVersion, limit: Duration) -> Option<Arc<Snapshot>> {
        let is_older = |held: Option<PolicyVersion>| held.is_none_or(|held| held < version);
        if self.wait_while(limit, |held| is_older(held.version())) {
            return None;
        }
        // They may be of no use.
        self.get().filter(|snapshot| !is_older(Some(snapshot.weights().version)))
    }

    /// Returns whether the time passed while it was so.
    fn wait_while(&self, limit: Duration, is_so: impl Fn(&Held) -> bool) -> bool {
        let held = lock(&self.held);
        let waited = self.changed.wait_timeout_while(held, limit, |held| is_so(held));
        waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// The version of the newest weights.
    #[must_use]
    pub fn version(&self) -> Option<PolicyVersion> {
        lock(&self.held).version()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::fakes::{Grid, arrived};
    use tributary_common::ids::Incarnation;

    fn network() -> Network {
        Network::mlp(&Grid { side: 3 }, &[4], false, false)
    }

    fn version(incarnation: u32, step: u64) -> PolicyVersion {
        PolicyVersion { incarnation: Incarnation(incarnation), step }
    }

    #[test]
    fn the_version_never_goes_back() {
        let network = network();
        let newest = Newest::default();
        assert!(newest.wait(Duration::ZERO).is_none());
        for (offered, taken) in [
            (version(1, 7), true),
            (version(1, 7), false),
            (version(1, 6), false),
            (version(2, 3), true),
            (version(1, 9), false),
        ] {
            assert_eq!(newest.offer(arrived(&network, None, offered)), taken, "{offered}");
        }
        assert_eq!(newest.version(), Some(version(2, 3)));
        let snapshot = newest.wait(Duration::ZERO).unwrap();
        assert_eq!(snapshot.weights().version, version(2, 3));
        assert_eq!(newest.version(), Some(version(2, 3)));
        assert!(!newest.offer(arrived(&network, None, version(2, 3))));
    }

    #[test]
    fn weights_are_unpacked_once_and_only_where_they_are_used() {
        let network = network();
        let newest = Newest::default();
        for step in 1..4 {
            newest.offer(arrived(&network, Some(step), version(1, step)));
        }
        let first = newest.wait(Duration::ZERO).unwrap();
        assert_eq!(first.weights().values, network.initial_values(3));
        assert!(Arc::ptr_eq(&first, &newest.wait(Duration::ZERO).unwrap()));
    }

    #[test]
    fn weights_that_cannot_be_used_are_passed_over() {
        let network = network();
        let damaged = |step| {
            let mut arrived = arrived(&network, None, version(1, step));
            arrived.bytes.truncate(20);
            arrived
        };
        let newest = Newest::default();
        assert!(newest.offer(damaged(1)));
        assert!(newest.wait(Duration::ZERO).is_none());
        newest.offer(arrived(&network, None, version(1, 2)));
        assert!(newest.wait_for(version(1, 2), Duration::ZERO).is_some());
        assert!(newest.offer(damaged(3)));
        assert!(newest.wait_for(version(1, 3), Duration::ZERO).is_none());
        let snapshot = newest.wait(Duration::ZERO).unwrap();
        assert_eq!(snapshot.weights().version, version(1, 2));
    }
}
