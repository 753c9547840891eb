use super::*;
use crate::log_space::LogReward;
use crate::rollout::local_search::{Tail, Undoing, log_acceptance, log_correction};
use crate::run_file::{self, Acceptance};

/// An environment with every path, its score, and a reward for each object.
struct World {
    environment: Arc<dyn Environment>,
    /// Of each object, with R above 0.
    rewards: BTreeMap<Vec<u32>, f64>,
    /// Actions, end and score of each path.
    paths: Vec<(Vec<u32>, Vec<u32>, Score)>,
}

impl World {
    /// With the P_F and P_B of a network whose weights are large.
    fn new(environment: Arc<dyn Environment>) -> Self {
        let by_end = all_paths(&*environment);
        let value = |i: usize| 0.3 + ((7 * i + 3) % 5) as f64;
        let rewards = by_end.keys().enumerate().map(|(i, end)| (end.clone(), value(i))).collect();
        let paths: Vec<_> = by_end
            .iter()
            .flat_map(|(end, paths)| paths.iter().map(|actions| (actions.clone(), end.clone())))
            .collect();
        let mut scorer = Scorer::new(environment.clone());
        let actions = paths.iter().map(|(actions, _)| actions.as_slice());
        let scores = scorer.score(&policy(&*environment, Some(5), true), actions).unwrap();
        let paths = paths.into_iter().zip(scores);
        let paths = paths.map(|((actions, end), score)| (actions, end, score)).collect();
        Self { environment, rewards, paths }
    }

    /// As [`new`](Self::new), with the P_F that is balanced with P_B and the rewards: F(s) is the sum
    /// over the tails from s of R(x) P_B(tail | x).
    fn solved(environment: Arc<dyn Environment>) -> Self {
        let mut world = Self::new(environment);
        let mut flows: BTreeMap<Vec<u32>, f64> = BTreeMap::new();
        for (actions, end, score) in &world.paths {
            for kept in 0..=actions.len() {
                let flow = world.rewards[end] * score.log_pb_from(kept).exp();
                *flows.entry(actions[..kept].to_vec()).or_default() += flow;
            }
        }
        for (actions, end, score) in &mut world.paths {
            let flow = |kept: usize| flows[&actions[..kept]].ln();
            for step in 0..actions.len() {
                score.log_pf[step] = flow(step + 1) + score.log_pb[step] - flow(step);
            }
            score.log_pf[actions.len()] = world.rewards[end].ln() - flow(actions.len());
        }
        world
    }

    fn log_reward(&self, end: &[u32]) -> LogReward {
        LogReward::from_reward(self.rewards[end]).unwrap()
    }

    /// Calls `visit([from, to], probability, [old, new])` for every move that can be proposed.
    fn moves(&self, undoing: Undoing, mut visit: impl FnMut([&[u32]; 2], f64, [Tail; 2])) {
        for (old, from, old_score) in &self.paths {
            for kept in 0..=old.len() {
                let old_tail = undoing.tail(old_score, kept);
                let drawn = (old_score.log_pb_from(0) + old_tail.log_undone).exp();
                if drawn == 0.0 {
                    continue;
                }
                for (new, to, new_score) in &self.paths {
                    if new.len() >= kept && new[..kept] == old[..kept] {
                        let new_tail = undoing.tail(new_score, kept);
                        let probability = drawn * new_tail.log_pf.exp();
                        visit([from, to], probability, [old_tail, new_tail]);
                    }
                }
            }
        }
    }

    /// The chain's transition matrix over the objects in their order; `sign` -1 turns the correction
    /// upside down.
    fn transitions(&self, undoing: Undoing, sign: f64) -> Vec<Vec<f64>> {
        let index: BTreeMap<_, _> =
            self.rewards.keys().enumerate().map(|(i, end)| (end.as_slice(), i)).collect();
        let mut matrix = vec![vec![0.0; index.len()]; index.len()];
        self.moves(undoing, |[from, to], probability, [old, new]| {
            let correction = sign * log_correction(old, new);
            let rewards = [from, to].map(|end| self.log_reward(end));
            let accepted = log_acceptance(rewards[0], rewards[1], correction).exp();
            matrix[index[from]][index[to]] += probability * accepted;
            matrix[index[from]][index[from]] += probability * (1.0 - accepted);
        });
        matrix
    }

