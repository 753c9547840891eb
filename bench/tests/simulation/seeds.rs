//! Many seeds, the seeds that failed before, one seed to look at, and one seed twice.

use std::cell::Cell;
use std::sync::{Mutex, MutexGuard, Once};
use std::time::Duration;

use tributary_common::soak;

use crate::run::{Report, Totals, run};
use crate::trace::Trace;
use crate::world::{Mistake, Setting, held};

/// Seeds that failed once; always run.
const FAILED_BEFORE: &[u64] = &[205];
/// Simulations of a quick run, and where they are promised.
const QUICK: u64 = 50;
const FULL: u64 = 500;

thread_local! {
    static PANICS: Cell<u64> = const { Cell::new(0) };
}

/// Half of the seeds are durable runs.
fn setting(seed: u64) -> Setting {
    Setting {
        seed,
        durable: seed.is_multiple_of(2),
        actors: 3,
        mistake: None,
        most_sessions: if seed.is_multiple_of(3) { 3 } else { 64 },
        pause: Duration::from_millis(200),
        slowness: Duration::from_millis(30),
    }
}

/// As [`run`]; a panic in a task of a host, which tokio contains, is an error, too.
fn run_seed(seed: u64, trace: &Trace) -> Result<Report, String> {
    run_setting(setting(seed), trace)
}

/// One simulation after the other.
fn run_setting(setting: Setting, trace: &Trace) -> Result<Report, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PANICS.set(PANICS.get() + 1);
            before(info);
        }));
    });
    let _alone = alone();
    let before = PANICS.get();
    let report = run(setting, trace)?;
    match PANICS.get() == before {
        true => Ok(report),
        false => Err("a task panicked".to_owned()),
    }
}

/// Tokio numbers tasks over the whole process, and the tasks of a crashed host end in an order that
/// depends on their numbers: every simulation starts at the same one, modulo a power of two, and no
/// two run at the same time.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let alone = held(&ONE_AT_A_TIME);
    align_task_ids();
    alone
}

fn align_task_ids() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        loop {
            let id = tokio::spawn(async { tokio::task::id() }).await.unwrap();
            if id.to_string().parse::<u64>().unwrap().is_multiple_of(1 << 10) {
                return;
            }
        }
    });
}

/// The seeds of this run: `TRIBUTARY_SEED` is the first of the random ones.
fn seeds() -> Vec<u64> {
    let first = soak::seed(1);
    FAILED_BEFORE.iter().copied().chain(first..first + soak::count(QUICK, FULL)).collect()
}

#[test]
fn nothing_is_lost_or_counted_twice_and_everybody_goes_on() {
    let seeds = seeds();
    let (mut totals, mut failed) = (Totals::default(), Vec::new());
    for &seed in &seeds {
        match run_seed(seed, &Trace::default()) {
            Ok(report) => totals.add(&report),
            Err(error) => failed.push(format!("seed {seed}: {error}")),
        }
    }
    println!("first seed {}: {totals}", seeds[0]);
    assert!(
        failed.is_empty(),
        "{} of {} failed:\n{}",
        failed.len(),
        seeds.len(),
        failed.join("\n")
    );
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in [1, 2, 5, 10] {
        let traces = [Trace::readable(), Trace::readable()];
        let reports = traces.each_ref().map(|trace| run_seed(seed, trace));
        let lines = traces.each_ref().map(Trace::lines);
        let different = lines[0].iter().zip(&lines[1]).position(|(first, second)| first != second);
        if let Some(place) = different {
            panic!("seed {seed}, event {place}: {} is {}", lines[0][place], lines[1][place]);
        }
        let [first, second] = reports.map(|report| report.unwrap().digest);
        assert_eq!(first, second, "seed {seed}");
        assert!(first.events > 1_000, "seed {seed}: {} events", first.events);
    }
}

#[test]
fn planted_mistakes_are_found() {
    for (mistake, symptom) in [
        (Mistake::AckBeforeCommit, "does not remember"),
        (Mistake::RecordsWithoutMarks, "was counted twice"),
    ] {
        let run = |seed| {
            let setting = Setting { mistake: Some(mistake), ..setting(seed) };
            run_setting(setting, &Trace::default()).err()
        };
        // The symptom itself needs a crash at the right moment; other errors come sooner.
        let mut errors = Vec::new();
        for seed in (2..=120).step_by(2) {
            errors.extend(run(seed));
            if errors.last().is_some_and(|error| error.contains(symptom)) {
                break;
            }
        }
        let found = errors.last().is_some_and(|error| error.contains(symptom));
        println!("{mistake:?}: {} seeds failed before one showed \"{symptom}\"", errors.len());
        assert!(found, "{mistake:?}: {errors:?}");
    }
}

#[test]
#[ignore = "for looking at one seed: TRIBUTARY_SEED=7 cargo test ... one_seed -- --ignored --nocapture"]
fn one_seed() {
    let seed = soak::seed(1);
    let trace = Trace::readable();
    let report = run_seed(seed, &trace);
    trace.lines().iter().for_each(|line| println!("{line}"));
    println!("{report:#?}");
    assert!(report.is_ok(), "seed {seed}");
}
