//! Bit sequences: strings of n bits, worth the more the nearer they are to one of M hidden modes.
//!
//! The task of "Trajectory balance: Improved credit assignment in GFlowNets" (Malkin et al. 2022).
//! Programs that bear its name differ in the scale of log R, so both scales are here by name:
//! `per_bit` with exponent 3 spans log R from -3 to 0, `raw` with exponent 2 puts a random string
//! of 120 bits near -95.

use serde::{Deserialize, Serialize};

use super::{InvalidRaw, Output, Reward, RewardError, Role, single};
use crate::environment::{Environment, Identity, InvalidConfiguration, Sequence};
use crate::log_space::LogReward;
use crate::object::Object;
use crate::random::{Purpose, Stream};
use crate::run_file::{Config, Keys, Problem, Section};

/// What modes are made of.
const BLOCKS: [&str; 5] = ["00000000", "11111111", "11110000", "00001111", "00111100"];

/// Bits of a block.
const BLOCK_BITS: usize = 8;

crate::choices! {
    /// In what the distance d of log R = -exponent d is counted.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum DistanceScale {
        /// Bits over the length: d = d_min / n.
        PerBit = "per_bit",
        /// Bits: d = d_min.
        Raw = "raw",
    }
}

/// Which modes there are, and how log R falls with the distance from them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Number of modes M; each is n / 8 blocks drawn uniformly, so that two may be the same.
    pub modes: usize,
    /// Seed of the modes and of the test set.
    pub seed: u64,
    /// The unit of the distance.
    pub distance_scale: DistanceScale,
    /// log R for each unit of distance, above 0.
    pub exponent: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { modes: 60, seed: 0, distance_scale: DistanceScale::PerBit, exponent: 1.0 }
    }
}

impl Config for Settings {
    fn about() -> &'static str {
        "strings of bits are worth the more the nearer they are to a hidden mode: log R = -exponent \
         times the distance"
    }

    fn declare(&mut self, keys: &mut Keys<'_>) {
        keys.key("modes", &mut self.modes, "hidden modes").at_least(1).at_most(100_000);
        keys.key("seed", &mut self.seed, "seed of the modes and of the test set");
        let scale = "the unit of the distance";
        keys.key("distance_scale", &mut self.distance_scale, scale).required();
        keys.key("exponent", &mut self.exponent, "log-reward lost for each unit of distance")
            .required()
            .above(0.0);
    }
}

/// log R(x) = -exponent d(x), d being the Hamming distance to the nearest mode in bits or per bit.
/// The one raw value is that distance in bits, so that neither the exponent nor the scale voids
/// what was measured. Objects are texts of n bits.
#[derive(Clone, Debug)]
pub struct BitSequence {
    settings: Settings,
    bits: usize,
    modes: Vec<Packed>,
}

/// A string of bits, 64 to a word.
type Packed = Vec<u64>;

#[derive(Serialize)]
struct Canonical {
    bits: usize,
    #[serde(flatten)]
    settings: Settings,
}

impl BitSequence {
    /// Its `kind` in the run file.
    pub const KIND: &str = "bit_sequence";

    /// The reward that `[reward]` of a run file describes.
    ///
    /// # Errors
    /// Every problem with its keys, and an environment whose objects are no strings of bits.
    pub fn from_section(
        section: &Section,
        environment: &dyn Environment,
    ) -> Result<Self, Vec<Problem>> {
        let settings = section.parse()?;
        Self::new(settings, environment).map_err(|invalid| vec![invalid.in_section(section)])
    }

    /// The reward of the strings that an environment builds.
    ///
    /// # Errors
    /// An environment whose objects are no texts of n bits, n a multiple of 8.
    pub fn new(
        settings: Settings,
        environment: &dyn Environment,
    ) -> Result<Self, InvalidConfiguration> {
        let Some(bits) = Sequence::of(environment).and_then(|sequence| sequence.bits()) else {
            let reason = "= \"bit_sequence\" is a reward of bits: the environment must be a \
                          \"sequence\" with `word_bits` (or `alphabet` = \"01\") and `length`";
            return Err(InvalidConfiguration::new("kind", reason));
        };
        if bits % BLOCK_BITS != 0 {
            let reason = format!(
                "= \"bit_sequence\" has modes of blocks of {BLOCK_BITS} bits: the environment's \
                 {bits} bits must be a multiple"
            );
            return Err(InvalidConfiguration::new("kind", reason));
        }
        let mode = |mode| {
            let mut stream = Stream::new(settings.seed, Purpose::Modes, 0, mode);
            let mut blocks = (0..bits / BLOCK_BITS).map(|_| BLOCKS[stream.below(BLOCKS.len())]);
            packed(&blocks.by_ref().collect::<String>())
        };
        Ok(Self { settings, bits, modes: (0..settings.modes as u64).filter_map(mode).collect() })
    }