    /// R / Z in the order of the objects.
    fn target(&self) -> Vec<f64> {
        let z: f64 = self.rewards.values().sum();
        self.rewards.values().map(|reward| reward / z).collect()
    }
}

/// Letters "AB": multigraphs with two edges from the empty word to each letter.
fn built_words(length: Length) -> Arc<dyn Environment> {
    let words = Sequence::over_alphabet("AB", length).unwrap();
    Arc::new(words.built_by(Construction::PrependAppend).unwrap())
}

/// With steps to undo that lead from every object to every other.
fn worlds(make: fn(Arc<dyn Environment>) -> World) -> [(World, Undoing); 4] {
    let (fixed, free) = (built_words(Length::Length(3)), built_words(Length::MaxLength(3)));
    [
        (make(grid(3)), Undoing::UpTo(2)),
        (make(grid(3)), Undoing::UpTo(1)),
        (make(fixed), Undoing::Exactly(2)),
        (make(free), Undoing::UpTo(2)),
    ]
}

/// Total variation between two distributions.
fn distance(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(a, b)| (a - b).abs()).sum::<f64>() / 2.0
}

fn product(left: &[Vec<f64>], right: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let row = |weights: &Vec<f64>| {
        let column = |j: usize| weights.iter().zip(right).map(|(w, row)| w * row[j]).sum();
        (0..right.len()).map(column).collect()
    };
    left.iter().map(row).collect()
}

/// Where the chain is after 2^14 rounds, from each object: in the long run.
fn long_run(matrix: &[Vec<f64>]) -> Vec<Vec<f64>> {
    (0..14).fold(matrix.to_vec(), |power, _| product(&power, &power))
}

#[test]
fn the_chain_finds_objects_in_proportion_to_their_reward_whatever_the_policy() {
    for (world, undoing) in worlds(World::new) {
        assert_eq!(Undoing::new(&*world.environment, undoing_steps(undoing)), undoing);
        let (matrix, target) = (world.transitions(undoing, 1.0), world.target());
        for row in &matrix {
            assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-6, "{row:?}");
        }
        let after = &product(std::slice::from_ref(&target), &matrix)[0];
        assert!(distance(after, &target) < 1e-6, "{undoing:?}: {}", distance(after, &target));
        for row in long_run(&matrix) {
            assert!(distance(&row, &target) < 1e-3, "{undoing:?}: {}", distance(&row, &target));
        }
    }
}

#[test]
fn an_inverted_correction_finds_other_objects() {
    for (world, undoing) in worlds(World::new) {
        let (matrix, target) = (world.transitions(undoing, -1.0), world.target());
        for row in long_run(&matrix) {
            assert!(distance(&row, &target) > 0.02, "{undoing:?}: {}", distance(&row, &target));
        }
    }
}

#[test]
fn where_the_loss_is_zero_everything_is_accepted() {
    for (world, undoing) in worlds(World::solved) {
        let (mut refused, mut refused_inverted) = (0, 0);
        world.moves(undoing, |ends, _, [old, new]| {
            let rewards = ends.map(|end| world.log_reward(end));
            let accepts =
                |sign: f64| log_acceptance(rewards[0], rewards[1], sign * log_correction(old, new));
            refused += usize::from(accepts(1.0) < -1e-9);
            refused_inverted += usize::from(accepts(-1.0) < -1e-9);
            // What is left of the ratio is the choice of the number of steps.
            let chosen = (new.log_undone - old.log_undone).min(0.0);
            assert!(chosen == accepts(1.0) || (chosen - accepts(1.0)).abs() < 1e-9);
        });
        let has_one_length = matches!(undoing, Undoing::Exactly(_));
        assert_eq!(refused == 0, has_one_length, "{undoing:?}");
        assert!(refused_inverted > 0, "{undoing:?}");
    }
}

fn undoing_steps(undoing: Undoing) -> usize {
    match undoing {
        Undoing::Exactly(steps) | Undoing::UpTo(steps) => steps,
    }
}

