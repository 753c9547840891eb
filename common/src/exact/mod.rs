//! The exact distribution that a policy learned, by dynamic programming over the list of all states
//! of an environment, and its comparison with the target.
//!
//! The probability that a trajectory passes through a state is the sum over its parents of theirs
//! times P_F; a state ends with its own times P_F(exit). One pass in the order of the enumeration
//! gives the probability of every object, in float64. The functions here run in blocks between
//! which they can be stopped, as they run beside the training.

mod comparison;
mod empirical;
mod flow;
mod target;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

pub use comparison::Comparison;
pub use empirical::{Empirical, noise_floor};
pub use flow::{BackwardPolicy, entropy, log_flows};
pub use target::Target;

use std::ops::Range;

use crate::environment::{Enumeration, Environment};
use crate::network::States;
use crate::network::cpu::{Scratch, Snapshot};
use crate::reward::{InvalidRaw, RewardError};

/// States that the policy is asked about at a time.
const BLOCK: usize = 1024;

/// Why there is no exact distribution or target.
#[derive(Debug, thiserror::Error)]
pub enum ExactError {
    /// The environment has no list of its states.
    #[error("the environment \"{kind}\" cannot list its states in this size")]
    NotListed {
        /// The environment's kind.
        kind: String,
    },
    /// The list is longer than wanted.
    #[error("the environment has {states} states, more than the {most} that are to be walked")]
    TooMany {
        /// Its states.
        states: u64,
        /// The most that are wanted.
        most: u64,
    },
    /// The reward has no value for an object.
    #[error("the exact target needs the reward of every object: {0}")]
    Reward(#[from] RewardError),
    /// The reward's value for an object is no log-reward.
    #[error("the exact target needs the reward of every object: \"{object}\": {error}")]
    Raw {
        /// The object.
        object: String,
        /// What is wrong with its value.
        error: InvalidRaw,
    },
    /// No object has a reward above 0.
    #[error("no object has a reward above 0: there is no target")]
    NoReward,
    /// The policy's probabilities do not add up to 1, or one is NaN.
    #[error("the policy's probabilities of all objects add up to {sum}, not to 1")]
    NoDistribution {
        /// Their sum.
        sum: f64,
    },
    /// `keep_going` said no.
    #[error("stopped before the end")]
    Stopped,
}

/// The forward probabilities of a policy.
pub trait Policy {
    /// Appends, for each state, log P_F of its legal actions in their order and then, where the
    /// construction can stop, of the exit.
    fn log_forward(&mut self, states: &States, out: &mut Vec<f64>);
}

impl<F: FnMut(&States, &mut Vec<f64>)> Policy for F {
    fn log_forward(&mut self, states: &States, out: &mut Vec<f64>) {
        self(states, out);
    }
}

/// The policy of a snapshot of weights, on the CPU backend.
pub struct SnapshotPolicy<'a> {
    snapshot: &'a Snapshot,
    scratch: Scratch,
    row: Vec<f64>,
}

impl<'a> SnapshotPolicy<'a> {
    /// Runs this snapshot.
    pub fn new(snapshot: &'a Snapshot) -> Self {
        Self { snapshot, scratch: Scratch::default(), row: Vec::new() }
    }
}

impl Policy for SnapshotPolicy<'_> {
    fn log_forward(&mut self, states: &States, out: &mut Vec<f64>) {
        let heads = self.snapshot.heads();
        let rows = self.snapshot.forward(&mut self.scratch, &states.features);
        for (i, row) in rows.chunks_exact(heads.width()).enumerate() {
            heads.log_forward(row, states.forward.row(i), states.can_stop[i], &mut self.row);
            out.extend_from_slice(&self.row);
        }
    }
}

/// Where a policy's trajectories pass and end.
#[derive(Clone, Debug, PartialEq)]
pub struct Marginals {
    /// The probability that a trajectory passes through each state, in the order of the enumeration.
    pub passing: Vec<f64>,
    /// The probability that it ends in each finished object, in the same order with the states left
    /// out that are no objects: the order of [`Target::log_rewards`].
    pub terminating: Vec<f64>,
}

/// The probability with which a policy ends in each finished object: [`Marginals::terminating`].
///
/// # Errors
/// As for [`marginals`].
pub fn terminating_distribution(
    environment: &dyn Environment,
    policy: &mut dyn Policy,
    keep_going: &mut dyn FnMut() -> bool,
) -> Result<Vec<f64>, ExactError> {
    marginals(environment, policy, keep_going).map(|marginals| marginals.terminating)
}

/// The probabilities with which a policy passes through each state and ends in each object. States
/// that must stop are not asked about. `keep_going` is asked before each block.
///
/// # Errors
/// An environment without a list of states, probabilities that do not add up to 1, and
/// [`ExactError::Stopped`].
pub fn marginals(
    environment: &dyn Environment,
    policy: &mut dyn Policy,
    keep_going: &mut dyn FnMut() -> bool,
) -> Result<Marginals, ExactError> {
    let list = listed(environment, u64::MAX)?;
    let mut passing = vec![0.0; list.states() as usize];
    let mut state = vec![0; environment.state_width()];
    environment.reset(&mut state);
    passing[list.index(&state) as usize] = 1.0;
    let (mut next, mut legal) = (state.clone(), Vec::new());
    let (mut asked, mut log_forward) = (States::default(), Vec::new());
    let mut terminating = Vec::new();
    for start in (0..list.states()).step_by(BLOCK) {
        if !keep_going() {
            return Err(ExactError::Stopped);
        }
        let block = start..list.states().min(start + BLOCK as u64);
        ask(environment, list, block.clone(), policy, &mut asked, &mut log_forward);
        let mut log_forward = log_forward.iter();
        let mut probability = || log_forward.next().map_or(f64::NAN, |log_p: &f64| log_p.exp());
        for index in block {
            list.state(index, &mut state);
            legal.clear();
            environment.legal_forward(&state, &mut legal);
            let reached = passing[index as usize];
            for &action in &legal {
                next.copy_from_slice(&state);
                environment.step(&mut next, action);
                passing[list.index(&next) as usize] += reached * probability();
            }
            if environment.can_stop(&state) {
                let is_forced = legal.is_empty();
                terminating.push(if is_forced { reached } else { reached * probability() });
            }
        }
    }
    let sum = terminating.iter().sum::<f64>();
    let is_distribution = (sum - 1.0).abs() < 1e-6;
    if !is_distribution {
        return Err(ExactError::NoDistribution { sum });
    }
    Ok(Marginals { passing, terminating })
}

/// The policy's log P_F in those states of a block where there is a choice.
fn ask(
    environment: &dyn Environment,
    list: &dyn Enumeration,
    block: Range<u64>,
    policy: &mut dyn Policy,
    asked: &mut States,
    log_forward: &mut Vec<f64>,
) {
    let mut state = vec![0; environment.state_width()];
    let mut legal = Vec::new();
    asked.clear();
    log_forward.clear();
    for index in block {
        list.state(index, &mut state);
        legal.clear();
        environment.legal_forward(&state, &mut legal);
        if !legal.is_empty() {
            asked.push(environment, &state);
        }
    }
    if !asked.is_empty() {
        policy.log_forward(asked, log_forward);
    }
}

fn listed(environment: &dyn Environment, most: u64) -> Result<&dyn Enumeration, ExactError> {
    let kind = || environment.identity().kind;
    let list = environment.enumeration().ok_or_else(|| ExactError::NotListed { kind: kind() })?;
    let states = list.states();
    if states > most { Err(ExactError::TooMany { states, most }) } else { Ok(list) }
}
