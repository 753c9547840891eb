//! The desk at which actors ask before they measure: leases in memory, values from the ledger.
//!
//! Who may measure what is decided by [`Desk`]; this holds it, the streams of those who are told, and
//! a window to the ledger. Nothing here waits: looking into the ledger is done by whoever asks,
//! outside of the lock, and a value is told when its commit is through.

mod outbox;
mod recent;

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tributary_common::claims::asker::Evaluated;
use tributary_common::claims::desk::{Desk, DeskConfig, Look};
use tributary_common::claims::{Answer, Finding, LeaseId, Outcome, Told};
use tributary_common::ids::{ActorId, Incarnation};
use tributary_common::ledger::{LedgerError, LedgerReader};
use tributary_common::reward::{KeyMaker, ObjectKey, Reward};
use tributary_proto::limits;

use crate::locks::lock;
pub use outbox::{ClaimNews, ClaimOutbox};
use recent::Recent;

/// How often leases that were not renewed are looked for.
const TICK: Duration = Duration::from_millis(250);

/// One stream of questions: an actor's newest is the one that is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamKey {
    /// Who asks.
    pub actor: ActorId,
    number: u64,
}

#[derive(Debug)]
struct Inner {
    desk: Desk,
    streams: BTreeMap<ActorId, (StreamKey, Arc<ClaimOutbox>)>,
    opened: u64,
    recent: Recent,
    /// Objects that were measured since this was asked last.
    measured: Vec<ObjectKey>,
}

/// Shared by the services and the ledger's thread.
pub struct Claims {
    inner: Mutex<Inner>,
    reader: Mutex<LedgerReader>,
    keys: KeyMaker,
    reward: Arc<dyn Reward>,
    start: Instant,
}

impl Claims {
    /// With the ledger that `reader` reads. Nothing is granted until these actors are back, for a while.
    pub fn new(
        incarnation: Incarnation,
        reader: LedgerReader,
        reward: Arc<dyn Reward>,
        missing: BTreeSet<ActorId>,
    ) -> Self {
        let config = DeskConfig {
            incarnation,
            lease: limits::LEASE,
            grace: limits::LEASE_GRACE,
            again: limits::CLAIM_AGAIN,
            most_of_an_actor: limits::RUNNING_CLAIMS,
        };
        let desk = Desk::new(config).recovering(missing, limits::CLAIMS_RECOVERY);
        let (streams, opened, recent, measured) = Default::default();
        Self {
            inner: Mutex::new(Inner { desk, streams, opened, recent, measured }),
            reader: Mutex::new(reader),
            keys: KeyMaker::new(Arc::clone(&reward)),
            reward,
            start: Instant::now(),
        }
    }

    /// An actor says hello, with what it still measures.
    pub fn arrive(&self, actor: ActorId, running: &[(ObjectKey, LeaseId)]) {
        self.change(|inner, now| inner.desk.arrive(actor, running, now));
    }

    /// An actor opens a stream of questions; an older one of it is answered no more.
    pub fn open(&self, actor: ActorId) -> (StreamKey, Arc<ClaimOutbox>) {
        let outbox = Arc::new(ClaimOutbox::default());
        let mut inner = lock(&self.inner);
        inner.opened += 1;
        let stream = StreamKey { actor, number: inner.opened };
        let old = inner.streams.insert(actor, (stream, Arc::clone(&outbox)));
        if let Some((_, old)) = old {
            old.post(|news| news.is_over = true);
        }
        (stream, outbox)
    }

    /// A stream ended: its actor waits for nothing, and its leases end soon.
    pub fn close(&self, stream: StreamKey) {
        self.change(|inner, now| {
            let is_newest = |(newest, _): &(StreamKey, _)| *newest == stream;
            if inner.streams.get(&stream.actor).is_some_and(is_newest) {
                inner.streams.remove(&stream.actor);
                inner.desk.depart(stream.actor, now);
            }
            Vec::new()
        });
    }

    /// An actor left for good.
    pub fn leave(&self, actor: ActorId) {
        self.change(|inner, now| inner.desk.leave(actor, now));
    }

    /// An actor asks. Returns what must be looked up; the rest is answered.
    pub fn ask(&self, actor: ActorId, keys: &[ObjectKey]) -> Vec<Look> {
        let mut looks = Vec::new();
        self.change(|inner, now| {
            let (mut told, mut unknown) = (Vec::new(), Vec::new());
            for &key in keys {
                match inner.recent.get(key) {
                    Some(finding) => {
                        told.push(Told { actor, key, answer: Answer::Known(finding) });
                    }
                    None => unknown.push(key),
                }
            }
            let asked = inner.desk.ask(actor, &unknown, now);
            looks = asked.looks;
            told.extend(asked.told);
            told
        });
        looks
    }

