//! Draws trajectories: a batch of environments stepped in lockstep, one network call per step.
//!
//! All trajectories of a batch start together and use the same snapshot until the last of them has
//! ended, so the policy never changes in the middle of one. A trajectory's random numbers are its
//! own, and a row of the network's output does not depend on the batch it is in: a trajectory is a
//! function of its stream, the snapshot and the exploration alone.

mod backward;
mod exploration;
mod local_search;
mod scorer;

use std::sync::Arc;

pub use backward::{BackwardPath, BackwardRollouts};
pub use exploration::Exploration;
pub use local_search::{LocalSearch, Proposal, accepts};
pub use scorer::{Score, Scorer};

use crate::environment::Environment;
use crate::network::cpu::{Cache, Scratch, Snapshot};
use crate::network::{Heads, Ragged, heads};
use crate::object::Object;
use crate::random::Stream;
use crate::trajectory::IllegalTrajectory;

/// A finished trajectory.
#[derive(Clone, Debug, PartialEq)]
pub struct Trajectory {
    /// Its actions; the exit at the end is implicit.
    pub actions: Vec<u32>,
    /// What was built.
    pub object: Object,
    /// log of the behaviour's probability of this path, the exit included.
    pub log_mu: f64,
}

/// An environment that breaks the laws that rollouts rely on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokenEnvironment {
    /// A state without a way on.
    #[error(
        "the environment has a dead end after the actions {0:?}: no action is legal and the \
             construction may not stop; check its laws"
    )]
    DeadEnd(Vec<u32>),
    /// A path that does not end.
    #[error("the environment allows more than its own max_steps = {0} actions; check its laws")]
    TooLong(usize),
    /// A path that was drawn cannot be walked.
    #[error("the environment draws a path that it does not allow: {0}; check its laws")]
    Illegal(#[from] IllegalTrajectory),
}

/// Draws batches of trajectories, reusing its memory.
pub struct Rollouts {
    environment: Arc<dyn Environment>,
    max_steps: usize,
    /// The states of all slots, `state_width` words each.
    states: Vec<u32>,
    /// The paths of all slots so far.
    paths: Vec<Path>,
    /// Slots whose trajectory has not ended, ascending.
    active: Vec<usize>,
    /// For each active slot: network inputs, legal actions, whether it may stop.
    features: Ragged,
    legal: Ragged,
    can_stop: Vec<bool>,
    scratch: Scratch,
    /// What the network keeps of each slot from step to step.
    cache: Cache,
    behaviour: Behaviour,
}

#[derive(Clone, Default)]
struct Path {
    actions: Vec<u32>,
    log_mu: f64,
}

impl Rollouts {
    /// Draws from this environment.
    #[must_use]
    pub fn new(environment: Arc<dyn Environment>) -> Self {
        Self {
            max_steps: environment.max_steps(),
            environment,
            states: Vec::new(),
            paths: Vec::new(),
            active: Vec::new(),
            features: Ragged::default(),
            legal: Ragged::default(),
            can_stop: Vec::new(),
            scratch: Scratch::default(),
            cache: Cache::default(),
            behaviour: Behaviour::default(),
        }
    }

    /// Draws one trajectory from each stream and appends them in the order of the streams.
    ///
    /// # Errors
    /// The environment breaks its laws; nothing was appended.
    pub fn draw(
        &mut self,
        snapshot: &Snapshot,
        exploration: Exploration,
        streams: &mut [Stream],
        out: &mut Vec<Trajectory>,
    ) -> Result<(), BrokenEnvironment> {
        self.restart(streams.len());
        self.finish(snapshot, exploration, streams, out)
    }

    /// As [`draw`](Self::draw), each trajectory going on from the legal actions given for it; its
    /// log mu is that of what was drawn here.
    ///
    /// # Errors
    /// The environment breaks its laws; nothing was appended.
    pub fn draw_from(
        &mut self,
        snapshot: &Snapshot,
        exploration: Exploration,
        prefixes: &[&[u32]],
        streams: &mut [Stream],
        out: &mut Vec<Trajectory>,
    ) -> Result<(), BrokenEnvironment> {
        self.restart(prefixes.len());
        let width = self.environment.state_width();
        let slots = self.states.chunks_exact_mut(width).zip(&mut self.paths);
        for ((state, path), prefix) in slots.zip(prefixes) {
            prefix.iter().for_each(|&action| self.environment.step(state, action));
            path.actions.extend_from_slice(prefix);
        }
        self.finish(snapshot, exploration, streams, out)
    }

