//! Where rewards are shared, programs outside are asked only for what the learner says is this actor's
//! to measure: [`Claiming`] stands between the desk and another oracle.
//!
//! What somebody has measured is found at once; what somebody measures now is found when the learner
//! tells its value. What the other oracle finds is told to the learner before it is passed on.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, at, bounded, never, select};
use tributary_common::claims::Outcome;
use tributary_common::claims::asker::Evaluated;

use crate::error::ActorError;
use crate::oracle::{Failure, FailureKind, Finding, Measured, Oracle, Question};
use crate::progress::{Edge, Progress};
use crate::shared::{SharedRewards, Told};
use crate::workers::cause;

/// After so long an oracle that handed a question back is asked again; doubles, up to the longest.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];

/// What the desk hands over.
enum Order {
    Ask(Vec<Question>),
    Stop,
}

/// An oracle that asks the learner before another one.
pub(crate) struct Claiming {
    orders: Option<Sender<Order>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// What the thread works with.
struct Clerk<O> {
    shared: Arc<SharedRewards>,
    progress: Arc<Progress>,
    oracle: O,
    /// Of the desk.
    orders: Receiver<Order>,
    /// Of the learner.
    told: Receiver<(usize, Told)>,
    /// For the learner.
    tell: Sender<(usize, Told)>,
    /// Of the oracle.
    found: Receiver<Finding>,
    /// To the desk.
    findings: Sender<Finding>,
    /// Questions whose answer nobody knows, by their tickets.
    open: HashMap<u64, Open>,
    /// Those of them that the oracle was asked.
    begun: usize,
    /// Questions that the learner is not asked while the oracle does not work.
    held_back: VecDeque<u64>,
    broken: Option<Broken>,
    is_stopped: bool,
}

/// The oracle does not work: what the learner grants goes back to others.
struct Broken {
    /// When it is tried again.
    again: Instant,
    pause: Duration,
    /// The question by which it is tried now.
    trial: Option<u64>,
}

struct Open {
    question: Question,
    is_begun: bool,
}

impl Claiming {
    /// Stands before `oracle`, which finds into `found`; `room` questions may be open.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn start<O: Oracle + 'static>(
        shared: Arc<SharedRewards>,
        progress: Arc<Progress>,
        (oracle, found): (O, Receiver<Finding>),
        findings: Sender<Finding>,
        room: usize,
    ) -> Result<Self, ActorError> {
        // Each order has an open question, but for the last.
        let (orders, to_clerk) = bounded(room + 1);
        let (tell, told) = bounded(room);
        let clerk = Clerk {
            shared,
            progress,
            oracle,
            orders: to_clerk,
            told,
            tell,
            found,
            findings,
            open: HashMap::new(),
            begun: 0,
            held_back: VecDeque::new(),
            broken: None,
            is_stopped: false,
        };
        let system = |source| ActorError::System { action: "start the thread of claims", source };
        let body = move || clerk.run();
        let thread = thread::Builder::new().name("claims".to_owned()).spawn(body);
        Ok(Self { orders: Some(orders), thread: Some(thread.map_err(system)?) })
    }

    fn order(&self, order: Order) {
        if let Some(orders) = &self.orders {
            // A clerk that is gone has let go of the findings, which the desk sees.
            let _ = orders.send(order);
        }
    }
}

impl Oracle for Claiming {
    fn ask(&mut self, questions: Vec<Question>) {
        self.order(Order::Ask(questions));
    }

    fn stop(&mut self) {
        self.order(Order::Stop);
    }
}

impl Drop for Claiming {
    /// The other oracle ends with its clerk.
    fn drop(&mut self) {
        self.orders = None;
        if let Some(Err(panic)) = self.thread.take().map(thread::JoinHandle::join) {
            tracing::error!(cause = cause(&*panic), "the thread of claims panicked");
        }
    }
}

impl<O: Oracle> Clerk<O> {
    fn run(mut self) {
        loop {
            let waits = self.begun == 0 && !self.open.is_empty() && self.broken.is_none();
            let start = waits.then(Instant::now);
            let trial = match &self.broken {
                Some(broken) if broken.trial.is_none() => at(broken.again),
                _ => never(),
            };
            select! {
                recv(trial) -> _ => self.try_again(),
                recv(self.orders) -> order => match order {
                    Ok(Order::Ask(questions)) => self.ask(questions),
                    Ok(Order::Stop) => self.stop(),
                    Err(_) => return,
                },
                recv(self.told) -> told => if let Ok((ticket, told)) = told {
                    self.hear(ticket as u64, told);
                },
                recv(self.found) -> finding => match finding {
                    Ok(finding) => self.found(finding),
                    Err(_) => return,
                },
            }
            if let Some(start) = start {
                self.progress.waited(Edge::Ledger, start.elapsed());
            }
        }
    }

