//! Workers that misbehave in every way that we know, behind the real guard: each failure has its right
//! name, other objects get their values, and no process is left.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tributary_actor::oracle::{FailureKind, Finding, Oracle, Question};
use tributary_actor::outside::{Commands, Pool, Values};
use tributary_actor::progress::Progress;
use tributary_common::ids::PolicyVersion;
use tributary_common::object::Object;
use tributary_common::reward::{ObjectKey, OutsideReward, Reward};
use tributary_common::run_file::Section;
use tributary_common::soak;

const TRIBUTARY: &str = env!("CARGO_BIN_EXE_tributary");
const PATIENCE: Duration = Duration::from_secs(240);

/// Says how it misbehaves when it is asked for "bad", and measures all else.
const WORKER: &str = r#"
import json, os, signal, subprocess, sys, time
WAY, MARK = sys.argv[1], sys.argv[2]
SLEEP = [sys.executable, "-c", "import time; time.sleep(9999)", MARK]

def first_starts(count):
    """Whether this is one of the first starts."""
    with open(MARK, "a") as starts:
        starts.write("x")
    return os.path.getsize(MARK) <= count

if WAY == "exits at start" and first_starts(3):
    sys.exit("no licence")
if WAY == "starts slowly":
    time.sleep(1.5)

def write(text):
    sys.stdout.write(text)
    sys.stdout.flush()

def misbehave(id, count):
    if WAY == "hangs":
        time.sleep(9999)
    elif WAY == "ignores SIGTERM":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(1)
    elif WAY == "crashes":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif WAY == "garbage":
        write("Segmentation fault (core dumped)\n")
    elif WAY == "half a line":
        write('{"id": %d, "rewa' % id)
        sys.exit(0)
    elif WAY == "100 MB":
        for _ in range(100):
            write("x" * 1_000_000)
    elif WAY == "NaN":
        write('{"id": %d, "rewards": [NaN]}\n' % id)
    elif WAY == "wrong count":
        write('{"id": %d, "rewards": [1, 2, 3]}\n' % id)
    elif WAY == "forks":
        subprocess.Popen(SLEEP)
        subprocess.Popen(SLEEP, start_new_session=True)
        os._exit(0)
    elif WAY == "leaks":
        kept = []
        while True:
            kept.append(bytearray(10_000_000))
    else:
        return False
    return True

for line in sys.stdin:
    request = json.loads(line)
    objects = request["objects"]
    if any(o.startswith("bad") for o in objects) and misbehave(request["id"], len(objects)):
        continue
    write(json.dumps({"id": request["id"], "rewards": [1.5] * len(objects)}) + "\n")
"#;

/// The twelve ways, with what they are called; `None` where all objects get their values in the end.
const WAYS: [(&str, Option<FailureKind>); 12] = [
    ("hangs", Some(FailureKind::TimeOut)),
    ("ignores SIGTERM", Some(FailureKind::TimeOut)),
    ("crashes", Some(FailureKind::Crash)),
    ("exits at start", None),
    ("garbage", Some(FailureKind::Garbage)),
    ("half a line", Some(FailureKind::Crash)),
    ("100 MB", Some(FailureKind::Garbage)),
    ("NaN", Some(FailureKind::NotFinite)),
    ("wrong count", Some(FailureKind::Garbage)),
    ("starts slowly", None),
    ("forks", Some(FailureKind::Crash)),
    ("leaks", Some(FailureKind::Crash)),
];

struct Office {
    folder: tempfile::TempDir,
    pool: Option<Pool>,
    findings: Receiver<Finding>,
    progress: Arc<Progress>,
}

impl Office {
    fn open(way: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("worker.py"), WORKER).unwrap();
        let mark = folder.path().join("mark");
        let command = ["python3", "worker.py", way, mark.to_str().unwrap()];
        // Only those who never answer are to be late.
        let hangs = matches!(way, "hangs" | "ignores SIGTERM");
        let timeout = if hangs { "2s" } else { "60s" };
        // More often than the worker fails to start.
        let retries = if way == "exits at start" { 3 } else { 0 };
        let keys = format!(
            "kind = 'command'\ncommand = {command:?}\nworkers = 2\ntimeout = '{timeout}'\nretries = {retries}\n\
             start_timeout = '8s'\ngrace = '100ms'\nretry_wait = '1ms'\nmemory = '150MiB'\n\
             open_files = 64"
        );
        let section = Section::from_toml("reward", &keys).unwrap();
        let reward = OutsideReward::command(&section, folder.path()).unwrap();
        let (found, findings) = bounded(1_000);
        let progress = Arc::default();
        let commands = Commands { guard: [TRIBUTARY, "guard"].map(Into::into).to_vec() };
        let (outside, values) = (reward.outside().unwrap(), Values::of(&reward));
        let pool = Pool::start(outside, values, Some(&commands), &progress, found);
        Self { folder, pool: Some(pool.unwrap()), findings, progress }
    }

    fn ask(&mut self, ticket: u64, object: String) {
        let question = Question {
            ticket,
            key: ObjectKey([0; 32]),
            object: Object::Text(object),
            policy: PolicyVersion::default(),
        };
        self.pool.as_mut().unwrap().ask(vec![question]);
    }

    /// What became of all, by ticket.
    fn findings(&self, count: u64) -> BTreeMap<u64, Result<f64, FailureKind>> {
        let deadline = Instant::now() + PATIENCE;
        let mut found = BTreeMap::new();
        while found.len() < count as usize {
            let Finding { ticket, outcome } = self
                .findings
                .recv_deadline(deadline)
                .unwrap_or_else(|_| panic!("{found:?} of {count}, {:?}", self.progress));
            let outcome = outcome.map(|measured| measured.raw[0]).map_err(|failure| failure.kind);
            assert!(found.insert(ticket, outcome).is_none(), "{ticket} was found twice");
        }
        found
    }

    fn processes(&self) -> Vec<i32> {
        processes(self.folder.path())
    }
}

