//! The work of a lockstep run: trajectories that an actor is told to draw.

use std::ops::Range;

use crate::ids::PolicyVersion;

/// Draw the trajectories `first_index .. first_index + count` of a round with exactly these weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkOrder {
    /// From 1; part of the address of random numbers.
    pub round: u64,
    /// The first trajectory; they are counted over the whole run.
    pub first_index: u64,
    /// How many, at least 1.
    pub count: u32,
    /// The weights.
    pub policy: PolicyVersion,
}

impl WorkOrder {
    /// The trajectories by their indices.
    #[must_use]
    pub fn indices(&self) -> Range<u64> {
        self.first_index..self.first_index + u64::from(self.count)
    }
}

/// The place of a trajectory in a lockstep run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its work order's round.
    pub round: u64,
    /// Its own index.
    pub index: u64,
}
