//! The examples of rewards, in each of their languages: a short run of each, whose values are what the
//! reward is documented to say.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::programs::{TRIBUTARY, Training, assert_balance, stdout, tributary};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// Says that a test is left out. Unlike eprintln!, this is shown when the test passes, too.
fn skip(example: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "reward examples: {example} is NOT TESTED: {why}");
}

fn starts(program: &Path, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    let quiet = command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
    quiet.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// 1, and 1 for each letter that pairs with its opposite.
fn pairs(word: &str) -> f64 {
    let letters: Vec<char> = word.chars().collect();
    let opposite = letters.iter().zip(letters.iter().rev()).take(letters.len() / 2);
    let is_pair = |(a, b): &(&char, &char)| {
        matches!((a, b), ('A', 'T') | ('T', 'A') | ('C', 'G') | ('G', 'C'))
    };
    1.0 + opposite.filter(is_pair).count() as f64
}

/// Trains an example for a while, with these words in place of others.
fn runs(example: &str, replaced: &[(&str, String)]) {
    let file = root().join("examples/rewards").join(example);
    let mut text = fs::read_to_string(file).expect("the example");
    let goal = text.lines().find(|line| line.starts_with("generated = ")).expect("a goal");
    let goal = goal.to_owned();
    let shorter = [(&*goal, "generated = 256".to_owned()), ("[64, 64]", "[16]".to_owned())];
    for (word, by) in replaced.iter().chain(&shorter) {
        assert!(text.contains(word), "{example} does not say {word}");
        text = text.replace(word, by);
    }
    let mut training = Training::start(&text, &["--actors", "1"]);
    training.end_well();
    let summary = training.summary();
    assert_balance(&summary);
    assert_eq!(summary["trajectories"], 256, "{summary:#}");
    let arguments = ["ledger", &training.run(), "--top", "1000", "--json"];
    let report: Value = serde_json::from_str(&stdout(&tributary(arguments))).expect("JSON");
    let objects = report["objects"].as_array().expect("objects");
    assert!(objects.len() > 100, "{example}: only {} objects", objects.len());
    for object in objects {
        let word = object["object"].as_str().expect("a word");
        assert_eq!(object["raw"][0].as_f64(), Some(pairs(word)), "{example}: {object}");
    }
}

fn example(name: &str) -> String {
    root().join("examples/rewards").join(name).to_str().expect("UTF-8").to_owned()
}

#[test]
fn the_reward_in_python_measures() {
    if !starts(Path::new("python3"), &["--version"]) {
        return skip("python.toml", "there is no python3");
    }
    runs("python.toml", &[("reward.py", example("reward.py"))]);
}

#[test]
fn the_reward_in_shell_measures() {
    if !starts(Path::new("sh"), &["-c", "true"]) {
        return skip("shell.toml", "there is no sh");
    }
    runs("shell.toml", &[("reward.sh", example("reward.sh"))]);
}

#[test]
fn the_reward_in_rust_measures() {
    let program = Path::new(TRIBUTARY).with_file_name("reward-example");
    if !program.is_file() {
        return skip("rust.toml", "cargo build -p reward-example was not done");
    }
    let program = program.to_str().expect("UTF-8").to_owned();
    runs("rust.toml", &[("../../target/release/reward-example", program)]);
}

/// Ends with its test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_reward_as_a_service_measures() {
    let venv = root().join("examples/grpc-venv/bin/python");
    let python = if venv.is_file() { venv } else { PathBuf::from("python3") };
    if !starts(&python, &["-c", "import grpc, grpc_tools"]) {
        return skip(
            "grpc.toml",
            "no grpcio and grpcio-tools in examples/grpc-venv, nor of python3",
        );
    }
    let mut command = Command::new(python);
    let command = command.args([example("server.py"), "127.0.0.1:0".to_owned()]);
    let mut server = Server(command.stdout(Stdio::piped()).spawn().expect("it starts"));
    let mut address = String::new();
    let output = server.0.stdout.take().expect("piped");
    BufReader::new(output).read_line(&mut address).expect("its address");
    runs("grpc.toml", &[("http://127.0.0.1:9000", address.trim().to_owned())]);
}
