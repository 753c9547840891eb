//! What each exploration setting brings: the figures by which a portfolio is judged.

use serde::Serialize;
use tributary_common::log_space::LogReward;

/// What the actors of one exploration setting have brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Yield {
    /// Trajectories accepted.
    pub generated: u64,
    /// Distinct objects that it found first.
    pub objects: u64,
    /// Those of at least `[evaluation] good_log_reward`; absent without that key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub good_objects: Option<u64>,
}

/// The yields of all settings of a run. An object belongs to the setting that found it first, with
/// the log-reward that it had then, so that the settings add up to the run's own counters and
/// nothing is kept for each object. There is no threshold but the run file's: one that moved with
/// the rewards seen so far would count early objects by another measure than late ones.
#[derive(Debug)]
pub struct Yields {
    good_log_reward: Option<f64>,
    rows: Vec<Yield>,
}

impl Yields {
    /// Of so many settings, nothing yet.
    pub fn new(settings: usize, good_log_reward: Option<f64>) -> Self {
        let row = Yield { good_objects: good_log_reward.map(|_| 0), ..Yield::default() };
        Self { good_log_reward, rows: vec![row; settings] }
    }

    /// Counts an accepted trajectory of a setting; `is_new` if nobody has found its object before.
    pub fn count(&mut self, setting: u32, is_new: bool, log_reward: LogReward) {
        let Some(row) = self.rows.get_mut(setting as usize) else { return };
        row.generated += 1;
        if !is_new {
            return;
        }
        row.objects += 1;
        let is_good = self.good_log_reward.is_some_and(|least| log_reward.get() >= least);
        if let Some(good) = row.good_objects.as_mut().filter(|_| is_good) {
            *good += 1;
        }
    }

    /// A row for each setting.
    pub fn rows(&self) -> &[Yield] {
        &self.rows
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn yields(good_log_reward: Option<f64>) -> Vec<Yield> {
        let mut yields = Yields::new(2, good_log_reward);
        let found = [(0, true, -1.0), (1, false, -1.0), (1, true, 0.5), (1, true, 2.0)];
        for (setting, is_new, log_reward) in found {
            yields.count(setting, is_new, LogReward::try_from(log_reward).unwrap());
        }
        yields.rows().to_vec()
    }

    #[test]
    fn an_object_belongs_to_who_found_it_first() {
        let row = |generated, objects, good| Yield { generated, objects, good_objects: good };
        assert_eq!(yields(Some(0.5)), [row(1, 1, Some(0)), row(3, 2, Some(2))]);
        assert_eq!(yields(None), [row(1, 1, None), row(3, 2, None)]);
    }
}
