//! Local search: part of a finished trajectory is undone with P_B and done again with P_F (Kim et
//! al. 2024, "Local Search GFlowNets").

use std::sync::Arc;

use super::{
    BackwardRollouts, BrokenEnvironment, Exploration, Rollouts, Score, Scorer, Trajectory,
};
use crate::environment::Environment;
use crate::log_space::LogReward;
use crate::network::cpu::Snapshot;
use crate::random::{Purpose, Stream};
use crate::run_file::{self, Acceptance};

/// A trajectory that may take the place of another.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    /// A way with P_B from the initial state to where the other was undone to, and the new tail;
    /// log mu is that of the tail.
    pub trajectory: Trajectory,
    /// The logarithm of the Metropolis-Hastings ratio without the two rewards; 0 where the
    /// acceptance does not ask for it.
    pub log_correction: f64,
}

/// Proposes trajectories near others, reusing its memory.
///
/// From the object x a whole path back is drawn with P_B, its last k actions are left out, and from
/// the state s reached the policy itself draws a new tail to x', without epsilon or temperature.
/// Where all finished objects are equally many actions long, k is `steps`; elsewhere it is uniform
/// in 0..=`steps`, so that a shorter object can become a longer one and the other way round. k is
/// never more than the path has.
pub struct LocalSearch {
    environment: Arc<dyn Environment>,
    undoing: Undoing,
    acceptance: Acceptance,
    backward: BackwardRollouts,
    rollouts: Rollouts,
    scorer: Scorer,
}

/// How many actions are undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Undoing {
    /// So many.
    Exactly(usize),
    /// Uniformly from none to so many.
    UpTo(usize),
}

/// One direction of a move: what undoes a tail, and what does it (again).
#[derive(Clone, Copy, Debug)]
pub(super) struct Tail {
    /// log P_F of the tail given its start, the exit included.
    pub(super) log_pf: f64,
    /// log P_B of the tail given its end.
    pub(super) log_pb: f64,
    /// log of the probability that just so many actions are undone.
    pub(super) log_undone: f64,
}

impl LocalSearch {
    /// Searches in this environment as the run file says.
    #[must_use]
    pub fn new(environment: &Arc<dyn Environment>, keys: &run_file::LocalSearch) -> Self {
        Self {
            undoing: Undoing::new(&**environment, keys.steps),
            acceptance: keys.accept,
            backward: BackwardRollouts::new(environment.clone()),
            rollouts: Rollouts::new(environment.clone()),
            scorer: Scorer::new(environment.clone()),
            environment: environment.clone(),
        }
    }

    /// Proposes one trajectory for each of these, given by their actions, with its stream.
    ///
    /// # Errors
    /// The environment breaks its laws.
    pub fn propose(
        &mut self,
        snapshot: &Snapshot,
        trajectories: &[&[u32]],
        streams: &mut [Stream],
    ) -> Result<Vec<Proposal>, BrokenEnvironment> {
        let ends: Vec<Vec<u32>> = trajectories.iter().map(|actions| self.end(actions)).collect();
        let undone: Vec<usize> =
            streams.iter_mut().map(|stream| self.undoing.draw(stream)).collect();
        let paths = self.backward.draw(snapshot, 0.0, usize::MAX, &ends, streams)?;
        let paths: Vec<&[u32]> = paths.iter().map(|path| path.actions.as_slice()).collect();
        let kept = paths.iter().zip(undone);
        let kept: Vec<&[u32]> =
            kept.map(|(path, undone)| &path[..path.len().saturating_sub(undone)]).collect();
        let mut drawn = Vec::with_capacity(kept.len());
        self.rollouts.draw_from(snapshot, Exploration::NONE, &kept, streams, &mut drawn)?;
        let corrections = match self.acceptance {
            Acceptance::Greedy => vec![0.0; drawn.len()],
            Acceptance::MetropolisHastings => self.corrections(snapshot, &paths, &kept, &drawn)?,
        };
        let proposals = drawn.into_iter().zip(corrections);
        let proposal = |(trajectory, log_correction)| Proposal { trajectory, log_correction };
        Ok(proposals.map(proposal).collect())
    }

    /// The state in which a trajectory ends.
    fn end(&self, actions: &[u32]) -> Vec<u32> {
        let mut state = vec![0; self.environment.state_width()];
        self.environment.reset(&mut state);
        actions.iter().for_each(|&action| self.environment.step(&mut state, action));
        state
    }

