//! A pool with programs of a few lines. Who ends them here is not the real guard, which belongs to
//! the command; what that does is tested there.
#![allow(clippy::unwrap_used)]
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::*;
use crate::oracle::{Failure, FailureKind, Measured};
use crossbeam_channel::{Receiver, bounded};
use tributary_common::object::Object;
use tributary_common::reward::{ObjectKey, OutsideReward, Repeated, Reward};
use tributary_common::run_file::Section;

const LIMIT: Duration = Duration::from_secs(60);

/// A pool that a test asks.
pub(super) struct Bench {
    pub(super) pool: Pool,
    pub(super) findings: Receiver<Finding>,
    pub(super) progress: Arc<Progress>,
    asked: u64,
}

/// Forgets its own options and becomes the command.
fn commands() -> Commands {
    let forget = "while [ \"$1\" != -- ]; do shift; done; shift; exec \"$@\"";
    Commands { guard: ["sh", "-c", forget, "guard"].map(OsString::from).to_vec() }
}

fn outside(script: &str, keys: &str) -> OutsideReward {
    let command = serde_json::to_string(&["python3", "-c", script]).unwrap();
    let keys = format!("kind = 'command'\ncommand = {command}\nretry_wait = '10ms'\n{keys}");
    let section = Section::from_toml("reward", &keys).unwrap();
    OutsideReward::command(&section, Path::new(".")).unwrap()
}

/// A worker that does as `answer` says, which knows `id`, `objects` and `say`.
fn worker(answer: &str) -> String {
    let answer = answer.replace('\n', "\n    ");
    format!(
        "import json, os, sys, time\ndef say(**reply): print(json.dumps(reply))\n\
         for line in sys.stdin:\n    request = json.loads(line)\n    id, objects = request['id'], \
         request['objects']\n    {answer}\n"
    )
}

impl Bench {
    fn start(script: &str, keys: &str) -> Self {
        Self::of(outside(script, keys))
    }

    pub(super) fn of(reward: impl Reward) -> Self {
        let ((found, findings), progress) = (bounded(1_000), Arc::default());
        let (outside, values) = (reward.outside().unwrap(), Values::of(&reward));
        let pool = Pool::start(outside, values, Some(&commands()), &progress, found).unwrap();
        Self { pool, findings, progress, asked: 0 }
    }

    pub(super) fn ask(&mut self, objects: &[&str]) {
        let question = |object: &&str| {
            self.asked += 1;
            let object = Object::Text((*object).to_owned());
            Question {
                ticket: self.asked - 1,
                key: ObjectKey([0; 32]),
                object,
                policy: PolicyVersion::default(),
            }
        };
        let questions = objects.iter().map(question).collect();
        self.pool.ask(questions);
    }

    fn findings(&self, count: usize) -> BTreeMap<u64, Result<f64, FailureKind>> {
        let next = |_| self.findings.recv_timeout(LIMIT).unwrap();
        (0..count).map(next).map(plain).collect()
    }
}

/// A finding's ticket, and its value or what kept it from having one.
pub(super) fn plain(Finding { ticket, outcome }: Finding) -> (u64, Result<f64, FailureKind>) {
    let found = outcome.map(|Measured { raw, .. }| raw[0]).map_err(|failure| failure.kind);
    (ticket, found)
}

#[test]
fn values_come_in_batches_from_several_workers() {
    let script = worker("say(id=id, rewards=[len(o) + 10 * len(objects) for o in objects])");
    let mut bench = Bench::start(&script, "workers = 2\nmax_batch = 4\nmax_wait = '10m'");
    bench.ask(&["A", "AC", "ACG", "ACGT"]);
    let found: Vec<_> = bench.findings(4).into_values().collect();
    assert_eq!(found, [Ok(41.0), Ok(42.0), Ok(43.0), Ok(44.0)]);
    assert_eq!(bench.progress.evaluations.load(Relaxed), 4);
    // Two wait for others, until nobody else can come.
    bench.ask(&["A", "C"]);
    bench.pool.stop();
    assert!(bench.findings(2).values().all(|found| *found == Err(FailureKind::Cancelled)));
}

