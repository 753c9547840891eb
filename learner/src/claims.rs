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

use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tributary_common::claims::asker::Evaluated;
use tributary_common::claims::desk::{Budget, Desk, DeskConfig, Look, Spent};
use tributary_common::claims::{Answer, Finding, LeaseId, Outcome, Told};
use tributary_common::ids::{ActorId, Incarnation};
use tributary_common::ledger::{LedgerError, LedgerReader};
use tributary_common::object::Object;
use tributary_common::reward::{KeyMaker, ObjectKey, Reward};
use tributary_common::run_file::{self, RunFile};
use tributary_proto::limits;

use crate::figures::Board;
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

/// What evaluations have brought and cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spending {
    /// What was spent.
    pub spent: Spent,
    /// Whether the run file states what an evaluation costs; else it is its seconds.
    pub is_stated: bool,
    /// Values that somebody got and did not pay for.
    pub saved: u64,
    /// Evaluations under way.
    pub under_way: u64,
}

#[derive(Debug)]
struct Inner {
    desk: Desk,
    streams: BTreeMap<ActorId, (StreamKey, Arc<ClaimOutbox>)>,
    opened: u64,
    recent: Recent,
    /// Objects that were measured since this was asked last.
    measured: Vec<ObjectKey>,
    counts: ClaimCounts,
}

/// What was answered to actors that asked before they measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ClaimCounts {
    /// Values that the ledger had, or that came while they were waited for: not paid for again.
    pub hits: u64,
    /// Objects that somebody was let measure.
    pub grants: u64,
}

/// Shared by the services and the ledger's thread.
pub struct Claims {
    inner: Mutex<Inner>,
    reader: Mutex<LedgerReader>,
    keys: KeyMaker,
    reward: Arc<dyn Reward>,
    /// What an evaluation costs, how much is measured again.
    rules: run_file::Reward,
    /// Says who is refused.
    board: Arc<Board>,
    start: Instant,
}

/// What claims start with.
pub struct ClaimsStart<'a> {
    /// The learner's.
    pub incarnation: Incarnation,
    /// Budget and costs.
    pub run_file: &'a RunFile,
    /// What measures.
    pub reward: Arc<dyn Reward>,
    /// A window to the ledger.
    pub reader: LedgerReader,
    /// Evaluations that it has, and their seconds.
    pub spent: (u64, f64),
    /// Nothing is granted until these actors are back, for a while.
    pub missing: BTreeSet<ActorId>,
    /// Says who is refused.
    pub board: Arc<Board>,
}

impl Claims {
    /// Nobody has asked yet.
    pub fn new(start: ClaimsStart<'_>) -> Self {
        let ClaimsStart { incarnation, run_file, reward, reader, spent, missing, board } = start;
        let rules = run_file.reward.clone();
        let config = DeskConfig {
            incarnation,
            lease: limits::LEASE,
            grace: limits::LEASE_GRACE,
            again: limits::CLAIM_AGAIN,
            most_of_an_actor: limits::RUNNING_CLAIMS,
        };
        let budget = Budget {
            evaluations: run_file.most_evaluations(),
            cost: run_file.learner.max_cost.filter(|_| rules.cost.is_none()),
            repeats: rules.measurements(),
        };
        let desk = Desk::new(config)
            .recovering(missing, limits::CLAIMS_RECOVERY)
            .with_budget(budget, of(spent, &rules));
        let (streams, opened, recent, measured, counts) = Default::default();
        Self {
            inner: Mutex::new(Inner { desk, streams, opened, recent, measured, counts }),
            reader: Mutex::new(reader),
            keys: KeyMaker::new(Arc::clone(&reward)),
            reward,
            rules,
            board,
            start: Instant::now(),
        }
    }

    /// What was spent, and on what.
    pub fn spending(&self) -> Spending {
        let inner = lock(&self.inner);
        Spending {
            spent: inner.desk.spent(),
            is_stated: self.rules.cost.is_some(),
            saved: inner.counts.hits,
            under_way: inner.desk.leases() as u64,
        }
    }

    /// What had been spent when the last of these objects was measured; none if it was nothing.
    ///
    /// # Errors
    /// The disk's.
    pub fn spent_until(&self, objects: &[Object]) -> Result<Option<Spent>, LedgerError> {
        let keys: Vec<ObjectKey> = objects.iter().map(|object| self.keys.key(object)).collect();
        let spent = lock(&self.reader).spent_until(&keys)?;
        Ok(Some(of(spent, &self.rules)).filter(|spent| spent.evaluations > 0))
    }

