//! Builds and runs this crate's two programs, as a user would.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const RUN_FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/backpack.toml");

fn my_tributary(arguments: &[&str]) -> Output {
    // `train` starts the learner that lies beside it.
    assert!(Path::new(env!("CARGO_BIN_EXE_my-tributary-learner")).is_file());
    let program = env!("CARGO_BIN_EXE_my-tributary");
    Command::new(program).args(arguments).output().expect("the program starts")
}

fn succeeded(output: Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{stderr}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_custom_environment_is_checked_trained_and_sampled() {
    let checked = succeeded(my_tributary(&["check", RUN_FILE]));
    assert!(checked.contains("540, compared exactly"), "{checked}");

    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let run = run.to_str().unwrap();
    succeeded(my_tributary(&["train", RUN_FILE, "--actors", "1", "--run-dir", run]));
    let summary = std::fs::read_to_string(folder.path().join("run/summary.json")).unwrap();
    let summary: Value = serde_json::from_str(&summary).unwrap();
    let distance = summary["total_variation"].as_f64().unwrap();
    assert!(distance < 0.1, "total variation {distance}");

    let drawn = succeeded(my_tributary(&["sample", run, "--count", "5"]));
    assert_eq!(drawn.lines().count(), 5, "{drawn}");
    for line in drawn.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(line["object"].is_array() && line["log_reward"].is_number(), "{line}");
    }
}

#[test]
fn the_kinds_of_this_crate_explain_their_keys() {
    let explained = succeeded(my_tributary(&["keys", "environment.backpack"]));
    for expected in ["up to a weight", "capacity", "the most weight that can be carried"] {
        assert!(explained.contains(expected), "{expected} is not in {explained}");
    }
    assert!(succeeded(my_tributary(&["keys", "reward"])).contains("what each item is worth"));
}

#[test]
fn a_table_that_does_not_fit_is_explained() {
    let output = my_tributary(&["check", RUN_FILE, "--set", "reward.worth=[1, 2]"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{stderr}");
    assert!(stderr.contains("`reward.worth` gives 2 numbers for 10 items"), "{stderr}");
}
