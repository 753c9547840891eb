//! Whether each ack was sent behind a sync of the ledger that came behind what it acks.

use std::collections::BTreeMap;

use anyhow::Result;
use prost::Message;
use tributary_proto::v1::actor_message::Message as FromActor;
use tributary_proto::v1::learner_message::Message as FromLearner;
use tributary_proto::v1::{ActorMessage, Batch, Epoch, LearnerMessage};

use super::trace::Call;
use super::wire::Direction;

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Acks of something new.
    pub(super) acks: usize,
    pub(super) records: u64,
    pub(super) writes: usize,
    pub(super) syncs: usize,
    /// Acks that came too early.
    pub(super) faults: Vec<String>,
}

/// Records that came, and the line at which they were there.
struct Came {
    epoch: Epoch,
    first: u64,
    end: u64,
    line: usize,
}

/// Goes through the calls of a learner.
///
/// Behind the arrival of a record the ledger must have been written, then synced; and only then may the
/// ack be sent. Lines are compared strictly: calls that overlapped in time do not count.
pub(super) fn check(calls: &[Call]) -> Result<Found> {
    let mut found = Found::default();
    let mut received: BTreeMap<&str, Direction> = BTreeMap::new();
    let mut sent: BTreeMap<&str, Direction> = BTreeMap::new();
    let mut waiting: BTreeMap<(&str, u32), Vec<Came>> = BTreeMap::new();
    for call in calls {
        found.writes += usize::from(call.is_ledger_write());
        found.syncs += usize::from(call.is_sync());
        if call.is_received() {
            for (stream, message) in received.entry(&call.file).or_default().add(&call.data) {
                let came = batch(&message).and_then(|batch| came(&batch, call.ended));
                waiting.entry((&call.file, stream)).or_default().extend(came);
            }
        }
        if !call.is_sent() {
            continue;
        }
        for (stream, message) in sent.entry(&call.file).or_default().add(&call.data) {
            let (Some(waiting), Some((epoch, below))) =
                (waiting.get_mut(&(&call.file[..], stream)), ack(&message))
            else {
                continue;
            };
            let acked = |came: &Came| came.epoch == epoch && came.end <= below;
            let Some(last) = waiting.iter().filter(|came| acked(came)).map(|came| came.line).max()
            else {
                continue;
            };
            found.acks += 1;
            found.records +=
                waiting.iter().filter(|c| acked(c)).map(|c| c.end - c.first).sum::<u64>();
            waiting.retain(|came| !acked(came));
            if !is_synced(calls, last, call.began) {
                found.faults.push(format!("line {}: all below {below} of {epoch:?}", call.began));
            }
        }
    }
    Ok(found)
}

/// Whether the ledger was written and then synced between two lines.
fn is_synced(calls: &[Call], from: usize, to: usize) -> bool {
    let within = calls.iter().filter(|call| call.began > from && call.ended < to);
    let written = within.clone().filter(|call| call.is_ledger_write()).map(|call| call.ended).min();
    written.is_some_and(|written| within.clone().any(|c| c.is_sync() && c.began > written))
}

fn batch(message: &[u8]) -> Option<Batch> {
    match ActorMessage::decode(message).ok()?.message? {
        FromActor::Batch(batch) if batch.kind.len() == batch.lengths.len() => Some(batch),
        _ => None,
    }
}

fn came(batch: &Batch, line: usize) -> Option<Came> {
    let end = batch.first_seq + batch.lengths.len() as u64;
    Some(Came { epoch: batch.epoch?, first: batch.first_seq, end, line })
}

fn ack(message: &[u8]) -> Option<(Epoch, u64)> {
    match LearnerMessage::decode(message).ok()?.message? {
        FromLearner::Ack(ack) => {
            let acked = ack.acked?;
            Some((acked.epoch?, acked.acked_below))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tributary_proto::v1;

    use super::super::trace;
    use super::*;

    const EPOCH: Option<Epoch> = Some(Epoch { incarnation: 1, counter: 1 });

    fn frame(message: &[u8]) -> String {
        let length = message.len() as u8;
        let mut bytes = vec![0, 0, length + 5, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, length];
        bytes.extend(message);
        bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect()
    }

    fn arrives(first: u64, count: usize) -> String {
        let lengths = vec![0; count];
        let kind = vec![1; count];
        let batch = Batch { epoch: EPOCH, first_seq: first, lengths, kind, ..Default::default() };
        let message = ActorMessage { message: Some(FromActor::Batch(batch)) }.encode_to_vec();
        format!("1 recvfrom(9<socket:[5]>, \"{}\", 99, 0, NULL, NULL) = 99", frame(&message))
    }

    fn acked(below: u64) -> String {
        let acked = Some(v1::Acked { epoch: EPOCH, acked_below: below });
        let ack = v1::Ack { acked, ..Default::default() };
        let message = LearnerMessage { message: Some(FromLearner::Ack(ack)) }.encode_to_vec();
        format!("1 sendto(9<socket:[5]>, \"{}\", 99, 0, NULL, 0) = 99", frame(&message))
    }

    fn faults(lines: &[&str]) -> (usize, usize) {
        let found = check(&trace::read(&lines.join("\n")).unwrap()).unwrap();
        (found.acks, found.faults.len())
    }

    const WRITE: &str = "2 pwrite64(7</run/ledger.sqlite-wal>, \"\\x61\", 1, 0) = 1";
    const SYNC: &str = "2 fdatasync(7</run/ledger.sqlite-wal>) = 0";

    #[test]
    fn an_ack_comes_behind_write_and_sync_of_what_it_acks() {
        let (first, second) = (&arrives(0, 2)[..], &arrives(2, 1)[..]);
        let (early, late) = (&acked(2)[..], &acked(3)[..]);
        assert_eq!(faults(&[first, WRITE, SYNC, early, second, WRITE, SYNC, late]), (2, 0));
        assert_eq!(faults(&[first, second, WRITE, SYNC, late]), (1, 0));
        assert_eq!(faults(&[first, WRITE, early, SYNC, second, WRITE, SYNC, late]), (2, 1));
        // The sync before belongs to something else, or there was nothing to sync.
        assert_eq!(faults(&[WRITE, SYNC, first, early]), (1, 1));
        assert_eq!(faults(&[WRITE, first, SYNC, early]), (1, 1));
        assert_eq!(faults(&[first, SYNC, WRITE, early]), (1, 1));
    }

    #[test]
    fn a_sync_that_is_not_over_does_not_count() {
        let began = SYNC.replace(") = 0", " <unfinished ...>");
        let ended = "2 <... fdatasync resumed>) = 0";
        let (first, ack) = (&arrives(0, 2)[..], &acked(2)[..]);
        assert_eq!(faults(&[first, WRITE, &began, ended, ack]), (1, 0));
        assert_eq!(faults(&[first, WRITE, &began, ack, ended]), (1, 1));
    }
}
