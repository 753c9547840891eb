//! Records in columns, as they travel and as a spool keeps them; and back.

use tributary_common::ids::Seq;
use tributary_common::session::RecordKey;
use tributary_common::session::work::Place;
use tributary_common::trajectory::{TrajectoryBatch, TrajectoryView};
use tributary_proto::convert::batch::StampedBatch;

use crate::scoring::Record;

/// Records of one epoch, from this key on without a gap.
pub(crate) fn batch(first: RecordKey, records: &[&Record]) -> StampedBatch {
    let mut batch = TrajectoryBatch::default();
    for (seq, record) in (first.seq.0..).zip(records) {
        batch.push(&view(Seq(seq), record));
        record.place.into_iter().for_each(|place| batch.place(place));
    }
    StampedBatch { epoch: first.epoch, batch }
}

/// Each with its key.
pub(crate) fn records(stamped: &StampedBatch) -> impl Iterator<Item = (RecordKey, Record)> {
    let StampedBatch { epoch, batch } = stamped;
    let place = |one: usize| Some(Place { round: batch.round, index: *batch.index.get(one)? });
    batch.iter().enumerate().map(move |(one, view)| {
        let record = Record {
            actions: view.actions.to_vec(),
            raw: view.raw.to_vec(),
            seconds: view.seconds,
            kind: view.kind,
            policy: view.policy,
            setting: view.setting,
            log_mu: view.log_mu,
            place: place(one),
        };
        (RecordKey { epoch: *epoch, seq: view.seq }, record)
    })
}

fn view(seq: Seq, record: &Record) -> TrajectoryView<'_> {
    TrajectoryView {
        seq,
        actions: &record.actions,
        raw: &record.raw,
        policy: record.policy,
        kind: record.kind,
        setting: record.setting,
        log_mu: record.log_mu,
        seconds: record.seconds,
    }
}
