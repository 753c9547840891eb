//! An axis: from values to pixels, and where its ticks are.

/// A range of values along a stretch of pixels.
pub(super) struct Axis {
    is_logarithmic: bool,
    low: f64,
    high: f64,
    start: f64,
    end: f64,
}

impl Axis {
    /// Over the values that can be drawn, with a little room, from pixel `start` to `end`.
    pub(super) fn over(
        values: impl Iterator<Item = f64>,
        is_logarithmic: bool,
        (start, end): (f64, f64),
    ) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.map(|value| scaled(is_logarithmic, value)) {
            if value.is_finite() {
                (low, high) = (low.min(value), high.max(value));
            }
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        let least = 1e-9 * low.abs().max(high.abs());
        let room = if high - low > least { 0.04 * (high - low) } else { 0.1 * low.abs().max(1.0) };
        Self { is_logarithmic, low: low - room, high: high + room, start, end }
    }

    /// The pixel of a value; not finite where it cannot be drawn.
    pub(super) fn pixel(&self, value: f64) -> f64 {
        let share = (scaled(self.is_logarithmic, value) - self.low) / (self.high - self.low);
        self.start + share * (self.end - self.start)
    }

    /// Some round values inside the range.
    pub(super) fn ticks(&self) -> Vec<f64> {
        let decades = self.high - self.low;
        if !self.is_logarithmic || decades < 0.7 {
            let unscaled = |value| if self.is_logarithmic { 10f64.powf(value) } else { value };
            return linear(unscaled(self.low), unscaled(self.high));
        }
        let every = (decades / 6.0).ceil().max(1.0) as i32;
        let digits: &[f64] = if decades > 2.5 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let exponents = self.low.floor() as i32..=self.high.ceil() as i32;
        let exponents = exponents.filter(|exponent| exponent.rem_euclid(every) == 0);
        let all =
            exponents.flat_map(|exponent| digits.iter().map(move |d| d * 10f64.powi(exponent)));
        all.filter(|tick| (self.low..=self.high).contains(&tick.log10())).collect()
    }
}

/// A tick in words: "0.05", "250", "20k", "1e-6".
pub(super) fn label(tick: f64) -> String {
    let size = tick.abs();
    let plain = |value: f64| {
        let text = format!("{value:.5}");
        if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            text
        }
    };
    match size {
        _ if size < 1e-12 => "0".to_owned(),
        _ if !(1e-4..1e12).contains(&size) => format!("{tick:.0e}"),
        _ if size >= 1e9 => format!("{}G", plain(tick / 1e9)),
        _ if size >= 1e6 => format!("{}M", plain(tick / 1e6)),
        _ if size >= 1e4 => format!("{}k", plain(tick / 1e3)),
        _ => plain(tick),
    }
}

fn linear(low: f64, high: f64) -> Vec<f64> {
    let least = (high - low) / 5.0;
    let power = 10f64.powf(least.log10().floor());
    let digit = [1.0, 2.0, 5.0].into_iter().find(|digit| digit * power >= least * 0.999);
    let step = digit.unwrap_or(10.0) * power;
    let (first, last) = ((low / step).ceil(), (high / step).floor());
    if !(last - first).is_finite() || last - first > 10.0 {
        return Vec::new();
    }
    (0..=(last - first).max(0.0) as u32).map(|i| (first + f64::from(i)) * step).collect()
}

fn scaled(is_logarithmic: bool, value: f64) -> f64 {
    match is_logarithmic {
        false => value,
        true if value > 0.0 => value.log10(),
        true => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(values: &[f64], is_logarithmic: bool) -> Vec<String> {
        let axis = Axis::over(values.iter().copied(), is_logarithmic, (0.0, 100.0));
        axis.ticks().into_iter().map(label).collect()
    }

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(labels(&[0.0, 1.0], false), ["0", "0.5", "1"]);
        assert_eq!(labels(&[0.0, 100_000.0], false), ["0", "50k", "100k"]);
        assert_eq!(labels(&[1e-6, 1.0, 0.0], true), ["1e-6", "0.0001", "0.01", "1"]);
        assert_eq!(labels(&[0.02, 0.6], true), ["0.02", "0.05", "0.1", "0.2", "0.5"]);
    }

    #[test]
    fn any_values_have_an_axis() {
        let worst = [f64::NAN, f64::INFINITY, -f64::MAX, f64::MAX, 0.0, -1.0, 5e-324];
        for logarithmic in [false, true] {
            for value in worst {
                let axis = Axis::over([value, value].into_iter(), logarithmic, (0.0, 10.0));
                assert!(axis.ticks().len() < 30, "{value}");
            }
            assert!(Axis::over(worst.into_iter(), logarithmic, (0.0, 9.0)).ticks().len() < 30);
        }
        let axis = Axis::over([3.0].into_iter(), false, (0.0, 10.0));
        assert!((axis.pixel(3.0) - 5.0).abs() < 1e-9);
        assert!(!Axis::over([0.0].into_iter(), true, (0.0, 1.0)).pixel(0.0).is_finite());
    }
}
