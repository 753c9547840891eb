#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::PathBuf;

use serde::Deserialize;
use tributary_common::random::{Purpose, Stream};

use super::*;

/// Two states: from s0 stop (x0) or go to s1 and stop there (x1).
#[test]
fn trajectory_balance_of_two_states_by_hand() {
    // P_F(stop | s0) = 1/4, R(x0) = 1, R(x1) = 3: balanced by Z = 4.
    let mut terms = Terms {
        offsets: vec![0, 1, 3],
        log_pf: vec![0.25f64.ln(), 0.75f64.ln(), 0.0],
        log_pb: vec![0.0; 3],
        log_flow: vec![],
        log_reward: vec![0.0, 3f64.ln()],
        log_z: 4f64.ln(),
    };
    let mut gradients = Gradients::default();
    assert!(TrajectoryBalance.loss(&terms, &mut gradients).abs() < 1e-28);
    assert!(gradients.log_z.abs() < 1e-14);
    // Z twice too large: every residual is ln 2.
    terms.log_z += 2f64.ln();
    let loss = TrajectoryBalance.loss(&terms, &mut gradients);
    assert!((loss - 2f64.ln().powi(2)).abs() < 1e-14);
    assert!((gradients.log_z - 2.0 * 2f64.ln()).abs() < 1e-14);
    for t in 0..3 {
        assert!((gradients.log_pf[t] - 2f64.ln()).abs() < 1e-14);
        assert!((gradients.log_pb[t] + 2f64.ln()).abs() < 1e-14);
    }
}

#[test]
fn an_unknown_objective_is_named() {
    let Err(error) = objective("flow") else { panic!("\"flow\" is no objective") };
    assert!(error.to_string().contains("\"flow\" is not known; known: \"trajectory_balance\""));
}

fn random_terms(seed: u64) -> Terms {
    let mut stream = Stream::new(seed, Purpose::Walk, 0, 0);
    let mut terms = Terms { offsets: vec![0], ..Terms::default() };
    for _ in 0..5 {
        for _ in 0..1 + stream.below(6) {
            terms.log_pf.push(-3.0 * stream.uniform());
            terms.log_pb.push(-3.0 * stream.uniform());
            terms.log_flow.push(4.0 * stream.uniform() - 2.0);
        }
        terms.offsets.push(terms.log_pf.len() as u32);
        terms.log_reward.push(6.0 * stream.uniform() - 3.0);
    }
    terms.log_z = stream.uniform();
    terms
}

#[test]
fn gradients_are_the_finite_differences_of_the_loss() {
    for seed in 0..20 {
        let terms = random_terms(seed);
        let objective = objective("trajectory_balance").unwrap();
        let mut gradients = Gradients::default();
        objective.loss(&terms, &mut gradients);
        type Field = fn(&mut Terms) -> &mut [f64];
        let fields: [(Field, &[f64]); 4] = [
            (|t| &mut t.log_pf, &gradients.log_pf),
            (|t| &mut t.log_pb, &gradients.log_pb),
            (|t| &mut t.log_flow, &gradients.log_flow),
            (|t| std::slice::from_mut(&mut t.log_z), &[gradients.log_z]),
        ];
        for (which, (field, gradient)) in fields.into_iter().enumerate() {
            for (i, &expected) in gradient.iter().enumerate() {
                let loss_at = |shift: f64| {
                    let mut shifted = terms.clone();
                    field(&mut shifted)[i] += shift;
                    objective.loss(&shifted, &mut Gradients::default())
                };
                let difference = (loss_at(1e-5) - loss_at(-1e-5)) / 2e-5;
                assert!(
                    (difference - expected).abs() < 1e-7 * expected.abs().max(1.0),
                    "seed {seed}, field {which}, entry {i}: {difference} is not {expected}"
                );
            }
        }
    }
}

#[derive(Deserialize)]
struct Vectors {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    log_z: f64,
    trajectories: Vec<Trajectory>,
    losses: std::collections::BTreeMap<String, Option<f64>>,
}

#[derive(Deserialize)]
struct Trajectory {
    log_pf: Vec<f64>,
    log_pb: Vec<f64>,
    log_flow: Vec<f64>,
    log_reward: f64,
}

fn vectors() -> Vec<Case> {
    let own = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../common/tests/vectors");
    let folder = std::env::var_os("TRIBUTARY_VECTORS").map_or_else(own, PathBuf::from);
    let path = folder.join("objectives.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path:?}: {e}"));
    serde_json::from_str::<Vectors>(&text).unwrap().cases
}

#[test]
fn trajectory_balance_agrees_with_the_vectors() {
    let cases = vectors();
    assert!(!cases.is_empty());
    for case in cases {
        let mut terms = Terms { offsets: vec![0], log_z: case.log_z, ..Terms::default() };
        for trajectory in &case.trajectories {
            terms.log_pf.extend(&trajectory.log_pf);
            terms.log_pb.extend(&trajectory.log_pb);
            terms.log_flow.extend(&trajectory.log_flow);
            terms.log_reward.push(trajectory.log_reward);
            terms.offsets.push(terms.log_pf.len() as u32);
        }
        let loss = TrajectoryBalance.loss(&terms, &mut Gradients::default());
        let expected = case.losses["tb"].unwrap();
        assert!((loss - expected).abs() <= 1e-10 * expected.abs(), "{loss} is not {expected}");
    }
}