#[test]
fn whose_fault_a_failure_is_shows_by_what_others_do() {
    let answer = "for o in objects:\n    if o == 'dies': sys.exit(3)\n    if o == 'hangs': \
                  time.sleep(600)\n    if o == 'talks': print('what?')\nsay(id=id, \
                  rewards=[{'error': 'no'} if o == 'refused' else float('nan') if o == 'nan' else 1 \
                  for o in objects])";
    let keys = "workers = 2\nmax_batch = 3\ntimeout = '500ms'\nretries = 1\nstart_timeout = '20s'";
    let mut bench = Bench::start(&worker(answer), keys);
    bench.ask(&["well", "well"]);
    assert_eq!(bench.findings(2).len(), 2);
    bench.ask(&["dies", "talks", "refused", "nan", "well"]);
    let mut found = BTreeMap::new();
    // Suspects are convicted by the next success. How many come before a dead worker's successor
    // has started depends on the machine.
    let start = Instant::now();
    while found.len() < 5 {
        bench.ask(&["well"]);
        let next = bench.findings(1);
        found.extend(next.into_iter().filter(|(number, _)| (2..7).contains(number)));
        assert!(start.elapsed() < LIMIT, "no verdict: {found:?}");
    }
    let expected = [
        Err(FailureKind::Crash),
        Err(FailureKind::Garbage),
        Err(FailureKind::Refused),
        Err(FailureKind::NotFinite),
        Ok(1.0),
    ];
    assert_eq!(found.into_values().collect::<Vec<_>>(), expected);
    assert_eq!(bench.progress.reward_trouble(), None);
}

#[test]
fn an_object_that_fails_is_judged_when_there_is_no_other() {
    let answer = "if 'dies' in objects: sys.exit(3)\nsay(id=id, rewards=[1 for o in objects])";
    let mut bench = Bench::start(&worker(answer), "workers = 1\nretries = 0");
    bench.ask(&["well"]);
    assert_eq!(bench.findings(1)[&0], Ok(1.0));
    bench.ask(&["dies", "dies"]);
    assert!(bench.findings(2).values().all(|found| *found == Err(FailureKind::Crash)));
}

#[test]
fn a_program_that_never_works_is_said_once_and_no_object_is_blamed() {
    let mut bench = Bench::start("import sys\nsys.exit('no licence')", "workers = 2");
    bench.ask(&["A", "C", "G", "T"]);
    let start = Instant::now();
    let trouble = loop {
        if let Some(trouble) = bench.progress.reward_trouble() {
            break trouble;
        }
        assert!(start.elapsed() < LIMIT, "the circuit stays closed");
        std::thread::yield_now();
    };
    let expected = "the reward's command does not work: crash: it ended with exit code 1; its last \
                    words: no licence";
    assert_eq!(trouble, expected);
    assert!(bench.findings.try_recv().is_err());
    bench.pool.stop();
    assert!(bench.findings(4).values().all(|found| *found == Err(FailureKind::Cancelled)));
}

#[test]
fn a_program_that_works_again_is_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let flag = folder.path().join("works");
    let answer = format!(
        "if not os.path.exists({flag:?}): sys.exit(1)\nsay(id=id, rewards=[2 for o in objects])"
    );
    let mut bench = Bench::start(&worker(&answer), "workers = 1\nretries = 0");
    bench.ask(&["A", "C", "G", "T", "AA", "AC", "AG", "AT", "CA"]);
    let start = Instant::now();
    while bench.progress.reward_trouble().is_none() {
        assert!(start.elapsed() < LIMIT, "the circuit stays closed");
        std::thread::yield_now();
    }
    std::fs::write(&flag, "").unwrap();
    assert!(bench.findings(9).values().all(|found| *found == Ok(2.0)));
    assert_eq!(bench.progress.reward_trouble(), None);
}

