//! An axis: from values to pixels, and where its ticks are.

use crate::report::grouped;

/// How values are spread along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    Linear,
    /// Values at or below 0 are not drawn.
    Logarithmic,
}

/// A range of values along a stretch of pixels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
    start: f64,
    end: f64,
}

impl Axis {
    /// The finite values (positive ones, if logarithmic), with a little room, from pixel `start` to
    /// `end`.
    pub(crate) fn over(
        values: impl Iterator<Item = f64>,
        scale: Scale,
        (start, end): (f64, f64),
    ) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.map(|value| scaled(scale, value)).filter(|value| value.is_finite()) {
            (low, high) = (low.min(value), high.max(value));
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        let room = if high > low { 0.04 * (high - low) } else { 0.5 };
        Self { scale, low: low - room, high: high + room, start, end }
    }

    /// The pixel of a value; not finite where it cannot be drawn.
    pub(crate) fn pixel(&self, value: f64) -> f64 {
        let share = (scaled(self.scale, value) - self.low) / (self.high - self.low);
        self.start + share * (self.end - self.start)
    }

    /// Round values inside the range.
    pub(crate) fn ticks(&self) -> Vec<f64> {
        match self.scale {
            Scale::Linear => {
                let step = round_step((self.high - self.low) / 5.0);
                let (first, last) = ((self.low / step).ceil(), (self.high / step).floor());
                (first as i64..=last as i64).map(|i| i as f64 * step).collect()
            }
            Scale::Logarithmic => {
                let decades = self.high - self.low;
                let digits: &[f64] = if decades > 2.5 { &[1.0] } else { &[1.0, 2.0, 5.0] };
                let exponents = self.low.floor() as i32..=self.high.ceil() as i32;
                let all = exponents
                    .flat_map(|exponent| digits.iter().map(move |d| d * 10f64.powi(exponent)));
                all.filter(|tick| (self.low..=self.high).contains(&tick.log10())).collect()
            }
        }
    }

    /// A tick in words.
    pub(crate) fn label(tick: f64) -> String {
        if tick.abs() >= 1_000.0 && tick.fract() == 0.0 {
            return grouped(tick as u64);
        }
        let text = format!("{tick:.6}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

fn scaled(scale: Scale, value: f64) -> f64 {
    match scale {
        Scale::Linear => value,
        Scale::Logarithmic if value > 0.0 => value.log10(),
        Scale::Logarithmic => f64::NAN,
    }
}

/// The nearest of 1, 2 and 5 times a power of ten that is not smaller.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    let digit = [1.0, 2.0, 5.0].into_iter().find(|digit| digit * power >= least * 0.999);
    digit.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let axis = Axis::over([0.0, 1.0].into_iter(), Scale::Linear, (0.0, 100.0));
        let labels: Vec<String> = axis.ticks().into_iter().map(Axis::label).collect();
        assert_eq!(labels, ["0", "0.5", "1"]);
        let values = [1_000.0, 0.0, 64_000.0];
        let axis = Axis::over(values.into_iter(), Scale::Logarithmic, (100.0, 0.0));
        let labels: Vec<String> = axis.ticks().into_iter().map(Axis::label).collect();
        assert_eq!(labels, ["1,000", "2,000", "5,000", "10,000", "20,000", "50,000"]);
        assert!(axis.pixel(1_000.0) > axis.pixel(64_000.0));
        assert!(!axis.pixel(0.0).is_finite());
    }

    #[test]
    fn one_value_has_an_axis_too() {
        let axis = Axis::over([3.0].into_iter(), Scale::Linear, (0.0, 10.0));
        assert_eq!(axis.pixel(3.0), 5.0);
    }
}
