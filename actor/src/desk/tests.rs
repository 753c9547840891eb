#![allow(clippy::unwrap_used)]
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::*;
use crate::fakes::Sum;
use crate::oracle::FailureKind;
use crossbeam_channel::bounded;
use tokio::sync::mpsc::error::TryRecvError;
use tributary_common::object::Object;
use tributary_common::random::{Purpose, Stream};
use tributary_common::trajectory::TrajectoryKind;

const LIMIT: Duration = Duration::from_secs(30);

/// Passes questions on to the test.
struct Asks(Sender<Vec<Question>>);

impl Oracle for Asks {
    fn ask(&mut self, questions: Vec<Question>) {
        self.0.send(questions).unwrap();
    }

    fn stop(&mut self) {
        self.0.send(Vec::new()).unwrap();
    }
}

/// A desk at work, with the test as rollouts, oracle and session.
struct Office {
    drawn: Option<Sender<Drawn>>,
    questions: Receiver<Vec<Question>>,
    findings: Sender<Finding>,
    records: mpsc::Receiver<Vec<Record>>,
    progress: Arc<Progress>,
    stop: CancellationToken,
    gate: Arc<Gate>,
    thread: JoinHandle<Result<(), ActorError>>,
}

impl Office {
    fn open(room: usize, refused: Option<Vec<f64>>) -> Self {
        let (asks, questions) = bounded(100);
        let (findings, found) = bounded(100);
        let (drawn, to_desk) = bounded(0);
        let (to_session, records) = mpsc::channel(100);
        let (progress, stop) = (Arc::new(Progress::default()), CancellationToken::new());
        let (reward, gate): (Arc<Sum>, Arc<Gate>) = Default::default();
        let mut order = Stream::new(1, Purpose::Backward, 0, 0);
        let known = Arc::new(KnownObjects::new(reward.clone(), false, &[], &mut order));
        let desk = Desk {
            oracle: Asks(asks),
            findings: found,
            room,
            keys: KeyMaker::new(reward),
            refused,
            known,
            progress: progress.clone(),
            stop: stop.clone(),
            gate: gate.clone(),
            open: Open::default(),
        };
        let thread = thread::spawn(move || desk.run(&to_desk, &to_session));
        Self { drawn: Some(drawn), questions, findings, records, progress, stop, gate, thread }
    }

    fn draw(&self, cells: &[i64], answer: Option<Sender<Answer>>) -> bool {
        let candidate = |&cell: &i64| {
            let object = Object::Integers(vec![cell, 0]);
            let trajectory = Trajectory { actions: vec![0; cell as usize], object, log_mu: 0.0 };
            Candidate { trajectory, kind: TrajectoryKind::Forward, known: None, place: None }
        };
        let candidates = cells.iter().map(candidate).collect();
        let drawn = Drawn { policy: PolicyVersion::default(), setting: 3, candidates, answer };
        let short = Duration::from_millis(300);
        self.drawn.as_ref().unwrap().send_timeout(drawn, short).is_ok()
    }

    fn asked(&self) -> Vec<Question> {
        self.questions.recv_timeout(LIMIT).unwrap()
    }

    fn find(&self, question: &Question, value: f64) {
        let measured = Measured { raw: vec![value], seconds: 2.0 };
        self.findings.send(Finding { ticket: question.ticket, outcome: Ok(measured) }).unwrap();
    }

    fn fail(&self, question: &Question, kind: FailureKind) {
        let failure = Failure::new(kind, "for the test");
        self.findings.send(Finding { ticket: question.ticket, outcome: Err(failure) }).unwrap();
    }

    fn records(&mut self) -> Vec<Record> {
        let start = Instant::now();
        loop {
            match self.records.try_recv() {
                Ok(records) => return records,
                Err(TryRecvError::Disconnected) => return Vec::new(),
                Err(TryRecvError::Empty) => thread::yield_now(),
            }
            assert!(start.elapsed() < LIMIT, "the desk sends no records");
        }
    }

    fn close(mut self) {
        self.drawn = None;
        self.thread.join().unwrap().unwrap();
    }
}

fn cells(questions: &[Question]) -> Vec<String> {
    questions.iter().map(|question| question.object.to_string()).collect()
}