#[test]
fn what_may_be_better_later_is_tried_later() {
    let answer = "say(id=id, rewards=[5 if id > 1 else {'error': 'full', 'transient': True}])";
    let mut bench = Bench::start(&worker(answer), "workers = 1");
    bench.ask(&["A"]);
    assert_eq!(bench.findings(1)[&0], Ok(5.0));
    assert_eq!(bench.progress.reward_failures(), BTreeMap::from([("refused".to_owned(), 2)]));
    let always = worker("say(id=id, rewards=[{'error': 'full', 'transient': True}])");
    let mut bench = Bench::start(&always, "workers = 1");
    bench.ask(&["A"]);
    assert_eq!(bench.findings(1)[&0], Err(FailureKind::Refused));
}

#[test]
fn a_noisy_program_is_asked_several_times_and_its_average_counts() {
    // Says 1, 2, 3 ... of whatever it is asked for, and cannot say 4.
    let answer = "said = globals().setdefault('said', [0])\nrewards = []\nfor o in objects:\n    \
                  said[0] += 1\n    rewards.append({'error': 'four'} if said[0] == 4 else said[0])\n\
                  say(id=id, rewards=rewards)";
    let reward = Repeated::new(Arc::new(outside(&worker(answer), "workers = 1")), 3, None);
    let mut bench = Bench::of(reward);
    bench.ask(&["A"]);
    let Finding { outcome, .. } = bench.findings.recv_timeout(LIMIT).unwrap();
    assert_eq!(outcome.unwrap().raw, [2.0, 1.0]);
    assert_eq!(bench.progress.evaluations.load(Relaxed), 3);
    bench.ask(&["C"]);
    assert_eq!(bench.findings(1)[&1], Err(FailureKind::Refused));
    bench.ask(&["G"]);
    assert_eq!(bench.findings(1)[&2], Ok(6.0), "what was said of the failed one is forgotten");
    assert_eq!(bench.progress.evaluations.load(Relaxed), 6);
}

#[test]
fn a_repeat_that_cannot_be_measured_fails_the_object_and_is_named() {
    let answer = "n = globals().setdefault('n', [0])\nn[0] += 1\n\
                  say(id=id, rewards=[{'error': 'no'} if n[0] == 2 else 1 for o in objects])";
    let reward = Repeated::new(Arc::new(outside(&worker(answer), "workers = 1")), 3, None);
    let mut bench = Bench::of(reward);
    bench.ask(&["A"]);
    let failure = bench.findings.recv_timeout(LIMIT).unwrap().outcome.unwrap_err();
    assert_eq!(failure.to_string(), "refused: at repeat 2: no");
}

#[test]
fn who_measures_at_once_is_told_what_is_wrong() {
    let objects = ["AC", "ACGT"].map(|text| Object::Text(text.to_owned()));
    let ask = |script: &str| {
        let reward = outside(script, "max_batch = 2");
        measure(reward.outside().unwrap(), Values::of(&reward), Some(&commands()), &objects)
    };
    let answer =
        "say(id=id, rewards=[len(o) if len(o) > 2 else {'error': 'short'} for o in objects])";
    let found = ask(&worker(answer)).unwrap();
    assert_eq!(found[0].as_ref().unwrap_err().to_string(), "refused: short");
    assert_eq!(found[1], Ok(vec![4.0]));
    let broken = ask("print('hello')").unwrap_err().to_string();
    assert!(broken.starts_with("the reward's command does not work: garbage: "), "{broken}");
}

#[test]
fn commands_need_permission() {
    let (reward, progress) = (outside("", ""), Arc::default());
    let (outside, values) = (reward.outside().unwrap(), Values::of(&reward));
    let refused = Pool::start(outside, values, None, &progress, bounded(1).0);
    let error = refused.err().unwrap();
    assert_eq!(error.exit_code(), 78);
    assert!(error.to_string().contains("--allow-commands"), "{error}");
}

#[test]
fn failures_name_their_kind() {
    let failure = Failure::new(FailureKind::TimeOut, "no answer");
    assert_eq!(failure.to_string(), "time-out: no answer");
    let names: std::collections::BTreeSet<_> =
        FailureKind::ALL.into_iter().map(FailureKind::name).collect();
    assert_eq!(names.len(), FailureKind::ALL.len());
    assert!(FailureKind::ALL.into_iter().enumerate().all(|(place, kind)| kind as usize == place));
}
