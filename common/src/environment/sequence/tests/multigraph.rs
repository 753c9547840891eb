//! Policies over edges reach the target exactly; policies over distinct parents do not.

use std::collections::HashMap;

use super::*;
use crate::environment::laws::check_backward_paths;
use crate::exact::terminating_distribution;
use crate::network::States;

/// A faulty environment: of several backward edges to the same parent it lists the first only, and
/// all their forward edges have that one as their inverse.
struct Deduplicated(Sequence);

impl Deduplicated {
    fn first_to_the_same_parent(&self, state: &[u32], backward: u32) -> u32 {
        let undone = |backward| {
            let mut parent = state.to_vec();
            self.0.undo(&mut parent, backward);
            parent
        };
        let parent = undone(backward);
        (0..backward).find(|&other| undone(other) == parent).unwrap_or(backward)
    }
}

impl Environment for Deduplicated {
    fn identity(&self) -> Identity {
        self.0.identity()
    }
    fn forward_actions(&self) -> usize {
        self.0.forward_actions()
    }
    fn backward_actions(&self) -> usize {
        self.0.backward_actions()
    }
    fn max_steps(&self) -> usize {
        self.0.max_steps()
    }
    fn state_width(&self) -> usize {
        self.0.state_width()
    }
    fn reset(&self, state: &mut [u32]) {
        self.0.reset(state);
    }
    fn legal_forward(&self, state: &[u32], actions: &mut Vec<u32>) {
        self.0.legal_forward(state, actions);
    }
    fn legal_backward(&self, state: &[u32], actions: &mut Vec<u32>) {
        let mut all = Vec::new();
        self.0.legal_backward(state, &mut all);
        all.retain(|&backward| self.first_to_the_same_parent(state, backward) == backward);
        actions.extend(all);
    }
    fn can_stop(&self, state: &[u32]) -> bool {
        self.0.can_stop(state)
    }
    fn step(&self, state: &mut [u32], action: u32) {
        self.0.step(state, action);
    }
    fn undo(&self, state: &mut [u32], backward: u32) {
        self.0.undo(state, backward);
    }
    fn inverse(&self, state: &[u32], action: u32) -> u32 {
        let mut next = state.to_vec();
        self.0.step(&mut next, action);
        self.first_to_the_same_parent(&next, self.0.inverse(state, action))
    }
    fn forward_of(&self, state: &[u32], backward: u32) -> u32 {
        self.0.forward_of(state, backward)
    }
    fn features(&self) -> usize {
        self.0.features()
    }
    fn active_features(&self, state: &[u32], features: &mut Vec<u32>) {
        self.0.active_features(state, features);
    }
    fn object(&self, state: &[u32]) -> Object {
        self.0.object(state)
    }
    fn state_of(&self, object: &Object) -> Result<Vec<u32>, NotAnObject> {
        self.0.state_of(object)
    }
    fn enumeration(&self) -> Option<&dyn Enumeration> {
        self.0.enumeration()
    }
}

/// Without any training: the P_F that is balanced with the reward and a uniform P_B on every edge,
/// F(s) P_F(s -> s') = F(s') P_B(s | s'), which has zero loss for every objective; and how far its
/// distribution is from R / Z, as a total variation.
fn distance_when_balanced(environment: &dyn Environment, reward: impl Fn(&Object) -> f64) -> f64 {
    let list = environment.enumeration().unwrap();
    let mut flows = vec![0.0; list.states() as usize];
    let mut policy_of: HashMap<Vec<u32>, Vec<f64>> = HashMap::new();
    let mut rewards = Vec::new();
    let mut state = vec![0; environment.state_width()];
    for index in (0..flows.len()).rev() {
        list.state(index as u64, &mut state);
        let (mut legal, mut features) = (Vec::new(), Vec::new());
        environment.legal_forward(&state, &mut legal);
        let along = |&action: &u32| {
            let (mut next, mut backward) = (state.clone(), Vec::new());
            environment.step(&mut next, action);
            environment.legal_backward(&next, &mut backward);
            flows[list.index(&next) as usize] / backward.len() as f64
        };
        let mut edges: Vec<f64> = legal.iter().map(along).collect();
        if environment.can_stop(&state) {
            edges.push(reward(&environment.object(&state)));
            rewards.extend(edges.last());
        }
        flows[index] = edges.iter().sum();
        let log_forward = edges.iter().map(|edge| (edge / flows[index]).ln()).collect();
        environment.active_features(&state, &mut features);
        policy_of.insert(features, log_forward);
    }
    let mut policy = |states: &States, out: &mut Vec<f64>| {
        (0..states.len()).for_each(|i| out.extend(&policy_of[states.features.row(i)]));
    };
    let terminating = terminating_distribution(environment, &mut policy, &mut || true).unwrap();
    let z: f64 = rewards.iter().sum();
    let pairs = terminating.iter().zip(rewards.iter().rev());
    0.5 * pairs.map(|(p, reward)| (p - reward / z).abs()).sum::<f64>()
}

