#![allow(clippy::unwrap_used)]

mod soak;

use nix::errno::Errno;

use super::*;
use crate::claims::asker::Evaluated;
use crate::claims::{LeaseId, Outcome};
use crate::crash::{Armed, arm};
use crate::environment::Identity;
use crate::ids::{ActorId, Epoch, PolicyVersion, Seq};
use crate::log_space::LogReward;
use crate::object::Object;
use crate::random::{Purpose, Stream};
use crate::reward::{InvalidRaw, Output, Reward, RewardError, Role};
use crate::session::Secret;
use crate::session::books::RejectionReason;
use crate::session::learner::LearnerSession;
use crate::trajectory::TrajectoryKind;

const RUN: RunId = RunId([7; 16]);
const ACTOR: ActorId = ActorId(1_000_000_001);

fn open(folder: &Path, incarnation: u32) -> Result<Ledger, LedgerError> {
    Ledger::open(&folder.join(FILE), RUN, Incarnation(incarnation))
}

fn epoch(incarnation: u32) -> Epoch {
    Epoch { incarnation: Incarnation(incarnation), counter: 1 }
}

fn opened(incarnation: u32) -> Entry {
    let session = LearnerSession::new(Secret([3; 16]), epoch(incarnation)).save();
    Entry::Opened(Opened { actor: ACTOR, session, forgotten: vec![], time: 1.0 })
}

fn observation(cell: i64, value: f64) -> Observation {
    let object = Object::Integers(vec![cell, 0]);
    Observation {
        key: ObjectKey(*blake3::hash(readable(&object).as_bytes()).as_bytes()),
        object,
        raw: vec![value, f64::NEG_INFINITY],
        seconds: 0.0,
        actor: ACTOR,
        policy: PolicyVersion { incarnation: Incarnation(1), step: u64::MAX },
        is_measured: true,
        seen: 1,
        time: 1e9,
    }
}

fn accepted(ordinal: u64, cell: i64) -> Record {
    let verdict = Verdict::Accepted(Accepted {
        ordinal,
        actions: vec![cell as u32, 300],
        kind: TrajectoryKind::LocalSearch,
        setting: 2,
        log_mu: -1.5,
    });
    Record { verdict, observation: Some(observation(cell, cell as f64)) }
}

fn rejected() -> Record {
    Record { verdict: Verdict::Rejected(RejectionReason::IllegalAction), observation: None }
}

fn decided(first: u64, duplicates: u64, records: Vec<Record>) -> Entry {
    let (actor, first) = (ACTOR, Seq(first));
    Entry::Decided(Decided { actor, epoch: epoch(1), first, duplicates, records })
}

fn integrity(folder: &Path) -> String {
    let connection = Connection::open(folder.join(FILE)).unwrap();
    connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap()
}

fn rows(folder: &Path, condition: Option<&str>) -> Vec<ObjectRow> {
    let mut rows = Vec::new();
    let reader = LedgerReader::open(&folder.join(FILE)).unwrap();
    let visit = |row| {
        rows.push(row);
        Ok::<_, LedgerError>(true)
    };
    reader.objects(condition, visit).unwrap();
    rows
}

#[test]
fn what_is_committed_is_there_after_a_restart_to_the_last_bit() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = open(folder.path(), 1).unwrap();
    ledger.commit(&[opened(1)]).unwrap();
    let entries =
        [decided(0, 0, vec![accepted(0, 5), rejected()]), decided(2, 1, vec![accepted(1, 5)])];
    ledger.commit(&entries).unwrap();
    // Not closed: the process died.
    drop(ledger);

    let ledger = open(folder.path(), 2).unwrap();
    let rows: Vec<AcceptedRow> = ledger.accepted_from(0).collect::<Result<_, _>>().unwrap();
    let Entry::Decided(first) = &entries[0] else { unreachable!() };
    assert_eq!(rows.len(), 2);
    assert_eq!(Verdict::Accepted(rows[0].accepted.clone()), first.records[0].verdict);
    assert_eq!((rows[0].seq, rows[1].seq, rows[1].actor), (Seq(0), Seq(2), ACTOR));
    assert_eq!(rows[0].raw, [5.0, f64::NEG_INFINITY]);
    assert_eq!((rows[0].policy.step, rows[0].view().log_mu), (u64::MAX, -1.5));
    assert_eq!((ledger.next_ordinal(), ledger.paid().unwrap()), (2, 1));
    let books = ledger.sessions().books();
    assert_eq!((books.received, books.accepted, books.duplicate), (4, 2, 1));
    assert_eq!((books.rejected_total(), books.pending()), (1, 0));
    let mut keys = Vec::new();
    ledger.for_each_key(|key, is_measured| keys.push((key, is_measured))).unwrap();
    assert_eq!(keys, [(rows[0].key, true)]);
    ledger.close().unwrap();
    assert_eq!(integrity(folder.path()), "ok");
}

