//! Actors that ask before they measure.

use std::path::Path;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use tributary_common::claims::asker::Evaluated;
use tributary_common::claims::{Answer, LeaseId, Outcome};
use tributary_common::ids::ActorId;
use tributary_common::ledger::{FILE, LedgerReader};
use tributary_common::object::Object;
use tributary_common::registry::Registry;
use tributary_common::reward::{KeyMaker, ObjectKey};
use tributary_common::session::Secret;
use tributary_proto::convert::actor::ActorEvent;
use tributary_proto::convert::rewards::{Proof, Question, Reply};
use tributary_proto::credentials::Credentials;
use tributary_proto::limits;
use tributary_proto::v1::{
    ActorQuestion, Goodbye, LearnerAnswer, QuarantineReply, QuarantineRequest, StatusReply,
    StatusRequest,
};

use super::actor::{PATIENCE, TestActor};
use super::{GRID, TestLearner};

const SHARED: [&str; 3] = ["reward.durable=true", "reward.shared=true", "reward.audit=0.0"];

/// A stream of questions.
struct Questions {
    up: mpsc::Sender<ActorQuestion>,
    down: Streaming<LearnerAnswer>,
    number: u64,
}

impl Questions {
    async fn open(url: &str, proof: Proof) -> Result<Self, Status> {
        let line = Credentials::default().dialer(url).unwrap().connect().await.unwrap();
        let (up, outbox) = mpsc::channel(16);
        up.send(Question::Proof(proof).into()).await.unwrap();
        let mut client = limits::rewards_client(line);
        let down = client.ask(ReceiverStream::new(outbox)).await?.into_inner();
        Ok(Self { up, down, number: 0 })
    }

    async fn of(learner: &TestLearner, actor: &TestActor) -> Self {
        Self::open(&learner.url, proof(actor)).await.unwrap()
    }

    async fn say(&self, question: Question) {
        self.up.send(question.into()).await.unwrap();
    }

    async fn hear(&mut self) -> Result<Reply, Status> {
        let message = timeout(PATIENCE, self.down.message()).await;
        let message = message.expect("nothing was answered in time")?;
        Ok(Reply::try_from(message.expect("the stream ended")).unwrap())
    }

    /// The next answer, which is the only one in its message.
    async fn answer(&mut self) -> (ObjectKey, Answer) {
        match self.hear().await.unwrap() {
            Reply::Answers(mut answers) if answers.len() == 1 => answers.remove(0),
            other => panic!("not one answer: {other:?}"),
        }
    }

    async fn granted(&mut self, cell: [i64; 2]) -> LeaseId {
        self.say(Question::Claims(vec![key(cell)])).await;
        match self.answer().await {
            (of, Answer::Granted { lease, .. }) if of == key(cell) => lease,
            other => panic!("not granted: {other:?}"),
        }
    }

    async fn tell(&mut self, cell: [i64; 2], outcome: Outcome, lease: LeaseId) {
        self.number += 1;
        let evaluated = Evaluated {
            key: key(cell),
            object: Object::Integers(cell.to_vec()),
            outcome,
            is_transient: false,
            seconds: 2.5,
            lease: Some(lease),
            policy: None,
        };
        self.say(Question::Results(self.number, vec![evaluated])).await;
    }

    async fn acked(&mut self) {
        let number = self.number;
        assert_eq!(self.hear().await.unwrap(), Reply::Acked(number));
    }
}

fn proof(actor: &TestActor) -> Proof {
    let identity = actor.welcome.identity;
    Proof { actor: identity.actor, secret: identity.secret, epoch: identity.epoch }
}

fn key(cell: [i64; 2]) -> ObjectKey {
    let (_, task) = Registry::builtin().read(GRID, &[], Path::new("")).unwrap();
    KeyMaker::new(task.reward).key(&Object::Integers(cell.to_vec()))
}

fn raw(answer: &Answer) -> Option<f64> {
    match answer {
        Answer::Known(finding) => match &finding.outcome {
            Outcome::Measured(raw) => Some(raw[0]),
            Outcome::Failed(_) => None,
        },
        _ => None,
    }
}

