//! Which action sequences are legal and what they build, from the definitions in
//! `docs/environments`, without states, masks or steps.

use std::collections::VecDeque;

use tributary_common::random::Stream;

/// The tokens of the cases' sequences, by number.
const LETTERS: &str = "ACGT";
const BLOCKS: [&str; 11] =
    ["C", "O", "N", "CF", "C=O", "C=C", "C#C", "c1ccccc1", "C1CCCCC1", "C1CCNC1", "CCC"];

/// Where tokens go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Back,
    Ends,
    Before,
    Position,
}

/// A construction with its sizes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rule {
    Words { place: Place, vocabulary: u64, longest: u64, is_fixed: bool },
    Grid { dimensions: u64, side: u64 },
}

impl Rule {
    pub(super) fn append(vocabulary: u64, longest: u64, is_fixed: bool) -> Self {
        Self::Words { place: Place::Back, vocabulary, longest, is_fixed }
    }

    pub(super) fn ends(vocabulary: u64, longest: u64, is_fixed: bool) -> Self {
        Self::Words { place: Place::Ends, vocabulary, longest, is_fixed }
    }

    pub(super) fn insert(vocabulary: u64, longest: u64, is_fixed: bool) -> Self {
        Self::Words { place: Place::Before, vocabulary, longest, is_fixed }
    }

    pub(super) fn anywhere(vocabulary: u64, longest: u64) -> Self {
        Self::Words { place: Place::Position, vocabulary, longest, is_fixed: true }
    }

    /// Whether these actions, and then the exit, can have happened.
    pub(super) fn is_legal(&self, actions: &[u32]) -> bool {
        let actions: Vec<u64> = actions.iter().map(|&action| u64::from(action)).collect();
        let count = actions.len() as u64;
        match *self {
            Self::Grid { dimensions, side } => {
                let along = |d: u64| actions.iter().filter(|&&action| action == d).count() as u64;
                (0..dimensions).all(|d| along(d) < side)
                    && (0..dimensions).map(along).sum::<u64>() == count
            }
            Self::Words { place, vocabulary, longest, is_fixed } => {
                let ends_well =
                    if is_fixed { count == longest } else { (1..=longest).contains(&count) };
                let mut numbered = (0u64..).zip(&actions);
                ends_well
                    && match place {
                        Place::Back => numbered.all(|(_, &action)| action < vocabulary),
                        Place::Ends => numbered.all(|(_, &action)| action < 2 * vocabulary),
                        // Before position p of the n tokens so far, 0 <= p <= n.
                        Place::Before => numbered.all(|(n, &action)| action / vocabulary <= n),
                        Place::Position => {
                            let mut places: Vec<u64> =
                                actions.iter().map(|action| action / vocabulary).collect();
                            places.sort_unstable();
                            places == (0..longest).collect::<Vec<_>>()
                        }
                    }
            }
        }
    }

    /// The text of the object that legal actions build.
    pub(super) fn object(&self, actions: &[u32]) -> String {
        let Self::Words { place, vocabulary, longest, .. } = *self else {
            let Self::Grid { dimensions, .. } = *self else { unreachable!() };
            let along = |d: u64| actions.iter().filter(|&&action| u64::from(action) == d).count();
            return (0..dimensions).map(|d| along(d).to_string()).collect::<Vec<_>>().join(" ");
        };
        let mut built = VecDeque::new();
        if place == Place::Position {
            built.resize(longest as usize, 0);
        }
        for action in actions.iter().map(|&action| u64::from(action)) {
            let (at, token) = ((action / vocabulary) as usize, action % vocabulary);
            match place {
                Place::Back => built.push_back(token),
                Place::Ends if at == 0 => built.push_front(token),
                Place::Ends => built.push_back(token),
                Place::Before => built.insert(at, token),
                Place::Position => built[at] = token,
            }
        }
        let words: Vec<String> = built.iter().map(|&token| word(token, vocabulary)).collect();
        words.join(if vocabulary == 11 { " " } else { "" })
    }

    /// A random legal path.
    pub(super) fn legal_path(&self, stream: &mut Stream) -> Vec<u32> {
        let below = |stream: &mut Stream, most: u64| stream.below(most as usize) as u64;
        let path: Vec<u64> = match *self {
            Self::Grid { dimensions, side } => {
                let mut path: Vec<u64> =
                    (0..dimensions).flat_map(|d| vec![d; below(stream, side) as usize]).collect();
                shuffle(&mut path, stream);
                path
            }
            Self::Words { place, vocabulary, longest, is_fixed } => {
                let count = if is_fixed { longest } else { 1 + below(stream, longest) };
                let mut places: Vec<u64> = (0..longest).collect();
                shuffle(&mut places, stream);
                let mut at = |n: u64| match place {
                    Place::Back => 0,
                    Place::Ends => below(stream, 2),
                    Place::Before => below(stream, n + 1),
                    Place::Position => places[n as usize],
                };
                let places: Vec<u64> = (0..count).map(&mut at).collect();
                places.into_iter().map(|p| p * vocabulary + below(stream, vocabulary)).collect()
            }
        };
        path.into_iter().map(|action| action as u32).collect()
    }

    /// One more than the largest number that is ever an action.
    pub(super) fn actions(&self) -> u32 {
        (match *self {
            Self::Grid { dimensions, .. } => dimensions,
            Self::Words { place: Place::Back, vocabulary, .. } => vocabulary,
            Self::Words { place: Place::Ends, vocabulary, .. } => 2 * vocabulary,
            Self::Words { vocabulary, longest, .. } => longest * vocabulary,
        }) as u32
    }
}

fn word(token: u64, vocabulary: u64) -> String {
    match vocabulary {
        11 => BLOCKS[token as usize].to_owned(),
        256 => format!("{token:08b}"),
        _ => LETTERS.chars().nth(token as usize).unwrap().to_string(),
    }
}

fn shuffle(items: &mut [u64], stream: &mut Stream) {
    for last in (1..items.len()).rev() {
        items.swap(last, stream.below(last + 1));
    }
}
