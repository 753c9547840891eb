//! One rollout thread: draws batches of trajectories, forward, backward from known objects, and by
//! local search, and hands them to scoring. In a lockstep run it draws what work orders ask for.

mod lockstep;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crossbeam_channel::{RecvTimeoutError, SendTimeoutError, Sender, bounded};
use tokio_util::sync::CancellationToken;
use tributary_common::network::cpu::Snapshot;
use tributary_common::random::{Purpose, Stream};
use tributary_common::reward::table::file::objects::Listed;
use tributary_common::rollout::{
    BackwardPath, BackwardRollouts, Exploration, LocalSearch, Rollouts, Trajectory,
};
use tributary_common::trajectory::TrajectoryKind;

use crate::error::ActorError;
use crate::known::KnownObjects;
use crate::newest::Newest;
use crate::pipeline::{LOOK, Order};
use crate::progress::{Edge, Progress};
use crate::scoring::{Answer, Candidate, Drawn};
use crate::search::Search;

/// Batches in local search by each thread: one is measured while the other is drawn.
const SEARCHES: usize = 2;
/// The share of a batch that initial objects take until each was started from.
const INITIAL_SHARE: f64 = 0.5;
/// Weight of the uniform distribution in the draws of ways back, so that P_B keeps being trained on
/// all of them.
const UNIFORM: f64 = 0.1;

/// One rollout thread.
pub(crate) struct Drawing {
    order: Order,
    newest: Arc<Newest>,
    progress: Arc<Progress>,
    known: Arc<KnownObjects>,
    stop: CancellationToken,
    /// The index of the next trajectory: threads of an actor do not share numbers.
    next: u64,
    rollouts: Rollouts,
    backward: BackwardRollouts,
    local_search: LocalSearch,
    searches: VecDeque<Search>,
}

impl Drawing {
    /// The thread with this number.
    pub(crate) fn new(
        thread: usize,
        order: &Order,
        newest: &Arc<Newest>,
        progress: &Arc<Progress>,
        known: &Arc<KnownObjects>,
        stop: &CancellationToken,
    ) -> Self {
        let environment = &order.environment;
        Self {
            newest: newest.clone(),
            progress: progress.clone(),
            known: known.clone(),
            stop: stop.clone(),
            next: (thread as u64) << 40,
            rollouts: Rollouts::new(environment.clone()),
            backward: BackwardRollouts::new(environment.clone()),
            local_search: LocalSearch::new(environment, &order.exploration.local_search),
            searches: VecDeque::new(),
            order: order.clone(),
        }
    }

    /// Draws until it is told to stop or nobody takes any more.
    ///
    /// # Errors
    /// The environment breaks its laws.
    pub(crate) fn run(mut self, drawn: &Sender<Drawn>) -> Result<(), ActorError> {
        if let Some(orders) = self.order.orders.clone() {
            return self.follow(&orders, drawn);
        }
        while !self.stop.is_cancelled() {
            let mut answered = None;
            if self.searches.len() == SEARCHES {
                answered = self.answered();
                if answered.is_none() {
                    break;
                }
            }
            // Behind the wait for rewards, which may be long.
            let newest = self.progress.waiting(Edge::Weights, || self.newest.wait(LOOK));
            let Some(snapshot) = newest else { continue };
            let batch = match answered {
                Some((search, answer)) => self.go_on(search, answer, &snapshot)?,
                None => self.start(&snapshot)?,
            };
            self.progress.trajectories.fetch_add(batch.candidates.len() as u64, Relaxed);
            if !batch.candidates.is_empty() && !self.hand_over(drawn, batch) {
                break;
            }
        }
        Ok(())
    }

    /// A new batch, with searches that start from it if the setting wants them.
    fn start(&mut self, snapshot: &Snapshot) -> Result<Drawn, ActorError> {
        let (weights, setting) = (snapshot.weights(), self.order.setting);
        let exploration = Exploration::at(&self.order.exploration, setting, weights.generated);
        let indices = self.next..self.next + self.order.batch as u64;
        self.next = indices.end;
        let (mut forward, mut starts) = (Vec::with_capacity(self.order.batch), Vec::new());
        for index in indices {
            match self.known_start(index, exploration.backward) {
                Some(start) => starts.push(start),
                None => forward.push(index),
            }
        }
        let indices: Vec<u64> =
            starts.iter().map(|start| start.index).chain(forward.iter().copied()).collect();
        let mut candidates = self.draw_backward(snapshot, starts)?;
        candidates.extend(self.draw_forward(snapshot, exploration, &forward)?);
        let mut answer = None;
        if exploration.rounds > 0 {
            let (sender, receiver) = bounded(1);
            let streams = self.streams(Purpose::LocalSearch, &indices);
            let search = Search::new(exploration.rounds, &candidates, streams, receiver);
            self.searches.push_back(search);
            answer = Some(sender);
        }
        Ok(Drawn { policy: weights.version, setting, candidates, answer })
    }

