//! Learners that die: another one goes on with the run.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tributary_common::crash::points_of;
use tributary_common::soak;

use crate::programs::{ENDLESS, TRIBUTARY, Training, assert_balance, grid, kill_now, wait_for};

const AGAIN: &str = "the learner was killed by signal 9; it is started again";

fn grid_that_keeps(generated: u64, durable: bool, checkpoint_every: &str) -> String {
    let durable = format!("r0 = 0.1\ndurable = {durable}");
    let every = format!("checkpoint_every = \"{checkpoint_every}\"");
    grid(generated).replace("r0 = 0.1", &durable).replace("checkpoint_every = \"1s\"", &every)
}

fn column(records: &[Value], name: &str) -> Vec<u64> {
    records.iter().map(|record| record[name].as_f64().unwrap_or(0.0) as u64).collect()
}

/// What must be true of a run whose learner died so many times.
fn assert_went_on(training: &Training, generated: u64, deaths: u64, durable: bool) {
    let summary = training.summary();
    assert_eq!(summary["trajectories"], generated, "{summary:#}");
    assert_balance(&summary);
    assert_eq!(training.json("run.json")["incarnation"], 1 + deaths);
    assert!(training.stdout().contains("learners that died"), "{}", training.words());
    let records = training.records();
    let numbers = column(&records, "number");
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
    let seconds = records.iter().map(|record| record["seconds"].as_f64().unwrap());
    assert!(seconds.is_sorted(), "times go back");
    if durable {
        assert_eq!(summary["books"]["lost_in_restart"], 0, "{summary:#}");
        let generated = column(&records, "generated");
        assert!(generated.is_sorted(), "acked trajectories were lost: {generated:?}");
    }
    // Where training began anew, a part of the trajectories was drawn with older weights than usual.
    assert!(summary["total_variation"].as_f64().unwrap() < 0.2, "{summary:#}");
    training.nothing_is_left();
}

#[test]
fn a_killed_learner_goes_on_by_itself() {
    for durable in [false, true] {
        let text = grid_that_keeps(60_000, durable, "100ms");
        let mut training = Training::start(&text, &["--actors", "2"]);
        training.is_training();
        let actors = |training: &Training| {
            let learner = training.learner_process();
            training.children().into_iter().filter(|id| *id != learner).collect::<Vec<_>>()
        };
        let before = actors(&training);
        assert_eq!(before.len(), 2);
        wait_for("a checkpoint", || training.checkpoints().pop());
        let address = training.address();
        kill_now(training.learner_process());
        wait_for("the report of the new start", || training.stderr().contains(AGAIN).then_some(()));
        let learner = training.learner_process();
        wait_for("another learner", || (training.learner_process() != learner).then_some(()));
        assert_eq!(training.address(), address, "it listens elsewhere");
        assert_eq!(actors(&training), before, "actors were started anew");
        training.end_well();
        assert_went_on(&training, 60_000, 1, durable);
        let log = training.words();
        assert!(log.contains("the run goes on"), "{log}");
    }
}

#[test]
fn what_was_acked_before_the_first_checkpoint_is_in_the_ledger() {
    let mut training = Training::start(&grid_that_keeps(40_000, true, "1h"), &["--actors", "2"]);
    training.is_training();
    kill_now(training.learner_process());
    training.end_well();
    assert_went_on(&training, 40_000, 1, true);
    let log = training.words();
    assert!(log.contains("put into replay again from the ledger"), "{log}");
}

/// A learner's program that does this first, with the shell, in a folder of its own.
fn learner_that(folder: &Path, first: &str) -> PathBuf {
    let script = folder.join("learner");
    let learner = Path::new(TRIBUTARY).with_file_name("tributary-learner");
    let text = format!("#!/bin/sh\n{first}\nexec {} \"$@\"\n", learner.display());
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    script
}

/// The spool's points and those of checkpoints have tests of their own.
#[test]
fn a_learner_that_dies_at_a_point_of_the_ledger_loses_nothing() {
    let points = points_of("ledger");
    for point in &points {
        let folder = tempfile::tempdir().unwrap();
        let (once, nth) = (folder.path().join("once"), 1 + points.len());
        let arm = format!("TRIBUTARY_CRASH={point}:{nth}; export TRIBUTARY_CRASH");
        let first = format!("[ -e {0} ] || {{ touch {0}; {arm}; }}", once.display());
        let script = learner_that(folder.path(), &first);
        let text = grid_that_keeps(30_000, true, "100ms");
        let mut training = Training::start_with_learner(&text, &["--actors", "2"], &script);
        training.end_well();
        let words = training.words();
        assert!(words.contains(&format!("{point} is hit")), "{words}");
        assert!(training.stderr().contains(AGAIN), "{words}");
        assert_went_on(&training, 30_000, 1, true);
        println!("the learner died at {point}, passed for the {nth}th time, and went on");
    }
}

#[test]
fn a_learner_that_dies_again_and_again_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let sick = folder.path().join("sick");
    let script = learner_that(folder.path(), &format!("[ -e {} ] && kill -9 $$", sick.display()));
    let mut training = Training::start_with_learner(&grid(ENDLESS), &["--actors", "2"], &script);
    training.is_training();
    assert_eq!(training.children().len(), 3, "a learner and two actors");
    fs::write(&sick, "").unwrap();
    kill_now(training.learner_process());
    let status = training.end();
    let stderr = training.stderr();
    assert_eq!(status.code(), Some(70), "{stderr}");
    assert!(stderr.contains("died 4 times within a minute and is given up"), "{stderr}");
    assert!(
        stderr.contains("was killed by signal 9") && stderr.contains("learner.log"),
        "{stderr}"
    );
    assert_eq!(stderr.matches(AGAIN).count(), 3, "{stderr}");
    training.nothing_is_left();
}

/// A lockstep run ends with the same weights, whether or not its learner was killed.
#[test]
fn a_lockstep_run_that_is_killed_ends_with_the_same_weights() {
    let text =
        grid_that_keeps(30_000, false, "100ms").replace("seed = 1", "seed = 1\nlockstep = true");
    let start = Instant::now();
    let mut whole = Training::start(&text, &["--actors", "2"]);
    whole.is_training();
    let begun = Instant::now();
    whole.end_well();
    let (starting, lasting) = (begun - start, begun.elapsed());
    let weights = whole.summary()["weights_blake3"].clone();
    assert!(weights.is_string(), "{}", whole.words());

    let mut seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
    println!("seed {seed}; the whole run took {starting:?} and {lasting:?}");
    let (wanted, mut hit) = (soak::count(1, 5), 0);
    while hit < wanted {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let moment = lasting.mul_f64(0.8 * f64::from(seed) / f64::from(u32::MAX));
        let mut training = Training::start(&text, &["--actors", "2"]);
        training.is_training();
        let begun = Instant::now();
        wait_for("the moment", || (begun.elapsed() >= moment).then_some(()));
        let is_over = training.run_directory().join("summary.json").exists();
        if !is_over {
            kill_now(training.learner_process());
        }
        training.end_well();
        let summary = training.summary();
        assert_eq!(summary["weights_blake3"], weights, "{}", training.words());
        assert_balance(&summary);
        let killed = training.stderr().contains(AGAIN);
        let lost = &summary["books"]["lost_in_restart"];
        println!("after {moment:?}: killed {killed}, lost in restart {lost}, the same weights");
        hit += u64::from(killed);
    }
}
