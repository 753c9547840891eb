//! How objects are built: states, actions, undo. No reward, no randomness, no I/O.
//!
//! A state is a slice of [`Environment::state_width`] words that only its environment understands,
//! so that many states lie flat in one vector. Actions are numbers that mean something only with
//! their state. Ending the construction (the exit) is not an action: it is allowed where
//! [`Environment::can_stop`] says so, and implicit at the end of every trajectory.

pub mod hypergrid;
pub mod laws;
pub mod sequence;
mod tokens;

pub use hypergrid::Hypergrid;
pub use sequence::Sequence;
pub use tokens::TokenLayout;

use crate::object::Object;
use crate::random::{Purpose, Stream};
use crate::run_file::{Problem, Section};

/// The most one-hot inputs that the built-in environments give a network.
pub const MOST_FEATURES: usize = 1_000_000;

/// A directed acyclic graph of partial objects, from the initial state to finished objects.
///
/// Forward and backward policies are over *edges*, not over neighbouring states: where several
/// actions join the same two states each is an edge of its own, and [`inverse`](Self::inverse) is a
/// bijection between the forward edges into a state and the backward edges out of it. The laws in
/// [`laws`] hold for every environment.
pub trait Environment: Send + Sync {
    /// The name in the run file, and a version that changes when the construction does.
    fn identity(&self) -> Identity;

    /// Number of forward actions, the exit not counted: actions are `0..forward_actions()`.
    fn forward_actions(&self) -> usize;

    /// Number of backward actions: `0..backward_actions()`.
    fn backward_actions(&self) -> usize;

    /// The longest trajectory in actions, the exit not counted.
    fn max_steps(&self) -> usize;

    /// Words in a state.
    fn state_width(&self) -> usize;

    /// Writes the initial state.
    fn reset(&self, state: &mut [u32]);

    /// Appends the forward actions that are legal in `state`, ascending.
    fn legal_forward(&self, state: &[u32], actions: &mut Vec<u32>);

    /// Appends the backward actions that are legal in `state`, ascending; none in the initial state
    /// and only there.
    fn legal_backward(&self, state: &[u32], actions: &mut Vec<u32>);

    /// Whether `action` is legal in `state`; must agree with [`legal_forward`](Self::legal_forward)
    /// for every number, also those that are no action at all.
    fn is_legal(&self, state: &[u32], action: u32) -> bool {
        let mut actions = Vec::new();
        self.legal_forward(state, &mut actions);
        actions.contains(&action)
    }

    /// Whether the construction may end in `state`. Where it may and no action is legal, it must:
    /// the exit is then forced, a transition with log P_F = 0.
    fn can_stop(&self, state: &[u32]) -> bool;

    /// Takes a legal forward action.
    fn step(&self, state: &mut [u32], action: u32);

    /// Takes forward actions one after the other, up to the first that is not legal: its place is the
    /// error. Nothing but [`is_legal`](Self::is_legal) and [`step`](Self::step) in a loop, without a
    /// call from outside for each.
    fn take(&self, state: &mut [u32], actions: &[u32]) -> Result<(), usize> {
        let is_legal = |state: &[u32], action| self.is_legal(state, action);
        in_turn(state, actions, is_legal, |state, action| self.step(state, action))
    }

    /// Takes a legal backward action.
    fn undo(&self, state: &mut [u32], backward: u32);

    /// The backward action, legal after `step(state, action)`, that undoes just this edge.
    fn inverse(&self, state: &[u32], action: u32) -> u32;

    /// The forward action, legal after `undo(state, backward)`, that takes this edge again.
    fn forward_of(&self, state: &[u32], backward: u32) -> u32;

    /// Number of one-hot inputs of the network.
    fn features(&self) -> usize;

    /// Appends the indices of the inputs that are 1 in `state`, each below `features()`.
    fn active_features(&self, state: &[u32], features: &mut Vec<u32>);

    /// How the inputs are tokens at positions, where they are: what `network = "transformer"` needs.
    fn tokens(&self) -> Option<TokenLayout> {
        None
    }

    /// The finished object of a state where the construction may stop.
    fn object(&self, state: &[u32]) -> Object;

    /// The state whose object this is, or why there is none.
    fn state_of(&self, object: &Object) -> Result<Vec<u32>, NotAnObject>;

