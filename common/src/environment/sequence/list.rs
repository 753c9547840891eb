//! Lists of all states of sequences, in an order in which adding a token leads to a higher index.

use crate::environment::Enumeration;

/// All sequences up to a length without gaps: by length, then by their value in base V, the first
/// token being the highest digit.
#[derive(Clone, Debug)]
pub(super) struct ByLength {
    vocabulary: u64,
    /// `first[n]`: the number of sequences with fewer than n tokens, for n up to longest + 1.
    first: Vec<u64>,
}

impl ByLength {
    /// The list, unless it is longer than a u64 can count.
    pub(super) fn new(vocabulary: u64, longest: usize) -> Option<Self> {
        let mut first = vec![0];
        let (mut total, mut of_length) = (0u64, Some(1u64));
        for _ in 0..=longest {
            total = total.checked_add(of_length?)?;
            first.push(total);
            of_length = of_length?.checked_mul(vocabulary);
        }
        Some(Self { vocabulary, first })
    }
}

impl Enumeration for ByLength {
    fn states(&self) -> u64 {
        self.first.last().copied().unwrap_or(0)
    }

    fn index(&self, state: &[u32]) -> u64 {
        let length = state[0] as usize;
        let value = |value, &word: &u32| value * self.vocabulary + u64::from(word - 1);
        self.first[length] + state[1..=length].iter().fold(0, value)
    }

    fn state(&self, index: u64, state: &mut [u32]) {
        state.fill(0);
        let length = self.first.partition_point(|&first| first <= index).saturating_sub(1);
        let mut value = index - self.first[length];
        state[0] = length as u32;
        for word in state[1..=length].iter_mut().rev() {
            *word = 1 + (value % self.vocabulary) as u32;
            value /= self.vocabulary;
        }
    }
}

/// All ways to fill some of the positions: by their value in base V + 1, the first position being
/// the highest digit and an empty one 0, so that filling a position adds to the value.
#[derive(Clone, Debug)]
pub(super) struct ByPosition {
    base: u64,
    states: u64,
}

impl ByPosition {
    /// The list, unless it is longer than a u64 can count.
    pub(super) fn new(vocabulary: u64, positions: usize) -> Option<Self> {
        let base = vocabulary.checked_add(1)?;
        let states = base.checked_pow(u32::try_from(positions).ok()?)?;
        Some(Self { base, states })
    }
}

impl Enumeration for ByPosition {
    fn states(&self) -> u64 {
        self.states
    }

    fn index(&self, state: &[u32]) -> u64 {
        state[1..].iter().fold(0, |value, &word| value * self.base + u64::from(word))
    }

    fn state(&self, index: u64, state: &mut [u32]) {
        let mut value = index;
        for word in state[1..].iter_mut().rev() {
            *word = (value % self.base) as u32;
            value /= self.base;
        }
        state[0] = state[1..].iter().filter(|word| **word > 0).count() as u32;
    }
}
