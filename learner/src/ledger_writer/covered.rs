//! Which accepted trajectories the ledger need not keep any more.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

/// A damaged checkpoint gives way to the next older one, so that many must cover what is deleted.
const CHECKPOINTS: usize = 3;

/// The newest checkpoints that this learner wrote, and what each covers.
#[derive(Debug, Default)]
pub struct Covered(VecDeque<(PathBuf, u64)>);

impl Covered {
    /// A checkpoint was written, of a replay that was given all trajectories below this ordinal. Returns
    /// below which ordinal all of enough checkpoints cover all of them.
    pub fn by(&mut self, checkpoint: &Path, below: u64) -> Option<u64> {
        // The same step again replaces it.
        self.0.retain(|(path, _)| path != checkpoint);
        self.0.push_back((checkpoint.to_owned(), below));
        if self.0.len() > CHECKPOINTS {
            self.0.pop_front();
        }
        let is_enough = self.0.len() == CHECKPOINTS;
        self.0.iter().map(|(_, below)| *below).min().filter(|_| is_enough)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_checkpoints_must_cover_what_is_forgotten() {
        let mut covered = Covered::default();
        let mut by = |name: &str, below| covered.by(Path::new(name), below);
        assert_eq!(by("1", 10), None);
        assert_eq!(by("2", 20), None);
        assert_eq!(by("2", 25), None, "the same one, written again");
        assert_eq!(by("3", 30), Some(10));
        assert_eq!(by("4", 40), Some(25));
        assert_eq!(by("4", 45), Some(25));
        assert_eq!(by("5", 50), Some(30));
    }
}
