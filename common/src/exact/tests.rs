use std::sync::Arc;

use super::*;
use crate::environment::{Hypergrid, Sequence, sequence::Length};
use crate::ids::PolicyVersion;
use crate::network::{Network, Weights};
use crate::random::{Purpose, Stream};
use crate::reward::{HypergridReward, Landscape, Reward};

fn always() -> impl FnMut() -> bool {
    || true
}

fn original(dimensions: usize, side: usize, r0: f64) -> (Hypergrid, Target) {
    let grid = Hypergrid::new(dimensions, side).unwrap();
    let landscape = Landscape::Original { r0, r1: 0.5, r2: 2.0 };
    let reward = HypergridReward::new(landscape, &grid).unwrap();
    let target = Target::new(&grid, &reward, 1_000_000, &mut always()).unwrap();
    (grid, target)
}

fn snapshot(environment: &dyn Environment, seed: u64) -> Snapshot {
    let network = Network::mlp(environment, &[16], true, false);
    // Larger than at the start of a training, so that the policy is far from uniform.
    let values = network.initial_values(seed).iter().map(|value| 8.0 * value).collect();
    let version = PolicyVersion::default();
    Snapshot::new(Arc::new(network), Weights { version, log_z: 0.0, generated: 0, values })
}

#[test]
fn a_uniform_distribution_is_as_far_as_the_closed_form_says() {
    // TV(uniform, target) in exact rational arithmetic, to four digits.
    for (dimensions, side, r0, expected) in [
        (2, 8, 0.1, 0.5357),
        (4, 8, 0.1, 0.2633),
        (4, 8, 0.01, 0.7464),
        (4, 8, 0.001, 0.9141),
        (2, 64, 0.001, 0.7462),
        (3, 16, 0.001, 0.8620),
        (4, 20, 0.001, 0.9111),
    ] {
        let (_, target) = original(dimensions, side, r0);
        let objects = target.log_rewards().len();
        let comparison = Comparison::new(&target, &vec![1.0 / objects as f64; objects]);
        let total_variation = comparison.total_variation;
        assert!(
            (total_variation - expected).abs() < 5e-5,
            "{side}^{dimensions}: {total_variation}"
        );
        assert_eq!(comparison.pearson, None);
    }
}

#[test]
fn the_target_itself_is_at_no_distance() {
    let (_, target) = original(4, 8, 0.001);
    assert!((target.log_z() - 5.100452).abs() < 1e-6);
    let exact: Vec<f64> = target.log_rewards().iter().map(|r| (r - target.log_z()).exp()).collect();
    let comparison = Comparison::new(&target, &exact);
    assert!(comparison.total_variation < 1e-12 && comparison.jensen_shannon < 1e-12);
    assert!(comparison.kl_policy_target.unwrap() < 1e-12);
    assert!(comparison.pearson.unwrap() > 1.0 - 1e-9);
    assert!(comparison.spearman.unwrap() > 1.0 - 1e-9);
    assert_eq!((comparison.states, comparison.objects), (4096, 4096));
    let text = serde_json::to_string(&comparison).unwrap();
    assert_eq!(serde_json::from_str::<Comparison>(&text).unwrap(), comparison);
}

#[test]
fn two_objects_by_hand() {
    // On a side of 2 both cells are corners outside of the band: R = r1.
    let (grid, target) = original(1, 2, 0.0);
    assert_eq!(target.log_rewards(), [0.5f64.ln(); 2]);
    // P_F(step) = 1/4 in cell 0; cell 1 must stop.
    let mut policy = |states: &States, out: &mut Vec<f64>| {
        assert_eq!(states.len(), 1, "cell 1 must stop and is not asked about");
        out.extend([0.25f64.ln(), 0.75f64.ln()]);
    };
    let terminating = terminating_distribution(&grid, &mut policy, &mut always()).unwrap();
    assert!((terminating[0] - 0.75).abs() < 1e-15 && (terminating[1] - 0.25).abs() < 1e-15);
    let comparison = Comparison::new(&target, &terminating);
    assert!((comparison.total_variation - 0.25).abs() < 1e-15);
    let kl = 0.75 * 1.5f64.ln() + 0.25 * 0.5f64.ln();
    assert!((comparison.kl_policy_target.unwrap() - kl).abs() < 1e-15);
    let reverse = 0.5 * (0.5f64 / 0.75).ln() + 0.5 * 2f64.ln();
    assert!((comparison.kl_target_policy.unwrap() - reverse).abs() < 1e-15);
    let js = 0.5 * (0.75 * 1.2f64.ln() + 0.25 * (2.0f64 / 3.0).ln())
        + 0.5 * (0.5 * 0.8f64.ln() + 0.5 * (4.0f64 / 3.0).ln());
    assert!((comparison.jensen_shannon - js).abs() < 1e-15);
}

#[test]
fn objects_without_reward_make_the_divergence_infinite() {
    let (_, target) = original(2, 8, 0.0);
    let comparison = Comparison::new(&target, &[1.0 / 64.0; 64]);
    assert_eq!(comparison.kl_policy_target, None);
    assert!(comparison.kl_target_policy.is_some() && comparison.total_variation < 1.0);
}

