//! Values with a unit: durations as "10s" or "1.5h", sizes as "64MiB".

use super::value::Value;
use std::time::Duration;
use toml::Value as Toml;

/// Nanoseconds per unit, the longest first.
const TIME_UNITS: [(&str, u128); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Bytes per unit, the largest binary unit first.
const SIZE_UNITS: [(&str, u128); 10] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("kB", 1_000),
    ("B", 1),
];

/// No duration is longer (a hundred years), so that a deadline can always be computed.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);

impl Value for Duration {
    fn read(value: &Toml) -> Result<Self, String> {
        let expected = "expected a duration with its unit (ms, s, m, h, d), such as \"10s\"";
        let nanoseconds = value.as_str().and_then(|text| amount(text, &TIME_UNITS));
        let nanoseconds = nanoseconds.ok_or(expected)?;
        let duration = u64::try_from(nanoseconds).map_or(Self::MAX, Self::from_nanos);
        if duration > LONGEST {
            return Err("expected a duration of at most a hundred years".to_owned());
        }
        Ok(duration)
    }
    fn write(&self) -> Option<Toml> {
        Some(Toml::String(with_unit(self.as_nanos(), &TIME_UNITS)))
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// So many times 2^20 bytes.
    #[must_use]
    pub const fn mebibytes(count: u64) -> Self {
        Self(count << 20)
    }
}

impl Value for ByteSize {
    fn read(value: &Toml) -> Result<Self, String> {
        let bytes = value.as_str().and_then(|text| amount(text, &SIZE_UNITS));
        bytes.and_then(|bytes| u64::try_from(bytes).ok()).map(Self).ok_or_else(|| {
            "expected a size with its unit (B, KiB, MiB, GiB, KB, MB, GB), such as \"64MiB\""
                .to_owned()
        })
    }
    fn write(&self) -> Option<Toml> {
        Some(Toml::String(with_unit(u128::from(self.0), &SIZE_UNITS)))
    }
}

impl std::str::FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::read(&Toml::String(text.to_owned()))
    }
}

/// `"1.5h"` in the smallest unit of `units`; `None` for anything that is no such amount.
fn amount(text: &str, units: &[(&str, u128)]) -> Option<u128> {
    let text = text.trim();
    let number_end = text.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
    let (number, unit) = text.split_at(number_end);
    let (_, scale) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let power = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let fraction = fraction.parse::<u128>().ok()? * scale;
    if fraction % power != 0 {
        return None;
    }
    whole.parse::<u128>().ok()?.checked_mul(*scale)?.checked_add(fraction / power)
}

/// The amount in the largest unit that divides it.
fn with_unit(amount: u128, units: &[(&str, u128)]) -> String {
    let fits = |(_, scale): &&(&str, u128)| amount.is_multiple_of(*scale) && amount >= *scale;
    match units.iter().find(fits) {
        Some((name, scale)) => format!("{}{name}", amount / scale),
        None if units[0].0 == "d" => "0s".to_owned(),
        None => "0B".to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn duration(text: &str) -> Result<Duration, String> {
        Duration::read(&Toml::String(text.to_owned()))
    }
    fn size(text: &str) -> Result<u64, String> {
        ByteSize::read(&Toml::String(text.to_owned())).map(|size| size.0)
    }

    #[test]
    fn durations_are_read_in_every_unit() {
        assert_eq!(duration("50ms").unwrap(), Duration::from_millis(50));
        assert_eq!(duration("5s").unwrap(), Duration::from_secs(5));
        assert_eq!(duration(" 10 m ").unwrap(), Duration::from_secs(600));
        assert_eq!(duration("1.5h").unwrap(), Duration::from_secs(5_400));
        assert_eq!(duration("2d").unwrap(), Duration::from_secs(172_800));
        assert_eq!(duration("0s").unwrap(), Duration::ZERO);
    }

    #[test]
    fn durations_without_a_unit_or_with_a_strange_one_are_refused() {
        for text in ["10", "", "s", "-5s", "5 weeks", "1..5s", ".5s", "5.s", "1e3s", "ten s"] {
            assert!(duration(text).unwrap_err().contains("such as \"10s\""), "{text}");
        }
        assert!(Duration::read(&Toml::Integer(10)).unwrap_err().contains("with its unit"));
        assert!(duration("999999d").unwrap_err().contains("hundred years"));
        assert!(duration("99999999999999999999999999999999999999d").is_err());
    }

    #[test]
    fn sizes_are_read_in_binary_and_decimal_units() {
        assert_eq!(size("64MiB").unwrap(), 64 << 20);
        assert_eq!(size("10MB").unwrap(), 10_000_000);
        assert_eq!(size("1.5KiB").unwrap(), 1_536);
        assert_eq!(size("0B").unwrap(), 0);
        for text in ["64", "64mib", "MiB", "0.3B", "99999999TiB"] {
            assert!(size(text).unwrap_err().contains("such as \"64MiB\""), "{text}");
        }
        assert!(ByteSize::read(&Toml::Integer(64)).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(nanoseconds in 0..LONGEST.as_nanos(), bytes: u64) {
            let nanoseconds = u64::try_from(nanoseconds).unwrap();
            let time = Duration::from_nanos(nanoseconds);
            prop_assert_eq!(Duration::read(&time.write().unwrap()).unwrap(), time);
            let size = ByteSize(bytes);
            prop_assert_eq!(ByteSize::read(&size.write().unwrap()).unwrap(), size);
        }
    }
}
