//! Sub-trajectory balance against the definition, part by part.

use super::*;

/// Loss and slopes for weights λ^l within each trajectory, straight from the definition.
fn by_definition(residuals: &[f64], lambda: f64) -> (f64, Vec<f64>) {
    let n = residuals.len();
    // As a fraction of the largest, so that λ^n may be too large for a float.
    let weight =
        |l: usize| ((l as f64 - if lambda > 1.0 { n as f64 } else { 1.0 }) * lambda.ln()).exp();
    let sum: f64 = (1..=n).map(|l| (n - l + 1) as f64 * weight(l)).sum();
    let (mut loss, mut slopes) = (0.0, vec![0.0; n]);
    for start in 0..n {
        for end in start + 1..=n {
            let weight = weight(end - start) / sum;
            let residual: f64 = residuals[start..end].iter().sum();
            loss += weight * residual * residual;
            slopes[start..end].iter_mut().for_each(|slope| *slope += 2.0 * weight * residual);
        }
    }
    (loss, slopes)
}

/// One trajectory of n transitions with flows up to `log_flow` in size.
fn trajectory(n: usize, log_flow: f64, stream: &mut Stream) -> Terms {
    let mut draw = |scale: f64| (0..n).map(|_| scale * (2.0 * stream.uniform() - 1.0)).collect();
    Terms {
        offsets: vec![0, n as u32],
        log_pf: draw(3.0),
        log_pb: draw(3.0),
        log_flow: draw(log_flow),
        log_reward: vec![0.7],
        log_z: 0.3,
        ..Terms::default()
    }
}

fn geometric_within(lambda: f64) -> SubTrajectoryBalance {
    let (residual, flow) = (ResidualLoss::Squared, Flow::default());
    SubTrajectoryBalance { weighting: Weighting::GeometricWithin, lambda, residual, flow }
}

#[test]
fn the_linear_recurrence_is_the_double_loop() {
    let mut stream = Stream::new(11, Purpose::Walk, 0, 0);
    for n in [1, 2, 3, 17, 120] {
        for lambda in [0.01, 0.5, 0.9, 0.99, 1.0, 1.01, 1.9, 50.0] {
            for log_flow in [2.0, 300.0] {
                let terms = trajectory(n, log_flow, &mut stream);
                let residuals = Flow::default().residuals(&terms);
                let (expected, slopes) = by_definition(&residuals, lambda);
                let objective = geometric_within(lambda);
                let mut gradients = Gradients::default();
                let loss = objective.loss(&terms, &mut gradients);
                let context = (n, lambda, log_flow);
                assert_close(loss, expected, 1e-10, &context);
                let largest = slopes.iter().fold(0f64, |a, b| a.max(b.abs()));
                for (ours, theirs) in gradients.log_pf.iter().zip(&slopes) {
                    assert!(
                        (ours - theirs).abs() < 1e-11 * largest,
                        "{context:?}: {ours} {theirs}"
                    );
                }
            }
        }
    }
}

/// The weight of a part of l transitions, of a trajectory of n, in batches with these lengths: the
/// table of docs/objectives/sub_trajectory_balance.md.
fn weight(wanted: &run_file::Objective, l: usize, n: usize, lengths: &[usize]) -> f64 {
    let (lambda, batch) = (wanted.lambda, lengths.len() as f64);
    let power = |l: usize| lambda.powi(l as i32 - 1);
    let parts_of = |l: usize| lengths.iter().map(|&n| (n + 1).saturating_sub(l)).sum::<usize>();
    let longest = lengths.iter().copied().max().unwrap();
    match wanted.weighting {
        Weighting::GeometricWithin => {
            let within: f64 = (1..=n).map(|k| (n - k + 1) as f64 * power(k)).sum();
            power(l) / within / batch
        }
        Weighting::Geometric => {
            let all: f64 = (1..=longest).map(power).sum();
            power(l) / all / parts_of(l) as f64
        }
        Weighting::EqualWithin => 2.0 / (n * (n + 1)) as f64 / batch,
        Weighting::Equal => 1.0 / (1..=longest).map(parts_of).sum::<usize>() as f64,
        Weighting::TrajectoryBalance => f64::from(u8::from(l == n)) / batch,
        Weighting::DetailedBalance => f64::from(u8::from(l == 1)) / parts_of(1) as f64,
        Weighting::ModifiedDetailedBalance => f64::from(u8::from(l == 1)) / n as f64 / batch,
    }
}

