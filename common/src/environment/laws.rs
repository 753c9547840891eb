//! The laws that every environment must keep, checked on random walks. An environment that passes
//! can be trained on: a broken edge or mask gives a wrong sampler without any other sign.

use std::collections::HashMap;

use super::{Enumeration, Environment};
use crate::log_space::log_sum_exp;
use crate::random::{Purpose, Stream};

/// A law that an environment breaks, with the state where it does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("in state {state:?}: {what}")]
pub struct BrokenLaw {
    /// The words of the state.
    pub state: Vec<u32>,
    /// What is wrong there.
    pub what: String,
}

/// Checks the laws on so many random walks from the initial state and back to it:
///
/// - the actions listed as legal are ascending and in range, and agree with `is_legal` for every
///   number; from every state the construction can go on or stop, within `max_steps`; `take` leads
///   where its actions lead one by one, and stops at the first that is not legal;
/// - `inverse` and `forward_of` are a bijection between the forward edges into a state and the
///   backward edges out of it, and `step` and `undo` walk each edge both ways; only the initial
///   state has no backward edge;
/// - the network's inputs are in range and differ between states, and are tokens at positions as
///   `tokens` says;
/// - a finished state, its object and its object's text name each other;
/// - the paths to a state, where they are counted, are as many as those to the states before it
///   together, each as often as edges lead from it;
/// - an enumeration gives each state its own index, which every action increases; if it is short,
///   [`check_backward_paths`] holds.
///
/// # Errors
/// The first law found broken.
pub fn check_laws(environment: &dyn Environment, walks: u64, seed: u64) -> Result<(), BrokenLaw> {
    let mut laws = Laws::new(environment);
    for walk in 0..walks {
        let stream = &mut Stream::new(seed, Purpose::Walk, 1, walk);
        let mut state = laws.initial.clone();
        laws.forward_walk(&mut state, walk % 2 == 0, stream)?;
        laws.backward_walk(&mut state, stream)?;
        if let Some(list) = environment.enumeration() {
            list.state(stream.bits() % list.states().max(1), &mut state);
            laws.check(&state, stream)?;
            laws.backward_walk(&mut state, stream)?;
        }
    }
    let is_short = |list: &&dyn Enumeration| list.states() <= MOST_SUMMED;
    environment.enumeration().filter(is_short).map_or(Ok(()), |list| laws.check_paths(list, seed))
}

/// Checks that over all paths of edges from each state back to the initial one the products of P_B
/// add up to 1, for a random P_B; by one pass over the list of all states, if there is one.
///
/// A trajectory's P_B is looked up by the inverses of its actions. A P_B over distinct parents, or
/// one where two actions share an inverse, breaks this law: training would then lead to R(x) times
/// the sum, not to R(x).
///
/// # Errors
/// The first state where they do not.
pub fn check_backward_paths(environment: &dyn Environment, seed: u64) -> Result<(), BrokenLaw> {
    let laws = Laws::new(environment);
    environment.enumeration().map_or(Ok(()), |list| laws.check_paths(list, seed))
}

/// States of the longest list over which [`check_laws`] sums all paths.
const MOST_SUMMED: u64 = 10_000;

type Checked = Result<(), BrokenLaw>;

/// An environment under examination, with the inputs of the states seen so far.
struct Laws<'a> {
    environment: &'a dyn Environment,
    initial: Vec<u32>,
    state_of_features: HashMap<Vec<u32>, Vec<u32>>,
}

fn broken(state: &[u32], what: impl Into<String>) -> Checked {
    Err(BrokenLaw { state: state.to_vec(), what: what.into() })
}

impl<'a> Laws<'a> {
    fn new(environment: &'a dyn Environment) -> Self {
        let mut initial = vec![0; environment.state_width()];
        environment.reset(&mut initial);
        Self { environment, initial, state_of_features: HashMap::new() }
    }

    /// Walks to a finished state; one that goes `far` stops only where it must.
    fn forward_walk(&mut self, state: &mut [u32], far: bool, stream: &mut Stream) -> Checked {
        let mut taken = Vec::new();
        for steps in 0.. {
            self.check(state, stream)?;
            let legal = self.legal(state);
            let may_stop = self.environment.can_stop(state) && (legal.is_empty() || !far);
            let choice = stream.below(legal.len() + usize::from(may_stop));
            let Some(action) = legal.get(choice) else { break };
            if steps == self.environment.max_steps() {
                return broken(state, format!("reached after max_steps = {steps}, but goes on"));
            }
            self.environment.step(state, *action);
            taken.push(*action);
        }
        let mut again = self.initial.clone();
        match self.environment.take(&mut again, &taken) {
            Ok(()) if again == state => Ok(()),
            led => broken(state, format!("take({taken:?}) led to {again:?}: {led:?}")),
        }
    }

