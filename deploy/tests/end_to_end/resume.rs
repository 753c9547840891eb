//! Runs that were stopped, or completed, and go on.

use std::fs;

use nix::sys::signal::Signal;

use crate::programs::{ENDLESS, Training, assert_balance, grid, stdout, tributary};

/// A run that was stopped, with at least two checkpoints.
fn stopped() -> Training {
    let text = grid(ENDLESS).replace("\"1s\"", "\"100ms\"");
    let mut training = Training::start(&text, &["--actors", "2"]);
    training.is_training();
    crate::programs::wait_for("two checkpoints", || {
        (training.checkpoints().len() >= 2).then_some(())
    });
    training.signal(Signal::SIGINT);
    assert_eq!(training.end().code(), Some(130), "{}", training.words());
    training
}

fn refusal(arguments: &[&str]) -> String {
    let output = tributary(arguments.iter().copied());
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{stderr}");
    stderr
}

#[test]
fn a_stopped_run_goes_on_and_a_complete_one_when_its_goal_is_raised() {
    let mut training = stopped();
    let said = training.stdout();
    assert!(said.contains("tributary train --resume"), "{said}");
    let before = training.summary();
    let of = |summary: &serde_json::Value, name: &str| summary["counters"][name].as_u64().unwrap();
    let goal = of(&before, "generated") + 5_000;
    let set = format!("learner.generated={goal}");
    training.resume(&["--actors", "1", "--set", &set]);
    training.end_well();
    let words = training.stderr();
    assert!(words.contains(&format!("learner.generated: 1000000000 -> {goal}")), "{words}");
    let after = training.summary();
    assert_eq!(of(&after, "generated"), goal, "{after:#}");
    for name in ["paid", "updates", "samples"] {
        assert!(of(&after, name) >= of(&before, name), "{name}: {before:#} {after:#}");
    }
    assert!(after["seconds"].as_f64() > before["seconds"].as_f64(), "{before:#} {after:#}");
    assert_balance(&after);
    assert_eq!(training.json("run.json")["incarnation"], 2);

    let run = training.run();
    let text = refusal(&["train", "--resume", &run]);
    assert!(text.contains("is complete") && text.contains("--set learner.generated="), "{text}");
    let text = refusal(&["train", "--resume", &run, "--set", "policy.hidden=[4]"]);
    assert!(text.contains("policy.hidden: the run has [32, 32], given is [4]"), "{text}");
    let text = refusal(&["train", "--resume", "nowhere"]);
    assert!(text.contains("holds no run"), "{text}");

    let set = format!("learner.generated={}", goal + 1_000);
    training.resume(&["--actors", "1", "--set", &set]);
    training.end_well();
    assert_eq!(of(&training.summary(), "generated"), goal + 1_000);
    assert_balance(&training.summary());
    let page = stdout(&tributary(["evaluate", &run]));
    assert!(page.contains("total variation"), "{page}");
    training.nothing_is_left();
}

#[test]
fn a_damaged_checkpoint_is_named_and_set_aside_and_without_any_nothing_starts() {
    let mut training = stopped();
    let newest = training.checkpoints().pop().unwrap();
    let damage = |folder: &std::path::Path| {
        let file = folder.join("raw.safetensors");
        let mut bytes = fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(file, bytes).unwrap();
    };
    damage(&newest);
    training.resume(&["--actors", "1", "--set", "learner.time=1ms"]);
    training.end_well();
    let log = training.words();
    let name = newest.file_name().unwrap().to_str().unwrap();
    assert!(log.contains("a damaged checkpoint is set aside"), "{log}");
    assert!(log.contains(&format!("{name}/raw.safetensors is damaged")), "{log}");
    assert!(newest.with_extension("corrupt").is_dir() && !newest.exists());
    assert_balance(&training.summary());

    training.checkpoints().iter().for_each(|folder| damage(folder));
    let run = training.run();
    let text = refusal(&["train", "--resume", &run, "--set", "learner.time=1h"]);
    assert!(text.contains("none of the checkpoints") && text.contains("is damaged"), "{text}");
    assert!(!training.checkpoints().is_empty(), "what could not be used is left where it is");
    training.nothing_is_left();
}