    /// Whether the budget is spent and nothing is under way any more.
    pub fn is_exhausted(&self) -> bool {
        lock(&self.inner).desk.is_exhausted()
    }

    /// An actor says hello, with what it still measures.
    pub fn arrive(&self, actor: ActorId, running: &[(ObjectKey, LeaseId)]) {
        // Nobody waits for an audit that its stream's end interrupts.
        let running = running.iter().filter(|(_, lease)| !lease.is_audit());
        let running: Vec<_> = running.copied().collect();
        self.change(|inner, now| inner.desk.arrive(actor, &running, now));
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

    /// An actor was quarantined: others may have what it held, and it gets nothing.
    pub fn expel(&self, actor: ActorId) {
        self.change(|inner, now| {
            // On its next stream it asks for everything again, and is put off.
            if let Some((_, outbox)) = inner.streams.remove(&actor) {
                outbox.post(|news| news.is_over = true);
            }
            inner.desk.leave(actor, now)
        });
    }

    /// Values that are remembered may be void.
    pub fn forget_values(&self) {
        lock(&self.inner).recent = Recent::default();
    }

    /// An actor asks. Returns what must be looked up; the rest is answered.
    pub fn ask(&self, actor: ActorId, keys: &[ObjectKey]) -> Vec<Look> {
        let mut looks = Vec::new();
        if self.board.refuses(actor) {
            let later = || Answer::Busy { by: None, again: Some(limits::CLAIM_AGAIN) };
            let told = |key: &ObjectKey| Told { actor, key: *key, answer: later() };
            self.change(|_, _| keys.iter().map(told).collect());
            return looks;
        }
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
        if self.board.refuses(actor) {
            self.change(|inner, now| {
                let keys = results.iter().map(|result| result.key);
                keys.flat_map(|key| inner.desk.give_back(actor, key, now)).collect()
            });
            return Ok(Vec::new());
        }
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

    /// What was answered, in this life of the learner.
    pub fn counts(&self) -> ClaimCounts {
        lock(&self.inner).counts
    }

    /// Whether somebody holds one of these objects or waits for it.
    pub fn concerns(&self, key: ObjectKey) -> bool {
        lock(&self.inner).desk.concerns(key)
    }

    /// The ledger has these values on disk, and so many evaluations and seconds in all.
    pub fn settle(&self, found: &[(ObjectKey, Arc<Finding>)], spent: (u64, f64)) {
        self.change(|inner, _| {
            inner.desk.spend(of(spent, &self.rules));
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

    /// Whether an actor is to measure what another one has. The same for an actor and an object however
    /// often it asks.
    fn is_audited(&self, actor: ActorId, key: ObjectKey, finding: &Finding) -> bool {
        let is_from_a_file = finding.actor == ActorId::default();
        if finding.actor == actor || is_from_a_file || self.board.refuses(actor) {
            return false;
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(&key.0).update(&actor.0.to_le_bytes());
        let mut number = [0; 8];
        number.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        // 2^64 numbers, all as likely as another.
        let place = u64::from_le_bytes(number) as f64 / 2f64.powi(64);
        place < self.rules.audited(finding.seconds)
    }

    /// Changes the desk and tells whoever is to be told.
    fn change(&self, change: impl FnOnce(&mut Inner, Duration) -> Vec<Told>) {
        let mut inner = lock(&self.inner);
        let told = change(&mut inner, self.start.elapsed());
        for Told { actor, key, answer } in told {
            let answer = match answer {
                Answer::Known(finding) if self.is_audited(actor, key, &finding) => {
                    inner.desk.audit().unwrap_or(Answer::Known(finding))
                }
                answer => answer,
            };
            match answer {
                Answer::Known(_) => inner.counts.hits += 1,
                Answer::Granted { .. } => inner.counts.grants += 1,
                _ => {}
            }
            // Who is gone asks again.
            if let Some((_, outbox)) = inner.streams.get(&actor) {
                outbox.post(|news| news.answers.push((key, answer)));
            }
        }
    }
}

/// With what evaluations cost.
fn of((objects, seconds): (u64, f64), rules: &run_file::Reward) -> Spent {
    let evaluations = objects * rules.measurements();
    let stated = rules.cost;
    let cost = stated.map_or(seconds, |cost| cost * evaluations as f64);
    Spent { evaluations, seconds, cost }
}
