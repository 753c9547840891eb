//! The actor's side of claims: what it wants to know, what it measures, and what it has to tell,
//! over all its streams to the learner.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use super::{Answer, LeaseId, Outcome};
use crate::ids::PolicyVersion;
use crate::object::Object;
use crate::reward::ObjectKey;

/// A finished evaluation, as the learner is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluated {
    /// Of which object.
    pub key: ObjectKey,
    /// The object.
    pub object: Object,
    /// What came of it.
    pub outcome: Outcome,
    /// Another try may do better: nothing is recorded, the lease is given back.
    pub is_transient: bool,
    /// What it took.
    pub seconds: f32,
    /// The lease it was done under.
    pub lease: Option<LeaseId>,
    /// The weights that drew the object.
    pub policy: Option<PolicyVersion>,
}

impl Evaluated {
    /// About what it takes in a message.
    pub fn bytes(&self) -> usize {
        let object = match &self.object {
            Object::Text(text) => text.len(),
            Object::Integers(values) => 12 * values.len(),
            Object::Words(words) => words.iter().map(|word| word.len() + 3).sum(),
        };
        let outcome = match &self.outcome {
            Outcome::Measured(raw) => 8 * raw.len(),
            Outcome::Failed(why) => why.len(),
        };
        128 + object + outcome
    }
}

/// What somebody who wants an object's value is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// It is known; nothing is to be paid.
    Known(Outcome),
    /// Measure it, and say what came of it.
    Measure,
}

/// What goes up next.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// Objects to ask for.
    Claims(Vec<ObjectKey>),
    /// Leases that are still worked under.
    Renewals(Vec<LeaseId>),
    /// Evaluations, with the message's number in this stream.
    Results(u64, Vec<Evaluated>),
}

#[derive(Debug, PartialEq)]
enum Stage {
    /// To be asked for.
    New,
    /// Asked for in this stream.
    Asked,
    /// To be asked for again, not before.
    Later(Duration),
    /// Somebody here measures it.
    Held { lease: LeaseId, renew: Duration, lasts: Duration },
}

#[derive(Debug)]
struct Wanted<W> {
    stage: Stage,
    waiting: VecDeque<W>,
}

/// Everything that an actor asks and tells. `W` says who wants to know.
#[derive(Debug)]
pub struct Asker<W> {
    wanted: HashMap<ObjectKey, Wanted<W>>,
    /// Keys in the stage `New`, in order.
    questions: VecDeque<ObjectKey>,
    /// Finished and not sent in this stream.
    results: VecDeque<Evaluated>,
    /// Sent in this stream and not acked, by the message's number.
    sent: BTreeMap<u64, Vec<Evaluated>>,
    number: u64,
    /// Something in `wanted` has become due.
    is_due: bool,
    most_keys: usize,
    most_bytes: usize,
}

impl<W> Asker<W> {
    /// With so many keys, or bytes of results, in one message.
    pub fn new(most_keys: usize, most_bytes: usize) -> Self {
        Self {
            wanted: HashMap::new(),
            questions: VecDeque::new(),
            results: VecDeque::new(),
            sent: BTreeMap::new(),
            number: 0,
            is_due: false,
            most_keys,
            most_bytes,
        }
    }

    /// Somebody wants to know an object's value.
    pub fn want(&mut self, key: ObjectKey, who: W) {
        let Self { wanted, questions, .. } = self;
        let wanted = wanted.entry(key).or_insert_with(|| {
            questions.push_back(key);
            Wanted { stage: Stage::New, waiting: VecDeque::new() }
        });
        wanted.waiting.push_back(who);
    }

    /// The learner answers.
    pub fn answered(&mut self, key: ObjectKey, answer: Answer, now: Duration) -> Vec<(W, Told)> {
        let Some(wanted) = self.wanted.get_mut(&key) else { return Vec::new() };
        match (&mut wanted.stage, answer) {
            // It is being measured here: that value comes soon enough.
            (Stage::Held { .. }, Answer::Known(_) | Answer::Busy { .. }) => Vec::new(),
            (Stage::Held { lease, renew, lasts }, Answer::Granted { lease: new, lasts: long }) => {
                (*lease, *renew, *lasts) = (new, now + long / 2, long);
                Vec::new()
            }
            (_, Answer::Known(finding)) => self.tell_all(key, &finding.outcome),
            (stage, Answer::Granted { lease, lasts }) => {
                *stage = Stage::Held { lease, renew: now + lasts / 2, lasts };
                let first = wanted.waiting.pop_front();
                first.into_iter().map(|who| (who, Told::Measure)).collect()
            }
            (stage, Answer::Busy { again: Some(again), .. }) => {
                *stage = Stage::Later(now + again);
                Vec::new()
            }
            (_, Answer::Busy { again: None, .. }) => Vec::new(),
        }
    }

