//! Actors of a durable run that are killed: what they paid for arrives, once.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tributary_common::ledger::LedgerReader;

use crate::programs::{ENDLESS, Training, grid, kill_now, wait_for};

/// Of so many objects that none is drawn twice in a short run.
fn durable() -> String {
    let objects = grid(ENDLESS)
        .replace("kind = \"hypergrid\"", "kind = \"sequence\"")
        .replace("dimensions = 2", "alphabet = \"ACGT\"")
        .replace("side = 8", "length = 24")
        .replace("kind = \"original\"", "kind = \"motif\"\n        durable = true")
        .replace("r0 = 0.1", "motifs = [\"AA\", \"CG\"]\n        weights = [0.2, 0.1]");
    assert!(objects.contains("durable") && objects.contains("length"), "{objects}");
    objects
}

fn size(folder: PathBuf) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(data) if data.is_dir() => size(entry.path()),
        data => data.map_or(0, |data| data.len()),
    });
    sizes.sum()
}

/// Spools in which something is.
fn spools(training: &Training) -> usize {
    let runs = fs::read_dir(training.run_directory().join("spool")).into_iter().flatten().flatten();
    let actors = runs.flat_map(|run| fs::read_dir(run.path()).into_iter().flatten().flatten());
    actors.filter(|actor| size(actor.path()) > 0).count()
}

fn actors_logs(training: &Training) -> String {
    let logs = fs::read_dir(training.run_directory().join("logs")).unwrap();
    logs.map(|log| fs::read_to_string(log.unwrap().path()).unwrap()).collect()
}

/// Records in the spools that were taken over, by the actors' logs.
fn taken_over(training: &Training) -> Vec<u64> {
    let text = actors_logs(training);
    let lines = text.lines().filter(|line| line.contains("takes over a spool"));
    let records = |line: &str| line.split("records=").nth(1)?.split(' ').next()?.parse().ok();
    lines.filter_map(records).collect()
}

#[test]
#[ignore = "on a busy machine an interrupt leaves records in spools, for the actors of a resumed run; this does not resume yet"]
fn killed_actors_lose_nothing_that_was_paid_for_and_pay_for_nothing_again() {
    let mut training = Training::start(&durable(), &["--actors", "2"]);
    training.is_training();
    let learner = training.learner_process();
    let actors = || training.children().into_iter().filter(|process| *process != learner);
    let mut kills = 0;
    for round in 0..5 {
        let are_there = || actors().count() == 2 && spools(&training) == 2;
        wait_for("two actors with spools", || are_there().then_some(()));
        let spool = || size(training.run_directory().join("spool"));
        // Who is not welcomed yet cannot draw while the learner stands still.
        let welcomes = || actors_logs(&training).matches("welcomed by the learner").count();
        wait_for("welcomes", || (welcomes() >= 2 + kills).then_some(()));
        if round % 2 == 0 {
            // Nothing is acked while the learner stands still. Actors that it sent no weights yet draw
            // nothing.
            kill(Pid::from_raw(learner), Signal::SIGSTOP).unwrap();
            let (before, start) = (spool(), Instant::now());
            let enough = || spool() > before + 2_000 || start.elapsed() > Duration::from_secs(5);
            wait_for("records in the spools", || enough().then_some(()));
        } else {
            let start = Instant::now();
            let moment = Duration::from_millis(137 * round);
            wait_for("a moment", || (start.elapsed() > moment).then_some(()));
        }
        actors().take(1 + round as usize % 2).collect::<Vec<_>>().into_iter().for_each(|actor| {
            kill_now(actor);
            kills += 1;
        });
        kill(Pid::from_raw(learner), Signal::SIGCONT).unwrap();
        wait_for("new actors", || (taken_over(&training).len() >= kills).then_some(()));
    }
    let taken_over = taken_over(&training);
    assert!(taken_over.iter().sum::<u64>() > 0, "every spool was empty: {taken_over:?}");
    training.is_training();
    training.signal(Signal::SIGINT);
    assert_eq!(training.end().code(), Some(130), "{}", training.words());

    assert_eq!(size(training.run_directory().join("spool")), 0, "something is left");
    let summary = training.summary();
    let books = |name: &str| summary["books"][name].as_u64().unwrap();
    let decided = books("accepted") + books("duplicate") + books("rejected");
    assert_eq!((books("received"), books("pending")), (decided, 0), "{summary:#}");
    let ledger = LedgerReader::open(&training.run_directory().join("ledger.sqlite")).unwrap();
    let evaluations = "(SELECT count(*) FROM evaluations WHERE object_id = objects.id)";
    assert_eq!(ledger.count(None).unwrap(), books("accepted"), "{summary:#}");
    assert_eq!(ledger.count(Some("seen != 1")).unwrap(), 0);
    assert_eq!(ledger.count(Some(&format!("{evaluations} > 1"))).unwrap(), 0);
    println!("{kills} kills, spools held {taken_over:?}, {} accepted once", books("accepted"));
    training.nothing_is_left();
}
