//! The questions that wait, and what becomes of requests. A state machine without a clock of its own;
//! [`Board`] lets the seats share it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use tokio::sync::Notify;
use tokio::time::sleep_until;
use tributary_common::reward::Averaging;
use tributary_common::reward::outside::Asking;

use super::health::{Gate, Health};
use super::reply::Reply;
use crate::oracle::{Failure, FailureKind, Finding, Measured, Question};
use crate::progress::Progress;

/// The longest pause before an object is tried again.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// A question on its way.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) question: Question,
    /// Requests for it alone that failed.
    attempts: u32,
    /// It was in a request of several that failed.
    is_alone: bool,
    /// Since when it waits.
    since: Instant,
    /// What it has cost.
    seconds: f32,
    /// The values of its measurements so far, where it is measured several times.
    measured: Vec<Vec<f64>>,
}

/// One program, or one service, and what is known of its health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Circuit(usize);

/// What a seat may do.
#[derive(Debug)]
pub(super) enum Next {
    Ask(Vec<Asked>),
    /// Look again at this time, or when something happens.
    Wait(Option<Instant>),
    /// Nothing will come any more.
    End,
}

struct State {
    asking: Asking,
    averaging: Option<Averaging>,
    ready: VecDeque<Asked>,
    /// To be tried again, not before a time.
    later: Vec<(Instant, Asked)>,
    /// Failed as often as they may. The next success of the same program shows that they were at
    /// fault; if its circuit opens instead, they were not. When there is nothing else to ask, it is
    /// enough that it has worked.
    suspects: Vec<(Circuit, Asked, Failure)>,
    circuits: Vec<(String, Health)>,
    /// Programs that are asked no more.
    left: Vec<Circuit>,
    /// Requests under way.
    under_way: usize,
    /// While no program works, what waits is handed back: others could measure it.
    hands_back: bool,
    is_stopped: bool,
    is_closed: bool,
}

/// Shared by all seats.
pub(super) struct Board {
    state: Mutex<State>,
    /// Seats that wait.
    free: AtomicUsize,
    changed: Notify,
    progress: Arc<Progress>,
    /// The first failure of a program says that it does not work.
    is_strict: bool,
    /// Has room for all open questions.
    findings: Sender<Finding>,
}

impl Board {
    pub(super) fn new(asking: Asking, progress: Arc<Progress>, findings: Sender<Finding>) -> Self {
        let state = State {
            asking,
            averaging: None,
            ready: VecDeque::new(),
            later: Vec::new(),
            suspects: Vec::new(),
            circuits: Vec::new(),
            left: Vec::new(),
            under_way: 0,
            hands_back: false,
            is_stopped: false,
            is_closed: false,
        };
        let (state, changed) = (Mutex::new(state), Notify::new());
        let free = AtomicUsize::new(0);
        Self { state, free, changed, progress, is_strict: false, findings }
    }

    /// For whoever wants to know what is wrong.
    pub(super) fn strict(self) -> Self {
        Self { is_strict: true, ..self }
    }

    /// With an object measured as often as this says.
    pub(super) fn averaging(self, averaging: Option<Averaging>) -> Self {
        self.state().averaging = averaging;
        self
    }

    /// While no program works, hands back what waits: others could measure it.
    pub(super) fn hand_back(&self) {
        self.state().hands_back = true;
    }

    /// What waits while no program works, but for one object if it is time to try again.
    fn return_what_waits(&self, state: &mut State) {
        let now = Instant::now();
        let Some(trial) = state.trial(now).filter(|_| state.hands_back) else { return };
        let kept = usize::from(trial <= now).min(state.ready.len());
        let State { ready, later, .. } = state;
        let all = ready.drain(kept..).chain(later.drain(..).map(|(_, asked)| asked));
        for asked in all {
            let why = "no program of this actor works now";
            let mut failure = Failure::new(FailureKind::Unavailable, why);
            failure.seconds = asked.seconds;
            self.tell(Finding { ticket: asked.question.ticket, outcome: Err(failure) });
        }
    }