    /// Whoever was told to measure an object has done so, or cannot: the others who wait here are
    /// told, or the next of them if another try is worth while.
    pub fn done(&mut self, evaluated: Evaluated) -> Vec<(W, Told)> {
        let key = evaluated.key;
        let lease = self.wanted.get(&key).and_then(|wanted| match wanted.stage {
            Stage::Held { lease, .. } => Some(lease),
            _ => None,
        });
        let told = match evaluated.is_transient {
            false => self.tell_all(key, &evaluated.outcome),
            true => {
                self.ask_again(key);
                Vec::new()
            }
        };
        self.results.push_back(Evaluated { lease, ..evaluated });
        told
    }

    fn ask_again(&mut self, key: ObjectKey) {
        match self.wanted.get_mut(&key) {
            Some(wanted) if wanted.waiting.is_empty() => drop(self.wanted.remove(&key)),
            Some(wanted) => {
                wanted.stage = Stage::New;
                self.questions.push_back(key);
            }
            None => {}
        }
    }

    fn tell_all(&mut self, key: ObjectKey, outcome: &Outcome) -> Vec<(W, Told)> {
        let wanted = self.wanted.remove(&key);
        let waiting = wanted.map(|wanted| wanted.waiting).unwrap_or_default();
        waiting.into_iter().map(|who| (who, Told::Known(outcome.clone()))).collect()
    }

    /// The next message, if there is something to say: what was measured first.
    pub fn next(&mut self, now: Duration) -> Option<Message> {
        if !self.results.is_empty() {
            let mut bytes = 0;
            let fits = |result: &&Evaluated| {
                bytes += result.bytes();
                bytes <= self.most_bytes
            };
            let count = self.results.iter().take(self.most_keys).take_while(fits).count();
            let results: Vec<Evaluated> = self.results.drain(..count.max(1)).collect();
            self.number += 1;
            self.sent.insert(self.number, results.clone());
            return Some(Message::Results(self.number, results));
        }
        let mut renewals = Vec::new();
        for (key, wanted) in &mut self.wanted {
            match &mut wanted.stage {
                Stage::Held { lease, renew, lasts } if *renew <= now => {
                    *renew = now + *lasts / 2;
                    renewals.push(*lease);
                }
                Stage::Later(when) if *when <= now => {
                    wanted.stage = Stage::New;
                    self.questions.push_back(*key);
                }
                _ => {}
            }
            if renewals.len() == self.most_keys {
                break;
            }
        }
        self.is_due = renewals.len() == self.most_keys;
        if !renewals.is_empty() {
            return Some(Message::Renewals(renewals));
        }
        let mut keys = Vec::new();
        while keys.len() < self.most_keys
            && let Some(key) = self.questions.pop_front()
        {
            if let Some(wanted) = self.wanted.get_mut(&key)
                && wanted.stage == Stage::New
            {
                wanted.stage = Stage::Asked;
                keys.push(key);
            }
        }
        (!keys.is_empty()).then_some(Message::Claims(keys))
    }

    /// Whether [`next`](Self::next) may have something to say.
    pub fn has_news(&self) -> bool {
        self.is_due || !self.results.is_empty() || !self.questions.is_empty()
    }

    /// Time has passed: leases may be to be renewed.
    pub fn remind(&mut self, now: Duration) {
        self.is_due |= self.next_deadline().is_some_and(|deadline| deadline <= now);
    }

    /// When [`next`](Self::next) has something to say without anything new.
    pub fn next_deadline(&self) -> Option<Duration> {
        let of = |wanted: &Wanted<W>| match wanted.stage {
            Stage::Held { renew, .. } => Some(renew),
            Stage::Later(when) => Some(when),
            Stage::New | Stage::Asked => None,
        };
        self.wanted.values().filter_map(of).min()
    }

    /// Results up to this message are on disk.
    pub fn acked(&mut self, through: u64) {
        self.sent = self.sent.split_off(&through.saturating_add(1));
    }

    /// The stream is gone: in the next one everything is asked and told again, and leases are
    /// renewed at once.
    pub fn disconnected(&mut self) {
        let unacked = std::mem::take(&mut self.sent).into_values().flatten();
        let unsent = std::mem::take(&mut self.results);
        self.results = unacked.chain(unsent).collect();
        self.number = 0;
        self.is_due = true;
        for (key, wanted) in &mut self.wanted {
            match &mut wanted.stage {
                Stage::Asked | Stage::Later(_) => {
                    wanted.stage = Stage::New;
                    self.questions.push_back(*key);
                }
                Stage::Held { renew, .. } => *renew = Duration::ZERO,
                Stage::New => {}
            }
        }
    }

    /// What is being measured here, for a Hello.
    pub fn running(&self) -> Vec<(ObjectKey, LeaseId)> {
        let of = |(key, wanted): (&ObjectKey, &Wanted<W>)| match wanted.stage {
            Stage::Held { lease, .. } => Some((*key, lease)),
            _ => None,
        };
        let mut running: Vec<_> = self.wanted.iter().filter_map(of).collect();
        running.sort_unstable();
        running
    }

    /// Evaluations that the learner has not acked.
    pub fn unacked(&self) -> usize {
        self.results.len() + self.sent.values().map(Vec::len).sum::<usize>()
    }