    /// Hamming distance to the nearest mode, in bits; `None` for what is no text of n bits.
    fn distance(&self, object: &Object) -> Option<u32> {
        let Object::Text(text) = object else { return None };
        let string = packed(text).filter(|_| text.len() == self.bits)?;
        let to = |mode: &Packed| mode.iter().zip(&string).map(|(a, b)| (a ^ b).count_ones()).sum();
        self.modes.iter().map(to).min()
    }

    fn object(&self, string: &Packed) -> Object {
        let bit = |i: usize| if string[i / 64] >> (i % 64) & 1 == 1 { '1' } else { '0' };
        Object::Text((0..self.bits).map(bit).collect())
    }
}

/// A text of bits; `None` where it has another character.
fn packed(text: &str) -> Option<Packed> {
    let mut words = vec![0; text.len().div_ceil(64)];
    for (i, character) in text.bytes().enumerate() {
        match character {
            b'0' => {}
            b'1' => words[i / 64] |= 1 << (i % 64),
            _ => return None,
        }
    }
    Some(words)
}

impl Reward for BitSequence {
    fn identity(&self) -> Identity {
        let canonical = Canonical { bits: self.bits, settings: self.settings };
        // Words and numbers always have a JSON form.
        let configuration = serde_json::to_string(&canonical).unwrap_or_default();
        Identity { kind: Self::KIND.to_owned(), version: 1, configuration }
    }

    fn outputs(&self) -> Vec<Output> {
        vec![Output { name: "distance".to_owned(), role: Role::Objective }]
    }

    fn evaluate(&self, objects: &[Object], raw: &mut Vec<f64>) -> Result<(), RewardError> {
        for object in objects {
            let distance = self.distance(object).ok_or_else(|| {
                let (kind, object) = (Self::KIND.to_owned(), object.to_string());
                RewardError::UnknownObject { kind, object }
            })?;
            raw.push(f64::from(distance));
        }
        Ok(())
    }

    fn transform(&self, raw: &[f64]) -> Result<LogReward, InvalidRaw> {
        let distance = single(raw)?;
        if distance.fract() != 0.0 || !(0.0..=self.bits as f64).contains(&distance) {
            let reason = format!("it must be a whole number of bits from 0 to {}", self.bits);
            return Err(InvalidRaw { raw: raw.to_vec(), reason });
        }
        let distance = match self.settings.distance_scale {
            DistanceScale::PerBit => distance / self.bits as f64,
            DistanceScale::Raw => distance,
        };
        LogReward::try_from(-self.settings.exponent * distance)
            .map_err(|error| InvalidRaw { raw: raw.to_vec(), reason: error.to_string() })
    }

    /// The modes, in the order in which they were drawn.
    fn modes(&self) -> Vec<Object> {
        self.modes.iter().map(|mode| self.object(mode)).collect()
    }

    /// Strings at all distances from the modes, to correlate log p and log R on: for each mode, the
    /// mode itself and for each count from 1 to n - 1 the mode with so many random bits flipped. M
    /// times n strings; 7,200 for 60 modes of 120 bits.
    fn test_set(&self) -> Vec<Object> {
        let mut strings = Vec::with_capacity(self.modes.len() * self.bits);
        for (mode, number) in self.modes.iter().zip(0..) {
            let mut stream = Stream::new(self.settings.seed, Purpose::Modes, 1, number);
            let mut positions: Vec<usize> = (0..self.bits).collect();
            for flips in 0..self.bits {
                let mut string = mode.clone();
                for flip in 0..flips {
                    positions.swap(flip, flip + stream.below(self.bits - flip));
                    string[positions[flip] / 64] ^= 1 << (positions[flip] % 64);
                }
                strings.push(self.object(&string));
            }
        }
        strings
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