    /// Walks back to the initial state.
    fn backward_walk(&self, state: &mut [u32], stream: &mut Stream) -> Checked {
        for _ in 0..=self.environment.max_steps() {
            let backward = self.backward(state);
            if backward.is_empty() {
                return Ok(());
            }
            self.environment.undo(state, backward[stream.below(backward.len())]);
        }
        broken(state, "max_steps undone, but not back in the initial state")
    }

    fn check(&mut self, state: &[u32], stream: &mut Stream) -> Checked {
        self.check_masks(state, stream)?;
        self.check_forward_edges(state)?;
        self.check_backward_edges(state)?;
        self.check_features(state)?;
        self.check_object(state)?;
        self.check_path_count(state)?;
        self.environment.enumeration().map_or(Ok(()), |list| self.check_place(list, state))
    }

    fn legal(&self, state: &[u32]) -> Vec<u32> {
        let mut actions = Vec::new();
        self.environment.legal_forward(state, &mut actions);
        actions
    }

    fn backward(&self, state: &[u32]) -> Vec<u32> {
        let mut actions = Vec::new();
        self.environment.legal_backward(state, &mut actions);
        actions
    }

    fn stepped(&self, state: &[u32], action: u32) -> Vec<u32> {
        let mut next = state.to_vec();
        self.environment.step(&mut next, action);
        next
    }

    fn undone(&self, state: &[u32], backward: u32) -> Vec<u32> {
        let mut previous = state.to_vec();
        self.environment.undo(&mut previous, backward);
        previous
    }

    fn check_masks(&self, state: &[u32], stream: &mut Stream) -> Checked {
        let (legal, actions) = (self.legal(state), self.environment.forward_actions());
        check_list(state, &legal, actions, "legal forward actions")?;
        let others = [actions as u32, actions as u32 + 1, u32::MAX];
        let drawn: Vec<u32> = (0..16).map(|_| stream.below(actions.max(1)) as u32).collect();
        for action in legal.iter().chain(&others).chain(&drawn) {
            let is_listed = legal.contains(action);
            if self.environment.is_legal(state, *action) != is_listed {
                let listed = if is_listed { "listed" } else { "not listed" };
                return broken(
                    state,
                    format!("action {action}: is_legal is wrong, it is {listed}"),
                );
            }
            if !is_listed && self.environment.take(&mut state.to_vec(), &[*action]) != Err(0) {
                return broken(state, format!("take takes action {action}, which is not legal"));
            }
        }
        if legal.is_empty() && !self.environment.can_stop(state) {
            return broken(state, "a dead end: no action is legal, and it cannot stop");
        }
        let backward = self.backward(state);
        check_list(state, &backward, self.environment.backward_actions(), "backward actions")?;
        if backward.is_empty() != (state == self.initial) {
            return broken(state, "only the initial state may, and must, have no backward action");
        }
        Ok(())
    }

    fn check_forward_edges(&self, state: &[u32]) -> Checked {
        for action in self.legal(state) {
            let next = self.stepped(state, action);
            let backward = self.environment.inverse(state, action);
            let edge = format!("action {action} to {next:?}, its inverse {backward}");
            if !self.backward(&next).contains(&backward) {
                return broken(state, format!("{edge}: the inverse is not legal there"));
            }
            if self.undone(&next, backward) != state {
                return broken(state, format!("{edge}: undo does not lead back"));
            }
            if self.environment.forward_of(&next, backward) != action {
                return broken(state, format!("{edge}: forward_of names another action"));
            }
        }
        Ok(())
    }

    fn check_backward_edges(&self, state: &[u32]) -> Checked {
        for backward in self.backward(state) {
            let previous = self.undone(state, backward);
            let action = self.environment.forward_of(state, backward);
            let edge = format!("backward action {backward} to {previous:?}, of action {action}");
            if !self.legal(&previous).contains(&action) {
                return broken(state, format!("{edge}: the forward action is not legal there"));
            }
            if self.stepped(&previous, action) != state {
                return broken(state, format!("{edge}: step does not lead back"));
            }
            if self.environment.inverse(&previous, action) != backward {
                return broken(state, format!("{edge}: inverse names another backward action"));
            }
        }
        Ok(())
    }

    fn check_features(&mut self, state: &[u32]) -> Checked {
        let mut features = Vec::new();
        self.environment.active_features(state, &mut features);
        self.check_tokens(state, &features)?;
        features.sort_unstable();
        check_list(state, &features, self.environment.features(), "inputs (sorted)")?;
        let first = self.state_of_features.entry(features).or_insert_with(|| state.to_vec());
        if first != state {
            return broken(state, format!("the network cannot tell it from {first:?}"));
        }
        Ok(())
    }

