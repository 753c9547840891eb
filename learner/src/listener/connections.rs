//! Who is connected, and how many may be.
//!
//! A connection waits until its first call is allowed. When too many wait, the newest pushes out the
//! oldest: an actor that shows its token within milliseconds gets in, however many say nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use tokio_util::sync::CancellationToken;
use tributary_proto::access::{CertifiedName, Role};
use tributary_proto::limits;

use crate::locks::lock;

/// How many connections there may be.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// All.
    pub all: usize,
    /// Of these, some that only control may use.
    pub for_control: usize,
    /// Not admitted yet.
    pub waiting: usize,
    /// Of one certificate.
    pub of_identity: usize,
}

impl Bounds {
    /// For gRPC, with so many files that may be open.
    pub fn of_grpc(files: u64) -> Self {
        let spare = files.saturating_sub(limits::FILE_HEADROOM);
        let spare = usize::try_from(spare).unwrap_or(usize::MAX);
        let all = spare.saturating_sub(limits::HTTP_CONNECTIONS).clamp(128, limits::CONNECTIONS);
        Self {
            all,
            for_control: limits::CONTROL_CONNECTIONS,
            waiting: limits::UNADMITTED_CONNECTIONS.min(all / 2),
            of_identity: limits::IDENTITY_CONNECTIONS,
        }
    }

    /// For HTTP.
    pub fn of_http() -> Self {
        Self {
            all: limits::HTTP_CONNECTIONS,
            for_control: 0,
            waiting: limits::UNADMITTED_HTTP_CONNECTIONS,
            of_identity: limits::HTTP_CONNECTIONS,
        }
    }
}

/// What was counted of a listener's connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Now, admitted ones.
    pub admitted: u64,
    /// Now, not admitted yet.
    pub waiting: u64,
    /// Ended before their first allowed call: pushed out, too slow, or without a TLS handshake.
    pub turned_away: u64,
    /// Calls that were not allowed.
    pub denied: u64,
}

/// All connections of one listener.
#[derive(Debug)]
pub struct Connections {
    bounds: Bounds,
    inner: Mutex<Inner>,
    turned_away: AtomicU64,
    denied: AtomicU64,
}

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    waiting: BTreeMap<u64, CancellationToken>,
    admitted: HashMap<u64, Option<CertifiedName>>,
    identities: HashMap<CertifiedName, usize>,
}

/// More connections than may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// Of all.
    #[error("too many connections; try again later")]
    All,
    /// Of one certificate.
    #[error("too many connections with this certificate; give each group of actors its own")]
    Identity,
    /// It was pushed out a moment ago.
    #[error("the connection was pushed out; try again")]
    PushedOut,
}

impl Connections {
    /// None yet.
    pub fn new(bounds: Bounds) -> Self {
        let counter = AtomicU64::default;
        Self { bounds, inner: Mutex::default(), turned_away: counter(), denied: counter() }
    }

    /// A connection that was accepted; `end` is cancelled when it must go. `None`: no room.
    pub fn enter(self: &Arc<Self>, end: CancellationToken) -> Option<Ticket> {
        let mut inner = lock(&self.inner);
        let all = inner.waiting.len() + inner.admitted.len();
        if all >= self.bounds.all || inner.waiting.len() >= self.bounds.waiting {
            let Some((_, oldest)) = inner.waiting.pop_first() else {
                self.turned_away.fetch_add(1, Relaxed);
                return None;
            };
            oldest.cancel();
        }
        let id = inner.next;
        inner.next += 1;
        inner.waiting.insert(id, end.clone());
        Some(Ticket { id, end, admitted: AtomicBool::new(false), connections: Arc::clone(self) })
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        let inner = lock(&self.inner);
        Counts {
            admitted: inner.admitted.len() as u64,
            waiting: inner.waiting.len() as u64,
            turned_away: self.turned_away.load(Relaxed),
            denied: self.denied.load(Relaxed),
        }
    }

    /// Counts a call that was not allowed.
    pub fn deny(&self) {
        self.denied.fetch_add(1, Relaxed);
    }
}

/// One connection's place; it is free again when this is dropped.
#[derive(Debug)]
pub struct Ticket {
    id: u64,
    end: CancellationToken,
    admitted: AtomicBool,
    connections: Arc<Connections>,
}

impl Ticket {
    /// Cancelled when the connection must go, unless it is admitted.
    pub fn end(&self) -> &CancellationToken {
        &self.end
    }

    /// Whether a call of this connection was allowed.
    pub fn is_admitted(&self) -> bool {
        self.admitted.load(Relaxed)
    }

