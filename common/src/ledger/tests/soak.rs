//! What takes long to show.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::*;
use crate::session::learner::{Incoming, Settlement};
use crate::soak::{count, seed};

/// Names the folder of the child process.
const FOLDER: &str = "TRIBUTARY_TEST_LEDGER";

/// An actor sends again about three of ten records; all of them go through the session's own machine.
#[test]
fn of_many_records_with_three_in_ten_sent_again_each_is_accepted_once() {
    let (records, seed) = (count(20_000, 1_000_000), seed(9));
    let mut stream = Stream::new(seed, Purpose::Walk, 0, 0);
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = open(folder.path(), 1).unwrap();
    ledger.commit(&[opened(1)]).unwrap();
    let mut session = LearnerSession::new(Secret([3; 16]), epoch(1));
    session.ready(epoch(1)).unwrap();
    session.grant(u64::MAX / 2);
    let (mut sent, mut again, mut queued) = (0, 0, Vec::new());
    while sent < records {
        let repeats = (stream.below(45) as u64).min(sent);
        let new = 50.min(records - sent);
        let first = Seq(sent - repeats);
        let incoming = Incoming { epoch: epoch(1), first, count: repeats + new, bytes: 1 };
        assert_eq!(session.receive(epoch(1), &incoming), Ok(repeats));
        let fresh = (sent..sent + new).map(|i| accepted(i, (i % 1_000) as i64)).collect();
        queued.push(decided(sent, repeats, fresh));
        (sent, again) = (sent + new, again + repeats);
        if queued.len() == 20 {
            ledger.commit(&queued).unwrap();
            queued.clear();
        }
        let settlement =
            Settlement { epoch: epoch(1), accepted: new, duplicate: 0, rejected: &[], bytes: 1 };
        session.settle(&settlement).unwrap();
    }
    ledger.commit(&queued).unwrap();
    println!("seed {seed}: {sent} records, {again} sent again");
    assert!(again * 10 > sent * 3, "{again} of {sent}");
    let books = ledger.sessions().books();
    assert_eq!((books.accepted, books.duplicate, books.received), (sent, again, sent + again));
    assert_eq!(&books, session.books());
    let mut next = 0;
    for row in ledger.accepted_from(0) {
        assert_eq!(row.unwrap().seq, Seq(next));
        next += 1;
    }
    assert_eq!((next, ledger.paid().unwrap()), (sent, 1_000));
}

/// A process that commits as fast as it can and says what it would ack is killed at random moments.
#[test]
fn what_a_killed_process_acked_is_there_and_the_file_is_whole() {
    let (kills, seed) = (count(5, 50), seed(12));
    let mut stream = Stream::new(seed, Purpose::Walk, 0, 0);
    let folder = tempfile::tempdir().unwrap();
    open(folder.path(), 1).unwrap().commit(&[opened(1)]).unwrap();
    let (mut acked, mut beyond) = (0, 0);
    for incarnation in (0..kills).map(|kill| 2 + 2 * kill as u32) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "ledger::tests::soak::child", "--ignored", "--nocapture"])
            .env(FOLDER, format!("{} {incarnation}", folder.path().display()))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let acks = 1 + stream.below(40);
        let ack = |line: std::io::Result<String>| line.unwrap().parse().ok();
        acked = lines.by_ref().filter_map(ack).take(acks).last().unwrap_or(acked);
        child.kill().unwrap();
        child.wait().unwrap();
        acked = lines.filter_map(ack).last().unwrap_or(acked);
        assert_eq!(integrity(folder.path()), "ok");
        let ledger = open(folder.path(), incarnation + 1).unwrap();
        let on_disk = ledger.sessions().books().accepted;
        assert!(on_disk >= acked, "seed {seed}: {on_disk} of {acked} after kill {incarnation}");
        assert_eq!(ledger.accepted_from(0).count() as u64, on_disk);
        beyond += u64::from(on_disk > acked);
        acked = on_disk;
    }
    println!("seed {seed}: {kills} kills, {acked} records, {beyond} kills between disk and ack");
    assert!(acked > 0);
}

#[test]
#[ignore = "the child process of the test above"]
fn child() {
    let Ok(place) = std::env::var(FOLDER) else { return };
    let (folder, incarnation) = place.rsplit_once(' ').unwrap();
    let mut ledger = open(Path::new(folder), incarnation.parse().unwrap()).unwrap();
    println!();
    loop {
        let next = ledger.next_ordinal();
        let records = (next..next + 7).map(|i| accepted(i, (i % 500) as i64)).collect();
        ledger.commit(&[decided(next, 0, records)]).unwrap();
        println!("{}", ledger.next_ordinal());
    }
}
