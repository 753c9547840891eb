//! The metrics of a run, read to the last one.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::programs::{TRIBUTARY, Training, grid, kill_now, stdout, tributary, wait_for};

/// `tributary metrics --follow`, which writes into a file.
struct Follower(Child, std::path::PathBuf);

impl Follower {
    fn start(training: &Training, name: &str, arguments: &[&str]) -> Self {
        let path = training.run_directory().with_file_name(name);
        let output = File::create(&path).expect("created");
        let mut command = Command::new(TRIBUTARY);
        command.args(["metrics", "--follow"]).args(arguments).stdin(Stdio::null()).stdout(output);
        Self(command.spawn().expect("it starts"), path)
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.1).expect("read")
    }

    /// It ends by itself, and well.
    fn end(mut self) -> String {
        let ended = wait_for("the end of the metrics", || self.0.try_wait().expect("waited"));
        assert!(ended.success(), "{ended}");
        self.text()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The learner dies in between and goes on.
#[test]
fn who_follows_gets_every_record_once_through_a_restart() {
    let text = grid(60_000).replace("r0 = 0.1", "r0 = 0.1\ndurable = true");
    let text = text.replace("checkpoint_every = \"1s\"", "checkpoint_every = \"100ms\"");
    let mut training = Training::start(&text, &["--actors", "2"]);
    training.is_training();
    let (url, run) = (training.address(), training.run());
    let token = training.run_directory().join("token");
    let asks = [&url, "--token-file", token.to_str().expect("UTF-8")];
    let asking = Follower::start(&training, "asked", &asks);
    let reading = Follower::start(&training, "read", &[&run]);
    for follower in [&asking, &reading] {
        wait_for("a record", || follower.text().contains('\n').then_some(()));
    }
    wait_for("a checkpoint", || training.checkpoints().pop());
    kill_now(training.learner_process());
    training.end_well();
    let (asked, read) = (asking.end(), reading.end());
    let all = fs::read_to_string(training.run_directory().join("metrics.jsonl")).expect("read");
    assert_eq!(read, all);
    assert_eq!(asked, all, "the learner says something else than its file");
    assert_eq!(training.json("run.json")["incarnation"], 2);
    let records = all.lines().count();
    println!(
        "{records} records over 2 starts of the learner, 1 killed: all readers have each once"
    );

    let whole = stdout(&tributary(["metrics", &run]));
    assert_eq!(whole, all);
    let rest = stdout(&tributary(["metrics", &run, "--from", "3", "--only", "loss"]));
    let rest: Vec<Value> = rest.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((rest.len() + 2, &rest[0]["number"]), (all.lines().count(), &Value::from(3)));
    let last = rest.last().unwrap();
    assert!(
        last["loss"].is_f64() && last["time"].is_f64() && last.get("log_z").is_none(),
        "{last}"
    );

    assert_forwarded(&run, &all);
    let nowhere = tributary(["metrics", "nowhere"]);
    assert_eq!(nowhere.status.code(), Some(78), "{nowhere:?}");
}

/// The examples hand on every record, and go on where they stopped, to stand-ins of the packages.
fn assert_forwarded(run: &str, all: &str) {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/end_to_end/fixtures/trackers");
    let folder = tempfile::tempdir().expect("a folder");
    let cut = all.lines().take(2).map(|line| format!("{line}\n")).collect::<String>();
    for (example, arguments) in [("wandb", ["--id", "a"]), ("mlflow", ["--run", "a"])] {
        let seen = folder.path().join(example);
        for records in [&cut, all] {
            let input = folder.path().join("input");
            fs::write(&input, records).expect("written");
            let mut python = Command::new("python3");
            python.arg(examples.join(example).with_extension("py")).args(arguments);
            python.env("PYTHONPATH", &packages).env("SEEN", &seen);
            python.env("PYTHONDONTWRITEBYTECODE", "1").stdin(File::open(input).expect("opened"));
            stdout(&python.output().expect("python3 starts"));
        }
        let seen = fs::read_to_string(seen).expect("read");
        let seen: Vec<Value> =
            seen.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(seen.len(), all.lines().count(), "{example} of {run}");
        for (seen, line) in seen.iter().zip(all.lines()) {
            let record: Value = serde_json::from_str(line).unwrap();
            for name in ["number", "updates", "loss", "log_z"] {
                assert_eq!(seen[name], record[name], "{example}: {name}");
            }
            assert!(seen.as_object().unwrap().values().all(Value::is_number), "{example}: {seen}");
        }
    }
}
