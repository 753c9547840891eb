//! The newest weights, shared by all threads of an actor.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tributary_common::ids::PolicyVersion;
use tributary_common::network::cpu::Snapshot;

/// Holds the newest snapshot; its version never goes back.
#[derive(Default)]
pub struct Newest {
    snapshot: Mutex<Option<Arc<Snapshot>>>,
    changed: Condvar,
}

impl Newest {
    /// Offers a snapshot. Returns whether it is newer than the one before and was taken.
    pub fn offer(&self, snapshot: Arc<Snapshot>) -> bool {
        let mut held = self.snapshot.lock().unwrap_or_else(PoisonError::into_inner);
        let version = snapshot.weights().version;
        let newer = held.as_ref().is_none_or(|held| version > held.weights().version);
        if newer {
            *held = Some(snapshot);
            self.changed.notify_all();
        }
        newer
    }

    /// The newest snapshot, if there is one yet.
    #[must_use]
    pub fn get(&self) -> Option<Arc<Snapshot>> {
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The newest snapshot; waits so long for the first.
    #[must_use]
    pub fn wait(&self, limit: Duration) -> Option<Arc<Snapshot>> {
        let held = self.snapshot.lock().unwrap_or_else(PoisonError::into_inner);
        self.changed
            .wait_timeout_while(held, limit, |held| held.is_none())
            .unwrap_or_else(PoisonError::into_inner)
            .0
            .clone()
    }

    /// The newest snapshot, if it is at least of this version; waits so long for one.
    #[must_use]
    pub fn wait_for(&self, version: PolicyVersion, limit: Duration) -> Option<Arc<Snapshot>> {
        let is_older = |held: &mut Option<Arc<Snapshot>>| {
            held.as_ref().is_none_or(|held| held.weights().version < version)
        };
        let held = self.snapshot.lock().unwrap_or_else(PoisonError::into_inner);
        let (held, waited) = self
            .changed
            .wait_timeout_while(held, limit, is_older)
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() { None } else { held.clone() }
    }

    /// The version of the newest snapshot.
    #[must_use]
    pub fn version(&self) -> Option<PolicyVersion> {
        self.get().map(|snapshot| snapshot.weights().version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::{Grid, snapshot};
    use tributary_common::ids::Incarnation;
    use tributary_common::network::Network;

    #[test]
    fn the_version_never_goes_back() {
        let network = Network::mlp(&Grid { side: 3 }, &[4], false, false);
        let version =
            |incarnation, step| PolicyVersion { incarnation: Incarnation(incarnation), step };
        let newest = Newest::default();
        assert!(newest.wait(Duration::ZERO).is_none());
        for (offered, taken) in [
            (version(1, 7), true),
            (version(1, 7), false),
            (version(1, 6), false),
            (version(2, 3), true),
            (version(1, 9), false),
        ] {
            assert_eq!(
                newest.offer(Arc::new(snapshot(&network, None, offered))),
                taken,
                "{offered}"
            );
        }
        assert_eq!(newest.version(), Some(version(2, 3)));
        assert!(newest.wait(Duration::ZERO).is_some());
    }
}
