//! The classic rewards of the hypergrid, with the definitions of torchgfn.
//!
//! Of a coordinate i on a side of H cells they look at a = |i/(H-1) - 1/2|, in [0, 1/2]. All
//! thresholds on a are strict, and are decided in whole numbers: in floating point i/(H-1) falls on
//! either side of 0.1 or 0.3 for some H, such as 11 or 21.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use super::{InvalidRaw, Output, Reward, RewardError, Role, single};
use crate::environment::{Environment, Hypergrid, Identity, InvalidConfiguration};
use crate::log_space::LogReward;
use crate::object::Object;
use crate::run_file::{Config, Keys, Problem, Section};

/// R of a cell, as a function of its coordinates.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Landscape {
    /// R0 + R1 [all a > 1/4] + R2 [all 3/10 < a < 4/10]: 2^D regions of high reward near the
    /// corners (Bengio et al. 2021, section 4.1).
    Original {
        /// Everywhere.
        r0: f64,
        /// Added in the corners.
        r1: f64,
        /// Added in the band within each corner.
        r2: f64,
    },
    /// R0 + R1 prod (cos(50 a) + 1) phi(5 a), phi being the standard normal density.
    Cosine {
        /// Everywhere.
        r0: f64,
        /// Times the product.
        r1: f64,
    },
    /// 1 where all coordinates are 1 or H-2 and at least one is H-2, and 1e-12 elsewhere.
    Sparse,
    /// R0 + R1 [not all a > 1/10] + R2 [all 3/10 < a < 4/10]: a plateau around the centre lines
    /// draws away from the corners.
    Deceptive {
        /// Everywhere.
        r0: f64,
        /// Added on the plateau.
        r1: f64,
        /// Added in the bands.
        r2: f64,
    },
}

/// R of the sparse landscape where nothing is.
const SPARSE_FLOOR: f64 = 1e-12;

impl Landscape {
    /// Each landscape with its usual coefficients.
    pub const USUAL: [Self; 4] = [
        Self::Original { r0: 0.1, r1: 0.5, r2: 2.0 },
        Self::Cosine { r0: 0.1, r1: 0.5 },
        Self::Sparse,
        Self::Deceptive { r0: 1e-5, r1: 0.1, r2: 2.0 },
    ];

    /// Its `kind` in the run file.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Original { .. } => "original",
            Self::Cosine { .. } => "cosine",
            Self::Sparse => "sparse",
            Self::Deceptive { .. } => "deceptive",
        }
    }

    /// What it is, in a sentence without a full stop.
    fn about(self) -> &'static str {
        match self {
            Self::Original { .. } => {
                "of a hypergrid: a floor, more in the corners, and most in a band within each corner"
            }
            Self::Cosine { .. } => "of a hypergrid: a floor and waves of cosines",
            Self::Sparse => {
                "of a hypergrid: 1 where all coordinates are 1 or side - 2 and at least one is \
                 side - 2, else 1e-12"
            }
            Self::Deceptive { .. } => {
                "of a hypergrid: a plateau around the centre lines draws away from the corners"
            }
        }
    }

    /// Its coefficients: each with its key and what it is.
    fn coefficients(&mut self) -> Vec<(&'static str, &'static str, &mut f64)> {
        match self {
            Self::Original { r0, r1, r2 } => vec![
                ("r0", "the reward of every cell", r0),
                ("r1", "what is added in the corners", r1),
                ("r2", "what is added in the band within each corner", r2),
            ],
            Self::Deceptive { r0, r1, r2 } => vec![
                ("r0", "the reward of every cell", r0),
                ("r1", "what is added on the plateau", r1),
                ("r2", "what is added in the bands near the corners", r2),
            ],
            Self::Cosine { r0, r1 } => vec![
                ("r0", "the reward of every cell", r0),
                ("r1", "the factor of the product of waves", r1),
            ],
            Self::Sparse => Vec::new(),
        }
    }

    /// R >= 0 of a cell of a grid with this side; coordinates are below the side.
    pub fn reward(self, side: usize, cell: &[i64]) -> f64 {
        let side = side as i64;
        // a = |2i - (H-1)| / (2 (H-1)): compared as `distance` against multiples of `largest`.
        let (largest, distance) = (side - 1, |i: i64| (2 * i - (side - 1)).abs());
        let all = |condition: &dyn Fn(i64) -> bool| cell.iter().all(|&i| condition(distance(i)));
        let if_all = |reward: f64, holds: bool| if holds { reward } else { 0.0 };
        let in_band = || all(&|d| 5 * d > 3 * largest && 5 * d < 4 * largest);
        match self {
            Self::Original { r0, r1, r2 } => {
                r0 + if_all(r1, all(&|d| 2 * d > largest)) + if_all(r2, in_band())
            }
            Self::Deceptive { r0, r1, r2 } => {
                r0 + if_all(r1, !all(&|d| 5 * d > largest)) + if_all(r2, in_band())
            }
            Self::Cosine { r0, r1 } => {
                let factor = |d: i64| {
                    let a = d as f64 / (2 * largest) as f64;
                    let density = (-0.5 * (5.0 * a).powi(2)).exp() / (2.0 * PI).sqrt();
                    ((50.0 * a).cos() + 1.0) * density
                };
                r0 + r1 * cell.iter().map(|&i| factor(distance(i))).product::<f64>()
            }
            Self::Sparse => {
                let is_mode = cell.iter().all(|&i| i == 1 || i == side - 2)
                    && cell.iter().any(|&i| i == side - 2);
                SPARSE_FLOOR + if_all(1.0, is_mode)
            }
        }
    }
}

