//! Runs in which somebody dies or is stopped.

use nix::sys::signal::Signal;

use crate::programs::{ENDLESS, Training, grid, kill_now, stdout, tributary, wait_for};

#[test]
fn a_killed_actor_is_started_again_and_the_run_ends_well() {
    let mut training = Training::start(&grid(60_000), &["--actors", "2"]);
    training.is_training();
    let learner = training.learner_process();
    let actor = training.children().into_iter().find(|id| *id != learner).expect("an actor");
    kill_now(actor);
    wait_for("the report of the new start", || {
        training.stderr().contains("was killed by signal 9; it is started again").then_some(())
    });
    training.end_well();
    assert!(training.stdout().contains("actors that died"), "{}", training.stdout());
    let summary = training.summary();
    assert_eq!(summary["trajectories"], 60_000, "{summary}");
    let distance = summary["total_variation"].as_f64().unwrap();
    assert!(distance < 0.1, "total variation {distance}");
    training.nothing_is_left();
}

#[test]
fn an_interrupted_run_keeps_its_weights() {
    let mut training = Training::start(&grid(ENDLESS), &["--actors", "2"]);
    training.is_training();
    // As `timeout` does, which signals the process and then its group.
    training.signal(Signal::SIGINT);
    training.signal(Signal::SIGINT);
    let status = training.end();
    assert_eq!(status.code(), Some(130), "{}", training.words());
    let (summary, stdout_text) = (training.summary(), training.stdout());
    assert_eq!(summary["interrupted"], true, "{summary}");
    assert!(stdout_text.contains("stopped before its goal"), "{stdout_text}");
    training.nothing_is_left();
    let page = stdout(&tributary(["evaluate", &training.run()]));
    assert!(page.contains("total variation"), "{page}");
}

#[test]
fn a_second_interrupt_ends_everything_at_once() {
    // A reward so slow that an orderly end would take long.
    let slow = grid(ENDLESS).replace("r0 = 0.1", "delay = \"1h\"");
    let mut training = Training::start(&slow, &["--actors", "1"]);
    training.address();
    wait_for("an actor", || (training.children().len() == 2).then_some(()));
    training.signal(Signal::SIGINT);
    wait_for("the first answer", || training.stderr().contains("again to end").then_some(()));
    training.signal(Signal::SIGTERM);
    let status = training.end();
    assert_eq!(status.code(), Some(130), "{}", training.words());
    training.nothing_is_left();
}

#[test]
fn nothing_outlives_a_killed_train() {
    let mut training = Training::start(&grid(ENDLESS), &["--actors", "2"]);
    training.is_training();
    training.signal(Signal::SIGKILL);
    training.end();
    training.nothing_is_left();
}