    /// Nobody here wants to know anything any more: whoever waits is let go of.
    pub fn give_up(&mut self) -> Vec<W> {
        self.questions.clear();
        let gone = std::mem::take(&mut self.wanted).into_values();
        gone.flat_map(|wanted| wanted.waiting).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use super::super::Finding;
    use super::*;
    use crate::ids::ActorId;

    fn key(n: u8) -> ObjectKey {
        ObjectKey([n; 32])
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn granted(lease: u64) -> Answer {
        Answer::Granted { lease: LeaseId(lease), lasts: at(60) }
    }

    fn known(value: f64) -> Answer {
        let outcome = Outcome::Measured(vec![value]);
        Answer::Known(Arc::new(Finding { outcome, seconds: 1.0, actor: ActorId(9) }))
    }

    fn evaluated(n: u8, value: f64) -> Evaluated {
        Evaluated {
            key: key(n),
            object: Object::Integers(vec![i64::from(n)]),
            outcome: Outcome::Measured(vec![value]),
            is_transient: false,
            seconds: 1.0,
            lease: None,
            policy: None,
        }
    }

    #[test]
    fn one_of_those_who_want_an_object_measures_it_and_the_others_get_its_value() {
        let mut asker = Asker::new(10, 1_000);
        asker.want(key(1), "a");
        asker.want(key(2), "b");
        asker.want(key(1), "c");
        assert_eq!(asker.next(at(0)), Some(Message::Claims(vec![key(1), key(2)])));
        assert_eq!(asker.next(at(0)), None);
        assert_eq!(asker.answered(key(1), granted(5), at(0)), [("a", Told::Measure)]);
        let told = Told::Known(Outcome::Measured(vec![0.5]));
        assert_eq!(asker.answered(key(2), known(0.5), at(0)), [("b", told)]);
        let told = Told::Known(Outcome::Measured(vec![7.0]));
        assert_eq!(asker.done(evaluated(1, 7.0)), [("c", told)]);
        let lease = Some(LeaseId(5));
        let result = Evaluated { lease, ..evaluated(1, 7.0) };
        assert_eq!(asker.next(at(0)), Some(Message::Results(1, vec![result])));
        assert_eq!(asker.unacked(), 1);
        asker.acked(1);
        assert_eq!((asker.unacked(), asker.running().len()), (0, 0));
    }

    #[test]
    fn after_a_lost_stream_everything_is_said_again_and_leases_are_renewed() {
        let mut asker = Asker::new(10, 100);
        for n in 1..=4 {
            asker.want(key(n), n);
        }
        asker.next(at(0)).unwrap();
        asker.answered(key(1), granted(5), at(0));
        asker.answered(key(2), granted(6), at(0));
        asker.answered(key(3), granted(7), at(0));
        asker.done(evaluated(2, 1.0));
        asker.done(evaluated(3, 1.0));
        assert!(matches!(asker.next(at(1)), Some(Message::Results(1, _))));
        asker.disconnected();
        assert_eq!(asker.running(), [(key(1), LeaseId(5))]);
        for number in 1..=2 {
            assert!(matches!(asker.next(at(2)), Some(Message::Results(n, _)) if n == number));
        }
        assert_eq!(asker.next(at(2)), Some(Message::Renewals(vec![LeaseId(5)])));
        assert_eq!(asker.next(at(2)), Some(Message::Claims(vec![key(4)])));
        assert_eq!((asker.next(at(2)), asker.next_deadline()), (None, Some(at(32))));
        assert_eq!(asker.next(at(32)), Some(Message::Renewals(vec![LeaseId(5)])));
        asker.acked(2);
        assert_eq!(asker.unacked(), 0);
    }

    #[test]
    fn what_failed_for_now_is_asked_for_again_while_somebody_wants_it() {
        let mut asker = Asker::new(10, 1_000);
        asker.want(key(1), "a");
        asker.want(key(1), "b");
        asker.next(at(0)).unwrap();
        asker.answered(key(1), granted(5), at(0));
        let failed = Evaluated { is_transient: true, ..evaluated(1, 0.0) };
        assert_eq!(asker.done(failed.clone()), []);
        assert!(matches!(asker.next(at(0)), Some(Message::Results(1, _))));
        assert_eq!(asker.next(at(0)), Some(Message::Claims(vec![key(1)])));
        let later = Answer::Busy { by: None, again: Some(at(5)) };
        assert_eq!(asker.answered(key(1), later, at(1)), []);
        assert_eq!((asker.next(at(5)), asker.next_deadline()), (None, Some(at(6))));
        assert_eq!(asker.next(at(6)), Some(Message::Claims(vec![key(1)])));
        assert_eq!(asker.answered(key(1), granted(6), at(6)), [("b", Told::Measure)]);
        asker.done(failed);
        assert!(asker.running().is_empty());
        asker.want(key(2), "c");
        assert_eq!(asker.give_up(), ["c"]);
    }
}