/// Processes whose command line names this folder, or that run in it.
fn processes(folder: &Path) -> Vec<i32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let of_folder = |entry: fs::DirEntry| {
        let id: i32 = entry.file_name().to_str()?.parse().ok()?;
        let command = fs::read(entry.path().join("cmdline")).ok()?;
        let command = String::from_utf8_lossy(&command).into_owned();
        let runs_there = fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == folder);
        let names_it = command.contains(folder.to_str()?);
        (!command.is_empty() && (names_it || runs_there)).then_some(id)
    };
    entries.filter_map(of_folder).collect()
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn each_way_to_misbehave_has_its_name_and_leaves_nothing() {
    // Two at a time: time-outs are to be those of the workers.
    let ways = std::sync::Mutex::new(WAYS.iter());
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some((way, kind)) = ways.lock().unwrap().next() else { return };
                    misbehave(way, *kind);
                }
            });
        }
    });
}

fn misbehave(way: &str, kind: Option<FailureKind>) {
    // So many misbehaving objects of each kind.
    let (start, times) = (Instant::now(), soak::count(2, 20));
    let mut office = Office::open(way);
    for i in 0..times {
        // The next good answer shows that the bad object was at fault.
        for (place, object) in ["good", "bad", "fine", "well"].into_iter().enumerate() {
            office.ask(4 * i + place as u64, format!("{object}-{i}"));
        }
    }
    let found = office.findings(4 * times);
    for (ticket, outcome) in &found {
        let expected = match kind {
            Some(kind) if ticket % 4 == 1 => Err(kind),
            _ => Ok(1.5),
        };
        assert_eq!(*outcome, expected, "{way}, {ticket}: {found:?}");
    }
    assert_eq!(office.progress.reward_trouble(), None, "{way}");
    assert!(!office.processes().is_empty(), "{way}: where are the workers?");
    office.pool = None;
    // Ending the pool waits for its guards.
    assert_eq!(office.processes(), [0; 0], "{way}");
    println!("{way}: {times} times, {kind:?}, {:.1} s", start.elapsed().as_secs_f64());
}

/// A guard of this process with the forking worker behind it.
fn guarded(folder: &Path, grace: &str) -> std::process::Child {
    fs::write(folder.join("worker.py"), WORKER).unwrap();
    Command::new(TRIBUTARY)
        .args(["guard", "--parent", &std::process::id().to_string(), "--grace", grace, "--"])
        .args(["sh", "-c", "setsid sleep 9998 & (sleep 9997 & exec sleep 9996) & exec sleep 9995"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap()
}

#[test]
fn a_guard_that_is_told_to_end_ends_all() {
    let folder = tempfile::tempdir().unwrap();
    let mut guard = guarded(folder.path(), "2000");
    until("all processes", || processes(folder.path()).len() == 5);
    kill(Pid::from_raw(guard.id() as i32), Signal::SIGTERM).unwrap();
    let status = guard.wait().unwrap();
    assert_eq!(processes(folder.path()), [0; 0]);
    assert_eq!(status.code(), Some(128 + Signal::SIGTERM as i32));
}

#[test]
fn nothing_is_left_of_whoever_is_killed() {
    // As an actor that is killed: its guard has lost its parent.
    let folder = tempfile::tempdir().unwrap();
    let (program, path) = (TRIBUTARY, folder.path().display());
    let inner = format!(
        "cd {path}; {program} guard --parent $$ --grace 100 -- sh -c \
         'setsid sleep 9998 & trap \"\" TERM; sleep 9997 & wait; wait; sleep 9996' & wait"
    );
    let mut actor = Command::new("sh").arg("-c").arg(inner).process_group(0).spawn().unwrap();
    until("all processes", || processes(folder.path()).len() >= 4);
    actor.kill().unwrap();
    actor.wait().unwrap();
    until("the end of all processes", || processes(folder.path()).is_empty());
}

#[test]
fn a_guard_ends_as_its_command_does_and_starts_in_milliseconds() {
    let run = |command: &[&str]| {
        let own = std::process::id().to_string();
        let mut guard = Command::new(TRIBUTARY);
        guard.args(["guard", "--parent", &own, "--open-files", "32", "--"]).args(command);
        guard.output().unwrap()
    };
    assert_eq!(run(&["sh", "-c", "exit 7"]).status.code(), Some(7));
    assert_eq!(run(&["sh", "-c", "kill -9 $$"]).status.code(), Some(137));
    assert_eq!(run(&["sh", "-c", "ulimit -n"]).stdout, b"32\n");
    let missing = run(&["./no-such-program"]);
    assert_eq!(missing.status.code(), Some(127));
    let words = String::from_utf8(missing.stderr).unwrap();
    assert!(words.contains("cannot start ./no-such-program"), "{words}");
    let time = |_| {
        let start = Instant::now();
        assert!(run(&["true"]).status.success());
        start.elapsed()
    };
    let mut times: Vec<Duration> = (0..20).map(time).collect();
    times.sort();
    println!("a guard with its command: {:?} to start and end, median of 20", times[10]);
    assert!(times[0] < Duration::from_millis(500), "{times:?}");
}