/// The distribution of a snapshot's policy, counted over random rollouts.
fn counted(environment: &dyn Environment, snapshot: &Snapshot, rollouts: u64) -> Vec<f64> {
    let list = environment.enumeration().unwrap();
    let mut policy = SnapshotPolicy::new(snapshot);
    let mut counts = vec![0.0; list.states() as usize];
    let (mut state, mut states) = (vec![0; environment.state_width()], States::default());
    for rollout in 0..rollouts {
        let mut stream = Stream::new(3, Purpose::Walk, 2, rollout);
        environment.reset(&mut state);
        loop {
            states.clear();
            states.push(environment, &state);
            let mut log_forward = Vec::new();
            policy.log_forward(&states, &mut log_forward);
            let weights: Vec<f64> = log_forward.iter().map(|log_p| log_p.exp()).collect();
            match states.forward.row(0).get(stream.categorical(&weights)) {
                Some(action) => environment.step(&mut state, *action),
                None => break,
            }
        }
        counts[list.index(&state) as usize] += 1.0 / rollouts as f64;
    }
    let mut finished = Vec::new();
    for (index, count) in (0..).zip(counts) {
        list.state(index, &mut state);
        finished.extend(environment.can_stop(&state).then_some(count));
    }
    finished
}

#[test]
fn the_exact_distribution_is_that_of_the_rollouts() {
    let fixed = Sequence::over_alphabet("ACG", Length::Length(3)).unwrap();
    let variable = Sequence::over_alphabet("AC", Length::MaxLength(3)).unwrap();
    let grid = Hypergrid::new(2, 5).unwrap();
    for environment in [&fixed as &dyn Environment, &variable, &grid] {
        let snapshot = snapshot(environment, 11);
        let mut policy = SnapshotPolicy::new(&snapshot);
        let exact = terminating_distribution(environment, &mut policy, &mut always()).unwrap();
        let rollouts = 20_000;
        let seen = counted(environment, &snapshot, rollouts);
        assert_eq!(exact.len(), seen.len());
        for (exact, seen) in exact.iter().zip(&seen) {
            let deviation = (exact * (1.0 - exact) / rollouts as f64).sqrt();
            assert!((exact - seen).abs() < 5.0 * deviation + 1e-4, "{exact} but {seen}");
        }
    }
}

#[test]
fn it_does_not_depend_on_where_blocks_end() {
    // 4,096 states are four blocks; a walk state by state must give the same.
    let grid = Hypergrid::new(4, 8).unwrap();
    let snapshot = snapshot(&grid, 5);
    let mut policy = SnapshotPolicy::new(&snapshot);
    let exact = terminating_distribution(&grid, &mut policy, &mut always()).unwrap();
    let mut passing = vec![0.0; 4096];
    passing[0] = 1.0;
    let mut states = States::default();
    for index in 0..4096 {
        let mut state = [0; 4];
        grid.state(index as u64, &mut state);
        states.clear();
        states.push(&grid, &state);
        let mut log_forward = Vec::new();
        policy.log_forward(&states, &mut log_forward);
        for (&action, log_p) in states.forward.row(0).iter().zip(&log_forward) {
            let mut next = state;
            grid.step(&mut next, action);
            passing[grid.index(&next) as usize] += passing[index] * log_p.exp();
        }
        let expected = passing[index] * log_forward.last().unwrap().exp();
        assert!((exact[index] - expected).abs() < 1e-12, "{index}");
    }
}

#[test]
fn it_stops_when_told_and_says_why_it_cannot_start() {
    let (grid, _) = original(4, 8, 0.001);
    let snapshot = snapshot(&grid, 1);
    let mut blocks = 0;
    let mut two_blocks = || {
        blocks += 1;
        blocks <= 2
    };
    let mut policy = SnapshotPolicy::new(&snapshot);
    let stopped = terminating_distribution(&grid, &mut policy, &mut two_blocks);
    assert!(matches!(stopped, Err(ExactError::Stopped)), "{stopped:?}");
    let reward = HypergridReward::new(Landscape::Sparse, &grid).unwrap();
    let reward: &dyn Reward = &reward;
    let few = Target::new(&grid, reward, 4095, &mut always()).unwrap_err().to_string();
    assert_eq!(few, "the environment has 4096 states, more than the 4095 that are to be walked");
    let huge = Hypergrid::new(100, 8).unwrap();
    let error = Target::new(&huge, reward, u64::MAX, &mut always()).unwrap_err().to_string();
    assert!(error.contains("cannot list its states"), "{error}");
    let mut broken = |states: &States, out: &mut Vec<f64>| {
        states.forward.offsets.windows(2).for_each(|_| out.extend([f64::NAN; 5]));
    };
    let error = terminating_distribution(&grid, &mut broken, &mut always()).unwrap_err();
    assert!(matches!(error, ExactError::NoDistribution { .. }), "{error}");
}
