//! The target and the learned distribution of a hypergrid as two pictures.

use serde::Serialize;
use tributary_common::environment::{Environment, Hypergrid};
use tributary_common::exact::Target;

/// The longest side that is drawn cell by cell.
const MOST_SIDE: usize = 256;

/// Probabilities of a grid's cells by the first two coordinates, summed over the others.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Distribution {
    /// The update of the weights.
    pub step: u64,
    /// Coordinates of the grid; 2: nothing was summed.
    pub dimensions: usize,
    /// Cells along each of the two.
    pub side: usize,
    /// R(x) / Z at `first * side + second`.
    pub target: Vec<f32>,
    /// The probability that a trajectory ends there.
    pub learned: Vec<f32>,
}

impl Distribution {
    /// Of a hypergrid of at least two dimensions that is not too long; `policy` as
    /// [`terminating_distribution`](tributary_common::exact::terminating_distribution) gives it.
    pub fn of(
        environment: &dyn Environment,
        target: &Target,
        policy: &[f64],
        step: u64,
    ) -> Option<Self> {
        let grid = Hypergrid::of(environment)?;
        let (dimensions, side) = (grid.dimensions(), grid.side());
        if dimensions < 2 || side > MOST_SIDE {
            return None;
        }
        let list = environment.enumeration()?;
        let mut sums = vec![(0.0, 0.0); side * side];
        let mut state = vec![0; environment.state_width()];
        let mut objects = target.log_rewards().iter().zip(policy);
        for index in 0..list.states() {
            list.state(index, &mut state);
            if !environment.can_stop(&state) {
                continue;
            }
            let (log_reward, learned) = objects.next()?;
            let (first, second) = (*state.first()?, *state.get(1)?);
            let cell = sums.get_mut(first as usize * side + second as usize)?;
            cell.0 += (log_reward - target.log_z()).exp();
            cell.1 += learned;
        }
        let (target, learned) = sums.iter().map(|&(t, l)| (t as f32, l as f32)).unzip();
        Some(Self { step, dimensions, side, target, learned })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tributary_common::reward::{HypergridReward, Landscape};

    fn of(dimensions: usize, side: usize) -> Option<Distribution> {
        let grid = Hypergrid::new(dimensions, side).unwrap();
        let reward = HypergridReward::new(Landscape::USUAL[0], &grid).unwrap();
        let target = Target::new(&grid, &reward, 1_000_000, &mut || true).unwrap();
        let count = target.log_rewards().len();
        let policy: Vec<f64> = (0..count).map(|_| 1.0 / count as f64).collect();
        Distribution::of(&grid, &target, &policy, 7)
    }

    #[test]
    fn probabilities_are_where_their_cells_are() {
        for (dimensions, side) in [(2, 8), (3, 8), (4, 6)] {
            let drawn = of(dimensions, side).unwrap();
            assert_eq!((drawn.step, drawn.dimensions, drawn.side), (7, dimensions, side));
            let sum: f32 = drawn.target.iter().sum();
            assert!((sum - 1.0).abs() < 1e-5, "{sum}");
            let even = 1.0 / (side * side) as f32;
            assert!(drawn.learned.iter().all(|p| (p - even).abs() < 1e-6), "{:?}", drawn.learned);
            let at = |first: usize, second: usize| drawn.target[first * side + second];
            // The landscape is the same whichever coordinate is first, and from either end.
            assert!((at(1, 3) - at(3, 1)).abs() < 1e-6);
            assert!((at(0, 0) - at(side - 1, side - 1)).abs() < 1e-6);
            assert!(at(1, 1) > at(side / 2, side / 2), "near a corner, and in the middle");
        }
        assert!(of(1, 8).is_none() && of(2, 257).is_none());
    }
}
