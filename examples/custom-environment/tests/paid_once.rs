//! Eight actors on few objects: each is paid for once, also when actors are killed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tributary_common::ledger::{FILE, LedgerReader};

/// Longer than any wait of a healthy run, on a machine that is busy with other things, too.
const PATIENCE: Duration = Duration::from_secs(300);
/// A goal might come before the last object has its value.
const ENDLESS: u64 = 1_000_000_000;

/// Writes down what it does, as the reward of this crate does.
const WORKER: &str = r#"
import json, os, sys, time
diary, takes = open(sys.argv[1], "a", buffering=1), float(sys.argv[2])
for line in sys.stdin:
    request = json.loads(line)
    for one in request["objects"]:
        diary.write(f"begin {os.getpid()} {one}\n")
        time.sleep(takes)
        diary.write(f"end {os.getpid()} {one}\n")
    print(json.dumps({"id": request["id"], "rewards": [1.0] * len(request["objects"])}), flush=True)
"#;

/// Who measures.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Measures {
    /// The actors themselves.
    Inside,
    /// A program that each of them starts; that rewards are shared is the default.
    Outside,
}

impl Measures {
    fn keys(self, diary: &str, milliseconds: u64) -> String {
        match self {
            Self::Inside => format!(
                "kind = \"diary\"\ndiary = \"{diary}\"\ntakes = \"{milliseconds}ms\"\n\
                 durable = true\nshared = true\naudit = 0.0"
            ),
            Self::Outside => format!(
                "kind = \"command\"\naudit = 0.0\nworkers = 1\nretry_wait = \"1ms\"\n\
                 command = [\"python3\", \"worker.py\", \"{diary}\", \"{}\"]",
                milliseconds as f64 * 1e-3
            ),
        }
    }
}

/// 8^3 = 512 objects, all as likely as another.
fn run_file(reward: &str, stop: &str) -> String {
    format!(
        r#"
        [run]
        name = "once"
        seed = 3
        [environment]
        kind = "sequence"
        construction = "append"
        alphabet = "ABCDEFGH"
        length = 3
        [reward]
        {reward}
        [policy]
        hidden = [8]
        [exploration]
        epsilon = 1.0
        [learner]
        {stop}
        batch = 32
        [actor]
        batch = 16
        [evaluation]
        every = "60s"
        "#
    )
}

/// What a line of the diary says.
#[derive(Clone, Debug, PartialEq)]
struct Line {
    is_end: bool,
    process: i32,
    object: String,
}

struct Run {
    folder: TempDir,
    process: Child,
}

impl Run {
    fn start(measures: Measures, milliseconds: u64) -> Self {
        Self::start_with(measures, milliseconds, &format!("generated = {ENDLESS}"), "")
    }

