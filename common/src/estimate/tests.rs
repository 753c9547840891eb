use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::environment::Identity;
use crate::environment::sequence::{Construction, Length};
use crate::environment::{Hypergrid, Sequence};
use crate::exact::{Comparison, SnapshotPolicy, Target, terminating_distribution};
use crate::ids::PolicyVersion;
use crate::log_space::{LogReward, log_sum_exp};
use crate::network::cpu::Snapshot;
use crate::network::{Network, Weights};
use crate::random::{Purpose, Stream};
use crate::reward::{HypergridReward, Known, Landscape, Output, Role};
use crate::rollout::Scorer;

const SEED: u64 = 7;

/// Far from uniform with a seed, all logits alike without.
fn policy(environment: &dyn Environment, seed: Option<u64>) -> Snapshot {
    scaled(environment, seed, 4.0)
}

/// So near to uniform that no path back is much likelier than its share of log p.
fn mild(environment: &dyn Environment) -> Snapshot {
    scaled(environment, Some(3), 1.0)
}

fn scaled(environment: &dyn Environment, seed: Option<u64>, scale: f32) -> Snapshot {
    let network = Network::mlp(environment, &[8], true, false);
    let values = match seed {
        Some(seed) => network.initial_values(seed).iter().map(|value| scale * value).collect(),
        None => vec![0.0; network.parameter_count()],
    };
    let version = PolicyVersion::default();
    Snapshot::new(Arc::new(network), Weights { version, log_z: 0.0, generated: 0, values })
}

fn words(construction: Construction, length: Length) -> Arc<dyn Environment> {
    let words = Sequence::over_alphabet("AB", length).unwrap();
    Arc::new(words.built_by(construction).unwrap())
}

/// Graphs, trees and multigraphs.
fn environments() -> [Arc<dyn Environment>; 6] {
    [
        Arc::new(Hypergrid::new(2, 4).unwrap()),
        words(Construction::Append, Length::Length(3)),
        words(Construction::Append, Length::MaxLength(3)),
        words(Construction::PrependAppend, Length::MaxLength(3)),
        words(Construction::Insert, Length::Length(3)),
        words(Construction::AnyPosition, Length::Length(3)),
    ]
}

/// log p of every finished state, by adding up all its paths one by one.
fn by_brute_force(
    environment: &Arc<dyn Environment>,
    snapshot: &Snapshot,
) -> BTreeMap<Vec<u32>, f64> {
    let mut initial = vec![0; environment.state_width()];
    environment.reset(&mut initial);
    let mut open = vec![(initial, Vec::new())];
    let mut paths: BTreeMap<Vec<u32>, Vec<Vec<u32>>> = BTreeMap::new();
    while let Some((state, actions)) = open.pop() {
        let mut legal = Vec::new();
        environment.legal_forward(&state, &mut legal);
        for action in legal {
            let mut next = state.clone();
            environment.step(&mut next, action);
            let longer: Vec<u32> = actions.iter().copied().chain([action]).collect();
            open.push((next, longer));
        }
        if environment.can_stop(&state) {
            paths.entry(state).or_default().push(actions);
        }
    }
    let mut scorer = Scorer::new(environment.clone());
    let mut log_p = |paths: Vec<Vec<u32>>| {
        let scores = scorer.score(snapshot, paths.iter().map(Vec::as_slice)).unwrap();
        log_sum_exp(scores.iter().map(|score| score.log_pf_from(0)))
    };
    paths.into_iter().map(|(state, paths)| (state, log_p(paths))).collect()
}

fn estimated(estimator: PathEstimator, snapshot: &Snapshot, states: &[&[u32]]) -> LogProbabilities {
    let mut estimator = estimator;
    estimator.log_probabilities(snapshot, states, &mut || true).unwrap()
}

