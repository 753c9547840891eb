//! States as tokens at positions, for networks that attend.

/// How the network's inputs of an environment are tokens at positions.
///
/// Of the inputs, `position * vocabulary + token` is 1 where that token stands at that position:
/// [`Environment::active_features`](super::Environment::active_features) lists the filled positions,
/// ascending, and `features()` is `positions * vocabulary`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenLayout {
    /// Positions that can be filled.
    pub positions: usize,
    /// Tokens that can stand at each.
    pub vocabulary: usize,
    /// Whether positions are filled from the first one on and every action fills the next, so that
    /// the inputs of a state are those of its parent and one more.
    pub appended: bool,
}

impl TokenLayout {
    /// The reading that fits any environment: each input is a position with a token of its own.
    pub fn of_features(features: usize) -> Self {
        Self { positions: features, vocabulary: 1, appended: false }
    }

    /// Number of one-hot inputs.
    pub fn features(self) -> usize {
        self.positions * self.vocabulary
    }

    /// The position that an input tells about.
    pub fn position(self, feature: u32) -> u32 {
        feature / self.vocabulary as u32
    }

    /// The token that an input says is there.
    pub fn token(self, feature: u32) -> u32 {
        feature % self.vocabulary as u32
    }
}
