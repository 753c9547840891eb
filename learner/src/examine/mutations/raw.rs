//! Raw values, measured ones and others.

use tributary_common::random::Stream;

/// What the reward of a case can measure.
#[derive(Clone, Debug)]
pub(super) enum Raw {
    /// R of a hypergrid's cell.
    NotNegative,
    /// A value of a table.
    Finite,
    /// Bits to the nearest mode, at most so many.
    Distance(u64),
    /// For each motif, how often it can begin at most.
    Counts(Vec<u64>),
}

impl Raw {
    pub(super) fn is_legal(&self, raw: &[f64]) -> bool {
        let is_count = |value: f64, most: u64| (0..=most).any(|count| count as f64 == value);
        match (self, raw) {
            (Self::NotNegative, [value]) => value.is_finite() && *value >= 0.0,
            (Self::Finite, [value]) => value.is_finite(),
            (Self::Distance(most), [value]) => is_count(*value, *most),
            (Self::Counts(most), raw) => {
                raw.len() == most.len()
                    && raw.iter().zip(most).all(|(&value, &most)| is_count(value, most))
            }
            _ => false,
        }
    }

    /// What was measured, or one of the ways to say something else; half of each.
    pub(super) fn draw(&self, stream: &mut Stream) -> (&'static str, Vec<f64>) {
        let mut raw = match self {
            Self::NotNegative => vec![3.0 * stream.uniform()],
            Self::Finite => vec![4.0 * stream.uniform() - 2.0],
            Self::Distance(most) => vec![stream.below(*most as usize + 1) as f64],
            Self::Counts(most) => {
                most.iter().map(|&most| stream.below(most as usize + 1) as f64).collect()
            }
        };
        let place = stream.below(raw.len());
        let name = match stream.below(24) {
            0 => set(&mut raw, place, "NaN", f64::NAN),
            1 => set(&mut raw, place, "NaN with a payload", f64::from_bits(0xfff8_dead_beef_0001)),
            2 => set(&mut raw, place, "infinity", f64::INFINITY),
            3 => set(&mut raw, place, "minus infinity", f64::NEG_INFINITY),
            4 => set(&mut raw, place, "negative", -1.0 - stream.below(9) as f64),
            5 => set(&mut raw, place, "minus zero", -0.0),
            6 => set(&mut raw, place, "half", 0.5),
            7 => set(&mut raw, place, "smallest", f64::from_bits(1)),
            8 => set(&mut raw, place, "largest", f64::MAX),
            9 => set(&mut raw, place, "one more than possible", 121.0),
            10 => {
                raw.pop();
                "one too few"
            }
            11 => {
                raw.push(1.0);
                "one too many"
            }
            _ => "as measured",
        };
        (name, raw)
    }
}

fn set(raw: &mut [f64], place: usize, name: &'static str, value: f64) -> &'static str {
    raw[place] = value;
    name
}
