//! Flows through every state, and entropies: the marginal estimates of "GFlowNet Foundations"
//! (Bengio et al. 2023), here exact.

use std::ops::Range;

use super::{BLOCK, ExactError, SnapshotPolicy, Target, listed};
use crate::environment::{Enumeration, Environment};
use crate::network::States;

/// The backward probabilities of a policy.
pub trait BackwardPolicy {
    /// No states, ready for those that it will be asked about.
    fn states(&self) -> States {
        States::default()
    }

    /// Appends, for each state, log P_B of its legal backward actions in their order.
    fn log_backward(&mut self, states: &States, out: &mut Vec<f64>);
}

impl BackwardPolicy for SnapshotPolicy<'_> {
    fn states(&self) -> States {
        States::new(self.snapshot.heads())
    }

    fn log_backward(&mut self, states: &States, out: &mut Vec<f64>) {
        let heads = self.snapshot.heads();
        let rows = self.snapshot.forward(&mut self.scratch, &states.features);
        for (i, row) in rows.chunks_exact(heads.width()).enumerate() {
            heads.log_backward(states, i, row, &mut self.row);
            out.extend_from_slice(&self.row);
        }
    }
}

/// log F(s) of every state in the order of the enumeration, under the target and a backward policy:
///
/// F(s) = sum over objects x of R(x) P_B(the path back from x passes through s | x)
///
/// F of the initial state is Z. On a tree, where P_B = 1, F(s) is the partition function of the
/// objects that grow out of s; on other graphs those share their reward with other states and F(s)
/// is less. States with one way back are not asked about. `keep_going` is asked before each block.
///
/// # Errors
/// An environment without a list of states, and [`ExactError::Stopped`].
pub fn log_flows(
    environment: &dyn Environment,
    target: &Target,
    policy: &mut dyn BackwardPolicy,
    keep_going: &mut dyn FnMut() -> bool,
) -> Result<Vec<f64>, ExactError> {
    let list = listed(environment, u64::MAX)?;
    // F / Z: the probability that a path back from the target passes through each state.
    let mut passing = vec![0.0; list.states() as usize];
    let mut objects = target.log_rewards().iter().rev();
    let mut state = vec![0; environment.state_width()];
    let (mut parent, mut ways) = (state.clone(), Vec::new());
    let (mut asked, mut log_backward) = (policy.states(), Vec::new());
    let mut end = list.states();
    while end > 0 {
        if !keep_going() {
            return Err(ExactError::Stopped);
        }
        let block = end.saturating_sub(BLOCK as u64)..end;
        end = block.start;
        ask(environment, list, block.clone(), policy, &mut asked, &mut log_backward);
        let mut left = log_backward.as_slice();
        for index in block.rev() {
            list.state(index, &mut state);
            if environment.can_stop(&state) {
                let log_reward = objects.next().copied().unwrap_or(f64::NEG_INFINITY);
                passing[index as usize] += (log_reward - target.log_z()).exp();
            }
            ways.clear();
            environment.legal_backward(&state, &mut ways);
            let asked_about = if ways.len() > 1 { ways.len() } else { 0 };
            let (rest, log_pb) = left.split_at(left.len().saturating_sub(asked_about));
            left = rest;
            for (i, &way) in ways.iter().enumerate() {
                parent.copy_from_slice(&state);
                environment.undo(&mut parent, way);
                let share = log_pb.get(i).map_or(1.0, |log_pb| log_pb.exp());
                passing[list.index(&parent) as usize] += share * passing[index as usize];
            }
        }
    }
    Ok(passing.into_iter().map(|share| target.log_z() + share.ln()).collect())
}

/// The policy's log P_B in those states of a block where there is a choice.
fn ask(
    environment: &dyn Environment,
    list: &dyn Enumeration,
    block: Range<u64>,
    policy: &mut dyn BackwardPolicy,
    asked: &mut States,
    log_backward: &mut Vec<f64>,
) {
    let mut state = vec![0; environment.state_width()];
    let mut ways = Vec::new();
    asked.clear();
    log_backward.clear();
    for index in block {
        list.state(index, &mut state);
        ways.clear();
        environment.legal_backward(&state, &mut ways);
        if ways.len() > 1 {
            asked.push(environment, &state);
        }
    }
    if !asked.is_empty() {
        policy.log_backward(asked, log_backward);
    }
}

/// -sum p log p, in nats. For a policy at convergence, and only there, it is also log Z - E[log R].
pub fn entropy(probabilities: impl Iterator<Item = f64>) -> f64 {
    let term = |p: f64| if p > 0.0 { -p * p.ln() } else { 0.0 };
    probabilities.map(term).sum::<f64>().max(0.0)
}
