//! What each exploration setting brings, by kinds of trajectories: the figures by which a portfolio is
//! judged.

use serde::{Deserialize, Serialize};
use tributary_common::log_space::LogReward;
use tributary_common::trajectory::TrajectoryKind;

/// What trajectories have brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Yield {
    /// Trajectories accepted.
    pub generated: u64,
    /// Distinct objects that they found first.
    pub objects: u64,
    /// Those of at least `[evaluation] good_log_reward`; absent without that key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub good_objects: Option<u64>,
}

/// What the actors of one exploration setting have brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingYield {
    /// By all kinds of trajectories.
    pub all: Yield,
    /// By each kind, in the order of [`TrajectoryKind::ALL`].
    kinds: [Yield; TrajectoryKind::ALL.len()],
}

impl SettingYield {
    /// What each kind of trajectory has brought; nothing where all are forward ones.
    pub fn kinds(&self) -> impl Iterator<Item = (&'static str, Yield)> {
        let kinds = TrajectoryKind::ALL.into_iter().zip(self.kinds);
        let used = kinds.filter(|(_, row)| row.generated > 0);
        let is_mixed = used.clone().any(|(kind, _)| kind != TrajectoryKind::Forward);
        used.filter(move |_| is_mixed).map(|(kind, row)| (kind.name(), row))
    }
}

/// The yields of all settings of a run. An object belongs to the setting, and the kind, that found it
/// first, with the log-reward that it had then, so that the settings add up to the run's own counters
/// and nothing is kept for each object. There is no threshold but the run file's: one that moved with
/// the rewards seen so far would count early objects by another measure than late ones.
#[derive(Debug)]
pub struct Yields {
    good_log_reward: Option<f64>,
    rows: Vec<SettingYield>,
}

impl Yields {
    /// Of so many settings, nothing yet.
    pub fn new(settings: usize, good_log_reward: Option<f64>) -> Self {
        let none = Yield { good_objects: good_log_reward.map(|_| 0), ..Yield::default() };
        let row = SettingYield { all: none, kinds: [none; TrajectoryKind::ALL.len()] };
        Self { good_log_reward, rows: vec![row; settings] }
    }

    /// Goes on from these rows, of the same settings.
    #[must_use]
    pub fn behind(mut self, rows: &[SettingYield]) -> Self {
        if rows.len() == self.rows.len() {
            self.rows = rows.to_vec();
        }
        if self.good_log_reward.is_some() {
            let all =
                self.rows.iter_mut().flat_map(|row| row.kinds.iter_mut().chain([&mut row.all]));
            all.for_each(|counted| counted.good_objects = counted.good_objects.or(Some(0)));
        }
        self
    }

    /// Counts an accepted trajectory of a setting; `is_new` if nobody has found its object before.
    pub fn count(
        &mut self,
        setting: u32,
        kind: TrajectoryKind,
        is_new: bool,
        log_reward: LogReward,
    ) {
        let Some(row) = self.rows.get_mut(setting as usize) else { return };
        let is_good = self.good_log_reward.is_some_and(|least| log_reward.get() >= least);
        let of_kind = TrajectoryKind::ALL.into_iter().zip(&mut row.kinds);
        let of_kind = of_kind.filter(|(other, _)| *other == kind).map(|(_, counted)| counted);
        for counted in of_kind.chain([&mut row.all]) {
            counted.generated += 1;
            counted.objects += u64::from(is_new);
            if let Some(good) = &mut counted.good_objects {
                *good += u64::from(is_new && is_good);
            }
        }
    }

    /// A row for each setting.
    pub fn rows(&self) -> &[SettingYield] {
        &self.rows
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use TrajectoryKind::{Backward, Forward, LocalSearch};

    fn yields(good_log_reward: Option<f64>) -> Vec<SettingYield> {
        let mut yields = Yields::new(2, good_log_reward);
        let found = [
            (0, Forward, true, -1.0),
            (1, Forward, false, -1.0),
            (1, LocalSearch, true, 0.5),
            (1, LocalSearch, true, 2.0),
        ];
        for (setting, kind, is_new, log_reward) in found {
            yields.count(setting, kind, is_new, LogReward::try_from(log_reward).unwrap());
        }
        yields.count(2, Backward, true, LogReward::try_from(0.0).unwrap());
        yields.rows().to_vec()
    }

    #[test]
    fn an_object_belongs_to_who_found_it_first() {
        let row = |generated, objects, good| Yield { generated, objects, good_objects: good };
        let counted = yields(None);
        let behind = |good| Yields::new(2, good).behind(&counted).rows().to_vec();
        assert_eq!(behind(None), counted);
        assert_eq!(behind(Some(0.5))[1].all, row(3, 2, Some(0)));
        let all = |good| yields(good).iter().map(|row| row.all).collect::<Vec<_>>();
        assert_eq!(all(Some(0.5)), [row(1, 1, Some(0)), row(3, 2, Some(2))]);
        assert_eq!(all(None), [row(1, 1, None), row(3, 2, None)]);
        let rows = yields(Some(2.0));
        assert_eq!(rows[0].kinds().count(), 0, "nothing to tell apart");
        let kinds: Vec<_> = rows[1].kinds().collect();
        assert_eq!(kinds, [("forward", row(1, 0, Some(0))), ("local_search", row(2, 2, Some(1)))]);
    }
}
