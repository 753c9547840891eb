//! The rows of one program in one case, as medians.

use super::case::{Case, Program, Quality};
use super::{Look, Row};
use crate::report::median;

/// At least one row.
pub(super) struct Group<'a> {
    pub(super) case: &'a Case,
    pub(super) program: Program,
    pub(super) version: String,
    pub(super) updates: u64,
    pub(super) ms_per_iteration: f64,
    pub(super) mean_length: f64,
    pub(super) peak_memory: f64,
    pub(super) lag: Option<f64>,
    pub(super) gigaflops: f64,
    /// To a distance; none where it was not reached, or not asked.
    pub(super) reached: Option<Reached>,
    /// The least distance that was seen.
    pub(super) least: f64,
    /// Seconds of training of a whole run.
    pub(super) seconds: f64,
}

/// Medians of the time to a distance, and of the updates until then.
#[derive(Clone, Copy)]
pub(super) struct Reached {
    pub(super) seconds: f64,
    pub(super) updates: f64,
}

impl Row {
    /// The first look that is at the distance.
    pub(super) fn reached(&self, quality: &Quality) -> Option<Look> {
        let mut looks = self.measured.looks.iter();
        looks.find(|look| look.total_variation <= quality.total_variation).copied()
    }
}

impl<'a> Group<'a> {
    /// None without rows.
    pub(super) fn new(case: &'a Case, program: Program, rows: &[&Row]) -> Option<Self> {
        let first = rows.first()?;
        let of = |figure: fn(&Row) -> f64| median(rows.iter().map(|row| figure(row)).collect());
        let reached = case.quality.as_ref().and_then(|quality| {
            let looks: Option<Vec<Look>> = rows.iter().map(|row| row.reached(quality)).collect();
            let looks = looks?;
            Some(Reached {
                seconds: median(looks.iter().map(|look| look.seconds).collect()),
                updates: median(looks.iter().map(|look| look.updates as f64).collect()),
            })
        });
        let looks = rows.iter().flat_map(|row| &row.measured.looks);
        Some(Self {
            case,
            program,
            version: first.measured.version.clone(),
            updates: of(|row| row.measured.updates as f64) as u64,
            ms_per_iteration: of(|row| 1e3 * row.measured.seconds / row.measured.updates as f64),
            mean_length: of(|row| row.measured.mean_length),
            peak_memory: of(|row| row.measured.peak_memory as f64),
            lag: first.measured.lag.map(|_| of(|row| row.measured.lag.unwrap_or(f64::NAN))),
            gigaflops: of(|row| row.gigaflops),
            reached,
            least: looks.map(|look| look.total_variation).fold(f64::INFINITY, f64::min),
            seconds: of(|row| row.measured.seconds),
        })
    }

    pub(super) fn trajectories_per_second(&self) -> f64 {
        self.case.batch as f64 / self.ms_per_iteration * 1e3
    }

    pub(super) fn states_per_second(&self) -> f64 {
        self.trajectories_per_second() * self.mean_length
    }
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::Measured;
    use super::super::case::CASES;
    use super::*;

    /// A row of a run whose distance falls from 1 to `least`.
    pub(in super::super) fn row(case: &Case, seconds: f64, least: f64) -> Row {
        let look = |updates, total_variation| Look {
            updates,
            seconds: seconds * updates as f64 / 100.0,
            total_variation,
        };
        let looks = vec![look(50, 1.0), look(100, least)];
        Row {
            case: case.name.to_owned(),
            batch: case.batch,
            program: String::new(),
            seed: 1,
            gigaflops: 50.0,
            measured: Measured {
                version: "1".to_owned(),
                updates: 100,
                seconds,
                mean_length: 10.0,
                peak_memory: 1 << 20,
                lag: None,
                looks,
            },
        }
    }

    #[test]
    fn medians_are_of_each_figure() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        let case = &CASES[0];
        let rows = [row(case, 1.0, 0.1), row(case, 3.0, 0.1), row(case, 2.0, 0.1)];
        let group = Group::new(case, Program::Gfnx, &rows.iter().collect::<Vec<_>>()).unwrap();
        assert_eq!(group.ms_per_iteration, 20.0);
        assert_eq!(group.trajectories_per_second(), 800.0);
        assert_eq!(group.states_per_second(), 8_000.0);
    }

    #[test]
    fn a_distance_is_reached_if_every_run_reaches_it() {
        let case = CASES.iter().find(|case| case.quality.is_some()).unwrap();
        let (near, far) = (row(case, 2.0, 0.01), row(case, 2.0, 0.9));
        let reached = Group::new(case, Program::Gfnx, &[&near, &near]).unwrap().reached.unwrap();
        assert_eq!((reached.seconds, reached.updates), (2.0, 100.0));
        let group = Group::new(case, Program::Gfnx, &[&near, &far]).unwrap();
        assert!(group.reached.is_none());
        assert_eq!(group.least, 0.01);
    }
}
