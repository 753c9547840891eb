//! Runs whose reward is a program.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use crate::programs::{
    ENDLESS, TRIBUTARY, Training, kill_now, processes, stdout, tributary, wait_for,
};

/// The example's run file, with the command as this machine finds it.
fn example(name: &str, command: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/rewards");
    let folder = folder.canonicalize().unwrap();
    let text = fs::read_to_string(folder.join(name)).unwrap();
    let of_command = |line: &&str| line.starts_with("command = ");
    assert_eq!(text.lines().filter(of_command).count(), 1, "{name}");
    let line = |line: &str| {
        if of_command(&line) {
            format!("command = {command}\nfolder = {folder:?}\n")
        } else {
            format!("{line}\n")
        }
    };
    text.lines().map(line).collect()
}

#[test]
fn the_examples_train_and_what_they_measured_is_in_the_ledger() {
    let rust = Path::new(TRIBUTARY).with_file_name("reward-example");
    let mut runs = vec![
        ("python.toml", r#"["python3", "reward.py"]"#.to_owned(), 600),
        ("shell.toml", r#"["sh", "reward.sh"]"#.to_owned(), 200),
    ];
    // Built with the workspace, as `make test` does.
    if rust.is_file() {
        runs.push(("rust.toml", format!("[{rust:?}]"), 600));
    }
    for (name, command, generated) in runs {
        let generated = format!("learner.generated={generated}");
        let mut training =
            Training::start(&example(name, &command), &["--actors", "2", "--set", &generated]);
        training.end_well();
        let summary = training.summary();
        assert!(summary["counters"]["paid"].as_u64().unwrap() > 100, "{name}: {summary:#}");
        assert_eq!(summary["books"]["rejected"].as_u64(), Some(0), "{name}: {summary:#}");
        let log = fs::read_to_string(training.run_directory().join("logs/actor-1.log")).unwrap();
        let said = log.lines().find(|line| line.contains("ready to measure"));
        assert!(said.is_some_and(|line| line.contains("worker-1") || line.contains("worker-2")));
        training.nothing_is_left();
        let best = stdout(&tributary(["ledger", &training.run(), "--top", "3"]));
        assert!(best.contains("5"), "{name}: {best}");
    }
}

#[test]
fn check_asks_the_program_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.toml");
    fs::write(&path, example("python.toml", r#"["python3", "reward.py"]"#)).unwrap();
    let output = tributary(["check", path.to_str().unwrap()]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains("running `python3 reward.py` in "), "{stderr}");
    let page = stdout(&output);
    assert!(page.contains("log R"), "{page}");
    assert!(page.contains("not compared: programs outside measure"), "{page}");
    let broken = example("python.toml", r#"["python3", "-c", "import nothing"]"#);
    fs::write(&path, broken).unwrap();
    let output = tributary(["check", path.to_str().unwrap()]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{stderr}");
    assert!(stderr.contains("No module named 'nothing'"), "{stderr}");
}

/// With a Python that has grpcio and grpcio-tools: `TRIBUTARY_PYTHON`.
#[test]
fn a_service_in_python_measures() {
    let Some(python) = std::env::var_os("TRIBUTARY_PYTHON") else {
        eprintln!("TRIBUTARY_PYTHON names no Python with grpcio: left out");
        return;
    };
    let server = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/rewards/server.py");
    let mut server =
        Command::new(python).arg(server).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut address = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut address).unwrap();
    let endpoints = format!("reward.endpoints=[{:?}]", address.trim());
    let text = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/rewards/grpc.toml");
    let text = fs::read_to_string(text).unwrap();
    let sets = ["--actors", "2", "--set", "learner.generated=600", "--set", &endpoints];
    let mut training = Training::start(&text, &sets);
    training.end_well();
    server.kill().unwrap();
    server.wait().unwrap();
    let summary = training.summary();
    assert!(summary["counters"]["paid"].as_u64().unwrap() > 100, "{summary:#}");
}

/// Processes of this command.
fn workers(mark: &str) -> Vec<i32> {
    processes().filter(|(_, command)| command.contains(mark)).map(|(id, _)| id).collect()
}

#[test]
fn actors_that_are_killed_leave_no_worker_and_the_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().to_str().unwrap();
    // Each worker has a child that went its own way.
    let script = "import json, subprocess, sys\n\
                  subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(9999)', \
                  sys.argv[1]], start_new_session=True)\n\
                  for line in sys.stdin:\n    \
                  request = json.loads(line)\n    \
                  rewards = [1 + o.count('A') for o in request['objects']]\n    \
                  print(json.dumps({'id': request['id'], 'rewards': rewards}))\n";
    fs::write(folder.path().join("worker.py"), script).unwrap();
    let program = folder.path().join("worker.py");
    let run_file = example("python.toml", &format!("[\"python3\", {program:?}, {mark:?}]"));
    let endless = format!("learner.generated={ENDLESS}");
    let mut training = Training::start(&run_file, &["--actors", "2", "--set", &endless]);
    training.is_training();
    wait_for("all workers and their children", || (workers(mark).len() >= 8).then_some(()));
    let learner = training.learner_process();
    let actors: Vec<i32> = training.children().into_iter().filter(|id| *id != learner).collect();
    assert_eq!(actors.len(), 2, "{}", training.words());
    let before = workers(mark);
    actors.into_iter().for_each(kill_now);
    wait_for("the end of their workers", || {
        let now = workers(mark);
        before.iter().all(|worker| !now.contains(worker)).then_some(())
    });
    wait_for("workers of new actors", || (workers(mark).len() >= 8).then_some(()));
    training.signal(Signal::SIGINT);
    assert_eq!(training.end().code(), Some(130), "{}", training.words());
    training.nothing_is_left();
    wait_for("the end of all workers", || workers(mark).is_empty().then_some(()));
}