    /// A program that serves so many requests at a time.
    pub(super) fn circuit(&self, name: String, at_a_time: usize) -> Circuit {
        let mut state = self.state();
        let health = if self.is_strict { Health::strict() } else { Health::new(at_a_time) };
        state.circuits.push((name, health));
        Circuit(state.circuits.len() - 1)
    }

    pub(super) fn ask(&self, questions: Vec<Question>) {
        let since = Instant::now();
        let asked = |question| {
            let (attempts, is_alone, seconds, measured) = Default::default();
            Asked { question, attempts, is_alone, since, seconds, measured }
        };
        let mut state = self.state();
        if state.is_stopped {
            let cancelled = questions.into_iter().map(asked).map(cancelled);
            cancelled.for_each(|finding| self.tell(finding));
            return;
        }
        state.ready.extend(questions.into_iter().map(asked));
        self.return_what_waits(&mut state);
        drop(state);
        self.changed.notify_waiters();
    }

    /// Begins nothing any more.
    pub(super) fn stop(&self) {
        let mut state = self.state();
        state.is_stopped = true;
        let State { ready, later, suspects, .. } = &mut *state;
        let later = later.drain(..).map(|(_, asked)| asked);
        let suspects = suspects.drain(..).map(|(_, asked, _)| asked);
        let all = ready.drain(..).chain(later).chain(suspects);
        all.map(cancelled).for_each(|finding| self.tell(finding));
        drop(state);
        self.changed.notify_waiters();
    }

    /// Whether nothing will be asked any more.
    pub(super) fn is_over(&self) -> bool {
        let state = self.state();
        state.is_closed || (state.is_stopped && state.ready.is_empty())
    }

    /// Waits until nothing will be asked any more.
    pub(super) async fn over(&self) {
        self.until(Self::is_over).await;
    }

    /// A program is asked no more: its suspects go to others.
    pub(super) fn leave(&self, circuit: Circuit) {
        let mut state = self.state();
        if state.circuits[circuit.0].1.is_broken() {
            self.progress.set_reward_trouble(None);
        }
        state.acquit(circuit);
        state.left.push(circuit);
        self.return_what_waits(&mut state);
        drop(state);
        self.changed.notify_waiters();
    }

