//! A learner that is stopped for a while goes on as if nothing had been.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::programs::{ENDLESS, Training, grid, wait_for};

/// Well below the keep-alive.
const STOPPED: Duration = Duration::from_secs(3);

/// Trajectories accepted, by the last line that the learner recorded.
fn recorded(training: &Training) -> u64 {
    let text = std::fs::read_to_string(training.run_directory().join("metrics.jsonl"));
    let text = text.unwrap_or_default();
    let last = text.lines().rev().find_map(|line| {
        serde_json::from_str::<serde_json::Value>(line).ok()?["generated"].as_f64()
    });
    last.unwrap_or(0.0) as u64
}

#[test]
fn a_learner_that_was_stopped_for_three_seconds_keeps_its_links_and_loses_nothing() {
    let mut training = Training::start(&grid(ENDLESS), &["--actors", "2"]);
    training.is_training();
    let learner = Pid::from_raw(training.learner_process());
    kill(learner, Signal::SIGSTOP).unwrap();
    let start = Instant::now();
    wait_for("the end of the stop", || (start.elapsed() > STOPPED).then_some(()));
    let before = recorded(&training);
    kill(learner, Signal::SIGCONT).unwrap();
    wait_for("new trajectories", || (recorded(&training) > before + 1_000).then_some(()));
    training.signal(Signal::SIGINT);
    assert_eq!(training.end().code(), Some(130), "{}", training.words());

    let log = std::fs::read_to_string(training.run_directory().join("logs/learner.log")).unwrap();
    assert_eq!(log.matches("actor joins").count(), 2, "the links were made anew:\n{log}");
    let summary = training.summary();
    let of = |name: &str| summary["books"][name].as_u64().unwrap();
    let decided = of("accepted") + of("duplicate") + of("rejected");
    assert_eq!((of("received"), of("pending"), of("duplicate")), (decided, 0, 0), "{summary:#}");
    training.nothing_is_left();
}
