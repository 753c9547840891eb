//! Losses computed elsewhere, in float64.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Vectors {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    log_z: f64,
    trajectories: Vec<Trajectory>,
    losses: BTreeMap<String, Option<f64>>,
}

#[derive(Deserialize)]
struct Trajectory {
    log_pf: Vec<f64>,
    log_pb: Vec<f64>,
    log_flow: Vec<f64>,
    log_reward: f64,
}

fn cases() -> Vec<Case> {
    let own = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../common/tests/vectors");
    let folder = std::env::var_os("TRIBUTARY_VECTORS").map_or_else(own, PathBuf::from);
    let path = folder.join("objectives.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path:?}: {e}"));
    serde_json::from_str::<Vectors>(&text).unwrap().cases
}

impl Case {
    /// `own_start`: the vectors' sub-trajectories start with log F(s_0) of the network, ours with
    /// log Z. Both stand only beside the first log P_F, which therefore takes up the difference.
    fn terms(&self, own_start: bool) -> Terms {
        let mut terms = Terms { offsets: vec![0], log_z: self.log_z, ..Terms::default() };
        for trajectory in &self.trajectories {
            let start = terms.log_pf.len();
            terms.log_pf.extend(&trajectory.log_pf);
            terms.log_pb.extend(&trajectory.log_pb);
            terms.log_flow.extend(&trajectory.log_flow);
            terms.log_reward.push(trajectory.log_reward);
            terms.offsets.push(terms.log_pf.len() as u32);
            if own_start {
                terms.log_pf[start] += trajectory.log_flow[0] - self.log_z;
            }
        }
        terms
    }
}

/// The objective behind a name such as "subtb/geometric/0.5".
fn named(name: &str) -> run_file::Objective {
    let parts: Vec<&str> = name.split('/').collect();
    match parts[..] {
        ["tb"] => configured(&[("kind", "trajectory_balance")]),
        ["log_partition_variance"] => configured(&[("kind", "log_partition_variance")]),
        ["subtb", weighting] => {
            configured(&[("kind", "sub_trajectory_balance"), ("weighting", weighting)])
        }
        ["subtb", weighting, lambda] => configured(&[
            ("kind", "sub_trajectory_balance"),
            ("weighting", weighting),
            ("lambda", lambda),
        ]),
        _ => panic!("{name}: what objective is this?"),
    }
}

#[test]
fn losses_agree_with_the_vectors() {
    let mut compared = 0;
    for (index, case) in cases().iter().enumerate() {
        for (name, expected) in &case.losses {
            let wanted = named(name);
            let terms = case.terms(wanted.kind == ObjectiveKind::SubTrajectoryBalance);
            let loss = objective(&wanted).loss(&terms, &mut Gradients::default());
            // None: the variance of one trajectory, which is 0 here.
            let expected = expected.unwrap_or(0.0);
            let context = format!("case {index}, {name}");
            assert!(
                (loss - expected).abs() <= 1e-10 * expected.abs(),
                "{context}: {loss}, {expected}"
            );
            // The same by going through all the parts.
            if wanted.kind == ObjectiveKind::SubTrajectoryBalance {
                let wide = run_file::Objective {
                    residual: run_file::Residual::Huber,
                    huber_threshold: 1e9,
                    ..wanted
                };
                let loss = objective(&wide).loss(&terms, &mut Gradients::default());
                assert_close(loss, expected, 1e-10, &context);
                compared += 1;
            }
        }
    }
    assert!(compared >= 44, "only {compared} losses of sub-trajectory balance");
}