#[test]
fn records_that_do_not_continue_the_mark_are_never_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = open(folder.path(), 1).unwrap();
    ledger.commit(&[opened(1), decided(0, 0, vec![accepted(0, 5)])]).unwrap();
    for (what, entry) in [
        ("again", decided(0, 0, vec![accepted(1, 5)])),
        ("a gap", decided(2, 0, vec![accepted(1, 5)])),
        ("an ordinal twice", decided(1, 0, vec![accepted(0, 5)])),
    ] {
        let error = ledger.commit(&[entry]).unwrap_err();
        assert!(!error.is_transient(), "{what}: {error}");
        assert_eq!((ledger.next_ordinal(), ledger.accepted_from(0).count()), (1, 1), "{what}");
    }
    ledger.commit(&[decided(1, 7, vec![])]).unwrap();
    assert_eq!(ledger.sessions().books().duplicate, 7);
}

#[test]
fn an_older_incarnation_cannot_write() {
    let folder = tempfile::tempdir().unwrap();
    let mut old = open(folder.path(), 1).unwrap();
    old.commit(&[opened(1)]).unwrap();
    let mut new = open(folder.path(), 2).unwrap();
    for error in [
        old.commit(&[decided(0, 0, vec![accepted(0, 5)])]).unwrap_err(),
        old.observe(&[observation(1, 1.0)]).unwrap_err(),
        old.forget_below(9).unwrap_err(),
        open(folder.path(), 2).unwrap_err(),
        open(folder.path(), 1).unwrap_err(),
    ] {
        assert!(matches!(error, LedgerError::Fenced { newest: Incarnation(2), .. }), "{error}");
    }
    assert_eq!((new.next_ordinal(), new.paid().unwrap()), (0, 0));
    new.commit(&[decided(0, 0, vec![accepted(0, 5)])]).unwrap();
    let other = Ledger::open(&folder.path().join(FILE), RunId([8; 16]), Incarnation(9));
    assert!(matches!(other.unwrap_err(), LedgerError::OtherRun { .. }));
}

#[test]
fn a_ledger_of_another_form_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path(), 1).unwrap().connection.pragma_update(None, "user_version", 9).unwrap();
    assert!(open(folder.path(), 2).unwrap_err().to_string().contains("has form 9"));
    assert!(LedgerReader::open(&folder.path().join(FILE)).is_err());
}

/// A learner and an actor that sends again whatever was not acked, over crashes at each point in turn.
#[test]
fn a_crash_at_any_point_loses_nothing_that_was_acked_and_counts_nothing_twice() {
    let seed = 4;
    let mut stream = Stream::new(seed, Purpose::Walk, 0, 0);
    let mut hits = 0;
    for point in [crash::LEDGER_BEFORE_COMMIT, crash::LEDGER_AFTER_COMMIT] {
        for nth in 1..=12 {
            let folder = tempfile::tempdir().unwrap();
            let (mut incarnation, mut acked) = (1, 0);
            let mut ledger = open(folder.path(), incarnation).unwrap();
            ledger.commit(&[opened(1)]).unwrap();
            let (name, errno) = (point.to_owned(), Some(Errno::EIO));
            arm(Some(Armed { name, left: nth, errno }));
            while acked < 40 {
                let count = 1 + stream.below(5) as u64;
                let (first, ordinal) = (acked, ledger.next_ordinal());
                let records = (0..count).map(|i| accepted(ordinal + i, i as i64)).collect();
                match ledger.commit(&[decided(first, 0, records)]) {
                    Ok(_) => acked += count,
                    Err(error) => {
                        assert!(matches!(error, LedgerError::Disk(_)), "{error}");
                        hits += 1;
                        drop(ledger);
                        incarnation += 1;
                        ledger = open(folder.path(), incarnation).unwrap();
                        let on_disk = ledger.sessions().books().accepted;
                        assert!(on_disk >= acked, "seed {seed}: {on_disk} of {acked} at {point}");
                        acked = on_disk;
                    }
                }
            }
            arm(None);
            let rows: Vec<AcceptedRow> = ledger.accepted_from(0).collect::<Result<_, _>>().unwrap();
            let is_in_place = |(i, row): (usize, &AcceptedRow)| row.seq.0 == i as u64;
            assert!(rows.len() as u64 == acked && rows.iter().enumerate().all(is_in_place));
            ledger.close().unwrap();
            assert_eq!(integrity(folder.path()), "ok");
        }
    }
    println!("seed {seed}: {hits} crashes");
    assert!(hits >= 20, "{hits}");
}