    /// For each old path, the part of it that was kept, and the trajectory that goes on from there.
    fn corrections(
        &mut self,
        snapshot: &Snapshot,
        paths: &[&[u32]],
        kept: &[&[u32]],
        drawn: &[Trajectory],
    ) -> Result<Vec<f64>, BrokenEnvironment> {
        let new = drawn.iter().map(|trajectory| trajectory.actions.as_slice());
        let new = self.scorer.score(snapshot, new)?;
        let old = self.scorer.score(snapshot, paths.iter().copied())?;
        let pairs = old.iter().zip(&new).zip(kept);
        let correction = |((old, new), kept): ((&Score, &Score), &&[u32])| {
            let tail = |score| self.undoing.tail(score, kept.len());
            log_correction(tail(old), tail(new))
        };
        Ok(pairs.map(correction).collect())
    }
}

impl Undoing {
    /// For objects of this environment. Seeded walks look whether all are equally long; were that
    /// wrong, moves between objects of different lengths would not be reversible and their
    /// correction minus infinity.
    pub(super) fn new(environment: &dyn Environment, steps: usize) -> Self {
        let mut lengths = (0..64).map(|walk| only_length(environment, walk));
        match lengths.next().flatten() {
            Some(first) if lengths.all(|length| length == Some(first)) => Self::Exactly(steps),
            _ => Self::UpTo(steps),
        }
    }

    fn draw(self, stream: &mut Stream) -> usize {
        match self {
            Self::Exactly(steps) => steps,
            Self::UpTo(steps) => stream.below(steps + 1),
        }
    }

    /// log of the probability that the last `undone` actions of a path are undone and `kept` are
    /// not: a walk back that meets the initial state ends there.
    pub(super) fn log_probability(self, undone: usize, kept: usize) -> f64 {
        let (chances, of) = match self {
            Self::Exactly(steps) if kept == 0 => (usize::from(undone <= steps), 1),
            Self::Exactly(steps) => (usize::from(undone == steps), 1),
            Self::UpTo(steps) if kept == 0 => ((steps + 1).saturating_sub(undone), steps + 1),
            Self::UpTo(steps) => (usize::from(undone <= steps), steps + 1),
        };
        (chances as f64 / of as f64).ln()
    }

    /// The tail of a scored trajectory behind its first `kept` actions.
    pub(super) fn tail(self, score: &Score, kept: usize) -> Tail {
        let undone = score.log_pf.len() - 1 - kept;
        Tail {
            log_pf: score.log_pf_from(kept),
            log_pb: score.log_pb_from(kept),
            log_undone: self.log_probability(undone, kept),
        }
    }
}

/// The length of the objects that a seeded walk meets, if it is just one.
fn only_length(environment: &dyn Environment, walk: u64) -> Option<usize> {
    let mut stream = Stream::new(0, Purpose::Walk, 2, walk);
    let (mut state, mut legal) = (vec![0; environment.state_width()], Vec::new());
    environment.reset(&mut state);
    for length in 0..=environment.max_steps() {
        legal.clear();
        environment.legal_forward(&state, &mut legal);
        if legal.is_empty() || environment.can_stop(&state) {
            return legal.is_empty().then_some(length);
        }
        environment.step(&mut state, legal[stream.below(legal.len())]);
    }
    None
}

/// log of P_B(new tail | x') P_F(old tail | s) / (P_B(old tail | x) P_F(new tail | s)), each P_B
/// with the probability of undoing so many actions.
///
/// The move from x to x' is proposed with the probability P_B(old tail | x) P_F(new tail | s), the
/// move back with P_B(new tail | x') P_F(old tail | s): this is the ratio of Hastings. At zero loss
/// R(x) P_B(tail | x) = F(s) P_F(tail | s) for both tails, and R'/R times it is 1.
pub(super) fn log_correction(old: Tail, new: Tail) -> f64 {
    let back = new.log_pb + new.log_undone + old.log_pf;
    let there = old.log_pb + old.log_undone + new.log_pf;
    back - there
}

/// log of the probability with which Metropolis-Hastings accepts: min(1, R'/R times the
/// correction). From R = 0, which the target never visits, every proposal is accepted.
pub(super) fn log_acceptance(old: LogReward, new: LogReward, log_correction: f64) -> f64 {
    if old.get() == f64::NEG_INFINITY {
        return 0.0;
    }
    (new.get() - old.get() + log_correction).min(0.0)
}

/// Whether a proposal takes the place of the object that it came from.
///
/// Greedily if its reward is larger, R' > R; with Metropolis-Hastings with the probability that
/// makes R/Z stationary, whatever P_F and P_B are.
pub fn accepts(
    acceptance: Acceptance,
    [old, new]: [LogReward; 2],
    log_correction: f64,
    stream: &mut Stream,
) -> bool {
    match acceptance {
        Acceptance::Greedy => new > old,
        Acceptance::MetropolisHastings => {
            stream.uniform().ln() < log_acceptance(old, new, log_correction)
        }
    }
}