    /// With an end, and more keys of the reward.
    fn start_with(measures: Measures, milliseconds: u64, stop: &str, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let diary = folder.path().join("diary");
        let reward = measures.keys(diary.to_str().unwrap(), milliseconds);
        let text = run_file(&format!("{reward}\n{more}"), stop);
        fs::write(folder.path().join("worker.py"), WORKER).unwrap();
        fs::write(folder.path().join("run.toml"), text).unwrap();
        let file = |name: &str| fs::File::create(folder.path().join(name)).unwrap();
        // `train` starts the learner that lies beside it.
        assert!(PathBuf::from(env!("CARGO_BIN_EXE_my-tributary-learner")).is_file());
        let process = Command::new(env!("CARGO_BIN_EXE_my-tributary"))
            .args(["train", "run.toml", "--run-dir", "run", "--actors", "8"])
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn()
            .unwrap();
        Self { folder, process }
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    /// What actors did: `train` tries the reward on two objects before it starts them.
    fn lines(&self) -> Vec<Line> {
        let train = self.process.id() as i32;
        let line = |line: &str| {
            let mut words = line.splitn(3, ' ');
            let is_end = words.next()? == "end";
            let process = words.next()?.parse().ok()?;
            Some(Line { is_end, process, object: words.next()?.to_owned() })
        };
        let lines = self.text("diary");
        lines.lines().filter_map(line).filter(|line| line.process != train).collect()
    }

    fn wait_until(&mut self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let start = Instant::now();
        while !is_so(self) {
            let ended = self.process.try_wait().unwrap();
            assert!(ended.is_none(), "ended before {what}\n{}", self.text("stderr"));
            assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it when every object has its value.
    fn end(&mut self) {
        self.wait_until("every object's value", |run| {
            run.objects_in_ledger("status = 'measured'") == 512
        });
        kill(Pid::from_raw(self.process.id() as i32), Signal::SIGINT).unwrap();
        self.wait_for_end(130);
    }

    fn wait_for_end(&mut self, code: i32) {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < PATIENCE, "no end\n{}", self.text("stderr"));
            std::thread::sleep(Duration::from_millis(20));
        };
        let log = self.text("run/logs/learner.log");
        assert_eq!(status.code(), Some(code), "{}\n{log}", self.text("stderr"));
    }

    /// That so many evaluations were begun and finished, and that the run says so.
    fn assert_spent(&self, evaluations: usize, stopped_by: &str) {
        let begun = self.lines().into_iter().filter(|line| !line.is_end).count();
        assert_eq!(begun, evaluations, "{stopped_by}");
        let summary = self.text("run/summary.json");
        let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
        assert_eq!(summary["stopped_by"], stopped_by, "{summary}");
        assert_eq!(summary["spending"]["evaluations"], evaluations, "{summary}");
        let best = &summary["spending"]["best"];
        assert!(best["evaluations"].as_u64().unwrap() <= evaluations as u64, "{summary}");
        let said = self.text("stdout");
        assert!(said.contains(&format!("done, {stopped_by} is reached")), "{said}");
    }

    /// Goes on with another value of a key.
    fn go_on(&mut self, set: &str) {
        let file = |name: &str| fs::File::create(self.folder.path().join(name)).unwrap();
        self.process = Command::new(env!("CARGO_BIN_EXE_my-tributary"))
            .args(["train", "--resume", "run", "--actors", "8", "--set", set])
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn()
            .unwrap();
    }

    fn objects_in_ledger(&self, condition: &str) -> u64 {
        let path = self.folder.path().join("run").join(FILE);
        // Not there yet, or not whole.
        LedgerReader::open(&path).and_then(|reader| reader.count(Some(condition))).unwrap_or(0)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // Ended already, or a test failed: then the kernel ends the children, too.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn times<'a>(lines: impl Iterator<Item = &'a Line>) -> BTreeMap<&'a str, usize> {
    let mut times = BTreeMap::new();
    lines.for_each(|line| *times.entry(line.object.as_str()).or_default() += 1);
    times
}

fn exactly_once(measures: Measures) {
    let mut run = Run::start(measures, 50);
    run.end();
    let lines = run.lines();
    let paid = times(lines.iter().filter(|line| line.is_end));
    assert_eq!(paid.len(), 512, "some object was never drawn");
    let again: Vec<_> = paid.iter().filter(|(_, times)| **times > 1).collect();
    assert!(again.is_empty(), "paid for more than once: {again:?}");
    let processes: BTreeSet<i32> = lines.iter().map(|line| line.process).collect();
    assert_eq!(processes.len(), 8, "some actor paid for nothing");
    assert_eq!(run.objects_in_ledger("status = 'measured'"), 512);
    assert_eq!(run.objects_in_ledger("(SELECT count(*) FROM evaluations) = 512"), 512);
}

#[test]
fn eight_actors_pay_for_each_object_exactly_once() {
    exactly_once(Measures::Inside);
}

#[test]
fn eight_actors_with_a_program_pay_for_each_object_exactly_once() {
    exactly_once(Measures::Outside);
}

/// Kills who measures in the middle of it, with a program also the actors that started it.
fn kills(measures: Measures) {
    let mut run = Run::start(measures, 100);
    let mut killed = BTreeSet::new();
    for round in 1..=4 {
        run.wait_until("more evaluations", |run| run.lines().len() > 150 * round);
        // The last to begin something is in the middle of it.
        let begun = run.lines().into_iter().rev().filter(|line| !line.is_end);
        let mut victims: BTreeSet<i32> = begun.map(|line| line.process).take(2).collect();
        if measures == Measures::Outside && round % 2 == 0 {
            victims = victims.into_iter().filter_map(|worker| parent(parent(worker)?)).collect();
        }
        for victim in victims {
            if killed.insert(victim) {
                kill(Pid::from_raw(victim), Signal::SIGKILL).unwrap();
            }
        }
    }
    run.end();
    let lines = run.lines();
    let (ends, begins): (Vec<&Line>, Vec<&Line>) = lines.iter().partition(|line| line.is_end);
    let (begun, ended) = (times(begins.iter().copied()), times(ends.iter().copied()));
    let died = begins.len() - ends.len();
    // Of what was finished, only a value that a killed one could not tell any more is lost.
    let lost: usize = ended.values().map(|times| times - 1).sum();
    let reruns: usize = begun.values().map(|times| times - 1).sum();
    println!("{} killed: {died} died in the middle, {lost} untold, {reruns} reruns", killed.len());
    assert!(lost <= killed.len(), "{lost} finished evaluations were paid for again");
    assert!(!killed.is_empty() && died > 0);
    assert_eq!(ended.len(), 512, "some object was never drawn");
    assert_eq!(reruns, died + lost);
    assert_eq!(run.objects_in_ledger("status = 'measured'"), 512);
}

fn parent(process: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok())
}

#[test]
fn killed_actors_cost_what_they_were_measuring_and_nothing_else() {
    kills(Measures::Inside);
}

#[test]
fn killed_workers_and_their_actors_cost_what_they_were_measuring_and_nothing_else() {
    kills(Measures::Outside);
}

#[test]
fn what_may_be_spent_is_spent_and_no_more_also_by_a_run_that_goes_on() {
    // At a cost of 0.25 each, 25.1 pays for 100.
    for (stop, cost) in [("max_evaluations = 100", ""), ("max_cost = 25.1", "cost = 0.25")] {
        let mut run = Run::start_with(Measures::Outside, 10, stop, cost);
        run.wait_for_end(0);
        let key = stop.split(' ').next().unwrap();
        run.assert_spent(100, key);
        let more = if key == "max_cost" { "32.6" } else { "130" };
        run.go_on(&format!("learner.{key}={more}"));
        run.wait_for_end(0);
        run.assert_spent(130, key);
    }
}

#[test]
fn a_run_with_a_slow_reward_says_that_rewards_limit_it() {
    let mut run = Run::start_with(Measures::Outside, 500, "max_evaluations = 160", "");
    run.wait_for_end(0);
    let summary: serde_json::Value = serde_json::from_str(&run.text("run/summary.json")).unwrap();
    let limited = summary["limited_seconds"].as_object().unwrap();
    let seconds = |by: &str| limited.get(by).and_then(serde_json::Value::as_f64).unwrap_or(0.0);
    let others: f64 = limited.keys().filter(|by| *by != "rewards").map(|by| seconds(by)).sum();
    assert!(seconds("rewards") > others, "{limited:?}");
    assert!(run.text("stdout").contains("what limited it"), "{}", run.text("stdout"));
}
