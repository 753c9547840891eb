//! A batch of training: the states on the way of its trajectories, rebuilt from their actions.

use std::fmt::Display;
use std::sync::Arc;

use foldhash::HashMap;
use tributary_common::environment::Environment;
use tributary_common::log_space::LogReward;
use tributary_common::network::{Heads, States};
use tributary_common::reward::Reward;
use tributary_common::trajectory::replay;

use crate::incoming::Incoming;
use crate::replay::Samples;
use crate::training::TrainError;

/// The transitions of a batch of trajectories, flat and without padding.
///
/// Trajectory `i` has the transitions `offsets[i]..offsets[i + 1]`: one for each of its actions,
/// then its exit. Trajectories share states (all have the initial one in common), so the network is
/// asked for each *distinct* state once, and a transition names the row of the state in which it
/// starts. Reused from batch to batch.
#[derive(Default)]
pub struct Batch {
    /// The distinct states, in the order in which they are first met; then, where `incoming` is
    /// wanted, those that are only parents of them.
    pub states: States,
    /// Where the transitions of each trajectory start, and the end of the last.
    pub offsets: Vec<u32>,
    /// The row in `states` of the state in which each transition starts.
    pub rows: Vec<u32>,
    /// Which of that state's legal forward actions was taken, by its position; the exit's is their
    /// number.
    pub forward: Vec<u32>,
    /// Which of the *next* state's legal backward actions undoes the transition, by its position; 0
    /// for the exit.
    pub backward: Vec<u32>,
    /// log R of each trajectory.
    pub log_rewards: Vec<f64>,
    /// log R of each distinct state as an object of its own; empty unless it is wanted.
    pub state_log_rewards: Vec<f64>,
    /// The edges into the states that the trajectories visit, where they are wanted.
    pub incoming: Option<Incoming>,
    rewards: Option<Arc<dyn Reward>>,
    log_reward_min: f64,
    seen: HashMap<Box<[u32]>, u32>,
    /// Whether states without a choice share a row, and that row.
    share_forced: bool,
    forced: Option<u32>,
    legal: Vec<u32>,
    state: Vec<u32>,
}

impl Batch {
    /// An empty batch for networks with these heads.
    ///
    /// Where a construction must stop and has one way back, log P_F and log P_B are 0 whatever the
    /// network says. Unless log F is wanted, all those states are one row: the first one's.
    pub fn new(heads: Heads) -> Self {
        Self { states: States::new(heads), share_forced: !heads.flow, ..Self::default() }
    }

    /// Also measures every state as an object of its own; a lower log R becomes `log_reward_min`.
    #[must_use]
    pub fn with_state_rewards(self, rewards: Arc<dyn Reward>, log_reward_min: f64) -> Self {
        Self { rewards: Some(rewards), log_reward_min, ..self }
    }

    /// Also finds all edges into every state, forced or not.
    #[must_use]
    pub fn with_incoming_edges(self) -> Self {
        Self { incoming: Some(Incoming::default()), share_forced: false, ..self }
    }

    /// Replaces the content by these trajectories.
    pub fn build(
        &mut self,
        environment: &dyn Environment,
        samples: &Samples,
    ) -> Result<(), TrainError> {
        self.clear();
        self.state.resize(environment.state_width(), 0);
        self.log_rewards.extend(&samples.log_rewards);
        let mut state = std::mem::take(&mut self.state);
        for (index, actions) in samples.iter_actions().enumerate() {
            let mut undone_by = None;
            replay(environment, actions, &mut state, |state, action| {
                let row = self.row(environment, state);
                if let (Some(undone_by), Some(backward)) = (undone_by, self.backward.last_mut())
                    && self.forced != Some(row)
                {
                    *backward = position(self.states.backward.row(row as usize), undone_by);
                }
                let legal = self.states.forward.row(row as usize);
                self.forward.push(action.map_or(legal.len() as u32, |a| position(legal, a)));
                self.backward.push(0);
                self.rows.push(row);
                undone_by = action.map(|action| environment.inverse(state, action));
            })
            .map_err(|source| TrainError::Trajectory { index, source })?;
            self.offsets.push(self.rows.len() as u32);
        }
        self.find_incoming(environment, &mut state);
        self.state = state;
        self.measure_states(environment)
    }

    /// Number of transitions.
    pub fn transitions(&self) -> usize {
        self.rows.len()
    }

