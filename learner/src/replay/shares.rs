//! What a batch is made of.

use tributary_common::run_file;

/// How a batch is composed, in trajectories.
#[derive(Clone, Copy)]
pub(super) struct Shares {
    /// Of the data set.
    pub(super) initial: usize,
    /// Of what actors sent.
    pub(super) replayed: usize,
    /// Of those, forward ones that have not been trained on.
    pub(super) online: usize,
}

impl Shares {
    pub(super) fn new(config: &run_file::Replay, batch: usize) -> Self {
        // Where both have a share each has one trajectory at least.
        let initial = match config.initial_fraction {
            share if share <= 0.0 => 0,
            share if share >= 1.0 => batch,
            share => ((share * batch as f64).round() as usize).max(1).min(batch - 1),
        };
        let replayed = batch - initial;
        // Rounded up, but not to more than arrive while a batch is due: training would starve.
        let arriving = (replayed as f64 / config.samples_per_insert.max(1.0)).floor();
        let online = (config.online_fraction * batch as f64).ceil().min(arriving) as usize;
        Self { initial, replayed, online }
    }
}