/// One of [`Landscape::USUAL`], with the coefficients that the run file gives.
#[derive(Clone)]
struct Written<const USUAL: usize>(Landscape);

impl<const USUAL: usize> Default for Written<USUAL> {
    fn default() -> Self {
        Self(Landscape::USUAL[USUAL])
    }
}

impl<const USUAL: usize> Config for Written<USUAL> {
    fn about() -> &'static str {
        Landscape::USUAL[USUAL].about()
    }

    fn declare(&mut self, keys: &mut Keys<'_>) {
        for (key, meaning, value) in self.0.coefficients() {
            keys.key(key, value, meaning).at_least(0.0);
        }
    }
}

/// A landscape over a hypergrid. Its one raw value is R itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HypergridReward {
    landscape: Landscape,
    grid: Hypergrid,
}

impl HypergridReward {
    /// The landscape that `[reward]` of a run file describes.
    ///
    /// # Errors
    /// Every problem with its keys, and an environment that is no hypergrid.
    pub fn from_section(
        section: &Section,
        environment: &dyn Environment,
    ) -> Result<Self, Vec<Problem>> {
        let landscape = match section.kind.as_str() {
            "cosine" => section.parse::<Written<1>>()?.0,
            "sparse" => section.parse::<Written<2>>()?.0,
            "deceptive" => section.parse::<Written<3>>()?.0,
            _ => section.parse::<Written<0>>()?.0,
        };
        Self::new(landscape, environment).map_err(|invalid| vec![invalid.in_section(section)])
    }

    /// This landscape over an environment, which must be a hypergrid.
    ///
    /// # Errors
    /// Another environment, and coefficients that are negative, not finite or all 0.
    pub fn new(
        mut landscape: Landscape,
        environment: &dyn Environment,
    ) -> Result<Self, InvalidConfiguration> {
        let coefficients = landscape.coefficients();
        for (key, _, value) in &coefficients {
            if !(value.is_finite() && **value >= 0.0) {
                let reason = format!("= {value}: must be 0 or more, and finite");
                return Err(InvalidConfiguration::new(key, reason));
            }
        }
        if !coefficients.is_empty() && coefficients.iter().all(|(_, _, value)| **value == 0.0) {
            let reason = "and the other coefficients are 0: nothing has a reward";
            return Err(InvalidConfiguration::new("r0", reason));
        }
        let grid = Hypergrid::of(environment).ok_or_else(|| {
            let (kind, other) = (landscape.kind(), environment.identity().kind);
            let reason = format!("= {kind:?} is a reward of hypergrids, this is a {other:?}");
            InvalidConfiguration::new("kind", reason)
        })?;
        Ok(Self { landscape, grid })
    }
}

