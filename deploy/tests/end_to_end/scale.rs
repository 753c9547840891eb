//! More and fewer actors while a run goes on.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::programs::{ENDLESS, Training, assert_balance, grid, stdout, tributary, wait_for};

/// A new actor brings its first trajectories within this time.
const JOINS: Duration = Duration::from_secs(5);

fn scale(run: &str, actors: &str) -> String {
    stdout(&tributary(["scale", run, "--actors", actors]))
}

/// What an actor's row of the status says: its state, and how many of its trajectories were accepted.
fn row(run: &str, actor: &str) -> Option<(String, u64)> {
    let page = String::from_utf8_lossy(&tributary(["status", run]).stdout).into_owned();
    let mut rows = page.lines().filter(|line| line.split_whitespace().nth(1) == Some(actor));
    // Of two with one name, the one that came last.
    let (_, text) = rows.next_back()?.split_once(actor)?;
    let mut parts = text.trim().split(", ");
    let state = parts.next()?.to_owned();
    let accepted = parts.find_map(|part| part.strip_suffix(" accepted"))?;
    Some((state, accepted.replace(',', "").parse().ok()?))
}

/// A number that the last line of an actor's log names.
fn told(training: &Training, actor: &str, name: &str) -> u64 {
    let log = training.run_directory().join(format!("logs/{actor}.log"));
    let log = fs::read_to_string(log).unwrap();
    let last = log.lines().last().unwrap_or_default();
    let word = last.split_whitespace().find_map(|word| word.strip_prefix(&format!("{name}=")));
    word.unwrap_or_else(|| panic!("no {name} at the end of\n{log}")).parse().unwrap()
}

#[test]
fn actors_come_within_seconds_and_leave_without_loss() {
    for durable in [false, true] {
        let text = grid(ENDLESS).replace("r0 = 0.1", &format!("r0 = 0.1\ndurable = {durable}"));
        let mut training = Training::start(&text, &["--actors", "1"]);
        training.is_training();
        let run = training.run();

        let start = Instant::now();
        assert_eq!(scale(&run, "3"), "3 actors: 2 more than before\n");
        for actor in ["actor-2", "actor-3"] {
            wait_for("its first trajectories", || row(&run, actor).filter(|(_, count)| *count > 0));
            let took = start.elapsed();
            assert!(took < JOINS, "{actor} took {took:?}\n{}", training.words());
            println!("{actor} of a run with durable = {durable} contributed after {took:?}");
        }
        assert_eq!(scale(&run, "1"), "1 actor: 2 leave, and send what they have finished\n");
        for actor in ["actor-2", "actor-3"] {
            let left = format!("{actor} has left");
            wait_for(&left, || training.stderr().contains(&left).then_some(()));
            let gone = || row(&run, actor).filter(|(state, _)| state == "gone");
            let (_, accepted) = wait_for("its goodbye", gone);
            let (acked, unacked) =
                (told(&training, actor, "acked"), told(&training, actor, "unacked"));
            assert_eq!((acked, unacked), (accepted, 0), "{actor} left something behind");
        }
        let (_, before) = row(&run, "actor-1").unwrap();
        wait_for("the one that stays", || row(&run, "actor-1").filter(|(_, now)| *now > before));
        assert_eq!(scale(&run, "2"), "2 actors: 1 more than before\n");
        assert_eq!(scale(&run, "2"), "2 actors: as before\n");

        training.signal(Signal::SIGINT);
        assert_eq!(training.end().code(), Some(130), "{}", training.words());
        let summary = training.summary();
        assert_balance(&summary);
        assert_eq!(summary["books"]["rejected"], 0, "{summary:#}");
        training.nothing_is_left();
        let refused = tributary(["scale", &run, "--actors", "2"]);
        let stderr = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(78), "{stderr}");
        assert!(stderr.contains("is not trained now"), "{stderr}");
    }
}

#[test]
fn a_run_on_slurm_is_scaled_by_another_command() {
    let run = tempfile::tempdir().unwrap();
    fs::create_dir(run.path().join("slurm")).unwrap();
    fs::write(run.path().join("slurm/launch.json"), "{}").unwrap();
    let path = run.path().to_str().unwrap();
    let refused = tributary(["scale", path, "--actors", "2"]);
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(78), "{stderr}");
    assert!(stderr.contains("tributary slurm scale") && stderr.contains(path), "{stderr}");
}
