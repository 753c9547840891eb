//! What the product has to reach, as ratios of one run on two cores.

use super::case::{Program, Quality};
use super::rows::Group;

/// A ratio with its bound.
pub(super) struct Bar {
    case: &'static str,
    batch: u64,
    bound: Bound,
}

#[derive(Clone, Copy)]
enum Bound {
    /// So many times as fast as a peer, at least.
    TimesAsFast(Program, f64),
    /// So many times the time of the multiply-adds, at most.
    OfRoofline(f64),
}

const fn times_as_fast(case: &'static str, batch: u64, peer: Program, times: f64) -> Bar {
    Bar { case, batch, bound: Bound::TimesAsFast(peer, times) }
}

const fn of_roofline(case: &'static str) -> Bar {
    Bar { case, batch: 128, bound: Bound::OfRoofline(2.0) }
}

pub(super) const BARS: [Bar; 12] = [
    times_as_fast("4D H16", 16, Program::Gfnx, 8.0),
    times_as_fast("4D H16", 128, Program::Gfnx, 5.0),
    times_as_fast("2D H8", 16, Program::Gfnx, 5.0),
    times_as_fast("2D H8", 128, Program::Gfnx, 3.0),
    times_as_fast("4D H16", 16, Program::Torchgfn, 15.0),
    times_as_fast("4D H16", 128, Program::Torchgfn, 8.0),
    times_as_fast("2D H8", 16, Program::Torchgfn, 10.0),
    times_as_fast("2D H8", 128, Program::Torchgfn, 4.0),
    times_as_fast("4D H8 to TV 0.035", 16, Program::Gfnx, 8.0),
    of_roofline("2D H8"),
    of_roofline("4D H16"),
    of_roofline("4D H32"),
];

impl Bar {
    /// For people.
    pub(super) fn text(&self) -> String {
        let Self { case, batch, .. } = self;
        match self.bound {
            Bound::TimesAsFast(peer, times) => {
                format!("{case}, batch {batch}: at least {times} times as fast as {}", peer.name())
            }
            Bound::OfRoofline(times) => {
                format!("{case}, batch {batch}: at most {times} times the multiply-adds")
            }
        }
    }

    /// The ratio that was measured; `roofline` gives milliseconds of an iteration's multiply-adds.
    /// None where something was not measured, or neither reached the distance.
    pub(super) fn ratio(
        &self,
        groups: &[Group<'_>],
        roofline: impl Fn(&Group<'_>) -> f64,
    ) -> Option<f64> {
        let ours = self.of(Program::Ours, groups)?;
        match self.bound {
            Bound::TimesAsFast(peer, _) => times_as_fast_as(ours, self.of(peer, groups)?),
            Bound::OfRoofline(_) => Some(ours.ms_per_iteration / roofline(ours)),
        }
    }

    /// Whether ours ended before it reached the distance, so that there is no ratio.
    pub(super) fn was_not_reached(&self, groups: &[Group<'_>]) -> bool {
        let ours = self.of(Program::Ours, groups);
        ours.is_some_and(|ours| ours.case.quality.is_some() && ours.reached.is_none())
    }

    fn of<'a, 'b>(&self, program: Program, groups: &'a [Group<'b>]) -> Option<&'a Group<'b>> {
        groups.iter().find(|group| {
            group.program == program
                && group.case.name == self.case
                && group.case.batch == self.batch
        })
    }

    pub(super) fn is_met(&self, ratio: f64) -> bool {
        match self.bound {
            Bound::TimesAsFast(_, times) => ratio >= times,
            Bound::OfRoofline(times) => ratio <= times,
        }
    }
}

/// How many times as fast ours is: in iterations or in states, whichever is less, since an asynchronous run's
/// trajectories grow later than a peer's; or to the distance. A peer that gave up counts with the time for
/// which it tried, so that the ratio is a lower bound.
pub(super) fn times_as_fast_as(ours: &Group<'_>, peer: &Group<'_>) -> Option<f64> {
    match ours.case.quality {
        None => {
            let iterations = peer.ms_per_iteration / ours.ms_per_iteration;
            let longer = peer.mean_length / ours.mean_length;
            Some(iterations / longer.max(1.0))
        }
        Some(Quality { .. }) => {
            let theirs = peer.reached.map_or(peer.seconds, |reached| reached.seconds);
            Some(theirs / ours.reached?.seconds)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::case::{CASES, Case};
    use super::super::rows::tests::row;
    use super::*;

    fn group(case: &'static Case, program: Program, seconds: f64, least: f64) -> Group<'static> {
        Group::new(case, program, &[&row(case, seconds, least)]).unwrap()
    }

    #[test]
    fn every_bar_is_of_a_case() {
        for bar in BARS {
            let is_there = |case: &Case| case.name == bar.case && case.batch == bar.batch;
            assert!(CASES.iter().any(is_there), "{}", bar.text());
        }
    }

    #[test]
    fn a_bar_is_met_on_its_side() {
        let case = CASES.iter().find(|case| case.name == "4D H16" && case.batch == 128).unwrap();
        let groups = [
            group(case, Program::Ours, 1.0, 1.0),
            group(case, Program::Gfnx, 4.0, 1.0),
            group(case, Program::Torchgfn, 9.0, 1.0),
        ];
        let bars = BARS.iter().filter(|bar| bar.case == "4D H16" && bar.batch == 128);
        // 10 ms an iteration.
        let ratios = bars.map(|bar| {
            let ratio = bar.ratio(&groups, |_| 4.0).unwrap();
            (ratio, bar.is_met(ratio))
        });
        assert_eq!(ratios.collect::<Vec<_>>(), [(4.0, false), (9.0, true), (2.5, false)]);
    }

    #[test]
    fn shorter_trajectories_win_nothing() {
        let case = &CASES[0];
        let ours = group(case, Program::Ours, 1.0, 1.0);
        let mut peer = group(case, Program::Gfnx, 12.0, 1.0);
        peer.mean_length = 2.0 * ours.mean_length;
        assert_eq!(times_as_fast_as(&ours, &peer), Some(6.0));
        peer.mean_length = 0.5 * ours.mean_length;
        assert_eq!(times_as_fast_as(&ours, &peer), Some(12.0));
    }

    #[test]
    fn who_gave_up_counts_with_the_time_it_tried() {
        let case = CASES.iter().find(|case| case.quality.is_some()).unwrap();
        let (ours, peer) =
            (group(case, Program::Ours, 2.0, 0.01), group(case, Program::Gfnx, 50.0, 0.5));
        assert_eq!(times_as_fast_as(&ours, &peer), Some(25.0));
        assert_eq!(times_as_fast_as(&peer, &ours), None);
        let bar = times_as_fast(case.name, case.batch, Program::Gfnx, 8.0);
        assert!(!bar.was_not_reached(&[ours, peer]));
        assert!(bar.was_not_reached(&[group(case, Program::Ours, 50.0, 0.5)]));
    }
}