#[test]
fn over_all_ancestors_log_p_is_the_sum_over_all_paths() {
    for environment in environments() {
        let snapshot = policy(&*environment, Some(3));
        let expected = by_brute_force(&environment, &snapshot);
        let states: Vec<&[u32]> = expected.keys().map(Vec::as_slice).collect();
        let estimator = PathEstimator::new(environment.clone(), 1, SEED).exact_up_to(1_000);
        let found = estimated(estimator, &snapshot, &states);
        assert_eq!(found.exact, states.len());
        for (found, (state, expected)) in found.values.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-9, "{state:?}: {found}, expected {expected}");
        }
        let total: f64 = found.values.iter().map(|log_p| log_p.exp()).sum();
        assert!((total - 1.0).abs() < 1e-6, "{total}");
    }
}

#[test]
fn an_object_with_too_many_ancestors_leaves_no_trace() {
    let grid = Hypergrid::new(2, 8).unwrap();
    let mut ancestors = Ancestors::default();
    // A cell (x, y) has (x + 1)(y + 1) ancestors, itself included.
    assert!(ancestors.add(&grid, &[1, 2], 6));
    assert!(!ancestors.add(&grid, &[3, 3], 15));
    assert_eq!(ancestors.states(), 6);
    assert!(ancestors.add(&grid, &[3, 3], 16));
    assert_eq!(ancestors.states(), 16);
    assert!(!ancestors.add(&grid, &[1, 2], 5), "what another has brought counts too");
    let snapshot = policy(&grid, Some(3));
    let found = ancestors.log_probabilities(&grid, &mut SnapshotPolicy::new(&snapshot));
    let all = terminating_distribution(&grid, &mut SnapshotPolicy::new(&snapshot), &mut || true);
    let (all, list) = (all.unwrap(), grid.enumeration().unwrap());
    for (found, state) in found.iter().zip([[1, 2], [3, 3]]) {
        let expected = all[list.index(&state) as usize];
        assert!((found.exp() - expected).abs() < 1e-12, "{state:?}");
    }
}

#[test]
fn estimates_from_paths_agree_with_the_exact_and_are_low_on_average() {
    for environment in environments() {
        let snapshot = mild(&*environment);
        let exact = by_brute_force(&environment, &snapshot);
        let states: Vec<&[u32]> = exact.keys().map(Vec::as_slice).collect();
        let estimator = PathEstimator::new(environment.clone(), 4_000, SEED).exact_up_to(0);
        let found = estimated(estimator, &snapshot, &states);
        assert_eq!(found.exact, 0);
        for (found, (state, exact)) in found.values.iter().zip(&exact) {
            assert!((found - exact).abs() < 0.05, "{state:?}: {found}, exact {exact}, seed {SEED}");
        }
        // One path many times over: the mean of the logs lies below the log of the mean.
        let (state, exact) = exact.iter().next_back().unwrap();
        let again = vec![state.as_slice(); 4_000];
        let one = PathEstimator::new(environment.clone(), 1, SEED).exact_up_to(0);
        let logs = estimated(one, &snapshot, &again).values;
        let mean = logs.iter().sum::<f64>() / logs.len() as f64;
        assert!(mean <= exact + 1e-9, "{mean} is above {exact}, seed {SEED}");
    }
}

#[test]
fn the_interval_of_a_bootstrap_over_paths_holds_the_exact_value() {
    let environment: Arc<dyn Environment> = Arc::new(Hypergrid::new(2, 4).unwrap());
    let snapshot = mild(&*environment);
    let exact = by_brute_force(&environment, &snapshot)[&vec![3, 3]];
    let mut estimator = PathEstimator::new(environment, 1_000, SEED);
    let (log_p, interval) = estimator.with_interval(&snapshot, &[3, 3]).unwrap();
    let interval = interval.unwrap();
    assert!(interval.low < log_p && log_p < interval.high, "{log_p}: {interval:?}");
    assert!(interval.low < exact && exact < interval.high, "{exact}: {interval:?}, seed {SEED}");
}

/// Every object is worth the same.
struct Flat;

impl Reward for Flat {
    fn identity(&self) -> Identity {
        Identity { kind: "flat".into(), version: 1, configuration: String::new() }
    }

    fn outputs(&self) -> Vec<Output> {
        vec![Output { name: "value".into(), role: Role::Objective }]
    }

