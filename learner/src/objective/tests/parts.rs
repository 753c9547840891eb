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

#[test]
fn long_trajectories_at_lambda_1_9_stay_finite_and_right() {
    let mut stream = Stream::new(12, Purpose::Walk, 0, 0);
    let terms = trajectory(2_000, 300.0, &mut stream);
    let (mut gradients, mut wide_gradients) = (Gradients::default(), Gradients::default());
    for lambda in [0.5, 1.0, 1.9] {
        let squared = geometric_within(lambda);
        let loss = squared.loss(&terms, &mut gradients);
        // So wide a parabola that it is one everywhere: goes through all parts.
        let wide = SubTrajectoryBalance { residual: ResidualLoss::Huber(1e9), ..squared };
        assert_close(wide.loss(&terms, &mut wide_gradients), loss, 1e-10, &lambda);
        assert!(loss.is_finite() && loss > 0.0, "λ = {lambda}: {loss}");
        let largest = gradients.log_pf.iter().fold(0f64, |a, b| a.max(b.abs()));
        for (ours, theirs) in gradients.log_pf.iter().zip(&wide_gradients.log_pf) {
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