#[test]
fn proposals_and_their_acceptance_follow_the_transition_matrix() {
    for (world, undoing) in worlds(World::new) {
        let snapshot = policy(&*world.environment, Some(5), true);
        let keys = run_file::LocalSearch {
            rounds: 1.into(),
            steps: undoing_steps(undoing),
            accept: Acceptance::MetropolisHastings,
        };
        let matrix = world.transitions(undoing, 1.0);
        let draws = 4_000;
        for (from, start) in world.rewards.keys().enumerate().step_by(3) {
            let (actions, ..) = world.paths.iter().find(|(_, end, _)| end == start).unwrap();
            let mut streams = streams(draws);
            let proposals = LocalSearch::new(&world.environment, &keys)
                .propose(&snapshot, &vec![actions.as_slice(); draws as usize], &mut streams)
                .unwrap();
            let mut counts = vec![0.0; matrix.len()];
            for (proposal, stream) in proposals.iter().zip(&mut streams) {
                let end = world.environment.state_of(&proposal.trajectory.object).unwrap();
                let rewards = [start, &end].map(|end| world.log_reward(end));
                let is_accepted = accepts(keys.accept, rewards, proposal.log_correction, stream);
                let stays = if is_accepted { &end } else { start };
                counts[world.rewards.keys().position(|other| other == stays).unwrap()] += 1.0;
            }
            for (count, probability) in counts.iter().zip(&matrix[from]) {
                let expected = probability * draws as f64;
                let bound = 5.0 * (expected * (1.0 - probability)).max(1.0).sqrt();
                assert!((count - expected).abs() < bound, "{count} of {expected}, seed {SEED}");
            }
        }
    }
}

#[test]
fn a_proposal_is_a_whole_trajectory_and_its_log_mu_that_of_its_tail() {
    let environment = built_words(Length::Length(3));
    let snapshot = policy(&*environment, Some(3), true);
    for accept in [Acceptance::Greedy, Acceptance::MetropolisHastings] {
        let keys = run_file::LocalSearch { rounds: 1.into(), steps: 2, accept };
        let mut search = LocalSearch::new(&environment, &keys);
        let proposals = search.propose(&snapshot, &[&[0, 3, 1][..]; 50], &mut streams(50)).unwrap();
        let actions = proposals.iter().map(|proposal| proposal.trajectory.actions.as_slice());
        let scores = Scorer::new(environment.clone()).score(&snapshot, actions).unwrap();
        for (Proposal { trajectory, .. }, score) in proposals.iter().zip(scores) {
            assert!((trajectory.log_mu - score.log_pf_from(1)).abs() < 1e-9, "{trajectory:?}");
        }
        let is_corrected = proposals.iter().any(|proposal| proposal.log_correction != 0.0);
        assert_eq!(is_corrected, accept == Acceptance::MetropolisHastings);
    }
}

#[test]
fn greed_never_lowers_the_reward_and_zero_is_left_at_once() {
    let mut stream = Stream::new(SEED, Purpose::Walk, 0, 0);
    let log_reward = |value: f64| LogReward::try_from(value).unwrap();
    let zero = log_reward(f64::NEG_INFINITY);
    for _ in 0..1_000 {
        let [old, new, correction] = [0; 3].map(|_| 4.0 * stream.uniform() - 2.0);
        let rewards = [old, new].map(log_reward);
        assert_eq!(accepts(Acceptance::Greedy, rewards, correction, &mut stream), new > old);
    }
    for (rewards, greedy, chain) in [
        ([zero, zero], false, true),
        ([zero, log_reward(0.0)], true, true),
        ([log_reward(0.0), zero], false, false),
        ([log_reward(0.0), log_reward(0.0)], false, true),
    ] {
        assert_eq!(accepts(Acceptance::Greedy, rewards, 0.0, &mut stream), greedy);
        assert_eq!(accepts(Acceptance::MetropolisHastings, rewards, 0.0, &mut stream), chain);
    }
    let even = [log_reward(0.0); 2];
    let never = f64::NEG_INFINITY;
    assert!(!accepts(Acceptance::MetropolisHastings, even, never, &mut stream));
}
