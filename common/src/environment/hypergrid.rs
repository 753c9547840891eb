//! The hypergrid: a walk from the origin of a D-dimensional grid of side H, each step adding 1 to
//! one coordinate, that may stop in every cell (Bengio et al. 2021, "Flow Network based Generative
//! Models for Non-Iterative Diverse Candidate Generation", section 4.1).

use serde::{Deserialize, Serialize};

use super::{Enumeration, Environment, Identity, InvalidConfiguration, MOST_FEATURES, NotAnObject};
use crate::log_space::ln_factorial;
use crate::object::Object;
use crate::run_file::{Config, Keys, Problem, Section};

/// The hypergrid. State: the D coordinates, each below H. Action `d` adds 1 to coordinate `d`, and
/// so does backward action `d` take it away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hypergrid {
    dimensions: usize,
    side: usize,
}

impl Hypergrid {
    /// Its `kind` in the run file.
    pub const KIND: &str = "hypergrid";

    /// A grid of `side` cells in each of `dimensions` directions.
    ///
    /// # Errors
    /// No dimension, a side below 2, or more inputs than a network may have.
    pub fn new(dimensions: usize, side: usize) -> Result<Self, InvalidConfiguration> {
        if dimensions == 0 {
            return Err(InvalidConfiguration::new("dimensions", "must be at least 1"));
        }
        if side < 2 {
            return Err(InvalidConfiguration::new("side", "must be at least 2"));
        }
        if dimensions.checked_mul(side).is_none_or(|features| features > MOST_FEATURES) {
            let reason =
                format!("times `dimensions` = {dimensions} must be at most {MOST_FEATURES}");
            return Err(InvalidConfiguration::new("side", reason));
        }
        Ok(Self { dimensions, side })
    }

    /// The grid that `[environment]` of a run file describes.
    ///
    /// # Errors
    /// Every problem with its keys.
    pub fn from_section(section: &Section) -> Result<Self, Vec<Problem>> {
        let Written { dimensions, side } = section.parse()?;
        Self::new(dimensions, side).map_err(|invalid| vec![invalid.in_section(section)])
    }

    /// The hypergrid behind an environment, if it is one.
    pub fn of(environment: &dyn Environment) -> Option<Self> {
        let identity = environment.identity();
        let grid: Self = serde_json::from_str(&identity.configuration).ok()?;
        (identity == grid.identity()).then_some(grid)
    }

    /// Number of coordinates D.
    pub fn dimensions(self) -> usize {
        self.dimensions
    }

    /// Cells in each direction, H.
    pub fn side(self) -> usize {
        self.side
    }

    fn refuse(self, object: &Object, reason: &str) -> NotAnObject {
        let Self { dimensions, side } = self;
        let expected = format!("expected {dimensions} whole numbers from 0 to {}", side - 1);
        NotAnObject { object: object.to_string(), reason: format!("{reason}; {expected}") }
    }
}

/// Its keys in the run file.
#[derive(Clone, Default)]
struct Written {
    dimensions: usize,
    side: usize,
}

impl Config for Written {
    fn about() -> &'static str {
        "a walk from the origin of a grid that may stop in every cell"
    }

    fn declare(&mut self, keys: &mut Keys<'_>) {
        keys.key("dimensions", &mut self.dimensions, "directions of the grid")
            .required()
            .at_least(1);
        keys.key("side", &mut self.side, "cells in each direction").required().at_least(2);
    }
}

impl Environment for Hypergrid {
    fn identity(&self) -> Identity {
        let Self { dimensions, side } = self;
        let configuration = format!("{{\"dimensions\":{dimensions},\"side\":{side}}}");
        Identity { kind: Self::KIND.to_owned(), version: 1, configuration }
    }

    fn forward_actions(&self) -> usize {
        self.dimensions
    }

    fn backward_actions(&self) -> usize {
        self.dimensions
    }

    fn max_steps(&self) -> usize {
        self.dimensions * (self.side - 1)
    }

    fn state_width(&self) -> usize {
        self.dimensions
    }

    fn reset(&self, state: &mut [u32]) {
        state.fill(0);
    }

    fn legal_forward(&self, state: &[u32], actions: &mut Vec<u32>) {
        let open = |(_, coordinate): &(u32, &u32)| (**coordinate as usize) + 1 < self.side;
        actions.extend((0..).zip(state).filter(open).map(|(direction, _)| direction));
    }

    fn legal_backward(&self, state: &[u32], actions: &mut Vec<u32>) {
        let open = |(_, coordinate): &(u32, &u32)| **coordinate > 0;
        actions.extend((0..).zip(state).filter(open).map(|(direction, _)| direction));
    }

    fn is_legal(&self, state: &[u32], action: u32) -> bool {
        state.get(action as usize).is_some_and(|coordinate| (*coordinate as usize) + 1 < self.side)
    }

    fn can_stop(&self, _: &[u32]) -> bool {
        true
    }

    fn step(&self, state: &mut [u32], action: u32) {
        state[action as usize] += 1;
    }

    fn undo(&self, state: &mut [u32], backward: u32) {
        state[backward as usize] -= 1;
    }

    fn inverse(&self, _: &[u32], action: u32) -> u32 {
        action
    }

    fn forward_of(&self, _: &[u32], backward: u32) -> u32 {
        backward
    }

    fn features(&self) -> usize {
        self.dimensions * self.side
    }