#[test]
fn a_full_disk_takes_nothing_and_all_of_it_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = open(folder.path(), 1).unwrap();
    ledger.commit(&[opened(1)]).unwrap();
    ledger.limit_pages(30).unwrap();
    let mut acked = 0;
    let entry = |acked: u64| {
        let records = (0..50).map(|i| accepted(acked + i, (acked + i) as i64)).collect();
        decided(acked, 0, records)
    };
    let error = loop {
        match ledger.commit(&[entry(acked)]) {
            Ok(_) => acked += 50,
            Err(error) => break error,
        }
    };
    assert!(error.is_transient() && acked > 0, "{error} after {acked}");
    assert_eq!((ledger.next_ordinal(), ledger.sessions().books().accepted), (acked, acked));
    assert!(ledger.commit(&[entry(acked)]).is_err(), "still full");
    ledger.limit_pages(1_000).unwrap();
    ledger.commit(&[entry(acked)]).unwrap();
    assert_eq!(ledger.accepted_from(0).count() as u64, acked + 50);
    ledger.close().unwrap();
    assert_eq!(integrity(folder.path()), "ok");
}

#[test]
fn first_and_different_values_are_evaluations_and_the_first_stays() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = open(folder.path(), 1).unwrap();
    let known = Observation { is_measured: false, ..observation(3, 0.5) };
    ledger.observe(&[known, observation(1, 2.0)]).unwrap();
    assert_eq!(ledger.paid().unwrap(), 1, "values from a file cost nothing");
    let many = Observation { seen: 10, ..observation(1, 2.0) };
    ledger.observe(&[many, observation(1, 2.5), observation(3, 0.5)]).unwrap();
    assert_eq!(ledger.paid().unwrap(), 2);
    let evaluations = "SELECT count(*) FROM evaluations";
    let count: i64 = ledger.connection.query_row(evaluations, [], |row| row.get(0)).unwrap();
    assert_eq!(count, 3, "two first ones and a different one");
    // While the run goes on.
    let all = rows(folder.path(), None);
    assert_eq!((all[1].object.as_str(), all[1].seen, all[1].raw[0]), ("[1,0]", 12, 2.0));
    assert_eq!(rows(folder.path(), Some("value > 1 -- and more")).len(), 1);
    let reader = LedgerReader::open(&folder.path().join(FILE)).unwrap();
    assert_eq!(reader.count(Some("status = 'measured'")).unwrap(), 2);
    assert!(reader.count(Some("vlaue > 1")).unwrap_err().to_string().contains("vlaue"));
    assert!(reader.connection.execute("DELETE FROM objects", []).is_err());
}

#[test]
fn what_a_checkpoint_covers_is_deleted_and_its_objects_stay() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = open(folder.path(), 1).unwrap();
    let records = (0..2_500).map(|i| accepted(i, i as i64)).collect();
    ledger.commit(&[opened(1), decided(0, 0, records)]).unwrap();
    assert_eq!(ledger.forget_below(1_200).unwrap(), 1_200);
    let rest: Vec<u64> = ledger.accepted_from(0).map(|row| row.unwrap().accepted.ordinal).collect();
    assert_eq!(rest, (1_200..2_500).collect::<Vec<_>>());
    assert_eq!(ledger.accepted_from(2_499).count(), 1);
    assert_eq!((ledger.next_ordinal(), ledger.paid().unwrap()), (2_500, 2_500));
    assert_eq!(ledger.forget_below(9_999).unwrap(), 1_300);
    drop(ledger);
    assert_eq!(open(folder.path(), 2).unwrap().next_ordinal(), 2_500);
}

#[test]
fn actors_that_are_forgotten_leave_their_books() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = open(folder.path(), 1).unwrap();
    ledger.commit(&[opened(1), decided(0, 0, vec![accepted(0, 5)])]).unwrap();
    let newcomer = Epoch { incarnation: Incarnation(1), counter: 2 };
    let session = LearnerSession::new(Secret([4; 16]), newcomer).save();
    let actor = ActorId(ACTOR.0 + 1);
    let entry = Entry::Opened(Opened { actor, session, forgotten: vec![ACTOR], time: 2.0 });
    ledger.commit(&[entry]).unwrap();
    drop(ledger);
    let ledger = open(folder.path(), 2).unwrap();
    assert_eq!(ledger.sessions().books().accepted, 1);
    let count: i64 =
        ledger.connection.query_row("SELECT count(*) FROM actors", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 1);
}