    fn ask(&mut self, questions: Vec<Question>) {
        if self.is_stopped {
            questions.into_iter().for_each(|one| self.find(one.ticket, Err(cancelled())));
            return;
        }
        let tickets: Vec<u64> = questions.iter().map(|one| one.ticket).collect();
        for question in questions {
            self.open.insert(question.ticket, Open { question, is_begun: false });
        }
        match self.broken {
            Some(_) => self.held_back.extend(tickets),
            None => self.want(&tickets),
        }
    }

    /// Asks the learner.
    fn want(&self, tickets: &[u64]) {
        let key = |ticket: &u64| Some((*ticket as usize, self.open.get(ticket)?.question.key));
        self.shared.want_keys(tickets.iter().filter_map(key).collect(), &self.tell);
    }

    /// The oracle handed a question back: somebody else may have it.
    fn hold_back(&mut self, ticket: u64) {
        let pause = match &self.broken {
            Some(broken) if broken.trial == Some(ticket) => (2 * broken.pause).min(PAUSES[1]),
            Some(broken) => broken.pause,
            None => PAUSES[0],
        };
        let trial = self.broken.as_ref().and_then(|broken| broken.trial);
        let trial = trial.filter(|trial| *trial != ticket);
        self.broken = Some(Broken { again: Instant::now() + pause, pause, trial });
        self.held_back.push_back(ticket);
    }

    /// One question shows whether the oracle works again.
    fn try_again(&mut self) {
        let next = self.held_back.pop_front();
        if let Some(broken) = &mut self.broken {
            broken.again = Instant::now() + broken.pause;
            broken.trial = next;
        }
        self.want(next.as_slice());
    }

    /// The oracle works, as far as anybody knows.
    fn mend(&mut self) {
        self.broken = None;
        let tickets: Vec<u64> = self.held_back.drain(..).collect();
        self.want(&tickets);
    }

    /// Nothing new is begun: what nobody here works on is not waited for.
    fn stop(&mut self) {
        self.is_stopped = true;
        let waiting = self.open.extract_if(|_, one| !one.is_begun).map(|(ticket, _)| ticket);
        let waiting: Vec<u64> = waiting.collect();
        waiting.into_iter().for_each(|ticket| self.find(ticket, Err(cancelled())));
        (self.held_back, self.broken) = (VecDeque::new(), None);
        self.oracle.stop();
    }

    /// The learner says what becomes of a question.
    fn hear(&mut self, ticket: u64, told: Told) {
        let Some(open) = self.open.get_mut(&ticket) else {
            return;
        };
        match told {
            Told::Measure => {
                open.is_begun = true;
                self.begun += 1;
                let question = open.question.clone();
                self.oracle.ask(vec![question]);
            }
            Told::Known(outcome) => {
                self.open.remove(&ticket);
                if let Some(broken) = &mut self.broken
                    && broken.trial == Some(ticket)
                {
                    // Somebody else has measured it: that says nothing of the oracle.
                    broken.trial = None;
                }
                let known = match outcome {
                    Outcome::Measured(raw) => {
                        self.progress.reused.fetch_add(1, Relaxed);
                        Ok(Measured { raw, seconds: 0.0 })
                    }
                    Outcome::Failed(why) => Err(Failure::new(FailureKind::Refused, why)),
                };
                self.find(ticket, known);
            }
        }
    }

    /// The oracle says what it found: the learner is told first.
    fn found(&mut self, finding: Finding) {
        let Some(Open { question, .. }) = self.open.remove(&finding.ticket) else { return };
        self.begun -= 1;
        let kind = finding.outcome.as_ref().err().map(|failure| failure.kind);
        let is_handed_back = kind == Some(FailureKind::Unavailable) && !self.is_stopped;
        if is_handed_back {
            let question = question.clone();
            self.open.insert(finding.ticket, Open { question, is_begun: false });
        }
        let (outcome, is_transient, seconds) = match &finding.outcome {
            Ok(measured) => (Outcome::Measured(measured.raw.clone()), false, measured.seconds),
            Err(failure) => {
                let is_transient = !failure.kind.is_of_the_object();
                (Outcome::Failed(failure.to_string()), is_transient, failure.seconds)
            }
        };
        let Question { key, object, policy, .. } = question;
        let (lease, policy) = (None, Some(policy));
        self.shared.done(Evaluated { key, object, outcome, is_transient, seconds, lease, policy });
        if is_handed_back {
            return self.hold_back(finding.ticket);
        }
        if self.broken.is_some() && kind != Some(FailureKind::Cancelled) {
            self.mend();
        }
        self.find(finding.ticket, finding.outcome);
    }

    fn find(&self, ticket: u64, outcome: Result<Measured, Failure>) {
        // It has room, unless the desk is gone.
        let _ = self.findings.try_send(Finding { ticket, outcome });
    }
}

fn cancelled() -> Failure {
    Failure::new(FailureKind::Cancelled, "the actor was told to stop")
}

#[cfg(test)]
mod tests;
