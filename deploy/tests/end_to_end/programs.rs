//! Starting the programs, waiting for what they do, and making sure that nothing of them is left.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Once;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

pub(crate) const TRIBUTARY: &str = env!("CARGO_BIN_EXE_tributary");

/// Longer than any wait of a healthy run, on a machine that is busy with other things, too.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs `tributary` to its end.
pub(crate) fn tributary<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Output {
    Command::new(TRIBUTARY).args(arguments).stdin(Stdio::null()).output().expect("it starts")
}

pub(crate) fn stdout(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{stderr}", output.status);
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

/// Waits until `look` finds something.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A small grid whose training ends after so many trajectories.
pub(crate) fn grid(generated: u64) -> String {
    format!(
        r#"
        [run]
        name = "grid"
        seed = 1
        [environment]
        kind = "hypergrid"
        dimensions = 2
        side = 8
        [reward]
        kind = "original"
        r0 = 0.1
        [policy]
        hidden = [32, 32]
        [learner]
        generated = {generated}
        batch = 32
        learning_rate = 3e-3
        ema = 0.99
        checkpoint_every = "1s"
        [actor]
        batch = 32
        [evaluation]
        every = "1s"
        "#
    )
}

/// More trajectories than any test waits for.
pub(crate) const ENDLESS: u64 = 1_000_000_000;

/// A running `tributary train`, in a folder of its own.
pub(crate) struct Training {
    folder: TempDir,
    process: Child,
}

impl Training {
    /// Starts it with more arguments.
    pub(crate) fn start(run_file: &str, arguments: &[&str]) -> Self {
        Self::start_logging(run_file, arguments, None)
    }

    /// As `start`, with everything in the logs that there is to say.
    pub(crate) fn start_traced(run_file: &str, arguments: &[&str]) -> Self {
        Self::start_logging(run_file, arguments, Some("trace"))
    }

    /// As `start`, with another program in the learner's place.
    pub(crate) fn start_with_learner(run_file: &str, arguments: &[&str], learner: &Path) -> Self {
        let folder = prepare(run_file);
        let learner = ("TRIBUTARY_LEARNER", learner.to_str().expect("UTF-8"));
        let process = launch(&folder, &["grid.toml", "--run-dir", "run"], arguments, [learner]);
        Self { folder, process }
    }

    fn start_logging(run_file: &str, arguments: &[&str], log: Option<&str>) -> Self {
        let folder = prepare(run_file);
        let log = log.map(|level| ("RUST_LOG", level));
        let process = launch(&folder, &["grid.toml", "--run-dir", "run"], arguments, log);
        Self { folder, process }
    }

    /// Goes on with its run, which must have ended.
    pub(crate) fn resume(&mut self, arguments: &[&str]) {
        self.process = launch(&self.folder, &["--resume", "run"], arguments, []);
    }

    /// A file of the learner's run directory, as JSON.
    pub(crate) fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.text(&format!("run/{name}"))).expect("JSON")
    }

    /// The whole records of `metrics.jsonl`, in order.
    pub(crate) fn records(&self) -> Vec<Value> {
        let text = self.text("run/metrics.jsonl");
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The folders of checkpoints, oldest first.
    pub(crate) fn checkpoints(&self) -> Vec<PathBuf> {
        tributary_common::checkpoint::list(&self.run_directory()).expect("listed")
    }

    pub(crate) fn run_directory(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    pub(crate) fn run(&self) -> String {
        self.run_directory().to_str().expect("UTF-8").to_owned()
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    pub(crate) fn stdout(&self) -> String {
        self.text("stdout")
    }

    pub(crate) fn stderr(&self) -> String {
        self.text("stderr")
    }

    /// Everything that was said, for messages of assertions.
    pub(crate) fn words(&self) -> String {
        let log = self.text("run/logs/learner.log");
        format!("{}\n{}\nlearner.log:\n{log}", self.stdout(), self.stderr())
    }

    fn address_file(&self) -> Option<Value> {
        serde_json::from_str(&self.text("run/address.json")).ok()
    }

    /// The learner's address, once it listens.
    pub(crate) fn address(&mut self) -> String {
        let found = wait_for("the learner's address", || {
            let ended = self.process.try_wait().expect("waited");
            assert!(ended.is_none(), "ended early\n{}", self.words());
            self.address_file()
        });
        found["grpc"].as_str().expect("an address").to_owned()
    }

    pub(crate) fn learner_process(&self) -> i32 {
        let address = self.address_file().expect("address.json");
        i32::try_from(address["pid"].as_u64().expect("a pid")).expect("a pid")
    }

    /// Processes other than `train` itself that belong to this run.
    pub(crate) fn children(&self) -> Vec<i32> {
        let address = self
            .address_file()
            .map_or(String::new(), |file| file["grpc"].as_str().expect("an address").to_owned());
        let ours = |command: &str| {
            command.contains("--learner\0") && !address.is_empty() && command.contains(&address)
        };
        let learner = self.address_file().and_then(|file| file["pid"].as_i64());
        processes()
            .filter(|(id, command)| {
                let is_learner = Some(i64::from(*id)) == learner && command.contains("--run-dir");
                is_learner || ours(command)
            })
            .map(|(id, _)| id)
            .collect()
    }

    /// Waits until trajectories are accepted; the status page.
    pub(crate) fn is_training(&mut self) -> String {
        self.address();
        let run = self.run();
        wait_for("accepted trajectories", || {
            let status = tributary(["status", &run]);
            let page = String::from_utf8_lossy(&status.stdout).into_owned();
            let accepted = page.lines().find(|line| line.trim().starts_with("trajectories  "));
            accepted.filter(|line| !line.contains(" 0 of")).is_some().then_some(page)
        })
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.process.id()).expect("a pid");
        kill(Pid::from_raw(id), signal).expect("it runs");
    }

    /// Waits for its end.
    pub(crate) fn end(&mut self) -> ExitStatus {
        wait_for("the end of tributary train", || self.process.try_wait().expect("waited"))
    }

    /// Waits for its end, which must be well.
    pub(crate) fn end_well(&mut self) {
        let status = self.end();
        assert!(status.success(), "{status}\n{}", self.words());
    }

    pub(crate) fn summary(&self) -> Value {
        let text = self.text("run/summary.json");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{}", self.words()))
    }

    pub(crate) fn nothing_is_left(&self) {
        let children = || self.children();
        wait_for("the end of all processes", || children().is_empty().then_some(()));
    }
}

/// A folder with a run file.
fn prepare(run_file: &str) -> TempDir {
    build_the_learner();
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("grid.toml"), run_file).expect("written");
    folder
}