/// The loss by the definition: every part of every trajectory.
fn loss_of_all_parts(wanted: &run_file::Objective, terms: &Terms) -> f64 {
    let lengths: Vec<usize> = terms.trajectories().map(|(t, _)| t.len()).collect();
    let targets = match terms.target_log_flow.len() {
        0 => &terms.log_flow,
        _ => &terms.target_log_flow,
    };
    let mut loss = 0.0;
    for (t, log_reward) in terms.trajectories() {
        let flow_at = |end: usize| if end == t.end { log_reward } else { targets[end] };
        for start in t.clone() {
            for end in start + 1..=t.end {
                let flow = if start == t.start { terms.log_z } else { terms.log_flow[start] };
                let steps: f64 = (start..end).map(|t| terms.log_pf[t] - terms.log_pb[t]).sum();
                let (value, _) = ResidualLoss::of_run(wanted).at(flow + steps - flow_at(end));
                loss += weight(wanted, end - start, t.len(), &lengths) * value;
            }
        }
    }
    loss
}

#[test]
fn every_weighting_and_residual_is_the_double_loop_with_a_target_or_without() {
    for wanted in every_objective() {
        if wanted.kind != ObjectiveKind::SubTrajectoryBalance || wanted.forward_looking {
            continue;
        }
        for residual in
            [run_file::Residual::Squared, run_file::Residual::Huber, run_file::Residual::LogCosh]
        {
            let wanted = run_file::Objective { residual, ..wanted.clone() };
            for seed in 0..5 {
                let terms = random_terms(seed);
                for terms in [terms.clone(), with_targets(terms, seed)] {
                    let loss = objective(&wanted).loss(&terms, &mut Gradients::default());
                    let expected = loss_of_all_parts(&wanted, &terms);
                    assert_close(loss, expected, 1e-12, &(&wanted, seed));
                }
            }
        }
    }
}

#[test]
fn long_trajectories_at_lambda_1_9_stay_finite_and_right() {
    let mut stream = Stream::new(12, Purpose::Walk, 0, 0);
    let mut terms = trajectory(2_000, 300.0, &mut stream);
    terms.target_log_flow = terms.log_flow.iter().map(|flow| 0.9 * flow).collect();
    let (mut gradients, mut wide_gradients) = (Gradients::default(), Gradients::default());
    for lambda in [0.5, 1.0, 1.9] {
        let squared = geometric_within(lambda);
        let loss = squared.loss(&terms, &mut gradients);
        // So wide a parabola that it is one everywhere: goes through all parts.
        let wide = SubTrajectoryBalance { residual: ResidualLoss::Huber(1e9), ..squared };
        assert_close(wide.loss(&terms, &mut wide_gradients), loss, 1e-10, &lambda);
        assert!(loss.is_finite() && loss > 0.0, "λ = {lambda}: {loss}");
        let largest = gradients.log_pf.iter().fold(0f64, |a, b| a.max(b.abs()));
        let flows = gradients.log_flow.iter().zip(&wide_gradients.log_flow);
        for (ours, theirs) in gradients.log_pf.iter().zip(&wide_gradients.log_pf).chain(flows) {
            assert!((ours - theirs).abs() < 1e-10 * largest, "λ = {lambda}: {ours} {theirs}");
        }
    }
}

#[test]
fn the_weighting_tb_is_trajectory_balance() {
    for seed in 0..10 {
        for flows in [true, false] {
            let mut terms = random_terms(seed);
            if !flows {
                terms.log_flow.clear();
            }
            for residual in ["squared", "huber", "log_cosh"] {
                let tb = [("kind", "trajectory_balance"), ("residual", residual)];
                let weighted = [
                    ("kind", "sub_trajectory_balance"),
                    ("weighting", "TB"),
                    ("residual", residual),
                ];
                let (mut ours, mut theirs) = (Gradients::default(), Gradients::default());
                let loss = objective(&configured(&tb)).loss(&terms, &mut theirs);
                let context = (seed, flows, residual);
                let weighted = objective(&configured(&weighted)).loss(&terms, &mut ours);
                assert_close(weighted, loss, 1e-12, &context);
                let pairs = ours.log_pf.iter().zip(&theirs.log_pf);
                for (ours, theirs) in pairs.chain([(&ours.log_z, &theirs.log_z)]) {
                    assert!((ours - theirs).abs() < 1e-12, "{context:?}: {ours} {theirs}");
                }
            }
        }
    }
}

#[test]
fn the_weighting_db_is_detailed_balance() {
    for seed in 0..10 {
        let terms = random_terms(seed);
        let db = configured(&[("kind", "detailed_balance")]);
        let weighted = configured(&[("kind", "sub_trajectory_balance"), ("weighting", "DB")]);
        let (mut ours, mut theirs) = (Gradients::default(), Gradients::default());
        let loss = objective(&db).loss(&terms, &mut theirs);
        assert_close(objective(&weighted).loss(&terms, &mut ours), loss, 1e-12, &seed);
        for (ours, theirs) in ours.log_flow.iter().zip(&theirs.log_flow) {
            assert!((ours - theirs).abs() < 1e-12, "seed {seed}: {ours} {theirs}");
        }
    }
}