fn evaluation(cell: i64, outcome: Outcome, lease: u64) -> Entry {
    let Observation { key, object, .. } = observation(cell, 0.0);
    let (lease, policy) = (Some(LeaseId(lease)), None);
    let evaluated =
        Evaluated { key, object, outcome, is_transient: false, seconds: 2.0, lease, policy };
    Entry::Evaluated(vec![Evaluation { evaluated, actor: ACTOR, time: 1e9 }])
}

fn evaluations(ledger: &Ledger) -> Vec<(String, Option<String>)> {
    let select = "SELECT status, error FROM evaluations ORDER BY id";
    let mut statement = ledger.connection.prepare(select).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

#[test]
fn an_evaluation_is_a_row_once_whether_it_is_told_or_comes_with_its_record_first() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = open(folder.path(), 1).unwrap().shared();
    let raw = |cell: i64| Outcome::Measured(vec![cell as f64, f64::NEG_INFINITY]);
    ledger.commit(&[opened(1), evaluation(5, raw(5), 7)]).unwrap();
    // Told again behind a lost ack, then its record; another object's record comes first.
    ledger.commit(&[evaluation(5, raw(5), 7)]).unwrap();
    ledger.commit(&[decided(0, 0, vec![accepted(0, 5), accepted(1, 6)])]).unwrap();
    ledger.commit(&[evaluation(6, raw(6), 8)]).unwrap();
    assert_eq!((evaluations(&ledger).len(), ledger.paid().unwrap()), (2, 2));
    // Under another lease it was paid for again.
    ledger.commit(&[evaluation(5, raw(5), 9)]).unwrap();
    assert_eq!((evaluations(&ledger).len(), ledger.paid().unwrap()), (3, 2));
    let finding = ledger.find(observation(5, 0.0).key).unwrap().unwrap();
    assert_eq!((&finding.outcome, finding.actor, finding.seconds), (&raw(5), ACTOR, 2.0));
    let seen: Vec<u64> = rows(folder.path(), None).iter().map(|row| row.seen).collect();
    assert_eq!(seen, [1, 1]);
}

#[test]
fn what_cannot_be_measured_is_a_row_until_somebody_measures_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = open(folder.path(), 1).unwrap().shared();
    let failed = Outcome::Failed("no fold".to_owned());
    ledger.commit(&[opened(1), evaluation(5, failed.clone(), 7)]).unwrap();
    let key = observation(5, 0.0).key;
    assert_eq!(ledger.find(key).unwrap().unwrap().outcome, failed);
    assert_eq!(evaluations(&ledger), [("failed".to_owned(), Some("no fold".to_owned()))]);
    assert_eq!(ledger.paid().unwrap(), 0);
    ledger.commit(&[decided(0, 0, vec![accepted(0, 5)])]).unwrap();
    let measured = Outcome::Measured(vec![5.0, f64::NEG_INFINITY]);
    assert_eq!(ledger.find(key).unwrap().unwrap().outcome, measured);
    assert_eq!((evaluations(&ledger).len(), ledger.paid().unwrap()), (2, 1));
    assert_eq!(rows(folder.path(), Some("value = 5")).len(), 1);
}

#[test]
fn a_ledger_of_an_earlier_release_grows_what_it_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = open(folder.path(), 1).unwrap();
    ledger.commit(&[opened(1), decided(0, 0, vec![accepted(0, 5)])]).unwrap();
    for column in ["status", "error", "lease", "alarm"] {
        let drop = format!("ALTER TABLE evaluations DROP COLUMN {column}");
        ledger.connection.execute(&drop, []).unwrap();
    }
    ledger.close().unwrap();
    let mut ledger = open(folder.path(), 2).unwrap().shared();
    ledger.commit(&[evaluation(6, Outcome::Failed("x".to_owned()), 1)]).unwrap();
    let words: Vec<String> = evaluations(&ledger).into_iter().map(|(status, _)| status).collect();
    assert_eq!(words, ["measured", "failed"]);
}

/// As `evaluation`, by another actor, on purpose or not.
fn by(actor: u64, cell: i64, outcome: Outcome, lease: u64) -> Entry {
    let Entry::Evaluated(mut evaluations) = evaluation(cell, outcome, lease) else {
        unreachable!()
    };
    evaluations[0].actor = ActorId(actor);
    Entry::Evaluated(evaluations)
}

