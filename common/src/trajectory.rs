//! Trajectories as they travel and rest: actions and raw reward values, in columns.
//!
//! Environments are deterministic, so states and masks are rebuilt from the actions by
//! [`replay`], which is the validation too: an illegal action, a trajectory that is too long or one
//! that stops where it may not is refused with its reason.

use crate::environment::{Environment, in_turn};
use crate::ids::{PolicyVersion, Seq};
use crate::session::work::Place;

/// How the path of a trajectory came about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum TrajectoryKind {
    /// Sampled with the forward policy (and exploration).
    #[default]
    Forward = 1,
    /// Part undone and done again.
    LocalSearch = 2,
    /// Drawn backward from an object.
    Backward = 3,
    /// Read from a data set.
    Imported = 4,
}

impl TrajectoryKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Forward, Self::LocalSearch, Self::Backward, Self::Imported];

    /// Its word in metrics and summaries.
    pub fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::LocalSearch => "local_search",
            Self::Backward => "backward",
            Self::Imported => "imported",
        }
    }
}

/// Finished trajectories of one actor with consecutive sequence numbers, in columns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrajectoryBatch {
    /// The sequence number of the first.
    pub first_seq: Seq,
    /// Actions of each, the exit (implicit at the end) not counted.
    pub lengths: Vec<u32>,
    /// All actions, one trajectory after the other.
    pub actions: Vec<u32>,
    /// Raw reward values of each (m >= 1).
    pub outputs: usize,
    /// All raw values, `outputs` for each trajectory.
    pub raw: Vec<f64>,
    /// The weights that drew each.
    pub policy: Vec<PolicyVersion>,
    /// How each came about.
    pub kind: Vec<TrajectoryKind>,
    /// The exploration setting of each.
    pub setting: Vec<u32>,
    /// log of the behaviour's probability of each path: diagnostics only, never in a loss.
    pub log_mu: Vec<f32>,
    /// What measuring each object cost, in seconds.
    pub seconds: Vec<f32>,
    /// In a lockstep run: the round of the work orders.
    pub round: u64,
    /// In a lockstep run: the index of each; else empty.
    pub index: Vec<u64>,
}

/// One trajectory of a [`TrajectoryBatch`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrajectoryView<'a> {
    /// Its sequence number.
    pub seq: Seq,
    /// Its actions, without the exit.
    pub actions: &'a [u32],
    /// Its raw reward values.
    pub raw: &'a [f64],
    /// The weights that drew it.
    pub policy: PolicyVersion,
    /// How it came about.
    pub kind: TrajectoryKind,
    /// The exploration setting.
    pub setting: u32,
    /// log of the behaviour's probability of the path.
    pub log_mu: f32,
    /// Seconds that measuring the object took.
    pub seconds: f32,
}

impl TrajectoryBatch {
    /// Number of trajectories.
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// Appends one; its sequence number is its place.
    pub fn push(&mut self, view: &TrajectoryView<'_>) {
        if self.is_empty() {
            self.first_seq = view.seq;
            self.outputs = view.raw.len();
        }
        self.lengths.push(view.actions.len() as u32);
        self.actions.extend_from_slice(view.actions);
        self.raw.extend_from_slice(view.raw);
        self.policy.push(view.policy);
        self.kind.push(view.kind);
        self.setting.push(view.setting);
        self.log_mu.push(view.log_mu);
        self.seconds.push(view.seconds);
    }

    /// In a lockstep run: the place of the trajectory that was appended last. All of a batch are of
    /// one round.
    pub fn place(&mut self, Place { round, index }: Place) {
        self.round = round;
        self.index.push(index);
    }

    /// Each in order. The columns must agree in length, as the checked conversion guarantees.
    pub fn iter(&self) -> impl Iterator<Item = TrajectoryView<'_>> {
        let mut start = 0;
        (0..self.len()).map(move |i| {
            let actions = &self.actions[start..start + self.lengths[i] as usize];
            start += actions.len();
            TrajectoryView {
                seq: Seq(self.first_seq.0 + i as u64),
                actions,
                raw: &self.raw[i * self.outputs..(i + 1) * self.outputs],
                policy: self.policy[i],
                kind: self.kind[i],
                setting: self.setting[i],
                log_mu: self.log_mu[i],
                seconds: self.seconds[i],
            }
        })
    }
}

/// Why a trajectory cannot have happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IllegalTrajectory {
    /// An action that the state before it does not allow.
    #[error("action {action} at step {step} is not legal there")]
    IllegalAction {
        /// From 0.
        step: usize,
        /// The action.
        action: u32,
    },
    /// More actions than the environment's longest trajectory.
    #[error("it has {length} actions, the longest possible has {longest}")]
    TooLong {
        /// Its actions.
        length: usize,
        /// `Environment::max_steps`.
        longest: usize,
    },
    /// It ends in a state where the construction may not stop.
    #[error("it ends after {length} actions in a state that is no finished object")]
    Unfinished {
        /// Its actions.
        length: usize,
    },
}

/// Takes a trajectory's actions from the initial state on; `state`, of `state_width` words, is the
/// terminal one afterwards.
pub fn walk(
    environment: &dyn Environment,
    actions: &[u32],
    state: &mut [u32],
) -> Result<(), IllegalTrajectory> {
    walk_by(environment, actions, state, |state| environment.take(state, actions))
}

/// As [`walk`], calling `visit(state, action)` for each state with the action taken there
/// (`None` for the exit at the end).
pub fn replay(
    environment: &dyn Environment,
    actions: &[u32],
    state: &mut [u32],
    mut visit: impl FnMut(&[u32], Option<u32>),
) -> Result<(), IllegalTrajectory> {
    walk_by(environment, actions, state, |state| {
        let is_legal = |state: &[u32], action| environment.is_legal(state, action);
        in_turn(state, actions, is_legal, |state, action| {
            visit(state, Some(action));
            environment.step(state, action);
        })
    })?;
    visit(state, None);
    Ok(())
}

/// As [`walk`]; `take` takes the actions, and its error is the place of the first that is not legal.
fn walk_by(
    environment: &dyn Environment,
    actions: &[u32],
    state: &mut [u32],
    take: impl FnOnce(&mut [u32]) -> Result<(), usize>,
) -> Result<(), IllegalTrajectory> {
    let (length, longest) = (actions.len(), environment.max_steps());
    if length > longest {
        return Err(IllegalTrajectory::TooLong { length, longest });
    }
    environment.reset(state);
    take(state).map_err(|step| {
        let action = actions.get(step).copied().unwrap_or_default();
        IllegalTrajectory::IllegalAction { step, action }
    })?;
    environment.can_stop(state).then_some(()).ok_or(IllegalTrajectory::Unfinished { length })
}