    /// The object that a text names, as in the tables that people write: the inverse of the object's
    /// own text. Of the [`readings`](Object::readings) of the text it is the first that is an object.
    fn parse_object(&self, text: &str) -> Result<Object, NotAnObject> {
        let (likeliest, others) = Object::readings(text);
        let refusal = match self.state_of(&likeliest) {
            Ok(_) => return Ok(likeliest),
            Err(refusal) => refusal,
        };
        let found = others.into_iter().find(|reading| self.state_of(reading).is_ok());
        found.ok_or(refusal)
    }

    /// How far two objects are from each other, where that means something: what modes, diversity
    /// and novelty are counted by. 0 for the same object, symmetric.
    fn distance(&self, _: &Object, _: &Object) -> Option<f64> {
        None
    }

    /// log of the number of paths of edges from the initial state to `state`, 0 for the initial
    /// state itself; or None, for every state, where they cannot be counted. What `[policy] backward
    /// = "maxent"` needs.
    fn log_path_count(&self, _state: &[u32]) -> Option<f64> {
        None
    }

    /// The list of all states, where it is short enough to be walked.
    fn enumeration(&self) -> Option<&dyn Enumeration> {
        None
    }
}

/// Takes actions one after the other, up to the first that is not legal: its place is the error.
pub(crate) fn in_turn(
    state: &mut [u32],
    actions: &[u32],
    is_legal: impl Fn(&[u32], u32) -> bool,
    mut step: impl FnMut(&mut [u32], u32),
) -> Result<(), usize> {
    for (place, &action) in actions.iter().enumerate() {
        if !is_legal(state, action) {
            return Err(place);
        }
        step(state, action);
    }
    Ok(())
}

/// All states of an environment in an order in which every action leads to a higher index.
pub trait Enumeration {
    /// Number of states, finished or not.
    fn states(&self) -> u64;

    /// The place of a state in the order, below `states()`.
    fn index(&self, state: &[u32]) -> u64;

    /// Writes the state at a place in the order.
    fn state(&self, index: u64, state: &mut [u32]);
}

/// What an environment or a reward is: `kind`, version and canonical configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its `kind` in the run file.
    pub kind: String,
    /// Changes when the same configuration means something else.
    pub version: u32,
    /// The canonical configuration, for example as JSON.
    pub configuration: String,
}

/// A configuration that no environment or reward can be made of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` {reason}")]
pub struct InvalidConfiguration {
    /// The key of the run file.
    pub key: &'static str,
    /// What is wrong with its value; follows the key.
    pub reason: String,
}

impl InvalidConfiguration {
    /// A problem with one key.
    pub fn new(key: &'static str, reason: impl Into<String>) -> Self {
        Self { key, reason: reason.into() }
    }

    /// The same as a problem of the run file's section that holds the key.
    pub fn in_section(&self, section: &Section) -> Problem {
        section.problem(self.key, &self.reason)
    }
}

/// An object that the environment cannot build.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("object \"{object}\": {reason}")]
pub struct NotAnObject {
    /// The object.
    pub object: String,
    /// Why it cannot be built.
    pub reason: String,
}

/// A number that two programs share only if they build objects in the same way: the hash of the
/// identity and of 64 seeded walks (actions, masks, features, objects), so that changed code under
/// an unchanged version is caught.
pub fn fingerprint(environment: &dyn Environment) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    let identity = environment.identity();
    for part in [&identity.kind, &identity.version.to_string(), &identity.configuration] {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    let mut numbers = Vec::new();
    let mut state = vec![0; environment.state_width()];
    for walk in 0..64 {
        let mut stream = Stream::new(0, Purpose::Walk, 0, walk);
        environment.reset(&mut state);
        loop {
            numbers.clear();
            environment.active_features(&state, &mut numbers);
            numbers.push(u32::MAX);
            environment.legal_backward(&state, &mut numbers);
            numbers.push(u32::MAX);
            let first = numbers.len();
            environment.legal_forward(&state, &mut numbers);
            for number in &numbers {
                hasher.update(&number.to_le_bytes());
            }
            let can_stop = environment.can_stop(&state);
            let legal = &numbers[first..];
            let choice = stream.below((legal.len() + usize::from(can_stop)).max(1));
            if choice >= legal.len() {
                break;
            }
            let action = legal[choice];
            hasher.update(&environment.inverse(&state, action).to_le_bytes());
            environment.step(&mut state, action);
        }
        hasher.update(environment.object(&state).to_string().as_bytes());
    }
    *hasher.finalize().as_bytes()
}