    /// Nobody wants answers any more.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
        self.changed.notify_waiters();
    }

    /// Waits until nobody wants answers any more.
    pub(super) async fn closed(&self) {
        self.until(|board| board.state().is_closed).await;
    }

    async fn until(&self, is_so: impl Fn(&Self) -> bool) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if is_so(self) {
                return;
            }
            changed.await;
        }
    }

    /// What a free seat of this program is to ask for; `None` when nothing will come any more.
    pub(super) async fn next(&self, circuit: Circuit) -> Option<Vec<Asked>> {
        self.free.fetch_add(1, Relaxed);
        let _free = Free(&self.free);
        self.wait(circuit).await
    }

    async fn wait(&self, circuit: Circuit) -> Option<Vec<Asked>> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let next = self.look(circuit);
            match next {
                Next::Ask(batch) => return Some(batch),
                Next::End => return None,
                Next::Wait(None) => changed.await,
                Next::Wait(Some(until)) => tokio::select! {
                    () = changed => {}
                    () = sleep_until(until.into()) => {}
                },
            }
        }
    }

    fn look(&self, circuit: Circuit) -> Next {
        let mut state = self.state();
        if state.is_starved() {
            let suspects = state.suspects_of(circuit).into_iter();
            if state.circuits[circuit.0].1.has_worked() {
                suspects.for_each(|(asked, failure)| self.fail(asked, failure));
            } else {
                state.ready.extend(suspects.map(|(asked, _)| Asked { attempts: 0, ..asked }));
            }
        }
        state.next(circuit, Instant::now(), self.free.load(Relaxed))
    }

    /// A request was answered, with a reply for each of its objects.
    pub(super) fn answered(
        &self,
        circuit: Circuit,
        batch: Vec<Asked>,
        replies: Vec<Reply>,
        took: Duration,
    ) {
        let each = took.as_secs_f32() / batch.len().max(1) as f32;
        let is_finite = |raw: &Vec<f64>| raw.iter().all(|value| value.is_finite());
        let measured = replies.iter().filter(|reply| reply.as_ref().is_ok_and(is_finite)).count();
        self.progress.measured(measured, took);
        let mut state = self.state();
        state.under_way -= 1;
        for (mut asked, reply) in batch.into_iter().zip(replies) {
            asked.seconds += each;
            match reply {
                Ok(raw) if is_finite(&raw) => {
                    if let Some(finding) = state.measured(asked, raw) {
                        self.tell(finding);
                    }
                }
                Ok(raw) => {
                    let failure = Failure::new(FailureKind::NotFinite, format!("it said {raw:?}"));
                    self.fail(asked, failure);
                }
                Err(refusal) => {
                    let failure = Failure::new(FailureKind::Refused, refusal.reason);
                    if refusal.is_transient && asked.attempts < state.asking.retries {
                        self.progress.reward_failed(FailureKind::Refused);
                        state.again(asked, Instant::now());
                    } else {
                        self.fail(asked, failure);
                    }
                }
            }
        }
        if state.circuits[circuit.0].1.succeeded() {
            let name = &state.circuits[circuit.0].0;
            tracing::info!("{name} answers again");
            self.progress.set_reward_trouble(None);
        }
        let convicted = state.suspects_of(circuit);
        convicted.into_iter().for_each(|(asked, failure)| self.fail(asked, failure));
        drop(state);
        self.changed.notify_waiters();
    }

    /// A request was not answered.
    pub(super) fn failed(
        &self,
        circuit: Circuit,
        batch: Vec<Asked>,
        failure: &Failure,
        took: Duration,
    ) {
        self.progress.reward_failed(failure.kind);
        let (now, each) = (Instant::now(), took.as_secs_f32() / batch.len().max(1) as f32);
        let mut state = self.state();
        state.under_way -= 1;
        let opened = state.circuits[circuit.0].1.failed(now);
        let is_broken = state.circuits[circuit.0].1.is_broken();
        let (is_only, is_theirs) = (batch.len() == 1, failure.kind.is_of_the_object());
        for mut asked in batch {
            asked.seconds += each;
            if state.is_stopped {
                self.tell(cancelled(asked));
            } else if is_broken || !is_theirs {
                state.ready.push_back(asked);
            } else if !is_only {
                asked.is_alone = true;
                state.ready.push_back(asked);
            } else if asked.attempts < state.asking.retries {
                state.again(asked, now);
            } else {
                state.suspects.push((circuit, asked, failure.clone()));
            }
        }
        if opened {
            state.acquit(circuit);
            let name = &state.circuits[circuit.0].0;
            tracing::error!(%failure, "{name} does not work; it is tried again now and then");
            self.progress.set_reward_trouble(Some(format!("{name} does not work: {failure}")));
        }
        self.return_what_waits(&mut state);
        drop(state);
        self.changed.notify_waiters();
    }

    /// There is no value for this object, and trying again is in vain.
    fn fail(&self, asked: Asked, failure: Failure) {
        self.progress.reward_failed(failure.kind);
        let mut failure = Failure { seconds: asked.seconds, ..failure };
        if !asked.measured.is_empty() {
            let reason = std::mem::take(&mut failure.reason);
            failure.reason = format!("at repeat {}: {reason}", asked.measured.len() + 1);
        }
        self.tell(Finding { ticket: asked.question.ticket, outcome: Err(failure) });
    }

    fn tell(&self, finding: Finding) {
        // Whoever asked may be gone.
        let _ = self.findings.try_send(finding);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn next(&mut self, circuit: Circuit, now: Instant, free: usize) -> Next {
        if self.is_closed {
            return Next::End;
        }
        let (due, later) = self.later.drain(..).partition(|(time, _)| *time <= now);
        self.later = later;
        let due: Vec<(Instant, Asked)> = due;
        self.ready.extend(due.into_iter().map(|(_, asked)| asked));
        let Some(first) = self.ready.front() else {
            let next = self.later.iter().map(|(time, _)| *time).min();
            return if self.is_stopped { Next::End } else { Next::Wait(next) };
        };
        let shared = self.ready.iter().take_while(|asked| !asked.is_alone);
        let mut count = shared.take(self.asking.max_batch).count();
        let complete_at = first.since + self.asking.max_wait;
        if first.is_alone {
            count = 1;
        } else if count < self.asking.max_batch && complete_at > now && first.attempts == 0 {
            return Next::Wait(Some(complete_at));
        } else if self.asking.max_wait.is_zero() {
            // Nobody is to have nothing to do while another has much.
            count = count.min(self.ready.len().div_ceil(free.max(1)));
        }
        match self.circuits[circuit.0].1.gate(now) {
            Gate::Open => {}
            Gate::Trial => count = 1,
            Gate::Closed(until) => return Next::Wait(until),
        }
        self.under_way += 1;
        Next::Ask(self.ready.drain(..count).collect())
    }

    /// An object has values: what is found, unless it is to be measured again.
    fn measured(&mut self, mut asked: Asked, raw: Vec<f64>) -> Option<Finding> {
        let raw = match &self.averaging {
            None => raw,
            Some(averaging) => {
                asked.measured.push(raw);
                if asked.measured.len() < averaging.repeats() as usize {
                    if self.is_stopped {
                        return Some(cancelled(asked));
                    }
                    asked.attempts = 0;
                    self.ready.push_back(asked);
                    return None;
                }
                averaging.combine(&asked.measured)
            }
        };
        let measured = Measured { raw, seconds: asked.seconds };
        Some(Finding { ticket: asked.question.ticket, outcome: Ok(measured) })
    }

    /// When the first program may be tried again, while none works.
    fn trial(&self, now: Instant) -> Option<Instant> {
        let here = self.circuits.iter().enumerate();
        let here = here.filter(|(place, _)| !self.left.contains(&Circuit(*place)));
        let trials: Option<Vec<Instant>> = here.map(|(_, (_, health))| health.trial(now)).collect();
        trials?.into_iter().min()
    }

    /// Whether there is nothing to ask but suspects, and nobody is asked.
    fn is_starved(&self) -> bool {
        let nothing_waits = self.ready.is_empty() && self.later.is_empty();
        nothing_waits && self.under_way == 0 && !self.suspects.is_empty()
    }

    /// Takes those whom this program's next success, or the opening of its circuit, judges.
    fn suspects_of(&mut self, circuit: Circuit) -> Vec<(Asked, Failure)> {
        let is_of = |suspect: &mut (Circuit, Asked, Failure)| suspect.0 == circuit;
        let found = self.suspects.extract_if(.., is_of);
        found.map(|(_, asked, failure)| (asked, failure)).collect()
    }

    /// Its failures say nothing of objects.
    fn acquit(&mut self, circuit: Circuit) {
        let acquitted = self.suspects_of(circuit).into_iter();
        self.ready.extend(acquitted.map(|(asked, _)| Asked { attempts: 0, ..asked }));
    }

    /// Tries a request for one object again after a pause.
    fn again(&mut self, mut asked: Asked, now: Instant) {
        let pause = self.asking.retry_wait.saturating_mul(1 << asked.attempts.min(16));
        asked.attempts += 1;
        asked.is_alone = true;
        self.later.push((now + pause.min(LONGEST_PAUSE), asked));
    }
}

/// A seat that waits.
struct Free<'a>(&'a AtomicUsize);

impl Drop for Free<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

fn cancelled(asked: Asked) -> Finding {
    let mut failure = Failure::new(FailureKind::Cancelled, "the actor was told to stop");
    failure.seconds = asked.seconds;
    Finding { ticket: asked.question.ticket, outcome: Err(failure) }
}