#[test]
fn a_slow_object_holds_up_no_other_and_each_is_asked_for_once() {
    let mut office = Office::open(4, None);
    assert!(office.draw(&[1, 2, 2, 3], None));
    let asked = office.asked();
    assert_eq!(cells(&asked), ["1 0", "2 0", "3 0"]);
    office.find(&asked[2], 30.0);
    let records = office.records();
    assert_eq!((records.len(), records[0].raw[0], records[0].setting), (1, 30.0, 3));
    office.find(&asked[1], 20.0);
    let both = office.records();
    let paid: Vec<f32> = both.iter().map(|record| record.seconds).collect();
    assert_eq!(paid, [2.0, 0.0], "only one of the two was paid for");
    assert!(office.draw(&[3, 1], None), "one question is open, there is room for three");
    let known = office.records();
    assert_eq!((known.len(), known[0].raw[0], known[0].seconds), (1, 30.0, 0.0));
    office.find(&asked[0], 10.0);
    assert_eq!(office.records().len(), 2);
    assert!(office.questions.try_recv().is_err(), "1 was open and 3 known");
    office.close();
}

#[test]
fn nothing_is_taken_while_there_is_no_room() {
    let mut office = Office::open(2, None);
    assert!(office.draw(&[1, 2], None));
    let asked = office.asked();
    assert!(!office.draw(&[3], None), "two objects wait, and there is room for two");
    office.find(&asked[0], 1.0);
    assert_eq!(office.records().len(), 1);
    assert!(office.draw(&[3], None));
    office.find(&asked[1], 1.0);
    office.find(&office.asked()[0], 1.0);
    // Together, if the desk hears of both at once.
    let mut last = office.records();
    if last.len() < 2 {
        last.extend(office.records());
    }
    assert_eq!(last.len(), 2);
    office.close();
}

#[test]
fn nothing_is_taken_while_the_gate_is_shut() {
    let mut office = Office::open(2, None);
    assert!(office.draw(&[1], None));
    let asked = office.asked();
    office.gate.set(false);
    // Seen behind its answer.
    office.find(&asked[0], 1.0);
    assert_eq!(office.records().len(), 1);
    assert!(!office.draw(&[2], None));
    office.gate.set(true);
    assert!(office.draw(&[2], None));
    office.find(&office.asked()[0], 1.0);
    assert_eq!(office.records().len(), 1);
    office.close();
}

#[test]
fn whoever_waits_is_told_when_all_of_a_batch_is_known() {
    let mut office = Office::open(9, None);
    let (answer, answers) = bounded(1);
    assert!(office.draw(&[5, 6, 7], Some(answer)));
    let asked = office.asked();
    office.find(&asked[1], 60.0);
    office.fail(&asked[2], FailureKind::Refused);
    assert_eq!(office.records().len(), 1);
    assert!(answers.try_recv().is_err());
    office.find(&asked[0], 50.0);
    let expected = [Some(vec![50.0]), Some(vec![60.0]), None];
    assert_eq!(answers.recv_timeout(LIMIT).unwrap(), expected);
    assert_eq!(office.progress.failed.load(Relaxed), 1);
    office.close();
}

#[test]
fn an_object_that_failed_is_not_asked_for_again_and_may_stand_for_something() {
    let mut office = Office::open(9, Some(vec![-7.0]));
    assert!(office.draw(&[1], None));
    let asked = office.asked();
    office.fail(&asked[0], FailureKind::TimeOut);
    assert_eq!(office.records()[0].raw, [-7.0]);
    assert!(office.draw(&[1], None));
    assert_eq!(office.records()[0].raw, [-7.0]);
    assert!(office.questions.try_recv().is_err());
    assert!(office.draw(&[2], None));
    office.fail(&office.asked()[0], FailureKind::Cancelled);
    assert!(office.draw(&[2], None), "what nobody tried may be asked for again");
    assert_eq!(cells(&office.asked()), ["2 0"]);
    assert_eq!(office.progress.failed.load(Relaxed), 1);
    office.stop.cancel();
    drop(office.findings);
    office.thread.join().unwrap().unwrap();
}

#[test]
fn a_stop_reaches_the_oracle_and_the_desk_ends_behind_its_last_answer() {
    let mut office = Office::open(9, None);
    assert!(office.draw(&[1, 2], None));
    let asked = office.asked();
    office.stop.cancel();
    assert_eq!(office.asked(), [], "the oracle is told to stop");
    office.drawn = None;
    office.fail(&asked[0], FailureKind::Cancelled);
    office.find(&asked[1], 4.0);
    assert_eq!(office.records()[0].raw, [4.0]);
    office.close();
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut memory = Memory::default();
    let key = |i: usize| {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&i.to_le_bytes());
        ObjectKey(key)
    };
    for i in 0..REMEMBERED + 3 {
        memory.keep(key(i), Some(vec![i as f64]));
    }
    assert_eq!((memory.values.len(), memory.order.len()), (REMEMBERED, REMEMBERED));
    assert_eq!((memory.get(&key(2)), memory.get(&key(3))), (None, Some(Some(vec![3.0]))));
}
