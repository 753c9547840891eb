//! The commands of `tributary slurm` on the test's cluster, and looks at what comes of them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::slurm::Cluster;

pub(crate) const TRIBUTARY: &str = env!("CARGO_BIN_EXE_tributary");

/// Longer than any wait of a healthy run, on a machine that is busy with other things, too.
const PATIENCE: Duration = Duration::from_secs(240);

/// Waits until `look` finds something.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {what}");
        thread::sleep(Duration::from_millis(250));
    }
}

/// Processes that were started with a path of this folder in their surroundings.
pub(crate) fn started_in(folder: &Path) -> Vec<i32> {
    let folder = folder.display().to_string();
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    let processes = entries.filter_map(|entry| {
        let id: i32 = entry.file_name().to_str()?.parse().ok()?;
        let surroundings = fs::read(entry.path().join("environ")).ok()?;
        String::from_utf8_lossy(&surroundings).contains(&folder).then_some(id)
    });
    processes.collect()
}

/// Processes whose command line names a path in this folder, without those that only look.
pub(crate) fn processes_of(folder: &Path) -> Vec<(i32, String)> {
    let folder = folder.display().to_string();
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    let processes = entries.filter_map(|entry| {
        let id: i32 = entry.file_name().to_str()?.parse().ok()?;
        let command = fs::read(entry.path().join("cmdline")).ok()?;
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        (command.contains(&folder)).then_some((id, command))
    });
    processes.collect()
}

/// A run that was launched.
pub(crate) struct Run<'a> {
    pub(crate) cluster: &'a mut Cluster,
    started: Instant,
    /// When requeued jobs were let start early.
    hurried: RefCell<HashMap<String, Instant>>,
}

/// A task of the queue.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) id: String,
    pub(crate) state: String,
}

impl<'a> Run<'a> {
    pub(crate) fn launch(cluster: &'a mut Cluster, run_file: &str, arguments: &[&str]) -> Self {
        fs::write(cluster.path().join("grid.toml"), run_file).expect("written");
        let run = Self { cluster, started: Instant::now(), hurried: RefCell::default() };
        let page = run.slurm("launch", &[&["grid.toml", "--run-dir", "run"], arguments].concat());
        run.say(page.lines().next().unwrap_or_default());
        run
    }

    /// Says what was reached, and when.
    pub(crate) fn say(&self, text: &str) {
        println!("{:5.0} s  {text}", self.seconds());
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    pub(crate) fn directory(&self) -> PathBuf {
        self.cluster.path().join("run")
    }

    /// `tributary slurm COMMAND`, which must do well.
    pub(crate) fn slurm(&self, command: &str, arguments: &[&str]) -> String {
        let output =
            self.cluster.command(TRIBUTARY).args(["slurm", command]).args(arguments).output();
        let output = output.expect("it starts");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "slurm {command}: {}\n{error}", output.status);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The page of `tributary slurm status`; empty where it cannot be had now.
    pub(crate) fn status(&self) -> String {
        let output = self.cluster.run(TRIBUTARY, &["slurm", "status", "run"]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A number behind a name on the status page.
    pub(crate) fn figure(&self, name: &str) -> Option<u64> {
        let page = self.status();
        let line =
            page.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix("  "))?;
        line.split_whitespace().next()?.replace(',', "").parse().ok()
    }

    /// Waits until so many actors, and no others, are at work for the learner.
    pub(crate) fn wait_for_actors(&self, number: usize) {
        let what = format!("{number} actors at work\n{}", self.status());
        wait_for(&what, || {
            self.start_now();
            let page = self.status();
            let at_work = page.lines().filter(|line| {
                ["streaming, ", "backpressured, "].iter().any(|state| line.contains(state))
            });
            (at_work.count() == number).then_some(())
        });
        self.say(&format!("{number} actors at work"));
    }

    /// Waits until trajectories come in and are trained on.
    pub(crate) fn gets_on(&self) {
        let before = wait_for("a figure", || self.figure("updates"));
        wait_for("updates", || self.figure("updates").filter(|now| *now > before));
    }

    /// Jobs of a role that Slurm knows.
    pub(crate) fn tasks(&self, role: &str) -> Vec<Task> {
        let launch = fs::read(self.directory().join("slurm/launch.json")).expect("launch.json");
        let launch: Value = serde_json::from_slice(&launch).expect("JSON");
        let name = format!("--name=grid-{role}-{}", launch["id"].as_str().expect("an id"));
        let text = self.cluster.ask("squeue", &["-h", "-r", &name, "-o", "%i %T"]);
        let task = |line: &str| {
            let mut words = line.split(' ').map(str::to_owned);
            Some(Task { id: words.next()?, state: words.next()? })
        };
        text.unwrap_or_default().lines().filter_map(task).collect()
    }

    /// The learner's job.
    pub(crate) fn learner(&self) -> Task {
        wait_for("the learner's job", || self.tasks("learner").pop())
    }

    /// How often Slurm started a job again.
    pub(crate) fn restarts(&self, id: &str) -> u64 {
        let text = self.cluster.ask("scontrol", &["show", "job", id]).unwrap_or_default();
        let words = text.split_whitespace().filter_map(|word| word.strip_prefix("Restarts="));
        words.filter_map(|number| number.parse::<u64>().ok()).sum()
    }

    /// Slurm lets a requeued job wait for two minutes, which is long for a test.
    pub(crate) fn start_now(&self) {
        let mut hurried = self.hurried.borrow_mut();
        let is_due = |then: &Instant| then.elapsed() > Duration::from_secs(10);
        for task in ["learner", "actor"].iter().flat_map(|role| self.tasks(role)) {
            let waits = task.state == "PENDING" && self.restarts(&task.id) > 0;
            if waits && hurried.get(&task.id).is_none_or(is_due) {
                // It is refused while the former life ends, and a controller that restarts forgets it.
                let arguments = ["update", &format!("jobid={}", task.id), "StartTime=now+3"];
                if self.cluster.ask("scontrol", &arguments).is_some() {
                    hurried.insert(task.id, Instant::now());
                }
            }
        }
    }

    /// What the actors' logs say was acked. Each counts all that was acked to the identity that it has, which it may
    /// have taken over with a spool.
    pub(crate) fn acked(&self) -> u64 {
        let logs = fs::read_dir(self.directory().join("slurm/logs")).expect("logs").flatten();
        let mut acked: HashMap<String, u64> = HashMap::new();
        for log in logs {
            let (text, mut identity) =
                (fs::read_to_string(log.path()).expect("a log"), String::new());
            for line in text.lines() {
                let value = |name| line.split_whitespace().find_map(|word| word.strip_prefix(name));
                if let (true, Some(actor)) = (line.contains("welcomed"), value("actor=")) {
                    identity = actor.to_owned();
                }
                if let Some(number) = value("acked=").and_then(|number| number.parse::<u64>().ok())
                {
                    let most = acked.entry(identity.clone()).or_default();
                    *most = number.max(*most);
                }
            }
        }
        acked.values().sum()
    }

    /// The log of the learner's job and of the learner, for messages of assertions.
    pub(crate) fn words(&self) -> String {
        let read = |path: PathBuf| fs::read_to_string(path).unwrap_or_default();
        let logs =
            fs::read_dir(self.directory().join("slurm/logs")).into_iter().flatten().flatten();
        let logs = logs.map(|entry| entry.path());
        let jobs = logs.filter(|path| path.display().to_string().contains("/learner-"));
        let jobs: String = jobs.map(read).collect();
        format!("{}\n{jobs}\n{}", self.status(), read(self.directory().join("logs/learner.log")))
    }
}
