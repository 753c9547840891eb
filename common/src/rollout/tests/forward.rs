use super::*;

fn draw(
    environment: &Arc<dyn Environment>,
    snapshot: &Snapshot,
    exploration: Exploration,
    count: u64,
) -> Vec<Trajectory> {
    let mut out = Vec::new();
    Rollouts::new(environment.clone())
        .draw(snapshot, exploration, &mut streams(count), &mut out)
        .unwrap();
    out
}

/// The probability of every path below `state`, from the definition of the behaviour.
fn paths(
    environment: &dyn Environment,
    snapshot: &Snapshot,
    exploration: Exploration,
    state: &[u32],
    (actions, probability): (Vec<u32>, f64),
    out: &mut BTreeMap<Vec<u32>, f64>,
) {
    let mut legal = Vec::new();
    environment.legal_forward(state, &mut legal);
    if legal.is_empty() {
        out.insert(actions, probability);
        return;
    }
    let mut features = Ragged::default();
    features.push_with(|out| environment.active_features(state, out));
    let mut scratch = Scratch::default();
    let row = snapshot.forward(&mut scratch, &features);
    let exit = snapshot.heads().exit_column() as u32;
    let weight = |column: u32| (f64::from(row[column as usize]) / exploration.temperature).exp();
    let choices: Vec<u32> = legal.iter().copied().chain([exit]).collect();
    let sum: f64 = choices.iter().map(|&c| weight(c)).sum();
    for &choice in &choices {
        let p = exploration.epsilon / choices.len() as f64
            + (1.0 - exploration.epsilon) * weight(choice) / sum;
        if choice == exit {
            out.insert(actions.clone(), probability * p);
            continue;
        }
        let mut next = state.to_vec();
        environment.step(&mut next, choice);
        let longer = actions.iter().copied().chain([choice]).collect();
        paths(environment, snapshot, exploration, &next, (longer, probability * p), out);
    }
}

/// Draws and compares with the exact distribution over paths: chi-square, and log mu of each.
fn compare(seed: Option<u64>, exploration: Exploration) -> BTreeMap<Vec<u32>, f64> {
    let environment = grid(3);
    let snapshot = policy(&*environment, seed, false);
    let mut exact = BTreeMap::new();
    let start = (Vec::new(), 1.0);
    paths(&*environment, &snapshot, exploration, &[0, 0], start, &mut exact);
    let draws = 40_000;
    let mut counts: BTreeMap<Vec<u32>, u32> = BTreeMap::new();
    for trajectory in draw(&environment, &snapshot, exploration, draws) {
        let probability = exact[&trajectory.actions];
        assert!((trajectory.log_mu - probability.ln()).abs() < 1e-6, "{trajectory:?}");
        *counts.entry(trajectory.actions).or_default() += 1;
    }
    let chi_square: f64 = exact
        .iter()
        .map(|(path, probability)| {
            let expected = probability * draws as f64;
            (f64::from(counts.get(path).copied().unwrap_or(0)) - expected).powi(2) / expected
        })
        .sum();
    let freedom = exact.len() as f64 - 1.0;
    let bound = freedom + 4.0 * (2.0 * freedom).sqrt();
    assert!(chi_square < bound, "chi-square {chi_square} of {bound}, seed {SEED}");
    exact
}

#[test]
fn paths_follow_the_policy() {
    let exact = compare(Some(5), Exploration::NONE);
    let sum: f64 = exact.values().sum();
    assert!((sum - 1.0).abs() < 1e-9, "{} paths, {sum}", exact.len());
}

#[test]
fn paths_follow_the_mixture_of_tempered_policy_and_uniform() {
    compare(Some(5), Exploration { epsilon: 0.3, temperature: 2.0, ..Exploration::NONE });
}

#[test]
fn epsilon_one_is_uniform_over_legal_actions_and_exit() {
    let uniform = Exploration { epsilon: 1.0, ..Exploration::NONE };
    let exact = compare(Some(5), uniform);
    // right, down or exit in the corner; then both and exit again.
    assert!((exact[&vec![]] - 1.0 / 3.0).abs() < 1e-12);
    assert!((exact[&vec![0]] - 1.0 / 9.0).abs() < 1e-12);
    let of_uniform_logits = compare(None, Exploration::NONE);
    assert_eq!(of_uniform_logits.len(), exact.len());
    for (path, probability) in of_uniform_logits {
        assert!((probability - exact[&path]).abs() < 1e-9, "{path:?}");
    }
}

#[test]
fn a_forced_exit_costs_nothing() {
    let environment = grid(2);
    let snapshot = policy(&*environment, None, false);
    let all = draw(&environment, &snapshot, Exploration::NONE, 200);
    let corner = all.iter().find(|t| t.actions.len() == 2).unwrap();
    assert_eq!(corner.object, Object::Integers(vec![1, 1]));
    // 1/3 for the first step, 1/2 (the other step or the exit) for the second, 1 for the exit.
    assert!((corner.log_mu - (1.0f64 / 6.0).ln()).abs() < 1e-9, "{corner:?}");
}

#[test]
fn a_trajectory_does_not_depend_on_its_batch() {
    let environment = grid(5);
    let snapshot = policy(&*environment, Some(9), false);
    let together = draw(&environment, &snapshot, Exploration::NONE, 50);
    let mut rollouts = Rollouts::new(environment);
    for (i, expected) in together.iter().enumerate() {
        let mut alone = Vec::new();
        let mut stream = [Stream::new(SEED, Purpose::Rollout, 0, i as u64)];
        rollouts.draw(&snapshot, Exploration::NONE, &mut stream, &mut alone).unwrap();
        assert_eq!(&alone[0], expected, "trajectory {i}");
    }
}