/// Starts `tributary train` in a folder.
fn launch<'a>(
    folder: &TempDir,
    what: &[&str],
    arguments: &[&str],
    environment: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Child {
    let file = |name: &str| fs::File::create(folder.path().join(name)).expect("created");
    Command::new(TRIBUTARY)
        .arg("train")
        .args(what)
        .args(arguments)
        .envs(environment)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(file("stdout"))
        .stderr(file("stderr"))
        .spawn()
        .expect("it starts")
}

/// What the books of a summary must always say.
pub(crate) fn assert_balance(summary: &Value) {
    let of = |name: &str| summary["books"][name].as_u64().expect("a count");
    let decided = of("accepted") + of("duplicate") + of("rejected") + of("pending");
    assert_eq!(of("received"), decided, "{summary:#}");
    let kept = of("resident") + of("evicted") + of("merged") + of("lost_in_restart");
    assert_eq!(of("accepted"), kept + of("waiting"), "{summary:#}");
    let kept = of("accepted") - of("lost_in_restart") - of("waiting");
    assert_eq!(summary["trajectories"].as_u64(), Some(kept), "{summary:#}");
}

impl Drop for Training {
    fn drop(&mut self) {
        // Ended already, or a test failed: then the kernel ends the children, too.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Ids and command lines of all processes that are not zombies.
fn processes() -> impl Iterator<Item = (i32, String)> {
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    entries.filter_map(|entry| {
        let id: i32 = entry.file_name().to_str()?.parse().ok()?;
        let command = fs::read(entry.path().join("cmdline")).ok()?;
        let command = String::from_utf8_lossy(&command).into_owned();
        (!command.is_empty()).then_some((id, command))
    })
}

pub(crate) fn kill_now(process: i32) {
    kill(Pid::from_raw(process), Signal::SIGKILL).expect("it runs");
}

/// Cargo builds `tributary` for these tests, but no program of another package: `make test` and
/// `cargo build --workspace` do. Where neither was done, do it here.
fn build_the_learner() {
    static BUILT: Once = Once::new();
    BUILT.call_once(|| {
        let learner = Path::new(TRIBUTARY).with_file_name("tributary-learner");
        if learner.is_file() {
            return;
        }
        eprintln!("{} is missing: cargo build -p tributary-learner", learner.display());
        let folder = learner.parent().expect("a folder");
        let is_release = folder.file_name().is_some_and(|name| name == "release");
        let built = Command::new(env!("CARGO"))
            .args(["build", "--locked", "-p", "tributary-learner", "--target-dir"])
            .arg(folder.parent().expect("the target folder"))
            .args(is_release.then_some("--release"))
            .status()
            .expect("cargo starts");
        assert!(built.success() && learner.is_file(), "no {}", learner.display());
    });
}
