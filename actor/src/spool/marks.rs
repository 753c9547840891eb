//! What was stamped and acked of each epoch, as far as a spool knows.

use std::collections::BTreeMap;

use tributary_common::ids::{Epoch, Seq};
use tributary_common::session::{Acked, Leftover, RecordKey};

/// Of one epoch: `acked_below <= next`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) acked_below: u64,
    pub(super) next: u64,
}

/// Of all epochs that are not acked as a whole, the newest always among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    pub(super) epochs: BTreeMap<Epoch, Mark>,
    pub(super) newest: Epoch,
    pub(super) acked_records: u64,
}

impl Marks {
    /// New records are stamped with this epoch from now on.
    pub(super) fn welcomed(&mut self, epoch: Epoch) {
        self.newest = epoch;
        self.epochs.entry(epoch).or_default();
        self.forget_what_is_done();
    }

    /// Records below this key are in the spool.
    pub(super) fn stamped(&mut self, end: RecordKey) {
        let mark = self.epochs.entry(end.epoch).or_default();
        mark.next = mark.next.max(end.seq.0);
    }

    /// The learner took care of records.
    pub(super) fn acked(&mut self, acked: Acked) {
        let Some(mark) = self.epochs.get_mut(&acked.epoch) else { return };
        let below = acked.below.0.min(mark.next).max(mark.acked_below);
        self.acked_records += below - mark.acked_below;
        mark.acked_below = below;
        self.forget_what_is_done();
    }

    /// Whether everything of its epoch below this key is acked.
    pub(super) fn is_acked(&self, end: RecordKey) -> bool {
        self.epochs.get(&end.epoch).is_none_or(|mark| mark.acked_below >= end.seq.0)
    }

    /// As Hello says it.
    pub(super) fn leftovers(&self) -> Vec<Leftover> {
        let leftover = |(&epoch, mark): (&Epoch, &Mark)| Leftover {
            epoch,
            acked_below: Seq(mark.acked_below),
            next: Seq(mark.next),
        };
        self.epochs.iter().map(leftover).collect()
    }

    fn forget_what_is_done(&mut self) {
        let newest = self.newest;
        self.epochs.retain(|&epoch, mark| epoch == newest || mark.acked_below < mark.next);
    }
}