    /// Where trajectory `index` starts if it is to be drawn backward and there is something to start
    /// from.
    fn known_start(&self, index: u64, share: f64) -> Option<Start> {
        let share = if self.known.has_initial() { share.max(INITIAL_SHARE) } else { share };
        if share == 0.0 {
            return None;
        }
        let Order { seed, stream, .. } = self.order;
        let mut stream = Stream::new(seed, Purpose::Backward, stream, index);
        if stream.uniform() >= share {
            return None;
        }
        let listed = self.known.pick(&mut stream)?;
        let state = self.order.environment.state_of(&listed.object).ok()?;
        Some(Start { index, listed, state, stream })
    }

    fn draw_backward(
        &mut self,
        snapshot: &Snapshot,
        starts: Vec<Start>,
    ) -> Result<Vec<Candidate>, ActorError> {
        let (mut ends, mut streams, mut known) = (Vec::new(), Vec::new(), Vec::new());
        for Start { listed, state, stream, .. } in starts {
            ends.push(state);
            streams.push(stream);
            known.push(listed);
        }
        let paths = self.backward.draw(snapshot, UNIFORM, usize::MAX, &ends, &mut streams)?;
        let candidate = |(path, listed): (BackwardPath, Listed)| Candidate {
            trajectory: Trajectory {
                actions: path.actions,
                object: listed.object,
                log_mu: path.log_pb,
            },
            kind: TrajectoryKind::Backward,
            known: listed.raw,
            place: None,
        };
        Ok(paths.into_iter().zip(known).map(candidate).collect())
    }

    fn draw_forward(
        &mut self,
        snapshot: &Snapshot,
        exploration: Exploration,
        indices: &[u64],
    ) -> Result<impl Iterator<Item = Candidate> + use<>, ActorError> {
        let mut streams = self.streams(Purpose::Rollout, indices);
        let mut trajectories = Vec::with_capacity(indices.len());
        self.rollouts.draw(snapshot, exploration, &mut streams, &mut trajectories)?;
        let kind = TrajectoryKind::Forward;
        let candidate = move |trajectory| Candidate { trajectory, kind, known: None, place: None };
        Ok(trajectories.into_iter().map(candidate))
    }

    fn streams(&self, purpose: Purpose, indices: &[u64]) -> Vec<Stream> {
        let Order { seed, stream, .. } = self.order;
        indices.iter().map(|&index| Stream::new(seed, purpose, stream, index)).collect()
    }

    /// The search that has waited longest, with its rewards; none when the thread is to end.
    fn answered(&mut self) -> Option<(Search, Answer)> {
        let search = self.searches.pop_front()?;
        while !self.stop.is_cancelled() {
            let wait = || search.answer.recv_timeout(LOOK);
            match self.progress.waiting(Edge::Reward, wait) {
                Ok(answer) => return Some((search, answer)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
        None
    }

    /// The next round of a search. Its weights may be newer than those of the round before: a round
    /// leaves R/Z as it is whatever its weights are.
    fn go_on(
        &mut self,
        mut search: Search,
        answer: Answer,
        snapshot: &Snapshot,
    ) -> Result<Drawn, ActorError> {
        let Order { setting, .. } = self.order;
        let acceptance = self.order.exploration.local_search.accept;
        search.settle(answer, &*self.order.reward, acceptance);
        let policy = snapshot.weights().version;
        let candidates = search.propose(&mut self.local_search, snapshot)?;
        let mut answer = None;
        if !search.is_over() {
            let (sender, receiver) = bounded(1);
            search.answer = receiver;
            self.searches.push_back(search);
            answer = Some(sender);
        }
        Ok(Drawn { policy, setting, candidates, answer })
    }

    /// Waits for a free place; false when nobody takes any more. What is drawn is handed over also
    /// after `stop`.
    fn hand_over(&self, drawn: &Sender<Drawn>, mut batch: Drawn) -> bool {
        loop {
            let result = self.progress.waiting(Edge::Queue, || drawn.send_timeout(batch, LOOK));
            match result {
                Ok(()) => return true,
                Err(SendTimeoutError::Timeout(same)) => batch = same,
                Err(SendTimeoutError::Disconnected(_)) => return false,
            }
        }
    }
}

/// Where a backward trajectory starts.
struct Start {
    index: u64,
    listed: Listed,
    state: Vec<u32>,
    stream: Stream,
}
