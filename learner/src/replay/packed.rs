//! The actions of a trajectory in as little memory as their numbers need.

/// Actions in one, two or four bytes each, as the largest needs; a few small ones without memory of
/// their own.
pub(super) enum Packed {
    Few { count: u8, actions: [u8; Self::FEW] },
    Bytes(Box<[u8]>),
    Pairs(Box<[u16]>),
    Words(Box<[u32]>),
}

impl Packed {
    /// With them it is as large as a cache line's half.
    const FEW: usize = 30;

    pub(super) fn new(actions: &[u32]) -> Self {
        let largest = actions.iter().copied().max().unwrap_or(0);
        // Nothing is cut off: the largest fits.
        if largest <= u32::from(u8::MAX) && actions.len() <= Self::FEW {
            let mut few = [0; Self::FEW];
            few.iter_mut().zip(actions).for_each(|(few, &action)| *few = action as u8);
            Self::Few { count: actions.len() as u8, actions: few }
        } else if largest <= u32::from(u8::MAX) {
            Self::Bytes(actions.iter().map(|&action| action as u8).collect())
        } else if largest <= u32::from(u16::MAX) {
            Self::Pairs(actions.iter().map(|&action| action as u16).collect())
        } else {
            Self::Words(actions.into())
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Few { count, .. } => usize::from(*count),
            Self::Bytes(actions) => actions.len(),
            Self::Pairs(actions) => actions.len(),
            Self::Words(actions) => actions.len(),
        }
    }

    /// Appends them.
    pub(super) fn extend(&self, out: &mut Vec<u32>) {
        match self {
            Self::Few { count, actions } => {
                out.extend(actions[..usize::from(*count)].iter().map(|&action| u32::from(action)));
            }
            Self::Bytes(actions) => out.extend(actions.iter().map(|&action| u32::from(action))),
            Self::Pairs(actions) => out.extend(actions.iter().map(|&action| u32::from(action))),
            Self::Words(actions) => out.extend_from_slice(actions),
        }
    }

    pub(super) fn to_vec(&self) -> Vec<u32> {
        let mut actions = Vec::with_capacity(self.len());
        self.extend(&mut actions);
        actions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_come_back_as_they_were_in_as_few_bytes_as_they_need() {
        let most: Vec<u32> = (0..Packed::FEW as u32).collect();
        let more: Vec<u32> = (0..=Packed::FEW as u32).collect();
        let rows: [(&[u32], usize); 9] = [
            (&most, 1),
            (&more, 1),
            (&[], 1),
            (&[0, 3, 1], 1),
            (&[255, 0], 1),
            (&[256, 0], 2),
            (&[7, 65_535], 2),
            (&[65_536], 4),
            (&[u32::MAX, 0], 4),
        ];
        for (actions, bytes) in rows {
            let packed = Packed::new(actions);
            let each = match packed {
                Packed::Few { .. } | Packed::Bytes(_) => 1,
                Packed::Pairs(_) => 2,
                Packed::Words(_) => 4,
            };
            assert_eq!((packed.len(), each), (actions.len(), bytes), "{actions:?}");
            assert_eq!(packed.to_vec(), actions);
            let mut out = vec![9];
            packed.extend(&mut out);
            assert_eq!(out[1..], *actions);
        }
    }
}