    /// A call of this connection is allowed: it may stay.
    ///
    /// # Errors
    /// [`Full`].
    pub fn admit(&self, role: Role, name: Option<&CertifiedName>) -> Result<(), Full> {
        if self.is_admitted() {
            return Ok(());
        }
        let bounds = self.connections.bounds;
        let mut inner = lock(&self.connections.inner);
        let kept = if role == Role::Control { 0 } else { bounds.for_control };
        if inner.admitted.len() + kept >= bounds.all {
            return Err(Full::All);
        }
        let same = name.and_then(|name| inner.identities.get(name)).copied().unwrap_or_default();
        if same >= bounds.of_identity {
            return Err(Full::Identity);
        }
        if inner.admitted.contains_key(&self.id) {
            return Ok(());
        }
        inner.waiting.remove(&self.id).ok_or(Full::PushedOut)?;
        if let Some(name) = name {
            inner.identities.insert(name.clone(), same + 1);
        }
        inner.admitted.insert(self.id, name.cloned());
        self.admitted.store(true, Relaxed);
        Ok(())
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut inner = lock(&self.connections.inner);
        inner.waiting.remove(&self.id);
        let Some(name) = inner.admitted.remove(&self.id) else {
            self.connections.turned_away.fetch_add(1, Relaxed);
            return;
        };
        let Some(name) = name else { return };
        if let Some(count) = inner.identities.get_mut(&name) {
            *count -= 1;
            if *count == 0 {
                inner.identities.remove(&name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn connections() -> Arc<Connections> {
        let bounds = Bounds { all: 6, for_control: 1, waiting: 3, of_identity: 2 };
        Arc::new(Connections::new(bounds))
    }

    fn enter(connections: &Arc<Connections>) -> Option<Ticket> {
        connections.enter(CancellationToken::new())
    }

    #[test]
    fn the_newest_pushes_out_the_oldest_that_waits() {
        let connections = connections();
        let first: Vec<Ticket> = (0..3).map(|_| enter(&connections).unwrap()).collect();
        first[1].admit(Role::Actor, None).unwrap();
        let more: Vec<Ticket> = (0..2).map(|_| enter(&connections).unwrap()).collect();
        let ended: Vec<bool> =
            first.iter().chain(&more).map(|ticket| ticket.end().is_cancelled()).collect();
        assert_eq!(ended, [true, false, false, false, false]);
        assert_eq!(first[0].admit(Role::Control, None), Err(Full::PushedOut));
        assert!(!first[0].is_admitted() && first[1].is_admitted());
        let counts = connections.counts();
        assert_eq!((counts.admitted, counts.waiting), (1, 3));
        drop((first, more));
        let counts = connections.counts();
        assert_eq!((counts.admitted, counts.waiting, counts.turned_away), (0, 0, 4));
    }

    #[test]
    fn actors_never_lock_control_out() {
        let connections = connections();
        let mut kept = Vec::new();
        let mut join = |role| {
            let ticket = enter(&connections).unwrap();
            let admitted = ticket.admit(role, None);
            kept.push(ticket);
            admitted
        };
        for _ in 0..5 {
            join(Role::Actor).unwrap();
        }
        assert_eq!(join(Role::Actor), Err(Full::All));
        // The one that was refused waits still, and makes room.
        join(Role::Control).unwrap();
        assert!(enter(&connections).is_none(), "all places are taken");
    }

    #[test]
    fn a_certificate_has_its_own_bound() {
        let connections = connections();
        let name = CertifiedName { run: None, role: Role::Actor, name: "a".into() };
        let tickets: Vec<Ticket> = (0..3).map(|_| enter(&connections).unwrap()).collect();
        tickets[0].admit(Role::Actor, Some(&name)).unwrap();
        tickets[1].admit(Role::Actor, Some(&name)).unwrap();
        assert_eq!(tickets[2].admit(Role::Actor, Some(&name)), Err(Full::Identity));
        // Again, for its second call.
        tickets[1].admit(Role::Actor, Some(&name)).unwrap();
        let [first, _second, third] = <[Ticket; 3]>::try_from(tickets).unwrap();
        drop(first);
        third.admit(Role::Actor, Some(&name)).unwrap();
    }

    #[test]
    fn few_open_files_mean_few_connections() {
        let few = Bounds::of_grpc(1_024);
        assert!(few.all as u64 + limits::FILE_HEADROOM <= 1_024, "{few:?}");
        assert!(few.waiting < few.all);
        assert_eq!(Bounds::of_grpc(u64::MAX).all, limits::CONNECTIONS);
    }
}