fn count(learner: &TestLearner, condition: &str) -> u64 {
    LedgerReader::open(&learner.path(FILE)).unwrap().count(Some(condition)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_is_paid_for_once_and_told_to_whoever_waits() {
    let learner = TestLearner::start(GRID, &SHARED).await;
    let one = TestActor::join(&learner.url, None).await;
    let other = TestActor::join(&learner.url, None).await;
    let mut ones = Questions::of(&learner, &one).await;
    let mut others = Questions::of(&learner, &other).await;
    let lease = ones.granted([1, 2]).await;
    others.say(Question::Claims(vec![key([1, 2])])).await;
    let by = Some(one.welcome.identity.actor);
    assert_eq!(others.answer().await, (key([1, 2]), Answer::Busy { by, again: None }));
    ones.tell([1, 2], Outcome::Measured(vec![0.5]), lease).await;
    ones.acked().await;
    assert_eq!(count(&learner, "raw = '[0.5]' AND seconds = 2.5"), 1, "on disk before the ack");
    let (of, answer) = others.answer().await;
    assert_eq!((of, raw(&answer)), (key([1, 2]), Some(0.5)));
    // From the disk as well as from memory, in the order of the questions.
    others.say(Question::Claims(vec![key([1, 2])])).await;
    assert_eq!(raw(&others.answer().await.1), Some(0.5));

    // The trajectory behind it brings no second evaluation.
    let mut one = one;
    one.send_as(tributary_common::trajectory::TrajectoryKind::Forward, 2.5, &[(&[0, 1, 1], 0.5)])
        .await;
    assert!(one.acked().await.is_empty());
    assert_eq!(count(&learner, "seen = 1"), 1);
    let evaluations = "(SELECT count(*) FROM evaluations) = 1";
    assert_eq!(count(&learner, evaluations), 1);
    learner.interrupt.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_measured_is_a_row_and_not_tried_again() {
    let learner = TestLearner::start(GRID, &SHARED).await;
    let actor = TestActor::join(&learner.url, None).await;
    let mut questions = Questions::of(&learner, &actor).await;
    for (cell, outcome, why) in [
        ([0, 1], Outcome::Failed("it does not fold".to_owned()), "it does not fold"),
        ([0, 2], Outcome::Measured(vec![f64::NAN]), "raw values [NaN]"),
        ([0, 3], Outcome::Measured(vec![1.0, 1.0]), "2 raw values, the reward has 1"),
    ] {
        let lease = questions.granted(cell).await;
        questions.tell(cell, outcome, lease).await;
        questions.acked().await;
        questions.say(Question::Claims(vec![key(cell)])).await;
        let (_, Answer::Known(finding)) = questions.answer().await else { panic!("not known") };
        assert_eq!(finding.outcome, Outcome::Failed(why.to_owned()));
    }
    assert_eq!(count(&learner, "status = 'failed'"), 3);
    learner.interrupt.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_actor_held_goes_to_others_when_it_is_gone() {
    let learner = TestLearner::start(GRID, &SHARED).await;
    let one = TestActor::join(&learner.url, None).await;
    let other = TestActor::join(&learner.url, None).await;
    let mut ones = Questions::of(&learner, &one).await;
    let mut others = Questions::of(&learner, &other).await;
    ones.granted([1, 1]).await;
    ones.granted([2, 2]).await;
    others.say(Question::Claims(vec![key([1, 1]), key([2, 2])])).await;
    let Reply::Answers(busy) = others.hear().await.unwrap() else { panic!("no answers") };
    assert!(busy.iter().all(|(_, answer)| matches!(answer, Answer::Busy { .. })), "{busy:?}");
    let goodbye = Goodbye { reason: "test".to_owned(), unacked_records: 0 };
    one.say(ActorEvent::Goodbye(goodbye)).await;
    let mut granted = 0;
    while granted < 2 {
        let Reply::Answers(answers) = others.hear().await.unwrap() else { panic!("no answers") };
        assert!(answers.iter().all(|(_, answer)| matches!(answer, Answer::Granted { .. })));
        granted += answers.len();
    }
    learner.interrupt.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_asks_for_another_and_nobody_tells_what_is_not_so() {
    let learner = TestLearner::start(GRID, &SHARED).await;
    let actor = TestActor::join(&learner.url, None).await;
    for wrong in [
        Proof { secret: Secret([1; 16]), ..proof(&actor) },
        Proof { actor: ActorId(7), ..proof(&actor) },
    ] {
        let mut questions = Questions::open(&learner.url, wrong).await.unwrap();
        let status = questions.hear().await.unwrap_err();
        assert!(status.message().contains("no session"), "{status}");
    }
    let mut questions = Questions::of(&learner, &actor).await;
    let lease = questions.granted([1, 2]).await;
    let evaluated = Evaluated {
        key: key([1, 2]),
        object: Object::Integers(vec![3, 3]),
        outcome: Outcome::Measured(vec![1e9]),
        is_transient: false,
        seconds: 0.0,
        lease: Some(lease),
        policy: None,
    };
    questions.say(Question::Results(1, vec![evaluated])).await;
    let status = questions.hear().await.unwrap_err();
    assert!(status.message().contains("the key of the object \"3 3\" is"), "{status}");
    assert_eq!(count(&learner, "1"), 0);
    // A newer stream of the same actor takes the place of an older one.
    let mut old = Questions::of(&learner, &actor).await;
    let mut new = Questions::of(&learner, &actor).await;
    new.granted([0, 0]).await;
    assert!(old.hear().await.unwrap_err().message().contains("newer stream"));
    learner.interrupt.cancel();

    let cheap = TestLearner::start(GRID, &[]).await;
    let actor = TestActor::join(&cheap.url, None).await;
    let refused = Questions::open(&cheap.url, proof(&actor)).await.err().unwrap();
    assert!(refused.message().contains("not shared"), "{refused}");
    cheap.interrupt.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_known_objects_are_answered_in_one_go() {
    let run = GRID.replace("side = 4", "side = 110");
    let learner = TestLearner::start(&run, &SHARED).await;
    let actor = TestActor::join(&learner.url, None).await;
    let mut questions = Questions::of(&learner, &actor).await;
    let (_, task) = Registry::builtin().read(&run, &[], Path::new("")).unwrap();
    let maker = KeyMaker::new(task.reward);
    let objects: Vec<Object> =
        (0..10_000).map(|i| Object::Integers(vec![i / 100, i % 100])).collect();
    for (number, objects) in (1..).zip(objects.chunks(1_000)) {
        let evaluated = |object: &Object| Evaluated {
            key: maker.key(object),
            object: object.clone(),
            outcome: Outcome::Measured(vec![0.5]),
            is_transient: false,
            seconds: 1.0,
            lease: None,
            policy: None,
        };
        questions.say(Question::Results(number, objects.iter().map(evaluated).collect())).await;
    }
    while questions.hear().await.unwrap() != Reply::Acked(10) {}
    let keys: Vec<ObjectKey> = objects.iter().map(|object| maker.key(object)).collect();
    let start = std::time::Instant::now();
    questions.say(Question::Claims(keys)).await;
    let mut answered = 0;
    while answered < 10_000 {
        let Reply::Answers(answers) = questions.hear().await.unwrap() else { panic!() };
        assert!(answers.iter().all(|(_, answer)| raw(answer) == Some(0.5)));
        answered += answers.len();
    }
    let took = start.elapsed();
    println!("10,000 known keys answered in {took:?}");
    // Only to see that nothing is slower by far: other tests run beside this one.
    assert!(took < Duration::from_secs(20), "{took:?}");
    learner.interrupt.cancel();
}

/// How long a reward waits for the word that it may be measured: an actor asks for one object at a time.
#[tokio::test(flavor = "multi_thread")]
async fn asking_takes_little_beside_a_reward() {
    let run = GRID.replace("side = 4", "side = 110");
    let learner = TestLearner::start(&run, &SHARED).await;
    let actor = TestActor::join(&learner.url, None).await;
    let mut questions = Questions::of(&learner, &actor).await;
    let (_, task) = Registry::builtin().read(&run, &[], Path::new("")).unwrap();
    let maker = KeyMaker::new(task.reward);
    let mut waits = Vec::new();
    for cell in 0..100 {
        let key = maker.key(&Object::Integers(vec![cell, 0]));
        let start = std::time::Instant::now();
        questions.say(Question::Claims(vec![key])).await;
        let (of, answer) = questions.answer().await;
        waits.push(start.elapsed());
        assert!(of == key && matches!(answer, Answer::Granted { .. }), "{answer:?}");
    }
    waits.sort_unstable();
    let (median, most) = (waits[50], waits[99]);
    println!("asking and waiting: {median:?} in the middle of 100, {most:?} at most");
    assert!(median < Duration::from_secs(1), "{median:?}");
    learner.interrupt.cancel();
}

async fn status(learner: &TestLearner) -> StatusReply {
    learner.control().await.status(StatusRequest {}).await.unwrap().into_inner()
}

async fn quarantine(
    learner: &TestLearner,
    actor: ActorId,
    release: bool,
    strike: bool,
) -> Result<QuarantineReply, Status> {
    let request = QuarantineRequest { actor_id: actor.0, release, strike };
    Ok(learner.control().await.quarantine(request).await?.into_inner())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_actor_measures_again_what_is_to_be_audited_and_a_difference_is_an_alarm() {
    let audited = [SHARED[0], SHARED[1], "reward.audit=1.0"];
    let learner = TestLearner::start(GRID, &audited).await;
    let one = TestActor::join(&learner.url, None).await;
    let other = TestActor::join(&learner.url, None).await;
    let mut ones = Questions::of(&learner, &one).await;
    let mut others = Questions::of(&learner, &other).await;
    for (cell, second) in [([1, 2], 0.5), ([1, 1], 0.7)] {
        let lease = ones.granted(cell).await;
        ones.tell(cell, Outcome::Measured(vec![0.5]), lease).await;
        ones.acked().await;
        ones.say(Question::Claims(vec![key(cell)])).await;
        assert_eq!(raw(&ones.answer().await.1), Some(0.5), "its own value is not audited");
        let audit = others.granted(cell).await;
        assert!(audit.is_audit() && !lease.is_audit());
        others.tell(cell, Outcome::Measured(vec![second]), audit).await;
        others.acked().await;
    }
    let trust = status(&learner).await.trust.expect("rewards are shared");
    assert_eq!((trust.audits, trust.alarms), (2, 1), "{trust:?}");
    assert!(trust.recent[0].contains("measured [0.5]") && trust.recent[0].contains("[0.7]"));
    assert_eq!(
        count(&learner, "(SELECT count(*) FROM evaluations WHERE alarm IS NOT NULL) = 1"),
        2
    );
    learner.interrupt.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quarantined_actor_gets_nothing_and_nothing_of_it_counts_until_it_is_released() {
    let learner = TestLearner::start(GRID, &SHARED).await;
    let mut one = TestActor::join(&learner.url, None).await;
    let other = TestActor::join(&learner.url, None).await;
    let liar = one.welcome.identity.actor;
    let mut ones = Questions::of(&learner, &one).await;
    let mut others = Questions::of(&learner, &other).await;
    let lease = ones.granted([1, 2]).await;
    ones.tell([1, 2], Outcome::Measured(vec![9.0]), lease).await;
    ones.acked().await;
    let held = ones.granted([2, 2]).await;
    let reply = quarantine(&learner, liar, false, true).await.unwrap();
    assert_eq!((reply.changed, reply.struck), (true, 1));
    assert!(ones.hear().await.is_err(), "its stream is over");
    // Others may have what it held, and measure what it measured.
    others.granted([2, 2]).await;
    others.granted([1, 2]).await;
    let mut ones = Questions::of(&learner, &one).await;
    ones.say(Question::Claims(vec![key([3, 3])])).await;
    let (_, answer) = ones.answer().await;
    assert!(matches!(answer, Answer::Busy { by: None, again: Some(_) }), "{answer:?}");
    ones.tell([2, 2], Outcome::Measured(vec![9.0]), held).await;
    ones.acked().await;
    assert_eq!(count(&learner, "object = '[2,2]'"), 0, "its values are refused");
    one.send_as(tributary_common::trajectory::TrajectoryKind::Forward, 2.5, &[(&[0, 1, 1], 0.5)])
        .await;
    assert_eq!(one.acked().await.len(), 1, "its records are rejected");
    let status = status(&learner).await;
    assert!(status.actors.iter().any(|row| row.id == liar.0 && row.quarantined), "{status:?}");

    assert!(quarantine(&learner, liar, true, false).await.unwrap().changed);
    ones.granted([3, 3]).await;
    let nobody = quarantine(&learner, ActorId(7), false, false).await.unwrap_err();
    assert!(nobody.message().contains("no actor 7 is known"), "{nobody}");
    learner.interrupt.cancel();
}
