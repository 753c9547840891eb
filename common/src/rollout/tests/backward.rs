use super::*;

fn environments() -> [Arc<dyn Environment>; 2] {
    [grid(3), words()]
}

#[test]
fn over_all_paths_to_an_object_p_b_adds_up_to_one_and_over_all_paths_p_f() {
    for environment in environments() {
        for learned in [false, true] {
            let snapshot = policy(&*environment, Some(5), learned);
            let (mut scorer, mut total) = (Scorer::new(environment.clone()), 0.0);
            for paths in all_paths(&*environment).values() {
                let scores = scorer.score(&snapshot, paths.iter().map(Vec::as_slice)).unwrap();
                let backward: f64 = scores.iter().map(|score| score.log_pb_from(0).exp()).sum();
                assert!((backward - 1.0).abs() < 1e-6, "{backward}");
                total += scores.iter().map(|score| score.log_pf_from(0).exp()).sum::<f64>();
            }
            assert!((total - 1.0).abs() < 1e-6, "{total}");
        }
    }
}

#[test]
fn a_scored_rollout_has_the_probability_that_it_was_drawn_with() {
    for environment in environments() {
        let snapshot = policy(&*environment, Some(7), true);
        let mut drawn = Vec::new();
        let mut rollouts = Rollouts::new(environment.clone());
        rollouts.draw(&snapshot, Exploration::NONE, &mut streams(1_000), &mut drawn).unwrap();
        let actions = drawn.iter().map(|trajectory| trajectory.actions.as_slice());
        let scores = Scorer::new(environment.clone()).score(&snapshot, actions).unwrap();
        for (trajectory, score) in drawn.iter().zip(&scores) {
            assert_eq!(score.log_pf.len(), trajectory.actions.len() + 1);
            let ours = score.log_pf_from(0);
            assert!((ours - trajectory.log_mu).abs() < 1e-9, "{ours}: {trajectory:?}");
        }
    }
}

#[test]
fn by_path_counts_all_paths_to_an_object_are_alike() {
    for environment in environments() {
        let mut network = Network::mlp(&*environment, &[8], false, false);
        network.heads.path_counts = true;
        let snapshot = snapshot(network, Some(5));
        let mut scorer = Scorer::new(environment.clone());
        let mut backward = BackwardRollouts::new(environment.clone());
        for (end, paths) in all_paths(&*environment) {
            let log_share = -(paths.len() as f64).ln();
            let scores = scorer.score(&snapshot, paths.iter().map(Vec::as_slice)).unwrap();
            let drawn = backward.draw(&snapshot, 0.0, usize::MAX, &[end], &mut streams(1)).unwrap();
            let scored = scores.iter().map(|score| score.log_pb_from(0));
            for log_pb in scored.chain([drawn[0].log_pb]) {
                assert!((log_pb - log_share).abs() < 1e-9, "{log_pb} is not {log_share}");
            }
        }
    }
}

/// Draws and compares with the exact distribution over the paths to each object.
fn compare(environment: &Arc<dyn Environment>, uniform: f64) {
    let snapshot = policy(&**environment, Some(5), true);
    let draws = 20_000;
    let mut backward = BackwardRollouts::new(environment.clone());
    let mut scorer = Scorer::new(environment.clone());
    for (end, paths) in all_paths(&**environment).into_iter().filter(|(_, p)| p.len() > 1) {
        let ends = vec![end; draws];
        let mut streams = streams(draws as u64);
        let drawn = backward.draw(&snapshot, uniform, usize::MAX, &ends, &mut streams).unwrap();
        let scores = scorer.score(&snapshot, paths.iter().map(Vec::as_slice)).unwrap();
        let mut chi_square = 0.0;
        for (path, score) in paths.iter().zip(&scores) {
            let same: Vec<_> = drawn.iter().filter(|drawn| drawn.actions == *path).collect();
            if let Some(drawn) = same.first() {
                assert!((drawn.log_pb - score.log_pb_from(0)).abs() < 1e-9, "{drawn:?}");
                assert!((drawn.log_pf - score.log_pf_from(0)).abs() < 1e-9, "{drawn:?}");
            }
            let mixed =
                |log_pb: &f64, ways: usize| uniform / ways as f64 + (1.0 - uniform) * log_pb.exp();
            let ways = ways_back(&**environment, path);
            let probability: f64 =
                score.log_pb.iter().zip(ways).map(|(log_pb, ways)| mixed(log_pb, ways)).product();
            let expected = probability * draws as f64;
            chi_square += (same.len() as f64 - expected).powi(2) / expected;
        }
        let freedom = paths.len() as f64 - 1.0;
        let bound = freedom + 5.0 * (2.0 * freedom).sqrt();
        assert!(chi_square < bound, "chi-square {chi_square} of {bound}, seed {SEED}");
    }
}

/// The number of ways back after each action of a path.
fn ways_back(environment: &dyn Environment, actions: &[u32]) -> Vec<usize> {
    let mut state = vec![0; environment.state_width()];
    environment.reset(&mut state);
    let after = |&action: &u32| {
        environment.step(&mut state, action);
        let mut backward = Vec::new();
        environment.legal_backward(&state, &mut backward);
        backward.len()
    };
    actions.iter().map(after).collect()
}

#[test]
fn paths_to_an_object_follow_p_b() {
    environments().iter().for_each(|environment| compare(environment, 0.0));
}

#[test]
fn paths_to_an_object_follow_the_mixture_with_the_uniform_distribution() {
    environments().iter().for_each(|environment| compare(environment, 0.3));
}

#[test]
fn a_limited_walk_back_stops_where_its_tail_starts() {
    let environment = grid(5);
    let snapshot = policy(&*environment, Some(3), true);
    let mut backward = BackwardRollouts::new(environment.clone());
    let ends = vec![vec![3, 4], vec![1, 0], vec![0, 0]];
    let drawn = backward.draw(&snapshot, 0.1, 2, &ends, &mut streams(3)).unwrap();
    assert_eq!(drawn.iter().map(|path| path.actions.len()).collect::<Vec<_>>(), [2, 1, 0]);
    for (path, end) in drawn.iter().zip(&ends) {
        let mut state = path.start.clone();
        path.actions.iter().for_each(|&action| environment.step(&mut state, action));
        assert_eq!(state, *end);
    }
    // The tail of a whole path has the log probabilities of the whole from where it starts.
    let head: Vec<u32> =
        (0..2).flat_map(|d| vec![d; drawn[0].start[d as usize] as usize]).collect();
    let whole: Vec<u32> = head.iter().chain(&drawn[0].actions).copied().collect();
    let score = &Scorer::new(environment).score(&snapshot, [whole.as_slice()]).unwrap()[0];
    assert!((score.log_pf_from(head.len()) - drawn[0].log_pf).abs() < 1e-9);
    assert!((score.log_pb_from(head.len()) - drawn[0].log_pb).abs() < 1e-9);
}
