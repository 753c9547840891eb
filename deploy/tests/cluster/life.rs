//! One run through everything that a cluster does to it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tributary_common::ledger::{FILE, LedgerError, LedgerReader, ObjectRow};

use crate::run::{Run, processes_of, wait_for};
use crate::slurm::Cluster;

const RUN_FILE: &str = r#"
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
    durable = true
    [policy]
    hidden = [32, 32]
    [learner]
    generated = 1_000_000_000
    batch = 32
    learning_rate = 3e-3
    ema = 0.99
    checkpoint_every = "5s"
    [actor]
    batch = 16
    [evaluation]
    every = "5s"
"#;

/// From launch to the first update.
const START_SECONDS: f64 = 60.0;
/// The distance that the run must reach.
const TOTAL_VARIATION: f64 = 0.1;

#[test]
#[ignore = "needs Slurm and minutes: make test-cluster"]
fn a_run_survives_what_a_cluster_does_to_it() {
    let mut cluster = Cluster::start();
    let options = [
        "--learner",
        "-c 1 --gres=gpu:1 -t 60 --signal=B:USR1@60",
        "--actors",
        "6",
        "--actor",
        "-c 1 -p spot -t 30 -x n1",
        "--metrics",
    ];
    let mut run = Run::launch(&mut cluster, RUN_FILE, &options);
    wait_for("the first update", || run.figure("updates").filter(|updates| *updates > 0));
    let seconds = run.seconds();
    run.say(&format!("the first update, {seconds:.1} s after launch"));
    assert!(seconds <= START_SECONDS, "{seconds} s\n{}", run.words());
    run.wait_for_actors(6);

    run.say(run.slurm("scale", &["run", "--actors", "12"]).trim());
    run.wait_for_actors(12);
    are_shown(&run, 12);

    preempt(&run);
    requeue(&run);
    kill_an_actor(&run);
    lose_a_node(&mut run);
    restart_the_controller(&mut run);
    reach_the_time_limit(&run);
    stop(&run);
    run.say(run.slurm("resume", &["run", "--actors", "2"]).lines().next().unwrap_or_default());
    run.wait_for_actors(2);
    assert!(run.status().contains("incarnation 3"), "{}", run.words());
    run.gets_on();
    stop(&run);
    let accepted = balance(&run);
    all_is_in_the_ledger(&run, accepted);
}