/// One value that enters log R, one that is only recorded.
fn comparing(folder: &Path) -> Ledger {
    struct Two;
    impl Reward for Two {
        fn identity(&self) -> Identity {
            Identity { kind: "two".to_owned(), version: 1, configuration: String::new() }
        }
        fn outputs(&self) -> Vec<Output> {
            let output = |name: &str, role| Output { name: name.to_owned(), role };
            vec![output("score", Role::Objective), output("time", Role::Info)]
        }
        fn evaluate(&self, _: &[Object], _: &mut Vec<f64>) -> Result<(), RewardError> {
            Ok(())
        }
        fn transform(&self, raw: &[f64]) -> Result<LogReward, InvalidRaw> {
            Err(InvalidRaw { raw: raw.to_vec(), reason: "not asked".to_owned() })
        }
    }
    open(folder, 1).unwrap().shared().comparing(Agreement::new(&Two, 1e-6))
}

#[test]
fn another_actor_that_measures_something_else_is_an_alarm_with_both_values() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = comparing(folder.path());
    let raw = |score: f64, time: f64| Outcome::Measured(vec![score, time]);
    let audit = 1 << 39;
    assert_eq!(
        ledger.commit(&[by(1, 5, raw(0.5, 1.0), 1), by(1, 6, raw(3.0, 1.0), 2)]).unwrap(),
        []
    );
    assert_eq!(ledger.commit(&[by(2, 5, raw(0.5, 9.0), audit)]).unwrap(), [], "they agree");
    assert_eq!(ledger.commit(&[by(1, 5, raw(0.9, 1.0), 3)]).unwrap(), [], "the same actor");
    let alarms = ledger.commit(&[by(2, 6, raw(4.0, 1.0), audit + 1)]).unwrap();
    assert_eq!(alarms.len(), 1);
    assert_eq!(alarms[0].first, (ActorId(1), raw(3.0, 1.0)));
    assert_eq!(alarms[0].second, (ActorId(2), raw(4.0, 1.0)));
    // Told again behind a lost ack, it is no second one; the first value counts.
    assert_eq!(ledger.commit(&[by(2, 6, raw(4.0, 1.0), audit + 1)]).unwrap(), []);
    let found = ledger.find(observation(6, 0.0).key).unwrap().unwrap();
    assert_eq!((&found.outcome, found.actor), (&raw(3.0, 1.0), ActorId(1)));
    let failed = Outcome::Failed("no licence".to_owned());
    assert_eq!(ledger.commit(&[by(3, 6, failed, audit + 2)]).unwrap().len(), 1);
    drop(ledger);
    let alarms = open(folder.path(), 2).unwrap().alarms().unwrap();
    assert_eq!((alarms.audits, alarms.alarms), (3, 2));
    assert_eq!(alarms.actors[&ActorId(1)], 2);
    let last = &alarms.recent[1];
    assert!(last.contains("actor 1 measured [3.0, 1.0]") && last.contains("no licence"), "{last}");
}

#[test]
fn struck_values_are_those_of_others_or_unknown_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = comparing(folder.path());
    let raw = |score: f64| Outcome::Measured(vec![score, 1.0]);
    let entries = [by(1, 5, raw(0.5), 1), by(1, 6, raw(3.0), 2), by(2, 6, raw(4.0), 1 << 39)];
    ledger.commit(&entries).unwrap();
    ledger.commit(&[by(2, 7, raw(7.0), 3)]).unwrap();
    assert_eq!(ledger.strike(ActorId(1)).unwrap(), 2);
    let find = |ledger: &Ledger, cell| ledger.find(observation(cell, 0.0).key).unwrap();
    assert_eq!(find(&ledger, 5), None, "to be measured again");
    let six = find(&ledger, 6).unwrap();
    assert_eq!((&six.outcome, six.actor), (&raw(4.0), ActorId(2)));
    assert_eq!(find(&ledger, 7).unwrap().outcome, raw(7.0));
    assert_eq!(evaluations(&ledger).len(), 4, "what was paid for stays");
    assert_eq!(rows(folder.path(), Some("status = 'struck'"))[0].raw, [0.0; 0]);
    ledger.commit(&[by(2, 5, raw(0.7), 4)]).unwrap();
    assert_eq!(find(&ledger, 5).unwrap().outcome, raw(0.7));
    assert_eq!(ledger.strike(ActorId(1)).unwrap(), 0);
}
