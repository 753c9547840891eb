//! Holds the uses of each trajectory to `samples_per_insert`.

use super::columns::{BadColumns, Columns};

/// Lets insertions and draws run ahead of each other only within a band.
///
/// `due = floor(samples_per_insert · inserted) - forfeited - sampled` is what training still owes
/// the trajectories. A batch may be drawn while `due >= batch`; trajectories are welcome while `due`
/// is below the upper edge: four batches' worth of new trajectories, or all that the replay holds if
/// that is less. The upper edge is never below a batch, so one of the two is always allowed.
#[derive(Clone, Debug)]
pub struct RateLimiter {
    samples_per_insert: f64,
    batch: u64,
    upper: u64,
    inserted: u64,
    granted: u64,
    settled: u64,
}

/// Batches of new trajectories that may wait for training.
const BATCHES_AHEAD: usize = 4;

impl RateLimiter {
    /// For a replay of `capacity` trajectories; or the smallest capacity with which a full batch
    /// can ever be due.
    pub(super) fn new(
        samples_per_insert: f64,
        batch: usize,
        capacity: usize,
    ) -> Result<Self, usize> {
        let needed = (batch as f64 / samples_per_insert.min(1.0)).ceil();
        if (capacity as f64) < needed {
            return Err(needed as usize);
        }
        let ahead = (BATCHES_AHEAD * batch) as f64 * samples_per_insert.max(1.0);
        let upper = ahead.min(capacity as f64 * samples_per_insert).floor() as u64;
        let batch = batch as u64;
        let upper = upper.max(batch);
        Ok(Self { samples_per_insert, batch, upper, inserted: 0, granted: 0, settled: 0 })
    }

    /// Whether another trajectory is welcome.
    pub fn may_insert(&self) -> bool {
        self.due() < self.upper
    }

    /// Whether so many are welcome that it is worth waking who has them.
    pub fn has_ample_room(&self) -> bool {
        self.due() <= self.upper / 2
    }

    /// Whether a batch may be drawn.
    pub fn may_sample(&self) -> bool {
        self.due() >= self.batch
    }

    /// Whether so much is owed that a batch shall be drawn of what there is. Trajectories that are
    /// new, each with an object of its own, always make a batch whole before that.
    pub fn is_overdue(&self) -> bool {
        self.due() >= self.upper + 2 * self.batch
    }

    /// Draws that are owed.
    pub fn due(&self) -> u64 {
        self.granted.saturating_sub(self.settled)
    }

    /// A trajectory came; returns its uses, so that the sum over the first n is
    /// `floor(samples_per_insert · n)`.
    pub(super) fn inserted(&mut self) -> u64 {
        self.inserted += 1;
        let before = self.granted;
        self.granted = (self.samples_per_insert * self.inserted as f64).floor() as u64;
        self.granted - before
    }

    /// What does not follow from the run file.
    pub(super) fn save(&self, columns: &mut Columns) {
        columns.put("limiter", [self.inserted, self.granted, self.settled]);
    }

    pub(super) fn restore(&mut self, columns: &Columns) -> Result<(), BadColumns> {
        let &[inserted, granted, settled] = columns.whole("limiter")? else {
            return Err(BadColumns::Unfit("limiter"));
        };
        (self.inserted, self.granted, self.settled) = (inserted, granted, settled);
        Ok(())
    }

    /// So many trajectories were drawn.
    pub(super) fn sampled(&mut self, count: u64) {
        self.settled += count;
    }

    /// So many uses can no longer be had, as far as they are still owed; returns how many were.
    pub(super) fn forfeited(&mut self, count: u64) -> u64 {
        let count = count.min(self.due());
        self.settled += count;
        count
    }
}