/// So many actors, and the learner, are listed for Prometheus, and the actors answer there.
fn are_shown(run: &Run, actors: usize) {
    let folder = run.directory().join("slurm/metrics");
    let targets = || -> Option<Vec<String>> {
        let files: Vec<PathBuf> =
            fs::read_dir(&folder).expect("read").map(|file| file.expect("read").path()).collect();
        let learner = folder.join("learner.json");
        let of_actors: Vec<&PathBuf> = files
            .iter()
            .filter(|file| **file != learner && file.extension().is_some_and(|end| end == "json"))
            .collect();
        if of_actors.len() != actors || !files.contains(&learner) {
            return None;
        }
        let target = |file: &&PathBuf| -> String {
            let text = fs::read_to_string(file).expect("read");
            let groups: Value = serde_json::from_str(&text).expect("JSON");
            groups[0]["targets"][0].as_str().expect("a target").to_owned()
        };
        Some(of_actors.iter().map(target).collect())
    };
    let targets = wait_for("all pages of metrics to be listed", targets);
    for target in &targets {
        let mut stream = TcpStream::connect(target).expect("it listens");
        let request =
            format!("GET /metrics HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.contains("tributary_actor_"), "{target}: {answer}");
    }
    run.say(&format!("{} actors show their metrics", targets.len()));
}

/// A job of a better partition takes a node from the actors.
fn preempt(run: &Run) {
    let job = run.cluster.ask(
        "sbatch",
        &[
            "--parsable",
            "-p",
            "all",
            "-w",
            "n4",
            "--exclusive",
            "-o",
            "/dev/null",
            "--wrap",
            "exec sleep 1000",
        ],
    );
    let job = job.expect("a job").trim().to_owned();
    wait_for("preemption", || {
        run.cluster
            .ask("squeue", &["-h", "-j", &job, "-t", "RUNNING", "-o", "%N"])
            .filter(|node| node.contains("n4"))
    });
    run.say("preempted on n4");
    run.gets_on();
    run.cluster.ask("scancel", &[&job]);
    run.wait_for_actors(12);
}

/// Slurm restarts an actor's task.
fn requeue(run: &Run) {
    let task =
        run.tasks("actor").into_iter().find(|task| task.state == "RUNNING").expect("one runs");
    run.cluster.ask("scontrol", &["requeue", &task.id]).expect("requeued");
    run.say(&format!("requeued {}", task.id));
    wait_for("its end", || {
        run.tasks("actor").into_iter().find(|t| t.id == task.id && t.state != "RUNNING")
    });
    wait_for("its next life", || {
        run.start_now();
        run.tasks("actor").into_iter().find(|t| t.id == task.id && t.state == "RUNNING")
    });
    assert!(run.restarts(&task.id) > 0, "{} is another job", task.id);
    run.wait_for_actors(12);
}

/// Slurm does not restart a task that fails: the learner's job does.
fn kill_an_actor(run: &Run) {
    let before: Vec<String> = run.tasks("actor").into_iter().map(|task| task.id).collect();
    let actors = processes_of(&run.directory());
    let (id, _) =
        actors.iter().find(|(_, command)| command.contains(" slurm actor ")).expect("an actor");
    kill(Pid::from_raw(*id), Signal::SIGKILL).expect("killed");
    run.say(&format!("killed process {id}"));
    let new = wait_for("another actor", || {
        run.tasks("actor").into_iter().find(|task| !before.contains(&task.id))
    });
    run.say(&format!("{} was submitted", new.id));
    run.wait_for_actors(12);
}

/// The daemon of a node dies; its actors go on, and others take their places, too.
fn lose_a_node(run: &mut Run) {
    let on_node = |(id, command): &(i32, String)| {
        let surroundings = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        let surroundings = String::from_utf8_lossy(&surroundings);
        command.contains(" slurm actor ")
            && surroundings.split('\0').any(|variable| variable == "SLURMD_NODENAME=n3")
    };
    let actors = processes_of(&run.directory()).into_iter().filter(on_node);
    let old: Vec<i32> = actors.map(|(id, _)| id).collect();
    run.cluster.kill_node(3);
    run.say(&format!("killed the slurmd of n3, where {} actors run", old.len()));
    assert!(!old.is_empty());
    wait_for("the loss of n3", || {
        let node = run.cluster.ask("scontrol", &["show", "node", "n3"])?;
        node.contains("State=DOWN").then_some(())
    });
    let alive = processes_of(&run.directory());
    let alive = old.iter().filter(|id| alive.iter().any(|(other, _)| other == *id)).count();
    run.say(&format!("n3 is down; {alive} of its actors live on"));
    assert!(alive > 0, "none of {old:?} is a process without a place any more");
    run.gets_on();
    run.cluster.start_node(3);
    wait_for("the end of the old processes", || {
        let now = processes_of(&run.directory());
        now.iter().all(|(id, _)| !old.contains(id)).then_some(())
    });
    run.say("n3 is back; the old processes are gone");
    run.wait_for_actors(12);
}

fn restart_the_controller(run: &mut Run) {
    run.cluster.kill_controller();
    run.say("killed slurmctld");
    wait_for("its absence", || run.cluster.ask("squeue", &["-h"]).is_none().then_some(()));
    run.cluster.start_controller();
    wait_for("slurmctld", || run.cluster.ask("squeue", &["-h"]));
    run.gets_on();
    run.wait_for_actors(12);
}

/// The learner saves, returns to the queue and goes on.
fn reach_the_time_limit(run: &Run) {
    let learner = run.learner().id;
    let before = run.restarts(&learner);
    let minutes = (run.seconds() / 60.0).ceil() + 1.0;
    let limit = format!("TimeLimit={minutes}");
    run.cluster.ask("scontrol", &["update", &format!("jobid={learner}"), &limit]).expect("updated");
    run.say(&format!("the learner's time limit is {minutes} minutes now"));
    wait_for("its return to the queue", || (run.learner().state == "PENDING").then_some(()));
    run.say("the learner is in the queue again");
    run.wait_for_actors(12);
    assert_eq!(run.restarts(&learner), before + 1);
    let page = run.status();
    assert!(page.contains("incarnation 2"), "{}", run.words());
    run.gets_on();
}

fn stop(run: &Run) {
    run.say(run.slurm("stop", &["run"]).trim());
    for role in ["learner", "actor"] {
        assert!(run.tasks(role).is_empty(), "{:?}", run.tasks(role));
    }
    wait_for("the end of all processes", || {
        processes_of(&run.directory()).is_empty().then_some(())
    });
}

/// The run's books, and what it has learned; how many trajectories it accepted.
fn balance(run: &Run) -> u64 {
    let text = fs::read_to_string(run.directory().join("summary.json")).expect("a summary");
    let summary: Value = serde_json::from_str(&text).expect("JSON");
    let books =
        |name: &str| summary["books"][name].as_u64().unwrap_or_else(|| panic!("{name}\n{summary}"));
    let received = ["accepted", "duplicate", "rejected", "pending"].map(books);
    let accepted = ["resident", "evicted", "merged", "lost_in_restart", "waiting"].map(books);
    println!(
        "received {} = {received:?}, accepted {} = {accepted:?}",
        books("received"),
        books("accepted")
    );
    assert_eq!(books("received"), received.iter().sum::<u64>());
    assert_eq!(books("accepted"), accepted.iter().sum::<u64>());
    assert_eq!(books("lost_in_restart"), 0, "acked means on disk");
    let distance = summary["total_variation"].as_f64().expect("a distance");
    println!("total variation {distance:.4}, bar {TOTAL_VARIATION}");
    assert!(distance <= TOTAL_VARIATION, "{summary}");
    books("accepted")
}

/// Each record that was acked is there, and each that was accepted is there once.
fn all_is_in_the_ledger(run: &Run, accepted: u64) {
    let ledger = LedgerReader::open(&run.directory().join(FILE)).expect("a ledger");
    let mut seen = 0;
    let count = |row: ObjectRow| -> Result<bool, LedgerError> {
        seen += row.seen;
        Ok(true)
    };
    ledger.objects(None, count).expect("objects");
    assert_eq!(seen, accepted, "records in the ledger");
    let acked = run.acked();
    println!("{seen} records in the ledger; {acked} acked by actors that lived to say so");
    assert!(0 < acked && acked <= seen, "{acked} acked, {seen} in the ledger");
}