impl Reward for HypergridReward {
    fn identity(&self) -> Identity {
        // An enum of numbers always has a JSON form.
        let configuration = serde_json::to_string(&self.landscape).unwrap_or_default();
        Identity { kind: self.landscape.kind().to_owned(), version: 1, configuration }
    }

    fn outputs(&self) -> Vec<Output> {
        vec![Output { name: "reward".to_owned(), role: Role::Objective }]
    }

    fn evaluate(&self, objects: &[Object], raw: &mut Vec<f64>) -> Result<(), RewardError> {
        for object in objects {
            match object {
                Object::Integers(cell) if self.grid.state_of(object).is_ok() => {
                    raw.push(self.landscape.reward(self.grid.side(), cell));
                }
                _ => {
                    let (kind, object) = (self.landscape.kind().to_owned(), object.to_string());
                    return Err(RewardError::UnknownObject { kind, object });
                }
            }
        }
        Ok(())
    }

    fn transform(&self, raw: &[f64]) -> Result<LogReward, InvalidRaw> {
        let negative = "R must be 0 or more".to_owned();
        LogReward::from_reward(single(raw)?)
            .map_err(|_| InvalidRaw { raw: raw.to_vec(), reason: negative })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::environment::{Enumeration, Sequence, sequence::Length};

    /// Sum of R over all cells.
    fn partition(landscape: Landscape, dimensions: usize, side: usize) -> f64 {
        let grid = Hypergrid::new(dimensions, side).unwrap();
        let mut state = vec![0; dimensions];
        let mut cell = vec![0; dimensions];
        let reward = |index| {
            grid.state(index, &mut state);
            cell.iter_mut().zip(&state).for_each(|(i, &digit)| *i = i64::from(digit));
            landscape.reward(side, &cell)
        };
        (0..grid.states()).map(reward).sum()
    }

    /// Cells on one side where a landscape without a floor is not 0.
    fn cells(landscape: Landscape, side: usize) -> Vec<usize> {
        (0..side).filter(|&i| landscape.reward(side, &[i as i64]) > 0.0).collect()
    }

    #[test]
    fn log_z_is_that_of_the_closed_form() {
        // D, H, R0, R1, R2, cells of one side in the band, log Z: exact rational arithmetic.
        for (d, h, r0, r1, r2, band, log_z) in [
            (2, 8, 0.1, 0.5, 2.0, &[1, 6][..], 3.109061),
            (4, 8, 0.1, 0.5, 2.0, &[1, 6], 6.344934),
            (4, 8, 0.01, 0.5, 2.0, &[1, 6], 5.303106),
            (4, 8, 0.001, 0.5, 2.0, &[1, 6], 5.100452),
            (2, 64, 0.1, 0.5, 2.0, &[7, 8, 9, 10, 11, 12, 51, 52, 53, 54, 55, 56], 7.098045),
            (2, 64, 0.001, 0.5, 2.0, &[7, 8, 9, 10, 11, 12, 51, 52, 53, 54, 55, 56], 6.689719),
            (4, 16, 0.1, 0.5, 2.0, &[2, 13], 9.063417),
            (3, 16, 0.001, 0.5, 2.0, &[2, 13], 5.620749),
            (4, 20, 0.001, 0.5, 2.0, &[2, 3, 16, 17], 8.643297),
            (4, 20, 1e-4, 1.0, 3.0, &[2, 3, 16, 17], 9.285819),
            (4, 32, 0.1, 0.5, 2.0, &[4, 5, 6, 25, 26, 27], 11.850951),
            (8, 10, 0.001, 0.5, 2.0, &[1, 8], 13.753976),
        ] {
            let indicator = |r1, r2| Landscape::Original { r0: 0.0, r1, r2 };
            assert_eq!(cells(indicator(0.0, 1.0), h), band, "side {h}");
            let outer = cells(indicator(1.0, 0.0), h).len();
            let power = |base: usize| (base as f64).powi(d);
            let closed = r0 * power(h) + r1 * power(outer) + r2 * power(band.len());
            assert!((closed.ln() - log_z).abs() < 1e-6, "D={d} H={h}: {}", closed.ln());
            if power(h) < 2e5 {
                let sum = partition(Landscape::Original { r0, r1, r2 }, d as usize, h);
                assert!((sum.ln() - closed.ln()).abs() < 1e-9, "D={d} H={h}: {}", sum.ln());
            }
        }
    }

    #[test]
    fn thresholds_that_fall_on_cells_are_outside() {
        // H = 11: a of the cells 0 to 5 is .5 .4 .3 .2 .1 0.
        let band = Landscape::Original { r0: 0.0, r1: 0.0, r2: 1.0 };
        assert_eq!(cells(band, 11), [0usize; 0]);
        let plateau = Landscape::Deceptive { r0: 0.0, r1: 1.0, r2: 0.0 };
        assert_eq!(cells(plateau, 11), [4, 5, 6]);
        // H = 5: a of the cell 1 is 1/4.
        assert_eq!(cells(Landscape::Original { r0: 0.0, r1: 1.0, r2: 0.0 }, 5), [0, 4]);
        assert_eq!(cells(band, 21), [3, 17]);
    }

    #[test]
    fn sparse_has_two_to_the_d_minus_one_modes() {
        for (dimensions, side, modes) in [(2, 8, 3.0), (3, 9, 7.0), (1, 4, 1.0), (2, 3, 1.0)] {
            let sum = partition(Landscape::Sparse, dimensions, side);
            assert!((sum - modes).abs() < 1e-8, "D={dimensions} H={side}: {sum}");
        }
    }

    #[test]
    fn only_hypergrids_and_possible_coefficients_are_taken() {
        let grid = Hypergrid::new(2, 8).unwrap();
        let made = |keys: &str, environment: &dyn Environment| {
            let section = Section::from_toml("reward", keys).unwrap();
            HypergridReward::from_section(&section, environment).map_err(|p| p[0].message.clone())
        };
        let sequences = Sequence::over_alphabet("AC", Length::Length(3)).unwrap();
        assert!(made("kind = 'sparse'", &sequences).unwrap_err().contains("reward of hypergrids"));
        let negative = made("kind = 'cosine'\nr1 = -1.0", &grid).unwrap_err();
        assert_eq!(negative, "`reward.r1` = -1.0: must be at least 0.0");
        let unknown = made("kind = 'cosine'\nr2 = 1.0", &grid).unwrap_err();
        assert!(unknown.contains("unknown key `reward.r2`"), "{unknown}");
        assert!(made("kind = 'original'\nr0 = 0\nr1 = 0\nr2 = 0", &grid).is_err());
        let deceptive = made("kind = 'deceptive'\nr0 = 0.5", &grid).unwrap();
        assert_eq!(deceptive.landscape, Landscape::Deceptive { r0: 0.5, r1: 0.1, r2: 2.0 });
    }

    #[test]
    fn what_is_no_cell_has_no_value() {
        let grid = Hypergrid::new(2, 8).unwrap();
        let reward = HypergridReward::new(Landscape::Sparse, &grid).unwrap();
        for cell in [vec![8, 0], vec![0], vec![-1, 0]] {
            assert!(reward.evaluate(&[Object::Integers(cell)], &mut Vec::new()).is_err());
        }
        assert!(reward.transform(&[f64::NAN]).is_err());
        assert!(reward.transform(&[-1.0]).is_err());
        assert!(reward.transform(&[1.0, 1.0]).is_err());
        assert_eq!(reward.transform(&[0.0]).unwrap().get(), f64::NEG_INFINITY);
    }
}