    fn row(&mut self, environment: &dyn Environment, state: &[u32]) -> u32 {
        if let Some(&row) = self.seen.get(state) {
            return row;
        }
        let forced = self.share_forced && self.is_forced(environment, state);
        let row = match self.forced {
            Some(row) if forced => row,
            _ => {
                self.states.push(environment, state);
                self.states.len() as u32 - 1
            }
        };
        if forced {
            self.forced = Some(row);
        }
        self.seen.insert(state.into(), row);
        row
    }

    fn is_forced(&mut self, environment: &dyn Environment, state: &[u32]) -> bool {
        self.legal.clear();
        environment.legal_forward(state, &mut self.legal);
        if self.legal.is_empty() {
            environment.legal_backward(state, &mut self.legal);
            return self.legal.len() == 1;
        }
        false
    }

    /// Writes the edges into each state visited so far; `parent` is room for a state.
    fn find_incoming(&mut self, environment: &dyn Environment, parent: &mut [u32]) {
        let Some(mut incoming) = self.incoming.take() else { return };
        incoming.clear();
        let mut visited: Vec<(u32, Box<[u32]>)> =
            self.seen.iter().map(|(state, &row)| (row, state.clone())).collect();
        visited.sort_unstable_by_key(|(row, _)| *row);
        for (row, state) in visited {
            let backward = self.states.backward.row(row as usize).to_vec();
            for backward in backward {
                parent.copy_from_slice(&state);
                environment.undo(parent, backward);
                let action = environment.forward_of(&state, backward);
                let row = self.row(environment, parent);
                incoming.parents.values.push(row);
                let legal = self.states.forward.row(row as usize);
                incoming.forward.push(position(legal, action));
            }
            incoming.parents.offsets.push(incoming.parents.values.len() as u32);
        }
        self.incoming = Some(incoming);
    }

    /// Writes log R of each distinct state. A row that several states share gets that of one of them.
    fn measure_states(&mut self, environment: &dyn Environment) -> Result<(), TrainError> {
        let Some(rewards) = &self.rewards else { return Ok(()) };
        let mut objects = Vec::with_capacity(self.seen.len());
        for state in self.seen.keys() {
            if !environment.can_stop(state) {
                return Err(TrainError::StateReward(format!("{state:?} is not an object")));
            }
            objects.push(environment.object(state));
        }
        let no_reward = |reason: &dyn Display| TrainError::StateReward(reason.to_string());
        let mut raw = Vec::new();
        rewards.evaluate(&objects, &mut raw).map_err(|reason| no_reward(&reason))?;
        self.state_log_rewards.resize(self.states.len(), 0.0);
        let outputs = rewards.outputs().len();
        for (&row, raw) in self.seen.values().zip(raw.chunks_exact(outputs)) {
            let log_reward: LogReward =
                rewards.transform(raw).map_err(|reason| no_reward(&reason))?;
            self.state_log_rewards[row as usize] = log_reward.get().max(self.log_reward_min);
        }
        Ok(())
    }

    fn clear(&mut self) {
        self.states.clear();
        self.offsets.clear();
        self.offsets.push(0);
        self.rows.clear();
        self.forward.clear();
        self.backward.clear();
        self.log_rewards.clear();
        self.state_log_rewards.clear();
        self.seen.clear();
        self.forced = None;
    }
}

