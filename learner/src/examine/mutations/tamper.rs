//! Ways to tamper with the actions of a trajectory. Some leave it legal: then it must be accepted.

use tributary_common::random::Stream;

use super::naive::Rule;

#[derive(Clone, Copy, Debug)]
pub(super) enum Tamper {
    Nothing,
    Flip,
    FlipBit,
    Insert,
    Delete,
    Duplicate,
    Swap,
    Truncate,
    HugeId,
    FirstIdThatIsNone,
    Empty,
    TooLong,
}

impl Tamper {
    pub(super) const ALL: [Self; 12] = [
        Self::Nothing,
        Self::Flip,
        Self::FlipBit,
        Self::Insert,
        Self::Delete,
        Self::Duplicate,
        Self::Swap,
        Self::Truncate,
        Self::HugeId,
        Self::FirstIdThatIsNone,
        Self::Empty,
        Self::TooLong,
    ];

    pub(super) fn apply(self, actions: &mut Vec<u32>, rule: &Rule, stream: &mut Stream) {
        let any = |stream: &mut Stream| stream.below(rule.actions() as usize) as u32;
        let huge = [u32::MAX, u32::MAX - 1, 1 << 31, (1 << 31) - 1, 1 << 16, 1_000_000_007];
        let set = |actions: &mut Vec<u32>, value: u32, place: usize| match actions.get_mut(place) {
            Some(action) => *action = value,
            None => actions.push(value),
        };
        let place = stream.below(actions.len().max(1));
        let other = stream.below(actions.len().max(1));
        match self {
            Self::Nothing => {}
            Self::Flip => set(actions, any(stream), place),
            Self::FlipBit => {
                let bit = 1 << stream.below(32);
                let old = actions.get(place).copied().unwrap_or_default();
                set(actions, old ^ bit, place);
            }
            Self::Insert => actions.insert(place, any(stream)),
            Self::Delete => drop(actions.drain(place..(place + 1).min(actions.len()))),
            Self::Duplicate => {
                let copy = actions.get(place).copied();
                actions.extend(copy);
            }
            Self::Swap if actions.is_empty() => {}
            Self::Swap => actions.swap(place, other),
            Self::Truncate => actions.truncate(place),
            Self::HugeId => set(actions, huge[stream.below(huge.len())], place),
            Self::FirstIdThatIsNone => set(actions, rule.actions(), place),
            Self::Empty => actions.clear(),
            Self::TooLong => {
                for _ in 0..=stream.below(400) {
                    actions.push(any(stream));
                }
            }
        }
    }
}