    fn check_tokens(&self, state: &[u32], features: &[u32]) -> Checked {
        let Some(layout) = self.environment.tokens() else { return Ok(()) };
        if layout.features() != self.environment.features() {
            return broken(state, format!("the inputs are not those of {layout:?}"));
        }
        let positions: Vec<u32> = features.iter().map(|&input| layout.position(input)).collect();
        if !positions.windows(2).all(|pair| pair[0] < pair[1]) {
            return broken(state, format!("positions {positions:?} of tokens are not ascending"));
        }
        if !layout.appended {
            return Ok(());
        }
        for action in self.legal(state) {
            let mut next = Vec::new();
            self.environment.active_features(&self.stepped(state, action), &mut next);
            let (last, before) = next.split_last().unwrap_or((&0, &[]));
            if before != features || layout.position(*last) as usize != features.len() {
                return broken(state, format!("action {action} does not append one token"));
            }
        }
        Ok(())
    }

    fn check_object(&self, state: &[u32]) -> Checked {
        if !self.environment.can_stop(state) {
            return Ok(());
        }
        let object = self.environment.object(state);
        match self.environment.state_of(&object) {
            Err(error) => return broken(state, format!("its object is refused: {error}")),
            Ok(other) if other != state => {
                return broken(state, format!("its object {object:?} is that of {other:?}"));
            }
            Ok(_) => {}
        }
        match self.environment.parse_object(&object.to_string()) {
            Ok(read) if read == object => Ok(()),
            other => broken(state, format!("the text of its object {object:?} reads as {other:?}")),
        }
    }

    fn check_path_count(&self, state: &[u32]) -> Checked {
        if self.environment.log_path_count(&self.initial).is_none() {
            return Ok(());
        }
        let count = |state: &[u32]| {
            let missing = "its paths are not counted, those of the initial state are";
            let count = self.environment.log_path_count(state);
            count.ok_or_else(|| BrokenLaw { state: state.to_vec(), what: missing.to_owned() })
        };
        let before = self.backward(state).into_iter().map(|b| count(&self.undone(state, b)));
        let before = before.collect::<Result<Vec<f64>, _>>()?;
        let sum = if before.is_empty() { 0.0 } else { log_sum_exp(before.iter().copied()) };
        let ours = count(state)?;
        if (ours - sum).abs() <= 1e-9 * sum.abs().max(1.0) {
            return Ok(());
        }
        broken(state, format!("exp({ours}) paths lead here, but exp({sum}) along its edges"))
    }

    fn check_place(&self, list: &dyn Enumeration, state: &[u32]) -> Checked {
        let index = list.index(state);
        if index >= list.states() {
            return broken(state, format!("index {index} of {} states", list.states()));
        }
        let mut found = vec![0; state.len()];
        list.state(index, &mut found);
        if found != state {
            return broken(state, format!("the state at its index {index} is {found:?}"));
        }
        for action in self.legal(state) {
            let next = list.index(&self.stepped(state, action));
            if next <= index {
                return broken(state, format!("action {action} leads from {index} to {next}"));
            }
        }
        Ok(())
    }

    fn check_paths(&self, list: &dyn Enumeration, seed: u64) -> Checked {
        let mut sums = vec![0.0; list.states() as usize];
        let mut state = self.initial.clone();
        sums[list.index(&state) as usize] = 1.0;
        for index in 0..sums.len() {
            list.state(index as u64, &mut state);
            let sum: f64 = sums[index];
            if (sum - 1.0).abs() > 1e-9 {
                let what = format!("the P_B of all paths back add up to {sum}, not to 1");
                return broken(&state, what);
            }
            for action in self.legal(&state) {
                let next = self.stepped(&state, action);
                let place = list.index(&next);
                let backward = self.environment.inverse(&state, action);
                let Some(sum_of_next) = sums.get_mut(place as usize) else {
                    return broken(&next, format!("index {place} of {} states", list.states()));
                };
                let stream = &mut Stream::new(seed, Purpose::Walk, 2, place);
                *sum_of_next += sum * self.random_backward(&next, backward, stream);
            }
        }
        Ok(())
    }

    /// P_B of one backward action in a state, where the probabilities are drawn from a stream.
    fn random_backward(&self, state: &[u32], backward: u32, stream: &mut Stream) -> f64 {
        let (mut total, mut chosen) = (0.0, 0.0);
        for legal in self.backward(state) {
            let weight = 0.5 + stream.uniform();
            total += weight;
            chosen += if legal == backward { weight } else { 0.0 };
        }
        chosen / total
    }
}

/// Numbers must be ascending, each once, and below a bound.
fn check_list(state: &[u32], numbers: &[u32], bound: usize, what: &str) -> Checked {
    let ascending = numbers.windows(2).all(|pair| pair[0] < pair[1]);
    if !ascending || numbers.last().is_some_and(|&last| last as usize >= bound) {
        return broken(state, format!("{what} {numbers:?}: not ascending, or not below {bound}"));
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