/// Where a legal action stands among the legal ones, which are ascending.
fn position(legal: &[u32], action: u32) -> u32 {
    legal.partition_point(|&other| other < action) as u32
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use tributary_common::environment::sequence::{Construction, Length};
    use tributary_common::environment::{Hypergrid, Sequence};
    use tributary_common::ids::PolicyVersion;
    use tributary_common::reward::{HypergridReward, Landscape};

    use super::*;

    fn samples(trajectories: &[&[u32]]) -> Samples {
        let mut samples = Samples::default();
        for (i, actions) in trajectories.iter().enumerate() {
            samples.push(i as u64, actions.iter().copied(), i as f64, PolicyVersion::default());
        }
        samples
    }

    #[test]
    fn distinct_states_are_asked_for_once() {
        let environment = Hypergrid::new(2, 3).unwrap();
        let mut batch = Batch::default();
        // (0,0) (1,0) (1,1) exit; (0,0) exit; (0,0) (0,1) (1,1) (2,1) exit.
        let samples = samples(&[&[0, 1], &[], &[1, 0, 0]]);
        for _ in 0..2 {
            batch.build(&environment, &samples).unwrap();
            assert_eq!(batch.offsets, [0, 3, 4, 8]);
            assert_eq!(batch.rows, [0, 1, 2, 0, 0, 3, 2, 4]);
            assert_eq!(batch.states.len(), 5);
            assert_eq!(batch.forward, [0, 1, 2, 2, 1, 0, 0, 1]);
            // (1,0) has one way back; (1,1) is undone by -y, then by -x; (2,1) by -x, its first.
            assert_eq!(batch.backward, [0, 1, 0, 0, 0, 0, 0, 0]);
            assert_eq!(batch.log_rewards, [0.0, 1.0, 2.0]);
        }
    }

    #[test]
    fn states_without_a_choice_are_one_row_unless_their_flow_is_wanted() {
        let environment = Sequence::over_alphabet("AB", Length::Length(2)).unwrap();
        let samples = samples(&[&[0, 0], &[0, 1], &[1, 0]]);
        for (flow, rows) in
            [(false, [0, 1, 2, 0, 1, 2, 0, 3, 2]), (true, [0, 1, 2, 0, 1, 3, 0, 4, 5])]
        {
            let mut batch = Batch::new(Heads { forward: 2, backward: 1, flow, ..Heads::default() });
            batch.build(&environment, &samples).unwrap();
            assert_eq!(batch.rows, rows);
            assert_eq!(batch.forward, [0, 0, 0, 0, 1, 0, 1, 0, 0]);
            assert_eq!(batch.backward, [0; 9]);
        }
    }

    #[test]
    fn every_state_is_measured_where_that_is_wanted() {
        let environment = Hypergrid::new(1, 5).unwrap();
        let reward = HypergridReward::new(Landscape::USUAL[0], &environment).unwrap();
        let mut batch = Batch::default().with_state_rewards(Arc::new(reward), -2.0);
        for _ in 0..2 {
            batch.build(&environment, &samples(&[&[0, 0]])).unwrap();
            // Those of R = 0.1 are clipped.
            let expected = [0.6f64.ln(), -2.0, -2.0];
            for (row, log_reward) in batch.state_log_rewards.iter().enumerate() {
                assert!((log_reward - expected[row]).abs() < 1e-12, "row {row}: {log_reward}");
            }
        }
        let environment = Sequence::over_alphabet("AB", Length::Length(2)).unwrap();
        let error = batch.build(&environment, &samples(&[&[0, 0]])).unwrap_err();
        assert!(matches!(error, TrainError::StateReward(_)), "{error}");
    }

    /// 'AA' of one token at either end: two edges from 'A', which has two from the empty sequence.
    #[test]
    fn every_edge_into_a_state_is_found_also_between_the_same_two() {
        let environment = Sequence::over_alphabet("AB", Length::Length(2)).unwrap();
        let environment = environment.built_by(Construction::PrependAppend).unwrap();
        let mut batch = Batch::new(Heads { forward: 4, ..Heads::default() });
        batch = batch.with_incoming_edges();
        // Prepend A, append A: '', 'A', 'AA'. Append B, prepend A: '', 'B', 'AB'.
        for _ in 0..2 {
            batch.build(&environment, &samples(&[&[0, 2], &[3, 0]])).unwrap();
            assert_eq!(batch.rows, [0, 1, 2, 0, 3, 4]);
            let Incoming { parents, forward } = batch.incoming.as_ref().unwrap();
            assert_eq!(parents.offsets, [0, 0, 2, 4, 6, 8]);
            // 'A' and 'B' from '' by either end; 'AA' from 'A' by either end; 'AB' by prepending A to
            // 'B' and by appending B to 'A'.
            assert_eq!(parents.values, [0, 0, 1, 1, 0, 0, 3, 1]);
            assert_eq!(forward[..], [0, 2, 0, 2, 1, 3, 0, 3]);
            assert_eq!(batch.states.len(), 5, "all parents were visited");
        }
        batch.build(&environment, &samples(&[&[0, 3]])).unwrap();
        let Incoming { parents, forward } = batch.incoming.as_ref().unwrap();
        assert_eq!((&parents.values[..], &forward[..]), (&[0, 0, 3, 1][..], &[0, 2, 0, 3][..]));
        assert_eq!(batch.states.len(), 4, "'B' is only a parent");
        assert_eq!(parents.rows(), 3);
    }

    #[test]
    fn an_illegal_trajectory_is_named() {
        let environment = Hypergrid::new(2, 3).unwrap();
        let error =
            Batch::default().build(&environment, &samples(&[&[0], &[0, 0, 0]])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "trajectory 1 of the batch cannot be replayed: action 0 at step 2 is not legal there"
        );
    }
}
