//! Negative controls: each fault put into a good environment is found.

use super::*;
use crate::environment::{Hypergrid, Identity, NotAnObject};
use crate::object::Object;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    Undo,
    ForwardOf,
    Inverse,
    IsLegal,
    IsLegalBeyond,
    Take,
    TakeBeyond,
    DeadEnd,
    MissingBackward,
    MaxSteps,
    FeatureRange,
    FeaturesAlike,
    StateOf,
    ObjectsAlike,
    Index,
    Order,
    PathCount,
    PathCountMissing,
}

/// A 3 by 3 grid with one fault.
struct Faulty {
    grid: Hypergrid,
    fault: Fault,
}

impl Faulty {
    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }
}

impl Environment for Faulty {
    fn identity(&self) -> Identity {
        self.grid.identity()
    }
    fn forward_actions(&self) -> usize {
        2
    }
    fn backward_actions(&self) -> usize {
        2
    }
    fn max_steps(&self) -> usize {
        if self.has(Fault::MaxSteps) { 3 } else { 4 }
    }
    fn state_width(&self) -> usize {
        2
    }
    fn reset(&self, state: &mut [u32]) {
        self.grid.reset(state);
    }
    fn legal_forward(&self, state: &[u32], actions: &mut Vec<u32>) {
        self.grid.legal_forward(state, actions);
    }
    fn legal_backward(&self, state: &[u32], actions: &mut Vec<u32>) {
        self.grid.legal_backward(state, actions);
        if self.has(Fault::MissingBackward) && state == [1, 2] {
            actions.pop();
        }
    }
    fn is_legal(&self, state: &[u32], action: u32) -> bool {
        (self.grid.is_legal(state, action) && !(self.has(Fault::IsLegal) && state == [1, 1]))
            || (self.has(Fault::IsLegalBeyond) && action == 2)
    }
    fn can_stop(&self, state: &[u32]) -> bool {
        !(self.has(Fault::DeadEnd) && state == [2, 2])
    }
    fn step(&self, state: &mut [u32], action: u32) {
        self.grid.step(state, action);
    }
    fn take(&self, state: &mut [u32], actions: &[u32]) -> Result<(), usize> {
        match self.fault {
            Fault::Take if actions.len() == 4 => self.grid.take(state, &actions[..3]),
            Fault::TakeBeyond if actions == [2] => Ok(()),
            _ => self.grid.take(state, actions),
        }
    }
    fn undo(&self, state: &mut [u32], backward: u32) {
        let wrong = self.has(Fault::Undo) && state == [2, 1];
        self.grid.undo(state, if wrong { 1 - backward } else { backward });
    }
    fn inverse(&self, state: &[u32], action: u32) -> u32 {
        if self.has(Fault::Inverse) && state == [1, 1] { 1 - action } else { action }
    }
    fn forward_of(&self, state: &[u32], backward: u32) -> u32 {
        if self.has(Fault::ForwardOf) && state == [2, 2] { 0 } else { backward }
    }
    fn features(&self) -> usize {
        if self.has(Fault::FeatureRange) { 5 } else { 6 }
    }
    fn active_features(&self, state: &[u32], features: &mut Vec<u32>) {
        let state = if self.has(Fault::FeaturesAlike) && state == [1, 2] { &[2, 2] } else { state };
        self.grid.active_features(state, features);
    }
    fn object(&self, state: &[u32]) -> Object {
        let state = if self.has(Fault::ObjectsAlike) && state == [0, 2] { &[2, 0] } else { state };
        self.grid.object(state)
    }
    fn state_of(&self, object: &Object) -> Result<Vec<u32>, NotAnObject> {
        let mut state = self.grid.state_of(object)?;
        if self.has(Fault::StateOf) {
            state.reverse();
        }
        Ok(state)
    }
    fn log_path_count(&self, state: &[u32]) -> Option<f64> {
        let count = self.grid.log_path_count(state);
        match self.fault {
            Fault::PathCount if state == [2, 1] => Some(2f64.ln()),
            Fault::PathCountMissing if state == [1, 1] => None,
            Fault::PathCount | Fault::PathCountMissing | Fault::None => count,
            // The other faults break the counts along the edges, too.
            _ => None,
        }
    }
    fn enumeration(&self) -> Option<&dyn Enumeration> {
        Some(self)
    }
}

impl Enumeration for Faulty {
    fn states(&self) -> u64 {
        9
    }
    fn index(&self, state: &[u32]) -> u64 {
        let index = self.grid.index(state);
        match self.fault {
            Fault::Index if index == 4 => 5,
            Fault::Order => 8 - index,
            _ => index,
        }
    }
    fn state(&self, index: u64, state: &mut [u32]) {
        self.grid.state(if self.has(Fault::Order) { 8 - index } else { index }, state);
    }
}

#[test]
fn each_fault_is_found() {
    for (fault, expected) in [
        (Fault::Undo, "undo does not lead back"),
        (Fault::ForwardOf, "forward_of names another action"),
        (Fault::Inverse, "inverse names another backward action"),
        (Fault::IsLegal, "is_legal is wrong, it is listed"),
        (Fault::IsLegalBeyond, "is_legal is wrong, it is not listed"),
        (Fault::Take, "take(["),
        (Fault::TakeBeyond, "takes action 2, which is not legal"),
        (Fault::DeadEnd, "a dead end"),
        (Fault::MissingBackward, "the inverse is not legal there"),
        (Fault::MaxSteps, "but goes on"),
        (Fault::FeatureRange, "not below 5"),
        (Fault::FeaturesAlike, "the network cannot tell it from"),
        (Fault::StateOf, "is that of"),
        (Fault::ObjectsAlike, "is that of [2, 0]"),
        (Fault::Index, "the state at its index 5"),
        (Fault::Order, "leads from"),
        (Fault::PathCount, "paths lead here, but"),
        (Fault::PathCountMissing, "paths are not counted"),
    ] {
        let grid = Hypergrid::new(2, 3).unwrap();
        let found = check_laws(&Faulty { grid, fault }, 100, 1).unwrap_err().to_string();
        assert!(found.contains(expected), "{fault:?}: {found}");
    }
}

#[test]
fn the_environment_without_a_fault_passes() {
    let grid = Hypergrid::new(2, 3).unwrap();
    check_laws(&Faulty { grid, fault: Fault::None }, 100, 1).unwrap();
}
