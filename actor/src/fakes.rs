//! Small environments and rewards, and a learner, for the tests of this crate.
#![allow(clippy::unwrap_used)]

pub(crate) mod learner;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::newest::Arrived;
use tributary_common::environment::{Environment, Identity, NotAnObject};
use tributary_common::ids::PolicyVersion;
use tributary_common::log_space::LogReward;
use tributary_common::network::cpu::Snapshot;
use tributary_common::network::{Network, Weights};
use tributary_common::object::Object;
use tributary_common::reward::{InvalidRaw, Output, Reward, RewardError, Role};

/// A square grid of cells: each action increases one coordinate; it may stop anywhere.
pub(crate) struct Grid {
    /// Cells along each side.
    pub(crate) side: u32,
}

impl Environment for Grid {
    fn identity(&self) -> Identity {
        Identity { kind: "grid".into(), version: 1, configuration: self.side.to_string() }
    }

    fn forward_actions(&self) -> usize {
        2
    }

    fn backward_actions(&self) -> usize {
        2
    }

    fn max_steps(&self) -> usize {
        2 * (self.side as usize - 1)
    }

    fn state_width(&self) -> usize {
        2
    }

    fn reset(&self, state: &mut [u32]) {
        state.fill(0);
    }

    fn legal_forward(&self, state: &[u32], actions: &mut Vec<u32>) {
        actions.extend((0..2).filter(|&a| state[a as usize] + 1 < self.side));
    }

    fn legal_backward(&self, state: &[u32], actions: &mut Vec<u32>) {
        actions.extend((0..2).filter(|&a| state[a as usize] > 0));
    }

    fn can_stop(&self, _: &[u32]) -> bool {
        true
    }

    fn step(&self, state: &mut [u32], action: u32) {
        state[action as usize] += 1;
    }

    fn undo(&self, state: &mut [u32], backward: u32) {
        state[backward as usize] -= 1;
    }

    fn inverse(&self, _: &[u32], action: u32) -> u32 {
        action
    }

    fn forward_of(&self, _: &[u32], backward: u32) -> u32 {
        backward
    }

    fn features(&self) -> usize {
        2 * self.side as usize
    }

    fn active_features(&self, state: &[u32], features: &mut Vec<u32>) {
        features.extend([state[0], self.side + state[1]]);
    }

    fn object(&self, state: &[u32]) -> Object {
        Object::Integers(state.iter().map(|&x| i64::from(x)).collect())
    }

    fn state_of(&self, object: &Object) -> Result<Vec<u32>, NotAnObject> {
        match object {
            Object::Integers(cell) => Ok(cell.iter().map(|&x| x as u32).collect()),
            other => Err(NotAnObject { object: other.to_string(), reason: "not a cell".into() }),
        }
    }
}

/// One step, then neither an action nor the exit.
pub(crate) struct DeadEnd;

impl Environment for DeadEnd {
    fn identity(&self) -> Identity {
        Identity { kind: "dead end".into(), version: 1, configuration: String::new() }
    }

    fn forward_actions(&self) -> usize {
        1
    }

    fn backward_actions(&self) -> usize {
        1
    }

    fn max_steps(&self) -> usize {
        1
    }

    fn state_width(&self) -> usize {
        1
    }

    fn reset(&self, state: &mut [u32]) {
        state.fill(0);
    }

    fn legal_forward(&self, state: &[u32], actions: &mut Vec<u32>) {
        actions.extend((state[0] == 0).then_some(0));
    }

    fn legal_backward(&self, state: &[u32], actions: &mut Vec<u32>) {
        actions.extend((state[0] == 1).then_some(0));
    }

    fn can_stop(&self, _: &[u32]) -> bool {
        false
    }

    fn step(&self, state: &mut [u32], _: u32) {
        state[0] = 1;
    }

    fn undo(&self, state: &mut [u32], _: u32) {
        state[0] = 0;
    }

    fn inverse(&self, _: &[u32], _: u32) -> u32 {
        0
    }

    fn forward_of(&self, _: &[u32], _: u32) -> u32 {
        0
    }

    fn features(&self) -> usize {
        2
    }

    fn active_features(&self, state: &[u32], features: &mut Vec<u32>) {
        features.push(state[0]);
    }

    fn object(&self, _: &[u32]) -> Object {
        Object::Integers(vec![])
    }

    fn state_of(&self, _: &Object) -> Result<Vec<u32>, NotAnObject> {
        Ok(vec![0])
    }
}

/// A policy of this network: initial values of the seed, or uniform logits without one.
pub(crate) fn snapshot(network: &Network, seed: Option<u64>, version: PolicyVersion) -> Snapshot {
    Snapshot::new(Arc::new(network.clone()), weights(network, seed, version))
}

/// The same as they arrive.
pub(crate) fn arrived(network: &Network, seed: Option<u64>, version: PolicyVersion) -> Arrived {
    let bytes = weights(network, seed, version).to_bytes(network).unwrap();
    Arrived { version, bytes, network: Arc::new(network.clone()) }
}

/// The weights of [`snapshot`].
pub(crate) fn weights(network: &Network, seed: Option<u64>, version: PolicyVersion) -> Weights {
    let values = match seed {
        Some(seed) => network.initial_values(seed),
        None => vec![0.0; network.parameter_count()],
    };
    Weights { version, log_z: 0.0, generated: 0, values }
}

/// The sum of a cell's coordinates; some sums can be made to fail.
#[derive(Default)]
pub(crate) struct Sum {
    /// This sum is NaN.
    pub(crate) not_finite: Option<i64>,
    /// Objects with this sum cannot be measured.
    pub(crate) unknown: Option<i64>,
}

impl Reward for Sum {
    fn identity(&self) -> Identity {
        Identity { kind: "sum".into(), version: 1, configuration: String::new() }
    }

    fn outputs(&self) -> Vec<Output> {
        vec![Output { name: "sum".into(), role: Role::Objective }]
    }

    fn evaluate(&self, objects: &[Object], raw: &mut Vec<f64>) -> Result<(), RewardError> {
        for object in objects {
            let Object::Integers(cell) = object else { continue };
            let sum: i64 = cell.iter().sum();
            if self.unknown == Some(sum) {
                let (kind, object) = ("sum".into(), object.to_string());
                return Err(RewardError::UnknownObject { kind, object });
            }
            raw.push(if self.not_finite == Some(sum) { f64::NAN } else { sum as f64 });
        }
        Ok(())
    }

    fn transform(&self, raw: &[f64]) -> Result<LogReward, InvalidRaw> {
        LogReward::from_reward(1.0 + raw[0])
            .map_err(|error| InvalidRaw { raw: raw.to_vec(), reason: error.to_string() })
    }
}

/// Waits until a condition holds; panics with its name after 30 seconds.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "waited 30 s in vain: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