    fn evaluate(&self, objects: &[Object], raw: &mut Vec<f64>) -> Result<(), RewardError> {
        raw.resize(raw.len() + objects.len(), 0.5);
        Ok(())
    }

    fn transform(&self, raw: &[f64]) -> Result<LogReward, InvalidRaw> {
        LogReward::try_from(raw[0])
            .map_err(|error| InvalidRaw { raw: raw.to_vec(), reason: error.to_string() })
    }
}

#[test]
fn a_policy_without_error_has_every_bound_at_log_z() {
    // Uniform logits draw words of a fixed length uniformly, whatever the construction.
    for construction in [Construction::Append, Construction::AnyPosition] {
        let environment = words(construction, Length::Length(3));
        let snapshot = policy(&*environment, None);
        let log_z = 0.5 + 8f64.ln();
        let mut sampler = Sampler::new(environment.clone(), Arc::new(Flat), SEED);
        let mut estimator = PathEstimator::new(environment.clone(), 3, SEED);
        let of_entropy = Some((&mut estimator, 50));
        let own = sampler.samples(&snapshot, 300, of_entropy, &mut || true).unwrap();
        assert_eq!((own.count, own.mean_log_reward), (300, Some(0.5)));
        let target = Target::new(&*environment, &Flat, 1_000, &mut || true).unwrap();
        let mut stream = Stream::new(SEED, Purpose::Evaluation, 3, 0);
        let samples = target.samples(&*environment, 300, &mut stream).unwrap();
        let theirs = sampler.target_samples(&snapshot, &samples, &mut || true).unwrap();
        for bound in [own.elbo, own.effective_log_z, theirs.eubo] {
            assert!((bound.unwrap() - log_z).abs() < 1e-5, "{bound:?}");
        }
        assert!((own.entropy.unwrap() - 8f64.ln()).abs() < 1e-5, "{own:?}");
    }
}

#[test]
fn bounds_hold_the_exact_log_z_and_the_entropy_is_the_exact_one() {
    let grid = Hypergrid::new(2, 8).unwrap();
    let reward = HypergridReward::new(Landscape::USUAL[0], &grid).unwrap();
    let target = Target::new(&grid, &reward, 1_000, &mut || true).unwrap();
    let environment: Arc<dyn Environment> = Arc::new(grid);
    let snapshot = policy(&*environment, Some(5));
    let all =
        terminating_distribution(&*environment, &mut SnapshotPolicy::new(&snapshot), &mut || true);
    let exact = Comparison::new(&target, &all.unwrap());
    let mut sampler = Sampler::new(environment.clone(), Arc::new(reward), SEED);
    let mut estimator = PathEstimator::new(environment.clone(), 10, SEED).exact_up_to(100);
    let of_entropy = Some((&mut estimator, 2_000));
    let own = sampler.samples(&snapshot, 2_000, of_entropy, &mut || true).unwrap();
    let mut stream = Stream::new(SEED, Purpose::Evaluation, 3, 0);
    let samples = target.samples(&*environment, 2_000, &mut stream).unwrap();
    let theirs = sampler.target_samples(&snapshot, &samples, &mut || true).unwrap();
    let (elbo, eubo) = (own.elbo.unwrap(), theirs.eubo.unwrap());
    assert!(elbo < target.log_z() && target.log_z() < eubo, "{own:?} {theirs:?}, seed {SEED}");
    assert!(elbo < own.effective_log_z.unwrap());
    // The gap of the lower bound is at least KL(policy, target), of the upper KL(target, policy).
    assert!(
        target.log_z() - elbo > exact.kl_policy_target.unwrap() - 4.0 * own.elbo_error.unwrap()
    );
    let gap = exact.kl_target_policy.unwrap() - 4.0 * theirs.eubo_error.unwrap();
    assert!(eubo - target.log_z() > gap);
    let (entropy, error) = (own.entropy.unwrap(), own.entropy_error.unwrap());
    let off = (entropy - exact.entropy_policy).abs();
    assert!(off < 4.0 * error, "{entropy} +- {error}, exact {}, seed {SEED}", exact.entropy_policy);
}