/// Many times more for each A.
fn uneven(object: &Object) -> f64 {
    3f64.powi(object.to_string().matches('A').count() as i32)
}

fn sequences(alphabet: &str, length: Length, construction: Construction) -> Option<Sequence> {
    built(Sequence::over_alphabet(alphabet, length).unwrap(), construction)
}

#[test]
fn a_balanced_policy_over_edges_has_the_target() {
    for construction in CONSTRUCTIONS {
        for (alphabet, length) in
            [("AC", Length::Length(5)), ("ACG", Length::MaxLength(3)), ("A", Length::Length(3))]
        {
            if let Some(sequences) = sequences(alphabet, length, construction) {
                let distance = distance_when_balanced(&sequences, uneven);
                assert!(distance < 1e-12, "{construction:?} {alphabet} {length:?}: {distance}");
            }
        }
    }
}

#[test]
fn one_over_distinct_parents_has_another_by_hand() {
    // "AA" has one parent, "AC" two, and each single token two edges from the empty sequence. The
    // P_B of the paths to AA, AC, CA, CC add up to 4, 2, 2, 4, so that for R = 1 these objects get
    // 1/3, 1/6, 1/6, 1/3: a total variation of 1/6.
    let sequences = sequences("AC", Length::Length(2), Construction::PrependAppend).unwrap();
    assert!(distance_when_balanced(&sequences, |_| 1.0) < 1e-15);
    let distance = distance_when_balanced(&Deduplicated(sequences), |_| 1.0);
    assert!((distance - 1.0 / 6.0).abs() < 1e-12, "{distance}");
}

#[test]
fn one_over_distinct_parents_breaks_the_laws_and_misses_the_target() {
    // Over A and C, the reward tripled by each A. The total variations are those of R(x) times the
    // sum of P_B over the paths to x, from another program.
    for (construction, length, expected) in [
        (Construction::PrependAppend, Length::Length(5), 0.4320),
        (Construction::PrependAppend, Length::MaxLength(5), 0.4203),
        (Construction::Insert, Length::Length(5), 0.5166),
        (Construction::Insert, Length::MaxLength(5), 0.5227),
    ] {
        let faulty = Deduplicated(sequences("AC", length, construction).unwrap());
        let paths = check_backward_paths(&faulty, 1).unwrap_err().to_string();
        assert!(paths.contains("add up to"), "{construction:?} {length:?}: {paths}");
        assert!(check_laws(&faulty, 100, 1).is_err(), "{construction:?} {length:?}");
        let distance = distance_when_balanced(&faulty, uneven);
        assert!((distance - expected).abs() < 5e-5, "{construction:?} {length:?}: {distance}");
    }
}

#[test]
fn where_no_two_edges_join_the_same_states_nothing_is_lost() {
    for construction in [Construction::Append, Construction::AnyPosition] {
        let same = Deduplicated(sequences("AC", Length::Length(4), construction).unwrap());
        check_laws(&same, 100, 1).unwrap();
        assert!(distance_when_balanced(&same, uneven) < 1e-12);
    }
}
