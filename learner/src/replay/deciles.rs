//! What lag does to slow rewards: trajectories counted by the time that measuring their object took.

use std::collections::VecDeque;

use serde::Serialize;

use super::columns::{BadColumns, Columns, index};

/// Trajectories between two looks at what is slow, and how many the look is at.
const LOOK_EVERY: u32 = 100;
const LOOKED_AT: usize = 1_000;

/// A tenth of the trajectories, by the seconds that their reward took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Decile {
    /// The most seconds among the last thousand trajectories of this decile.
    pub seconds: f32,
    /// Trajectories that came.
    pub inserted: u64,
    /// Uses for which another path was drawn, since the path was too old.
    pub redrawn: u64,
    /// Trajectories that were discarded for the age of their path before they were trained on.
    pub rejected: u64,
}

/// The ten deciles, fastest first. Their borders follow the last thousand trajectories, so each gets
/// about a tenth of those that come; where many took the same time, the faster decile has them.
#[derive(Debug, Default)]
pub(super) struct Deciles {
    recent: VecDeque<f32>,
    until_look: u32,
    rows: [Decile; 10],
}

impl Deciles {
    /// A trajectory comes, measured in so many seconds.
    pub(super) fn inserted(&mut self, seconds: f32) {
        if self.recent.len() == LOOKED_AT {
            self.recent.pop_front();
        }
        self.recent.push_back(seconds);
        if self.until_look == 0 {
            self.look();
            self.until_look = LOOK_EVERY;
        }
        self.until_look -= 1;
        self.row(seconds).inserted += 1;
    }

    pub(super) fn redrawn(&mut self, seconds: f32) {
        self.row(seconds).redrawn += 1;
    }

    pub(super) fn rejected(&mut self, seconds: f32) {
        self.row(seconds).rejected += 1;
    }

    pub(super) fn save(&self, columns: &mut Columns) {
        columns.put_real("deciles.recent", self.recent.iter().map(|&seconds| f64::from(seconds)));
        columns.put_real("deciles.seconds", self.rows.iter().map(|row| f64::from(row.seconds)));
        let counts = |row: &Decile| [row.inserted, row.redrawn, row.rejected];
        columns.put("deciles.counts", self.rows.iter().flat_map(counts));
        columns.put("deciles.until_look", [u64::from(self.until_look)]);
    }

    pub(super) fn restore(&mut self, columns: &Columns) -> Result<(), BadColumns> {
        let recent = columns.real("deciles.recent")?;
        self.recent = recent.iter().take(LOOKED_AT).map(|&seconds| seconds as f32).collect();
        let (seconds, counts) =
            (columns.real("deciles.seconds")?, columns.whole("deciles.counts")?);
        if seconds.len() != self.rows.len() || counts.len() != 3 * self.rows.len() {
            return Err(BadColumns::Unfit("deciles.counts"));
        }
        let saved = seconds.iter().zip(counts.chunks_exact(3));
        for (row, (&seconds, counts)) in self.rows.iter_mut().zip(saved) {
            let [inserted, redrawn, rejected] = [counts[0], counts[1], counts[2]];
            *row = Decile { seconds: seconds as f32, inserted, redrawn, rejected };
        }
        let name = "deciles.until_look";
        self.until_look = index(name, columns.one(name)?, LOOK_EVERY as usize + 1)? as u32;
        Ok(())
    }

    pub(super) fn rows(&self) -> &[Decile; 10] {
        &self.rows
    }

    fn row(&mut self, seconds: f32) -> &mut Decile {
        let decile = self.rows[..9].partition_point(|row| row.seconds < seconds);
        &mut self.rows[decile]
    }

    fn look(&mut self) {
        let mut sorted: Vec<f32> = self.recent.iter().copied().collect();
        sorted.sort_unstable_by(f32::total_cmp);
        for (i, row) in self.rows.iter_mut().enumerate() {
            row.seconds = sorted[((i + 1) * sorted.len()).div_ceil(10) - 1];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tenth_by_time_has_its_row() {
        let mut deciles = Deciles::default();
        for i in 0..LOOKED_AT + 1 {
            deciles.inserted((i * 7 % 1_000) as f32);
        }
        assert_eq!(deciles.rows().map(|row| row.seconds)[..2], [99.0, 199.0]);
        for (seconds, decile) in [(0.0, 0), (99.0, 0), (99.5, 1), (899.0, 8), (1e6, 9)] {
            deciles.redrawn(seconds);
            deciles.rejected(seconds);
            let row = &mut deciles.rows[decile];
            assert_eq!((row.redrawn, row.rejected), (1, 1), "{seconds}");
            (row.redrawn, row.rejected) = (0, 0);
        }
        let inserted: u64 = deciles.rows().iter().map(|row| row.inserted).sum();
        assert_eq!(inserted, LOOKED_AT as u64 + 1);
    }

    #[test]
    fn rewards_of_one_speed_are_all_in_the_first() {
        let mut deciles = Deciles::default();
        (0..500).for_each(|_| deciles.inserted(0.0));
        assert_eq!(deciles.rows()[0].inserted, 500);
    }
}