#[test]
fn samples_of_the_target_follow_it() {
    let grid = Hypergrid::new(2, 8).unwrap();
    let reward = HypergridReward::new(Landscape::USUAL[0], &grid).unwrap();
    let target = Target::new(&grid, &reward, 1_000, &mut || true).unwrap();
    let mut stream = Stream::new(SEED, Purpose::Evaluation, 3, 0);
    let mut counts = vec![0; 64];
    let list = grid.enumeration().unwrap();
    for Known { state, log_reward, .. } in target.samples(&grid, 20_000, &mut stream).unwrap() {
        let index = list.index(&state) as usize;
        assert_eq!(log_reward, target.log_rewards()[index]);
        counts[index] += 1;
    }
    let empirical = crate::exact::Empirical::new(&target, &counts).unwrap();
    assert_eq!(empirical.objects, 20_000);
    assert!(empirical.total_variation < 1.4 * empirical.noise_floor, "{empirical:?}, seed {SEED}");
}

#[test]
fn a_test_set_tells_how_log_p_and_log_r_belong_together() {
    let environment = words(Construction::PrependAppend, Length::MaxLength(3));
    let snapshot = policy(&*environment, Some(3));
    let log_p = by_brute_force(&environment, &snapshot);
    let known = |(state, log_p): (&Vec<u32>, &f64)| Known {
        object: environment.object(state),
        state: state.clone(),
        log_reward: 2.0 * log_p + 1.0,
    };
    let mut objects: Vec<Known> = log_p.iter().map(known).collect();
    objects.push(Known { log_reward: f64::NEG_INFINITY, ..objects[0].clone() });
    let mut estimator = PathEstimator::new(environment.clone(), 10, SEED);
    let figures = test_set(&mut estimator, &snapshot, &objects, &mut || true).unwrap();
    assert_eq!((figures.objects, figures.exact_objects), (14, 14));
    assert!(figures.spearman.unwrap() > 1.0 - 1e-12 && figures.pearson.unwrap() > 1.0 - 1e-6);
    assert!(figures.spearman_low.unwrap() > 0.999, "{figures:?}");
    let mean = log_p.values().sum::<f64>() / 14.0;
    assert!((figures.mean_log_p.unwrap() - mean).abs() < 1e-9);
    assert!(figures.mean_log_p_low.unwrap() < mean && mean < figures.mean_log_p_high.unwrap());
    objects.iter_mut().for_each(|known| known.log_reward = -known.log_reward);
    objects.pop();
    let figures = test_set(&mut estimator, &snapshot, &objects, &mut || true).unwrap();
    assert!(figures.spearman.unwrap() < -1.0 + 1e-12, "{figures:?}");
    let stopped = test_set(&mut estimator, &snapshot, &objects, &mut || false);
    assert!(matches!(stopped, Err(EstimateError::Stopped)));
}

#[test]
fn what_a_row_measures_is_not_asked_for_again() {
    let environment = words(Construction::Append, Length::Length(2));
    let row = |text: &str, raw| Row { object: Object::Text(text.into()), raw };
    let rows = vec![row("AB", Some(-2.0)), row("BB", None), row("AA", Some(3.0))];
    let known = measure(&*environment, &Flat, rows).unwrap();
    let log_rewards: Vec<f64> = known.iter().map(|known| known.log_reward).collect();
    assert_eq!(log_rewards, [-2.0, 0.5, 3.0]);
    assert_eq!(known[0].state, [2, 1, 2]);
    let other = vec![row("ABA", None)];
    assert!(matches!(measure(&*environment, &Flat, other), Err(EstimateError::Object(_))));
}

#[test]
fn a_spread_keeps_the_order_and_the_whole_range() {
    let items: Vec<usize> = (0..10).collect();
    assert_eq!(spread(&items, 3), [0, 3, 6]);
    assert_eq!(spread(&items, 99), items);
    assert_eq!(spread(&items[..0], 3), Vec::<usize>::new());
}
