//! The example of RNA design from the run file to the candidates: with ViennaRNA where `make setup-rna`
//! has installed it, or else, said aloud, with a stand-in that speaks the same lines.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::programs::{Training, assert_balance, stdout, tributary};

/// The reward's program and its arguments.
fn program(target: &str) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let python = root.join("examples/rna-venv/bin/python");
    let has_vienna = |python: &PathBuf| {
        let imported = Command::new(python).args(["-c", "import RNA"]).status();
        imported.is_ok_and(|status| status.success())
    };
    let (python, script) = if has_vienna(&python) {
        (python, root.join("examples/rewards/rna.py"))
    } else {
        // Unlike eprintln!, this is shown when the test passes, too.
        let words = "rna: NO ViennaRNA (make setup-rna installs it): tested with a stand-in\n";
        let _ = std::io::stderr().write_all(words.as_bytes());
        let stand_in = root.join("deploy/tests/end_to_end/fixtures/rna_stand_in.py");
        (PathBuf::from("python3"), stand_in)
    };
    let words = [python, script].map(|path| path.to_str().expect("UTF-8").to_owned());
    words.into_iter().chain([target.to_owned()]).collect()
}

/// What the program says of these objects, asked without Tributary.
fn measured(program: &[String], objects: &[&str]) -> Vec<f64> {
    let mut child = Command::new(&program[0])
        .args(&program[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let question = serde_json::json!({ "id": 1, "objects": objects }).to_string() + "\n";
    let mut input = child.stdin.take().expect("piped");
    input.write_all(question.as_bytes()).expect("written");
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    let answer: Value = serde_json::from_slice(&output.stdout).expect("a line of JSON");
    let rewards = answer["rewards"].as_array().expect("rewards");
    rewards.iter().map(|reward| reward.as_f64().expect("a number")).collect()
}

#[test]
fn rna_is_designed_and_the_best_that_differ_are_shown() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/rna.toml");
    let text = fs::read_to_string(example).expect("the example");
    let line = text.lines().find(|line| line.starts_with("command = ")).expect("a command");
    let target = line.split('"').nth(5).expect("the target is the third word");
    let program = program(target);
    let command = format!("command = {}", serde_json::to_string(&program).expect("JSON"));
    let mut run_file = text.replace(line, &command).replace("time = \"9m\"", "generated = 512");
    run_file = run_file.replace("hidden = [256, 256]", "hidden = [32]");
    let mut training = Training::start(&run_file, &["--actors", "1"]);
    training.end_well();
    let summary = training.summary();
    assert_balance(&summary);
    assert_eq!(summary["trajectories"], 512, "{summary:#}");

    let arguments = ["candidates", &training.run(), "--top", "5", "--min-distance", "5", "--json"];
    let report: Value = serde_json::from_str(&stdout(&tributary(arguments))).expect("JSON");
    let candidates = report["candidates"].as_array().expect("candidates");
    assert_eq!(candidates.len(), 5, "{report:#}");
    let objects: Vec<&str> =
        candidates.iter().map(|candidate| candidate["object"].as_str().expect("a text")).collect();
    for (i, a) in objects.iter().enumerate() {
        assert_eq!(a.len(), target.len(), "{report:#}");
        for b in &objects[..i] {
            let differ = a.bytes().zip(b.bytes()).filter(|(x, y)| x != y).count();
            assert!(differ >= 5, "{a} and {b} differ at {differ} places");
        }
    }
    let raw: Vec<f64> = candidates
        .iter()
        .map(|candidate| candidate["raw"][0].as_f64().expect("a number"))
        .collect();
    assert!(raw.is_sorted_by(|a, b| a >= b), "the best first: {raw:?}");
    for (said, kept) in measured(&program, &objects).iter().zip(&raw) {
        assert!((said - kept).abs() < 1e-9, "the ledger has {kept}, the program says {said}");
    }
}
