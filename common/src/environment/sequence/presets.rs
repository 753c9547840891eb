//! Tasks of the literature by name, so that a run file need not spell their sizes.

use super::Construction;

crate::choices! {
    /// A task of the literature.
    pub(super) enum Preset {
        /// Strings of bits of "Trajectory balance" (Malkin et al. 2022): `bits` = 120 in words of
        /// `word_bits` = 8, put at any position; for the reward "bit_sequence".
        Bitseq = "bitseq",
        /// All DNA words of 8 letters: `alphabet` = "ACGT", `length` = 8, built by "append" unless
        /// another construction is given.
        Tfbind8 = "tfbind8",
        /// Molecules as 5 of 11 blocks, put at either end: the strings of "Towards Understanding and
        /// Improving GFlowNet Training" (Shen et al. 2023).
        Qm9Strings = "qm9_strings",
    }
}

/// The blocks of `qm9_strings` as SMILES, in the order in which their tables number them.
const QM9_BLOCKS: [&str; 11] =
    ["C", "O", "N", "CF", "C=O", "C=C", "C#C", "c1ccccc1", "C1CCCCC1", "C1CCNC1", "CCC"];

impl Preset {
    /// How its objects are built.
    pub(super) fn construction(self) -> Construction {
        match self {
            Self::Bitseq => Construction::AnyPosition,
            Self::Tfbind8 => Construction::Append,
            Self::Qm9Strings => Construction::PrependAppend,
        }
    }

    /// Its tokens, where they are characters.
    pub(super) fn alphabet(self) -> Option<String> {
        (self == Self::Tfbind8).then(|| "ACGT".to_owned())
    }

    /// Its tokens, where they are longer texts.
    pub(super) fn vocabulary(self) -> Option<Vec<String>> {
        (self == Self::Qm9Strings).then(|| QM9_BLOCKS.map(str::to_owned).into())
    }

    /// Bits of a token, where tokens are words of bits.
    pub(super) fn word_bits(self) -> Option<usize> {
        (self == Self::Bitseq).then_some(8)
    }

    /// Bits of an object, likewise.
    pub(super) fn bits(self) -> Option<usize> {
        (self == Self::Bitseq).then_some(120)
    }

    /// Tokens of an object, where they are not counted in bits.
    pub(super) fn length(self) -> Option<usize> {
        match self {
            Self::Bitseq => None,
            Self::Tfbind8 => Some(8),
            Self::Qm9Strings => Some(5),
        }
    }
}