    /// Steps all slots until the last of them has ended.
    fn finish(
        &mut self,
        snapshot: &Snapshot,
        exploration: Exploration,
        streams: &mut [Stream],
        out: &mut Vec<Trajectory>,
    ) -> Result<(), BrokenEnvironment> {
        loop {
            self.observe()?;
            if self.active.is_empty() {
                break;
            }
            self.step(snapshot, exploration, streams)?;
        }
        let width = self.environment.state_width();
        out.extend(self.paths.iter().enumerate().map(|(slot, path)| Trajectory {
            actions: path.actions.clone(),
            object: self.environment.object(&self.states[slot * width..(slot + 1) * width]),
            log_mu: path.log_mu,
        }));
        Ok(())
    }

    /// Puts `slots` environments into the initial state.
    fn restart(&mut self, slots: usize) {
        let width = self.environment.state_width();
        self.states.resize(slots * width, 0);
        self.paths.resize(slots, Path::default());
        self.active.clear();
        self.active.extend(0..slots);
        self.cache.clear();
        for (slot, path) in self.paths.iter_mut().enumerate() {
            self.environment.reset(&mut self.states[slot * width..(slot + 1) * width]);
            path.actions.clear();
            path.log_mu = 0.0;
        }
    }

    /// Looks at the active states; those that must stop end here, with log P_F = 0.
    fn observe(&mut self) -> Result<(), BrokenEnvironment> {
        let (environment, width) = (&*self.environment, self.environment.state_width());
        self.features.clear();
        self.legal.clear();
        self.can_stop.clear();
        let mut kept = 0;
        for i in 0..self.active.len() {
            let slot = self.active[i];
            let state = &self.states[slot * width..(slot + 1) * width];
            let before = self.legal.values.len();
            environment.legal_forward(state, &mut self.legal.values);
            let can_stop = environment.can_stop(state);
            if self.legal.values.len() == before {
                if !can_stop {
                    return Err(BrokenEnvironment::DeadEnd(self.paths[slot].actions.clone()));
                }
                continue;
            }
            self.legal.push_with(|_| ());
            self.features.push_with(|out| environment.active_features(state, out));
            self.can_stop.push(can_stop);
            self.active[kept] = slot;
            kept += 1;
        }
        self.active.truncate(kept);
        Ok(())
    }

    /// Takes one step, or the exit, in each active slot.
    fn step(
        &mut self,
        snapshot: &Snapshot,
        exploration: Exploration,
        streams: &mut [Stream],
    ) -> Result<(), BrokenEnvironment> {
        let (environment, width) = (&*self.environment, self.environment.state_width());
        let heads = snapshot.heads();
        let (scratch, cache) = (&mut self.scratch, &mut self.cache);
        let logits = snapshot.forward_in_slots(scratch, cache, &self.active, &self.features);
        let mut kept = 0;
        for i in 0..self.active.len() {
            let slot = self.active[i];
            let row = &logits[i * heads.width()..(i + 1) * heads.width()];
            let legal = self.legal.row(i);
            let path = &mut self.paths[slot];
            self.behaviour.set(heads, row, legal, self.can_stop[i], exploration);
            let choice = streams[slot].categorical(&self.behaviour.probabilities);
            path.log_mu += self.behaviour.probabilities[choice].ln();
            let Some(&action) = legal.get(choice) else { continue };
            if path.actions.len() == self.max_steps {
                return Err(BrokenEnvironment::TooLong(self.max_steps));
            }
            environment.step(&mut self.states[slot * width..(slot + 1) * width], action);
            path.actions.push(action);
            self.active[kept] = slot;
            kept += 1;
        }
        self.active.truncate(kept);
        Ok(())
    }
}

/// What is drawn from in one state: `epsilon` / n + (1 - `epsilon`) softmax(logits / temperature)
/// over the n legal choices, the exit last.
#[derive(Default)]
struct Behaviour {
    probabilities: Vec<f64>,
}

impl Behaviour {
    fn set(
        &mut self,
        heads: Heads,
        row: &[f32],
        legal: &[u32],
        can_stop: bool,
        Exploration { epsilon, temperature, .. }: Exploration,
    ) {
        let choices = &mut self.probabilities;
        heads.forward_logits(row, legal, can_stop, choices);
        if temperature != 1.0 {
            choices.iter_mut().for_each(|logit| *logit /= temperature);
        }
        heads::softmax(choices);
        if epsilon > 0.0 {
            let uniform = epsilon / choices.len() as f64;
            choices.iter_mut().for_each(|p| *p = uniform + (1.0 - epsilon) * *p);
        }
    }
}

#[cfg(test)]
mod tests;
