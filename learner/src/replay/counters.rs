//! The books of replay.

/// What went through replay, in trajectories.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Ever inserted.
    pub inserted: u64,
    /// Gone again, for room or for their age: `inserted = resident + evicted + merged`.
    pub evicted: u64,
    /// Gone because their object was found again.
    pub merged: u64,
    /// Drawn, each as often as it was; without those of a data set.
    pub sampled: u64,
    /// Uses that trajectories which left should still have had.
    pub forfeited: u64,
    /// Inserted with R = 0.
    pub zero_rewards: u64,
    /// Inserted with a log R below the least that is trained on, and trained on as that; those with
    /// R = 0 among them.
    pub clipped_rewards: u64,
    /// Draws, among `sampled`, for which another path was drawn.
    pub redrawn: u64,
    /// Objects of the data set.
    pub imported: u64,
    /// Draws of them.
    pub imported_sampled: u64,
}
