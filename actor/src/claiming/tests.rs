#![allow(clippy::unwrap_used, clippy::panic)]
use std::time::Duration;

use super::*;
use crate::fakes::Sum;
use tributary_common::claims::asker::Message;
use tributary_common::claims::{self, Answer, LeaseId};
use tributary_common::ids::{ActorId, PolicyVersion};
use tributary_common::object::Object;
use tributary_common::reward::ObjectKey;

const LIMIT: Duration = Duration::from_secs(30);

/// Passes questions on to the test; none: it was stopped.
struct Asks(Sender<Option<Question>>);

impl Oracle for Asks {
    fn ask(&mut self, questions: Vec<Question>) {
        questions.into_iter().for_each(|question| self.0.send(Some(question)).unwrap());
    }

    fn stop(&mut self) {
        self.0.send(None).unwrap();
    }
}

/// A clerk at work, with the test as desk, learner and oracle.
struct Office {
    claiming: Claiming,
    shared: Arc<SharedRewards>,
    asked: Receiver<Option<Question>>,
    found: Sender<Finding>,
    findings: Receiver<Finding>,
    progress: Arc<Progress>,
}

impl Office {
    fn open() -> Self {
        let shared = Arc::new(SharedRewards::new(Arc::new(Sum::default())));
        let progress = Arc::new(Progress::default());
        let ((asks, asked), (found, to_clerk), (to_desk, findings)) =
            (bounded(100), bounded(100), bounded(100));
        let oracle = (Asks(asks), to_clerk);
        let claiming =
            Claiming::start(Arc::clone(&shared), Arc::clone(&progress), oracle, to_desk, 100);
        Self { claiming: claiming.unwrap(), shared, asked, found, findings, progress }
    }

    /// Asks for cells; returns their keys when the learner is asked.
    fn ask(&mut self, cells: &[i64]) -> Vec<ObjectKey> {
        let question = |&cell: &i64| {
            let object = Object::Integers(vec![cell, 0]);
            let (key, policy) = (self.shared.key(&object), PolicyVersion::default());
            Question { ticket: cell as u64, key, object, policy }
        };
        let questions: Vec<Question> = cells.iter().map(question).collect();
        let keys: Vec<ObjectKey> = questions.iter().map(|one| one.key).collect();
        self.claiming.ask(questions);
        assert_eq!(self.said(), Message::Claims(keys.clone()));
        keys
    }

    /// What the learner hears next.
    fn said(&self) -> Message {
        let start = std::time::Instant::now();
        loop {
            if let Some(message) = self.shared.next() {
                return message;
            }
            assert!(start.elapsed() < LIMIT, "the learner hears nothing");
            thread::yield_now();
        }
    }

    fn grant(&self, key: ObjectKey, lease: u64) -> Question {
        let lease = LeaseId(lease);
        self.shared.answered(vec![(key, Answer::Granted { lease, lasts: LIMIT })]);
        self.asked.recv_timeout(LIMIT).unwrap().unwrap()
    }

    fn know(&self, key: ObjectKey, outcome: Outcome) {
        let finding = claims::Finding { outcome, seconds: 1.0, actor: ActorId(9) };
        self.shared.answered(vec![(key, Answer::Known(Arc::new(finding)))]);
    }

    fn find(&self, question: &Question, outcome: Result<Measured, Failure>) {
        self.found.send(Finding { ticket: question.ticket, outcome }).unwrap();
    }

    fn finding(&self) -> Finding {
        self.findings.recv_timeout(LIMIT).unwrap()
    }
}

