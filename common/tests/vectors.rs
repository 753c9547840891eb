//! Rewards, log Z and terminating distributions of hypergrids against `vectors/hypergrid.json`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;
use std::path::PathBuf;

use serde::Deserialize;
use tributary_common::environment::{Environment, Hypergrid};
use tributary_common::exact::{Target, terminating_distribution};
use tributary_common::network::heads::log_softmax;
use tributary_common::network::{Ragged, States};
use tributary_common::object::Object;
use tributary_common::reward::{HypergridReward, Landscape, Reward};

#[derive(Deserialize)]
struct Vectors {
    rewards: Vec<RewardCase>,
    terminating: Vec<TerminatingCase>,
}

#[derive(Deserialize)]
struct RewardCase {
    kind: String,
    ndim: usize,
    height: usize,
    #[serde(rename = "R0", default)]
    r0: f64,
    #[serde(rename = "R1", default)]
    r1: f64,
    #[serde(rename = "R2", default)]
    r2: f64,
    log_z: f64,
    states: Vec<Vec<i64>>,
    reward: Vec<f64>,
}

#[derive(Deserialize)]
struct TerminatingCase {
    ndim: usize,
    height: usize,
    logits: Vec<Logits>,
    terminating: Vec<Terminating>,
}

#[derive(Deserialize)]
struct Logits {
    state: Vec<u32>,
    logits: Vec<f64>,
}

#[derive(Deserialize)]
struct Terminating {
    state: Vec<u32>,
    p: f64,
}

fn vectors() -> Vectors {
    let own = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let folder = std::env::var_os("TRIBUTARY_VECTORS").map_or_else(own, PathBuf::from);
    let path = folder.join("hypergrid.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap()
}

fn close(ours: f64, theirs: f64) -> bool {
    (ours - theirs).abs() <= 1e-9 * theirs.abs().max(1.0)
}

#[test]
fn rewards_and_log_z() {
    let cases = vectors().rewards;
    assert!(!cases.is_empty());
    for case in cases {
        let RewardCase { kind, ndim, height, r0, r1, r2, .. } = case;
        let landscape = match kind.as_str() {
            "original" => Landscape::Original { r0, r1, r2 },
            "cosine" => Landscape::Cosine { r0, r1 },
            "sparse" => Landscape::Sparse,
            "deceptive" => Landscape::Deceptive { r0, r1, r2 },
            other => panic!("unknown kind {other}"),
        };
        let grid = Hypergrid::new(ndim, height).unwrap();
        let reward = HypergridReward::new(landscape, &grid).unwrap();
        let objects: Vec<Object> = case.states.iter().cloned().map(Object::Integers).collect();
        let mut raw = Vec::new();
        reward.evaluate(&objects, &mut raw).unwrap();
        assert_eq!(raw.len(), case.reward.len());
        for ((object, ours), theirs) in objects.iter().zip(raw).zip(&case.reward) {
            assert!(close(ours, *theirs), "{kind} {ndim}D {height} at {object}: {ours}, {theirs}");
            let ours = reward.transform(&[ours]).unwrap().get();
            assert!(close(ours, theirs.ln()), "{kind} {ndim}D {height} at {object}: log {ours}");
        }
        let target = Target::new(&grid, &reward, u64::MAX, &mut || true).unwrap();
        let ours = target.log_z();
        assert!(close(ours, case.log_z), "{kind} {ndim}D {height}: {ours}, {}", case.log_z);
    }
}

#[test]
fn terminating_distributions() {
    let cases = vectors().terminating;
    assert!(!cases.is_empty());
    for case in cases {
        let grid = Hypergrid::new(case.ndim, case.height).unwrap();
        let list = grid.enumeration().unwrap();
        let features = |state: &[u32]| {
            let mut features = Vec::new();
            grid.active_features(state, &mut features);
            features
        };
        let logits: HashMap<Vec<u32>, &Vec<f64>> =
            case.logits.iter().map(|entry| (features(&entry.state), &entry.logits)).collect();
        let mut policy = |states: &States, out: &mut Vec<f64>| {
            let row = |rows: &Ragged, i: usize| rows.row(i).to_vec();
            for i in 0..states.len() {
                let logits = logits[&row(&states.features, i)];
                let legal = states.forward.row(i).iter().map(|&action| logits[action as usize]);
                let mut log_forward: Vec<f64> = legal.chain([logits[case.ndim]]).collect();
                log_softmax(&mut log_forward);
                out.extend(log_forward);
            }
        };
        let ours = terminating_distribution(&grid, &mut policy, &mut || true).unwrap();
        assert_eq!(ours.len(), case.terminating.len());
        for Terminating { state, p } in &case.terminating {
            let ours = ours[list.index(state) as usize];
            assert!((ours - p).abs() <= 1e-9, "{state:?}: {ours}, {p}");
        }
    }
}
