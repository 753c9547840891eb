//! Runs that end well, and what can be asked of them.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::programs::{ENDLESS, TRIBUTARY, Training, grid, stdout, tributary, wait_for};

#[test]
fn a_small_grid_is_learned_and_can_be_asked_about() {
    let mut training = Training::start(&grid(20_000), &["--actors", "2"]);
    training.end_well();
    let (table, summary) = (training.stdout(), training.summary());
    for expected in ["grid: done", "total variation", "20,000 accepted", "summary.json", "sample"] {
        assert!(table.contains(expected), "{expected} is not in\n{table}");
    }
    let distance = summary["total_variation"].as_f64().unwrap();
    assert!(distance < 0.1, "total variation {distance}\n{}", training.words());
    assert_eq!(summary["trajectories"], 20_000, "{summary}");
    assert_eq!(summary["actors"], 2, "{summary}");
    training.nothing_is_left();
    the_checkpoint_is_evaluated(&training.run(), distance);
    objects_are_drawn(&training.run());
    a_second_run_is_refused(&training.run_directory());
}

fn the_checkpoint_is_evaluated(run: &str, distance: f64) {
    let report: Value =
        serde_json::from_str(&stdout(&tributary(["evaluate", run, "--json"]))).unwrap();
    let again = report["total_variation"].as_f64().unwrap();
    assert!((again - distance).abs() < 1e-6, "{again} is not {distance}");
    assert_eq!(report["objects"], 64);
    let page = stdout(&tributary(["evaluate", run, "--weights", "raw"]));
    assert!(page.contains("raw weights of update") && page.contains("total variation"), "{page}");
    more_is_evaluated_when_it_is_asked_for(run, &report);
}

fn more_is_evaluated_when_it_is_asked_for(run: &str, plain: &Value) {
    let asked = ["--samples", "400", "--flow", "0 0", "--flow", "[7, 7]", "--log-p", "3 4"];
    let evaluate = ["evaluate", run].into_iter().chain(asked);
    let text = stdout(&tributary(evaluate.clone().chain(["--json"])));
    let report: Value = serde_json::from_str(&text).unwrap();
    let of = |pointer: &str| report.pointer(pointer).and_then(Value::as_f64).unwrap();
    let log_z = plain["log_z_target"].as_f64().unwrap();
    assert!(of("/samples/elbo") < log_z + 3.0 * of("/samples/elbo_error"), "{report}");
    assert!(of("/target_samples/eubo") > log_z - 3.0 * of("/target_samples/eubo_error"));
    let entropy = (of("/samples/entropy") - of("/entropy_policy")).abs();
    assert!(entropy < 5.0 * of("/samples/entropy_error"), "{report}");
    assert!((of("/flows/0/log_flow_target") - log_z).abs() < 1e-9, "the initial state has Z");
    assert!((of("/flows/0/log_flow_policy") - of("/log_z")).abs() < 1e-9);
    assert!((of("/flows/1/log_flow_target") - 0.6f64.ln()).abs() < 1e-6, "a corner has R alone");
    assert!((of("/log_p/0/estimate") - of("/log_p/0/exact")).abs() < 1.0, "{report}");
    let page = stdout(&tributary(evaluate));
    for expected in ["ELBO, at most log Z", "log F, with the policy's P_B", "log p\n  3 4"] {
        assert!(page.contains(expected), "{expected} is not in\n{page}");
    }
    let refused = tributary(["evaluate", run, "--flow", "9 9"]);
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(64), "{stderr}");
    assert!(stderr.contains("--flow \"9 9\""), "{stderr}");
}

fn objects_are_drawn(run: &str) {
    let draw = |arguments: &[&str]| {
        let arguments = ["sample", run].into_iter().chain(arguments.iter().copied());
        stdout(&tributary(arguments))
    };
    let lines = draw(&["--count", "600"]);
    assert_eq!(lines.lines().count(), 600);
    for line in lines.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let reward = line["raw"][0].as_f64().unwrap();
        let log_reward = line["log_reward"].as_f64().unwrap();
        assert_eq!(line["object"].as_array().map(Vec::len), Some(2), "{line}");
        assert!((log_reward - reward.ln()).abs() < 1e-9, "{line}");
    }
    assert_eq!(draw(&["--count", "600", "--seed", "0"]), lines, "the same seed");
    assert_ne!(draw(&["--count", "600", "--seed", "1"]), lines, "another seed");
    let csv = draw(&["--count", "3", "--format", "csv"]);
    assert_eq!(csv.lines().next(), Some("object,log_reward,reward"));
    assert_eq!(csv.lines().count(), 4, "{csv}");
    a_reader_may_leave(run);
}

fn a_reader_may_leave(run: &str) {
    let mut sample = Command::new(TRIBUTARY)
        .args(["sample", run, "--count", "100000000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(sample.stdout.take());
    wait_for("the end of tributary sample", || sample.try_wait().unwrap());
    let output = sample.wait_with_output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn a_second_run_is_refused(directory: &Path) {
    let grid = directory.parent().unwrap().join("grid.toml");
    let (grid, run) = (grid.to_str().unwrap(), directory.to_str().unwrap());
    let refused = tributary(["train", grid, "--run-dir", run]);
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(78), "{stderr}");
    assert!(stderr.contains("holds a run already") && stderr.contains("--run-dir"), "{stderr}");
}

#[test]
fn a_running_learner_can_be_watched() {
    let mut training = Training::start(&grid(ENDLESS), &["--actors", "1"]);
    let page = training.is_training();
    for expected in ["grid: running", "updates", "received", "actor-1", "streaming"] {
        assert!(page.contains(expected), "{expected} is not in\n{page}");
    }
    let mut watch = Command::new(TRIBUTARY)
        .args(["watch", &training.run(), "--format", "jsonl", "--only", "generated"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(watch.stdout.take().unwrap()));
    let records: Vec<Value> =
        lines.take(4).map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    assert!(records[3]["generated"].as_f64() > records[0]["generated"].as_f64(), "{records:?}");
    assert!(records[1].get("loss").is_none(), "{records:?}");
    // Nobody reads any more: it ends by itself.
    wait_for("the end of tributary watch", || watch.try_wait().unwrap());
}