#[test]
fn only_what_is_granted_is_asked_for_and_what_it_measures_is_told() {
    let mut office = Office::open();
    let keys = office.ask(&[1, 2, 3]);
    let question = office.grant(keys[1], 5);
    assert_eq!((question.ticket, office.asked.len()), (2, 0));
    let measured = Measured { raw: vec![2.0], seconds: 0.5 };
    office.find(&question, Ok(measured.clone()));
    assert_eq!(office.finding(), Finding { ticket: 2, outcome: Ok(measured) });
    let Message::Results(1, results) = office.said() else { panic!("no results") };
    let told = &results[0];
    assert_eq!((told.key, told.lease, told.seconds), (keys[1], Some(LeaseId(5)), 0.5));
    assert_eq!(told.outcome, Outcome::Measured(vec![2.0]));
    office.know(keys[0], Outcome::Measured(vec![7.0]));
    let known = Measured { raw: vec![7.0], seconds: 0.0 };
    assert_eq!(office.finding(), Finding { ticket: 1, outcome: Ok(known) });
    assert_eq!(office.progress.reused.load(Relaxed), 1);
    office.know(keys[2], Outcome::Failed("it does not fold".to_owned()));
    let failure = office.finding().outcome.unwrap_err();
    assert_eq!((failure.kind, &*failure.reason), (FailureKind::Refused, "it does not fold"));
    assert!(office.asked.is_empty(), "what is known was asked for");
}

#[test]
fn a_bad_object_is_told_to_all_and_a_bad_program_gives_its_lease_back() {
    for (kind, is_transient) in [(FailureKind::Crash, false), (FailureKind::Cancelled, true)] {
        let mut office = Office::open();
        let keys = office.ask(&[1]);
        let question = office.grant(keys[0], 5);
        office.find(&question, Err(Failure::new(kind, "for the test")));
        assert_eq!(office.finding().outcome.unwrap_err().kind, kind);
        let Message::Results(1, results) = office.said() else { panic!("no results") };
        assert_eq!(results[0].is_transient, is_transient, "{kind}");
        let Outcome::Failed(why) = &results[0].outcome else { panic!("{kind}") };
        assert!(why.contains("for the test"), "{why}");
    }
}

#[test]
fn what_a_broken_program_was_granted_goes_back_and_is_asked_for_again_when_one_is_measured() {
    let mut office = Office::open();
    let keys = office.ask(&[1, 2, 3]);
    for (lease, cell) in [(5, 0), (6, 1)] {
        let question = office.grant(keys[cell], lease);
        office.find(&question, Err(Failure::new(FailureKind::Unavailable, "broken")));
        let Message::Results(_, results) = office.said() else { panic!("no results") };
        assert_eq!((results[0].lease, results[0].is_transient), (Some(LeaseId(lease)), true));
    }
    // Asked for before, granted only now: the oracle hands it back as well.
    let question = office.grant(keys[2], 7);
    office.find(&question, Err(Failure::new(FailureKind::Unavailable, "broken")));
    assert!(matches!(office.said(), Message::Results(..)));
    // After a pause one is asked for, and no more; then all, as soon as it was measured.
    assert_eq!(office.said(), Message::Claims(vec![keys[0]]));
    assert!(office.findings.is_empty(), "the desk lost a question");
    let question = office.grant(keys[0], 8);
    let measured = Measured { raw: vec![2.0], seconds: 0.5 };
    office.find(&question, Ok(measured.clone()));
    assert_eq!(office.finding(), Finding { ticket: 1, outcome: Ok(measured) });
    assert!(matches!(office.said(), Message::Results(..)));
    assert_eq!(office.said(), Message::Claims(vec![keys[1], keys[2]]));
}

#[test]
fn at_the_end_nobody_is_waited_for_and_what_is_begun_is_finished() {
    let mut office = Office::open();
    let keys = office.ask(&[1, 2]);
    let question = office.grant(keys[0], 5);
    office.claiming.stop();
    let cancelled = office.finding();
    assert_eq!(
        (cancelled.ticket, cancelled.outcome.unwrap_err().kind),
        (2, FailureKind::Cancelled)
    );
    assert_eq!(office.asked.recv_timeout(LIMIT).unwrap(), None, "the oracle is to stop, too");
    let measured = Measured { raw: vec![2.0], seconds: 0.5 };
    office.find(&question, Ok(measured.clone()));
    assert_eq!(office.finding(), Finding { ticket: 1, outcome: Ok(measured) });
    let late = Question { ticket: 3, ..question };
    office.claiming.ask(vec![late]);
    assert_eq!(office.finding().outcome.unwrap_err().kind, FailureKind::Cancelled);
    drop(office.claiming);
    assert!(office.asked.recv_timeout(LIMIT).is_err(), "the oracle outlives its clerk");
}
