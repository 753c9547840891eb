//! An environment whose backward actions are parents instead of edges: wrong on purpose.

use std::sync::Arc;

use tributary_common::environment::{Enumeration, Environment, Identity, NotAnObject};
use tributary_common::object::Object;

/// Keeps one backward action for each parent of a state, so that several edges between the same two
/// states are undone by the same one. It breaks the law that P_B is over edges.
pub(super) struct Deduplicated(pub(super) Arc<dyn Environment>);

impl Deduplicated {
    fn parent(&self, state: &[u32], backward: u32) -> Vec<u32> {
        let mut parent = state.to_vec();
        self.0.undo(&mut parent, backward);
        parent
    }
}

impl Environment for Deduplicated {
    fn identity(&self) -> Identity {
        self.0.identity()
    }

    fn forward_actions(&self) -> usize {
        self.0.forward_actions()
    }

    fn backward_actions(&self) -> usize {
        self.0.backward_actions()
    }

    fn max_steps(&self) -> usize {
        self.0.max_steps()
    }

    fn state_width(&self) -> usize {
        self.0.state_width()
    }

    fn reset(&self, state: &mut [u32]) {
        self.0.reset(state);
    }

    fn legal_forward(&self, state: &[u32], actions: &mut Vec<u32>) {
        self.0.legal_forward(state, actions);
    }

    fn legal_backward(&self, state: &[u32], actions: &mut Vec<u32>) {
        let mut edges = Vec::new();
        self.0.legal_backward(state, &mut edges);
        let mut parents = Vec::new();
        for backward in edges {
            let parent = self.parent(state, backward);
            if !parents.contains(&parent) {
                parents.push(parent);
                actions.push(backward);
            }
        }
    }

    fn can_stop(&self, state: &[u32]) -> bool {
        self.0.can_stop(state)
    }

    fn step(&self, state: &mut [u32], action: u32) {
        self.0.step(state, action);
    }

    fn undo(&self, state: &mut [u32], backward: u32) {
        self.0.undo(state, backward);
    }

    /// The one backward action that is kept of those to the same parent.
    fn inverse(&self, state: &[u32], action: u32) -> u32 {
        let mut next = state.to_vec();
        self.0.step(&mut next, action);
        let mut kept = Vec::new();
        self.legal_backward(&next, &mut kept);
        let to_here = kept.into_iter().find(|&backward| self.parent(&next, backward) == state);
        to_here.unwrap_or_else(|| self.0.inverse(state, action))
    }

    fn forward_of(&self, state: &[u32], backward: u32) -> u32 {
        self.0.forward_of(state, backward)
    }

    fn features(&self) -> usize {
        self.0.features()
    }

    fn active_features(&self, state: &[u32], features: &mut Vec<u32>) {
        self.0.active_features(state, features);
    }

    fn object(&self, state: &[u32]) -> Object {
        self.0.object(state)
    }

    fn state_of(&self, object: &Object) -> Result<Vec<u32>, NotAnObject> {
        self.0.state_of(object)
    }

    fn enumeration(&self) -> Option<&dyn Enumeration> {
        self.0.enumeration()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tributary_common::environment::Sequence;
    use tributary_common::environment::laws::check_laws;
    use tributary_common::environment::sequence::{Construction, Length};

    use super::*;

    #[test]
    fn it_breaks_the_laws_where_edges_are_parallel() {
        for (construction, has_parallel_edges) in
            [(Construction::Append, false), (Construction::Insert, true)]
        {
            let words = Sequence::over_alphabet("AB", Length::Length(3)).unwrap();
            let words: Arc<dyn Environment> = Arc::new(words.built_by(construction).unwrap());
            check_laws(words.as_ref(), 100, 1).unwrap();
            let broken = check_laws(&Deduplicated(words), 100, 1);
            assert_eq!(broken.is_err(), has_parallel_edges, "{construction:?}: {broken:?}");
        }
    }
}
