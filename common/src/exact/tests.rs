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

/// The flow of every state by its definition: each path back from each object, one by one.
fn flows_by_paths(environment: &dyn Environment, target: &Target, snapshot: &Snapshot) -> Vec<f64> {
    let list = environment.enumeration().unwrap();
    let mut flows = vec![0.0; list.states() as usize];
    let mut log_rewards = target.log_rewards().iter();
    let mut policy = SnapshotPolicy::new(snapshot);
    for index in 0..list.states() {
        let mut state = vec![0; environment.state_width()];
        list.state(index, &mut state);
        if !environment.can_stop(&state) {
            continue;
        }
        let mut open = vec![(state, log_rewards.next().unwrap().exp())];
        while let Some((state, weight)) = open.pop() {
            flows[list.index(&state) as usize] += weight;
            let (mut states, mut log_backward) = (policy.states(), Vec::new());
            states.push(environment, &state);
            policy.log_backward(&states, &mut log_backward);
            for (&way, log_pb) in states.backward.row(0).iter().zip(log_backward) {
                let mut parent = state.clone();
                environment.undo(&mut parent, way);
                open.push((parent, weight * log_pb.exp()));
            }
        }
    }
    flows
}

#[test]
fn flows_are_the_sum_over_all_paths_back_from_all_objects() {
    use crate::environment::sequence::Construction;
    let words = |construction| {
        let words = Sequence::over_alphabet("AC", Length::MaxLength(3)).unwrap();
        words.built_by(construction).unwrap()
    };
    let grid = Hypergrid::new(2, 5).unwrap();
    let (ends, inserted) = (words(Construction::PrependAppend), words(Construction::Insert));
    for environment in [&grid as &dyn Environment, &ends, &inserted] {
        let snapshot = snapshot(environment, 13);
        let list = environment.enumeration().unwrap();
        let log_rewards = (0..list.states()).map(|index| (index as f64).sin());
        let mut state = vec![0; environment.state_width()];
        let is_object = |index: &u64| {
            list.state(*index, &mut state);
            environment.can_stop(&state)
        };
        let objects = (0..list.states()).filter(is_object).count();
        let log_rewards: Vec<f64> = log_rewards.take(objects).collect();
        let log_z = crate::log_space::log_sum_exp(log_rewards.iter().copied());
        let target = Target { states: list.states(), log_rewards, log_z };
        let mut policy = SnapshotPolicy::new(&snapshot);
        let flows = log_flows(environment, &target, &mut policy, &mut always()).unwrap();
        let expected = flows_by_paths(environment, &target, &snapshot);
        for (index, (flow, expected)) in flows.iter().zip(&expected).enumerate() {
            assert!((flow.exp() - expected).abs() < 1e-6 * expected, "state {index}");
        }
        assert!((flows[0] - log_z).abs() < 1e-9, "the initial state has all of Z");
    }
}

/// Every way back is equally likely.
struct UniformBackward;

impl BackwardPolicy for UniformBackward {
    fn log_backward(&mut self, states: &States, out: &mut Vec<f64>) {
        for i in 0..states.len() {
            let ways = states.backward.row(i).len();
            out.extend(vec![-(ways as f64).ln(); ways]);
        }
    }
}

#[test]
fn on_a_tree_a_flow_is_the_partition_function_of_a_prefix_and_elsewhere_it_is_not() {
    use crate::environment::sequence::Construction;
    let tree = Sequence::over_alphabet("ACG", Length::Length(4)).unwrap();
    let many_ways = tree.clone().built_by(Construction::PrependAppend).unwrap();
    let list = tree.enumeration().unwrap();
    let log_rewards: Vec<f64> = (0..81).map(|i| f64::from(i % 7) - 0.1 * f64::from(i)).collect();
    let log_z = crate::log_space::log_sum_exp(log_rewards.iter().copied());
    let target = Target { states: list.states(), log_rewards: log_rewards.clone(), log_z };
    let flow = |environment: &Sequence, prefix: &[u32]| {
        let flows = log_flows(environment, &target, &mut UniformBackward, &mut always()).unwrap();
        flows[list.index(prefix) as usize].exp()
    };
    let finished = (0..list.states()).filter_map(|index| {
        let mut state = vec![0; 5];
        list.state(index, &mut state);
        (state[0] == 4).then_some(state)
    });
    let starts = |state: &Vec<u32>| state[1..3] == [1, 3];
    let weights = finished.zip(&log_rewards).filter(|(state, _)| starts(state));
    let partition: f64 = weights.map(|(_, log_reward)| log_reward.exp()).sum();
    let prefix = [2, 1, 3, 0, 0];
    assert!((flow(&tree, &prefix) - partition).abs() < 1e-9 * partition);
    let elsewhere = flow(&many_ways, &prefix);
    assert!((elsewhere / partition - 1.0).abs() > 0.01, "{elsewhere} and {partition}");
}

#[test]
fn where_a_policy_passes_adds_up_to_the_length_of_its_trajectories() {
    let words = Sequence::over_alphabet("AC", Length::Length(3)).unwrap();
    let snapshot = snapshot(&words, 2);
    let mut policy = SnapshotPolicy::new(&snapshot);
    let Marginals { passing, terminating } = marginals(&words, &mut policy, &mut always()).unwrap();
    assert_eq!((passing.len(), terminating.len()), (15, 8));
    assert_eq!(passing[0], 1.0);
    assert!((passing.iter().sum::<f64>() - 4.0).abs() < 1e-9, "{passing:?}");
}

#[test]
fn an_entropy_is_that_of_its_definition_and_of_log_z_at_convergence() {
    assert!((entropy([0.25; 4].into_iter()) - 4f64.ln()).abs() < 1e-15);
    assert_eq!(entropy([1.0, 0.0].into_iter()), 0.0);
    let (_, target) = original(2, 8, 0.1);
    let exact: Vec<f64> = target.log_rewards().iter().map(|r| (r - target.log_z()).exp()).collect();
    let mean = |p: &[f64]| p.iter().zip(target.log_rewards()).map(|(p, r)| p * r).sum::<f64>();
    let comparison = Comparison::new(&target, &exact);
    assert!((target.log_z() - mean(&exact) - comparison.entropy_policy).abs() < 1e-9);
    assert_eq!(comparison.entropy_policy, comparison.entropy_target);
    // Elsewhere it is not.
    let uniform = [1.0 / 64.0; 64];
    let comparison = Comparison::new(&target, &uniform);
    assert!((comparison.entropy_policy - 64f64.ln()).abs() < 1e-12);
    assert!((target.log_z() - mean(&uniform) - comparison.entropy_policy).abs() > 0.1);
    assert!((comparison.l1 - 64.0 * comparison.l1_mean).abs() < 1e-12);
    assert!((comparison.log_z_error(target.log_z() + 0.5) - 0.5).abs() < 1e-12);
}