    /// Looks up what is to be looked up. Reads the disk: not for async code.
    ///
    /// # Errors
    /// The ledger's; nothing is granted then.
    pub fn look_up(&self, looks: &[Look]) -> Result<(), LedgerError> {
        let reader = lock(&self.reader);
        let find = |look: &Look| Ok((*look, reader.find(look.key)?));
        let found: Vec<_> = looks.iter().map(find).collect::<Result<_, LedgerError>>()?;
        drop(reader);
        self.change(|inner, now| {
            let mut told = Vec::new();
            for (look, finding) in found {
                if let Some(finding) = &finding {
                    inner.recent.insert(look.key, Arc::clone(finding));
                }
                told.extend(inner.desk.looked(look, finding.as_ref(), now));
            }
            told
        });
        Ok(())
    }

    /// An actor still works under these leases.
    pub fn renew(&self, actor: ActorId, leases: &[LeaseId]) {
        let mut inner = lock(&self.inner);
        inner.desk.renew(actor, leases, self.start.elapsed());
    }

    /// Results came. Those that are to be written; values of which no log-reward is made are failures.
    /// Leases of what failed for now go to others.
    ///
    /// # Errors
    /// An object that is not its key's.
    pub fn receive(
        &self,
        actor: ActorId,
        results: Vec<Evaluated>,
    ) -> Result<Vec<Evaluated>, String> {
        let results: Vec<Evaluated> =
            results.into_iter().map(|result| self.checked(result)).collect::<Result<_, _>>()?;
        self.change(|inner, now| {
            let mut told = Vec::new();
            for result in &results {
                if result.is_transient {
                    told.extend(inner.desk.give_back(actor, result.key, now));
                    continue;
                }
                inner.desk.measured(actor, result.key);
                if matches!(result.outcome, Outcome::Measured(_)) {
                    inner.measured.push(result.key);
                }
            }
            told
        });
        Ok(results.into_iter().filter(|result| !result.is_transient).collect())
    }

    fn checked(&self, result: Evaluated) -> Result<Evaluated, String> {
        let key = self.keys.key(&result.object);
        if key != result.key {
            let Evaluated { object, key: theirs, .. } = result;
            return Err(format!("the key of the object \"{object}\" is {key}, not {theirs}"));
        }
        let Outcome::Measured(raw) = &result.outcome else { return Ok(result) };
        let is_number = |value: &f64| !value.is_nan() && *value != f64::INFINITY;
        let outputs = self.reward.outputs().len();
        let wrong = if raw.len() != outputs {
            Some(format!("{} raw values, the reward has {outputs}", raw.len()))
        } else if !raw.iter().all(is_number) {
            Some(format!("raw values {raw:?}"))
        } else {
            self.reward.transform(raw).err().map(|error| error.to_string())
        };
        Ok(match wrong {
            Some(wrong) => Evaluated { outcome: Outcome::Failed(wrong), ..result },
            None => result,
        })
    }

    /// The objects that were measured since this was called last.
    pub fn take_measured(&self) -> Vec<ObjectKey> {
        mem::take(&mut lock(&self.inner).measured)
    }

    /// Whether somebody holds one of these objects or waits for it.
    pub fn concerns(&self, key: ObjectKey) -> bool {
        lock(&self.inner).desk.concerns(key)
    }

    /// The ledger has these values on disk.
    pub fn settle(&self, found: &[(ObjectKey, Arc<Finding>)]) {
        self.change(|inner, _| {
            let mut told = Vec::new();
            for (key, finding) in found {
                inner.recent.insert(*key, Arc::clone(finding));
                told.extend(inner.desk.settled(*key, finding));
            }
            told
        });
    }

    /// Results up to this message of a stream are on disk.
    pub fn ack(&self, stream: StreamKey, through: u64) {
        let inner = lock(&self.inner);
        if let Some((newest, outbox)) = inner.streams.get(&stream.actor)
            && *newest == stream
        {
            outbox.post(|news| news.acked = Some(through));
        }
    }

    /// Takes back leases that are over, until it is stopped.
    pub async fn watch(self: Arc<Self>, stop: CancellationToken) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = tick.tick() => self.change(|inner, now| inner.desk.tick(now)),
            }
        }
    }

    /// Changes the desk and tells whoever is to be told.
    fn change(&self, change: impl FnOnce(&mut Inner, Duration) -> Vec<Told>) {
        let mut inner = lock(&self.inner);
        let told = change(&mut inner, self.start.elapsed());
        for Told { actor, key, answer } in told {
            // Who is gone asks again.
            if let Some((_, outbox)) = inner.streams.get(&actor) {
                outbox.post(|news| news.answers.push((key, answer)));
            }
        }
    }
}
