//! Curves of `metrics.jsonl`, thinned while they are read: a run of weeks takes no more than a short one.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufRead, Read};

use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::charts;

/// Points of a curve; beyond, two become one.
const MOST_POINTS: usize = 512;
/// A longer line is no record.
const MOST_LINE: u64 = 1 << 20;

/// Neighbouring records of a figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    /// Trajectories accepted, at the last of them.
    pub(super) generated: f64,
    /// Since the run's start, at the last of them.
    pub(super) seconds: f64,
    pub(super) low: f64,
    pub(super) high: f64,
    sum: f64,
    count: u32,
}

impl Point {
    fn of(generated: f64, seconds: f64, value: f64) -> Self {
        Self { generated, seconds, low: value, high: value, sum: value, count: 1 }
    }

    pub(super) fn mean(&self) -> f64 {
        self.sum / f64::from(self.count)
    }

    fn merge(&mut self, later: &Self) {
        (self.generated, self.seconds) = (later.generated, later.seconds);
        (self.low, self.high) = (self.low.min(later.low), self.high.max(later.high));
        self.sum += later.sum;
        self.count += later.count;
    }
}

/// A figure over the run.
#[derive(Debug)]
pub(super) struct Curve {
    /// Records of a full point.
    each: u32,
    pub(super) points: Vec<Point>,
}

impl Default for Curve {
    fn default() -> Self {
        Self { each: 1, points: Vec::new() }
    }
}

impl Curve {
    pub(super) fn push(&mut self, generated: f64, seconds: f64, value: f64) {
        let point = Point::of(generated, seconds, value);
        match self.points.last_mut() {
            Some(last) if last.count < self.each => last.merge(&point),
            _ => self.points.push(point),
        }
        if self.points.len() > MOST_POINTS {
            self.each *= 2;
            let merged = self.points.chunks(2).map(|pair| {
                let mut first = pair[0];
                pair[1..].iter().for_each(|second| first.merge(second));
                first
            });
            self.points = merged.collect();
        }
    }
}

/// What is in `metrics.jsonl`.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    pub(super) curves: BTreeMap<String, Curve>,
    /// All of the last record.
    pub(super) last: Map<String, Value>,
    pub(super) records: u64,
    /// Lines that are no records, but for a last one that is cut.
    pub(super) damaged: u64,
    /// Whether the last line is not whole: it is being written, or its learner died.
    pub(super) is_cut: bool,
}

impl Metrics {
    /// Reads lines to their end.
    ///
    /// # Errors
    /// The reader's.
    pub(super) fn read(mut lines: impl BufRead) -> io::Result<Self> {
        let mut metrics = Self::default();
        let (mut line, mut last) = (Vec::new(), Vec::new());
        loop {
            line.clear();
            if lines.by_ref().take(MOST_LINE).read_until(b'\n', &mut line)? == 0 {
                break;
            }
            if line.last() != Some(&b'\n') && (line.len() as u64) < MOST_LINE {
                metrics.is_cut = true;
                break;
            }
            match serde_json::from_slice(&line) {
                Ok(Line { seconds: Some(seconds), generated: Some(generated), values }) => {
                    metrics.records += 1;
                    for (name, value) in values {
                        metrics.curves.entry(name).or_default().push(generated, seconds, value);
                    }
                    last.clone_from(&line);
                }
                _ => metrics.damaged += u64::from(!line.trim_ascii().is_empty()),
            }
        }
        metrics.last = serde_json::from_slice(&last).unwrap_or_default();
        Ok(metrics)
    }
}

/// What is kept of every record.
#[derive(Default)]
struct Line {
    seconds: Option<f64>,
    generated: Option<f64>,
    values: Vec<(String, f64)>,
}

impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfLine;
        impl<'de> Visitor<'de> for OfLine {
            type Value = Line;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a record")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Line, A::Error> {
                let mut line = Line::default();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "seconds" {
                        line.seconds = map.next_value()?;
                    } else if name == "generated" {
                        line.generated = map.next_value()?;
                    } else if charts::is_drawn(&name) {
                        let value: Option<f64> = map.next_value()?;
                        line.values.extend(value.map(|value| (name, value)));
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(line)
            }
        }
        deserializer.deserialize_map(OfLine)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_long_curve_is_thinned_and_keeps_its_peaks() {
        let mut curve = Curve::default();
        for i in 0..100_000u32 {
            let value = if i == 54_321 { 1e6 } else { f64::from(i % 2) };
            curve.push(f64::from(i), f64::from(i) / 10.0, value);
        }
        assert!((256..=512).contains(&curve.points.len()), "{}", curve.points.len());
        let peaks = curve.points.iter().filter(|point| point.high == 1e6).count();
        assert_eq!(peaks, 1);
        let count: u32 = curve.points.iter().map(|point| point.count).sum();
        assert_eq!((count, curve.points.last().unwrap().generated), (100_000, 99_999.0));
        assert_eq!(curve.points[3].mean(), 0.5);
    }

    #[test]
    fn a_cut_line_and_lines_that_are_no_records_are_left_out() {
        let text = "{\"seconds\":1,\"generated\":10,\"loss\":2,\"stalled_edge\":\"a.b\"}\nnothing\n\n\
                    {\"seconds\":\"x\"}\n{\"seconds\":2,\"generated\":20,\"loss\":null,\"step\":7}\n\
                    {\"seconds\":3,\"gener";
        let metrics = Metrics::read(text.as_bytes()).unwrap();
        assert_eq!((metrics.records, metrics.damaged, metrics.is_cut), (2, 2, true));
        assert_eq!((metrics.curves["loss"].points.len(), &metrics.last["step"]), (1, &7.into()));
        let whole = Metrics::read(text.lines().next().unwrap().as_bytes()).unwrap();
        assert_eq!((whole.records, whole.is_cut), (0, true), "it may still be written");
        assert_eq!(Metrics::read("".as_bytes()).unwrap().records, 0);
    }
}