    fn active_features(&self, state: &[u32], features: &mut Vec<u32>) {
        let side = self.side as u32;
        features
            .extend((0..).zip(state).map(|(direction, coordinate)| direction * side + coordinate));
    }

    fn object(&self, state: &[u32]) -> Object {
        Object::Integers(state.iter().map(|&coordinate| i64::from(coordinate)).collect())
    }

    fn state_of(&self, object: &Object) -> Result<Vec<u32>, NotAnObject> {
        let Object::Integers(coordinates) = object else {
            return Err(self.refuse(object, "it is no list of numbers"));
        };
        if coordinates.len() != self.dimensions {
            return Err(self.refuse(object, &format!("it has {} numbers", coordinates.len())));
        }
        let inside = |&coordinate: &i64| {
            u32::try_from(coordinate).ok().filter(|&coordinate| (coordinate as usize) < self.side)
        };
        let state: Option<Vec<u32>> = coordinates.iter().map(inside).collect();
        state.ok_or_else(|| self.refuse(object, "it lies outside"))
    }

    /// Steps between two cells: the sum of the differences of their coordinates.
    fn distance(&self, a: &Object, b: &Object) -> Option<f64> {
        let (a, b) = (self.state_of(a).ok()?, self.state_of(b).ok()?);
        Some(a.iter().zip(&b).map(|(a, b)| f64::from(a.abs_diff(*b))).sum())
    }

    /// The steps in any order: (Σ s)! / Π s!.
    fn log_path_count(&self, state: &[u32]) -> Option<f64> {
        let steps = state.iter().map(|&coordinate| u64::from(coordinate)).sum();
        let alike = state.iter().map(|&coordinate| ln_factorial(u64::from(coordinate)));
        Some(ln_factorial(steps) - alike.sum::<f64>())
    }

    fn enumeration(&self) -> Option<&dyn Enumeration> {
        (self.side as u64).checked_pow(u32::try_from(self.dimensions).ok()?)?;
        Some(self)
    }
}

/// Cells by their value in base H, the last coordinate being the highest digit.
impl Enumeration for Hypergrid {
    fn states(&self) -> u64 {
        (self.side as u64).pow(self.dimensions as u32)
    }

    fn index(&self, state: &[u32]) -> u64 {
        state.iter().rev().fold(0, |index, &digit| index * self.side as u64 + u64::from(digit))
    }

    fn state(&self, mut index: u64, state: &mut [u32]) {
        for digit in state {
            *digit = (index % self.side as u64) as u32;
            index /= self.side as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::environment::laws::check_laws;

    #[test]
    fn the_laws_hold_also_in_degenerate_sizes() {
        for (dimensions, side, walks) in [
            (1, 2, 100),
            (1, 9, 100),
            (2, 2, 100),
            (2, 8, 10_000),
            (3, 20, 1_000),
            (4, 8, 10_000),
            (7, 2, 1_000),
            (40, 9, 5),
        ] {
            check_laws(&Hypergrid::new(dimensions, side).unwrap(), walks, 1).unwrap();
        }
    }

    #[test]
    fn cells_are_apart_by_the_steps_between_them() {
        let grid = Hypergrid::new(2, 5).unwrap();
        let cell = |x, y| Object::Integers(vec![x, y]);
        assert_eq!(grid.distance(&cell(0, 4), &cell(3, 3)), Some(4.0));
        assert_eq!(grid.distance(&cell(0, 4), &cell(5, 3)), None);
    }

    #[test]
    fn paths_are_counted_by_the_multinomial() {
        let grid = Hypergrid::new(3, 9).unwrap();
        for (cell, paths) in
            [([0, 0, 0], 1.0), ([5, 0, 0], 1.0), ([1, 1, 0], 2.0), ([2, 1, 1], 12.0)]
        {
            let log_count = grid.log_path_count(&cell).unwrap();
            assert!((log_count - f64::ln(paths)).abs() < 1e-12, "{cell:?}: {log_count}");
        }
    }

    #[test]
    fn impossible_sizes_are_refused_by_key() {
        for (dimensions, side, key) in
            [(0, 8, "dimensions"), (2, 1, "side"), (2, 0, "side"), (usize::MAX, 3, "side")]
        {
            assert_eq!(Hypergrid::new(dimensions, side).unwrap_err().key, key);
        }
    }

    #[test]
    fn a_grid_too_large_to_count_has_no_enumeration() {
        assert_eq!(Hypergrid::new(63, 2).unwrap().enumeration().unwrap().states(), 1 << 63);
        assert!(Hypergrid::new(64, 2).unwrap().enumeration().is_none());
    }

    #[test]
    fn what_is_no_cell_is_refused_with_its_reason() {
        let grid = Hypergrid::new(2, 8).unwrap();
        assert_eq!(grid.parse_object("3 7").unwrap(), Object::Integers(vec![3, 7]));
        assert_eq!(grid.parse_object("[3, 7]").unwrap(), Object::Integers(vec![3, 7]));
        for (text, expected) in [
            ("3 8", "object \"3 8\": it lies outside; expected 2 whole numbers from 0 to 7"),
            ("3 1 2", "it has 3 numbers"),
            ("3", "it is no list of numbers"),
            ("-1 2", "it lies outside"),
            ("three", "it is no list of numbers"),
        ] {
            let message = grid.parse_object(text).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn it_is_found_behind_an_environment() {
        let grid = Hypergrid::new(3, 5).unwrap();
        assert_eq!(Hypergrid::of(&grid), Some(grid));
    }
}
