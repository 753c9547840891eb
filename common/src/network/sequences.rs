//! What a transformer reads of a batch of states: sequences of elements, without padding.
//!
//! A state's sequence is a start element that is always there, then its tokens. Where tokens are
//! appended, attention is causal, and the element of a state's last token tells all about it: a
//! state that is the beginning of another one is read there, in the same sequence.

use super::Ragged;
use crate::environment::TokenLayout;

/// Which elements belong together, and who asks about them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sequences {
    /// Where the elements of each sequence start, and the end of the last.
    pub offsets: Vec<u32>,
    /// Those who ask, in the order of the queries' rows.
    pub queries: Vec<Query>,
}

/// Who asks a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    /// Which.
    pub sequence: u32,
    /// Elements that it sees, from the sequence's first; at least 1.
    pub visible: u32,
}

impl Sequences {
    /// Number of sequences.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements of one sequence.
    pub fn elements(&self, sequence: usize) -> std::ops::Range<usize> {
        self.offsets[sequence] as usize..self.offsets[sequence + 1] as usize
    }
}

/// How a batch of states is read.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// For each element the rows of the embedding table that it is the sum of: its token's and its
    /// position's. None for the start: it is the table's bias.
    pub(super) elements: Ragged,
    /// Every element asks.
    pub(super) all: Sequences,
    /// Those elements ask that states are read from.
    pub(super) read: Sequences,
    /// The element that each state is read from.
    pub(super) rows: Vec<u32>,
}

impl Plan {
    /// Reads whole states, given by their active features.
    pub(super) fn new(layout: TokenLayout, features: &Ragged) -> Self {
        let mut plan = Self::empty();
        if layout.appended {
            plan.share(layout, features)
        } else {
            plan.separate(layout, features)
        }
        plan.finish()
    }

    /// Reads what states have beyond their first `known` elements, which a cache holds; one sequence
    /// for each state. At least the last element of each must be left.
    pub(super) fn continued(layout: TokenLayout, features: &Ragged, known: &[usize]) -> Self {
        let mut plan = Self::empty();
        for (sequence, &known) in known.iter().enumerate() {
            plan.push(layout, features.row(sequence), known);
            plan.rows.push(plan.elements.rows() as u32 - 1);
        }
        plan.finish()
    }

    fn empty() -> Self {
        let all = Sequences { offsets: vec![0], queries: Vec::new() };
        Self { elements: Ragged::default(), all, read: Sequences::default(), rows: Vec::new() }
    }

    /// Each state in a sequence of its own, read at its start.
    fn separate(&mut self, layout: TokenLayout, features: &Ragged) {
        for sequence in 0..features.rows() {
            self.rows.push(self.elements.rows() as u32);
            self.push(layout, features.row(sequence), 0);
        }
    }

    /// A sequence for each state that is not the beginning of another. In lexical order the states
    /// that begin with a state follow it.
    fn share(&mut self, layout: TokenLayout, features: &Ragged) {
        let mut order: Vec<usize> = (0..features.rows()).collect();
        order.sort_by_key(|&state| features.row(state));
        self.rows.resize(order.len(), 0);
        let (mut longest, mut start) = (&[][..], 0);
        for (i, &state) in order.iter().enumerate().rev() {
            let row = features.row(state);
            if i + 1 == order.len() || !longest.starts_with(row) {
                start = self.elements.rows();
                self.push(layout, row, 0);
            }
            longest = row;
            self.rows[state] = (start + row.len()) as u32;
        }
    }

    /// Adds a sequence of a state's elements from the `known`th on.
    fn push(&mut self, layout: TokenLayout, features: &[u32], known: usize) {
        let sequence = self.all.offsets.len() as u32 - 1;
        let length = 1 + features.len();
        for element in known..length {
            self.elements.push_with(|rows| {
                if let Some(&feature) = element.checked_sub(1).and_then(|i| features.get(i)) {
                    let position = layout.vocabulary as u32 + layout.position(feature);
                    rows.extend([layout.token(feature), position]);
                }
            });
            let visible = if layout.appended { element + 1 } else { length };
            self.all.queries.push(Query { sequence, visible: visible as u32 });
        }
        self.all.offsets.push(self.elements.rows() as u32);
    }

    fn finish(mut self) -> Self {
        let queries = self.rows.iter().map(|&element| self.all.queries[element as usize]).collect();
        self.read = Sequences { offsets: self.all.offsets.clone(), queries };
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ragged(rows: &[&[u32]]) -> Ragged {
        let mut ragged = Ragged::default();
        rows.iter().for_each(|row| ragged.push_with(|out| out.extend_from_slice(row)));
        ragged
    }

    fn seen(sequences: &Sequences) -> Vec<(u32, u32)> {
        sequences.queries.iter().map(|query| (query.sequence, query.visible)).collect()
    }

    #[test]
    fn every_element_sees_its_state_and_the_start_is_read() {
        let layout = TokenLayout { positions: 3, vocabulary: 4, appended: false };
        // Nothing; token 1 at position 2.
        let plan = Plan::new(layout, &ragged(&[&[], &[9]]));
        assert_eq!(plan.elements, ragged(&[&[], &[], &[1, 4 + 2]]));
        assert_eq!(plan.all.offsets, [0, 1, 3]);
        assert_eq!(seen(&plan.all), [(0, 1), (1, 2), (1, 2)]);
        assert_eq!((plan.rows, seen(&plan.read)), (vec![0, 1], vec![(0, 1), (1, 2)]));
    }

    #[test]
    fn the_beginning_of_a_state_is_read_within_it() {
        let layout = TokenLayout { positions: 3, vocabulary: 2, appended: true };
        // A, nothing, AB, AA, AB again.
        let plan = Plan::new(layout, &ragged(&[&[0], &[], &[0, 3], &[0, 2], &[0, 3]]));
        assert_eq!(plan.all.offsets, [0, 3, 6], "AB, then AA with all that begins it");
        assert_eq!(plan.rows, [4, 3, 2, 5, 2]);
        assert_eq!(seen(&plan.all), [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3)]);
        assert_eq!(seen(&plan.read), [(1, 2), (1, 1), (0, 3), (1, 3), (0, 3)]);
    }

    #[test]
    fn what_a_cache_holds_is_not_read_again() {
        let layout = TokenLayout { positions: 3, vocabulary: 2, appended: true };
        let plan = Plan::continued(layout, &ragged(&[&[0, 3], &[], &[1]]), &[2, 0, 0]);
        assert_eq!(plan.elements, ragged(&[&[1, 3], &[], &[], &[1, 2]]));
        assert_eq!(plan.all.offsets, [0, 1, 2, 4]);
        assert_eq!(seen(&plan.all), [(0, 3), (1, 1), (2, 1), (2, 2)]);
        assert_eq!(plan.rows, [0, 1, 3]);
    }
}
