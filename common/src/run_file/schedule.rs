//! A number that changes while trajectories are generated.

use super::value::Value;
use std::fmt;
use toml::Value as Toml;

/// A number in the run file that may fall or rise: `0.1`, or
/// `{ start = 0.5, end = 0.0, over = 225_000 }`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Schedule {
    /// The same for the whole run.
    Constant(f64),
    /// A straight line, then constant.
    Linear {
        /// The value at the first trajectory.
        start: f64,
        /// The value from trajectory `over` on.
        end: f64,
        /// The length of the line in generated trajectories, at least 1.
        over: u64,
    },
}

impl Schedule {
    /// The value once so many trajectories have been generated.
    #[must_use]
    pub fn at(&self, trajectories: u64) -> f64 {
        match *self {
            Self::Constant(value) => value,
            Self::Linear { end, over, .. } if trajectories >= over => end,
            #[allow(clippy::cast_precision_loss)]
            Self::Linear { start, end, over } => {
                start + (end - start) * (trajectories as f64 / over as f64)
            }
        }
    }

    /// Whether every value of the schedule satisfies a condition that its two ends satisfy.
    #[must_use]
    pub fn ends(&self, condition: impl Fn(f64) -> bool) -> bool {
        match *self {
            Self::Constant(value) => condition(value),
            Self::Linear { start, end, .. } => condition(start) && condition(end),
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(value) => write!(f, "{value}"),
            Self::Linear { start, end, over } => write!(f, "{start} to {end} over {over}"),
        }
    }
}

impl Value for Schedule {
    fn read(value: &Toml) -> Result<Self, String> {
        let Toml::Table(table) = value else {
            return f64::read(value).map(Self::Constant).map_err(|_| {
                "expected a number or a line { start = ..., end = ..., over = TRAJECTORIES }"
                    .to_owned()
            });
        };
        if let Some(unknown) = table.keys().find(|k| !["start", "end", "over"].contains(&&***k)) {
            return Err(format!("unknown key `{unknown}`; expected `start`, `end`, `over`"));
        }
        let line = Self::Linear {
            start: part(table, "start")?,
            end: part(table, "end")?,
            over: part(table, "over")?,
        };
        match line {
            Self::Linear { over: 0, .. } => Err("`over`: must be at least 1".to_owned()),
            line => Ok(line),
        }
    }

    fn write(&self) -> Option<Toml> {
        let Self::Linear { start, end, over } = self else {
            return self.at(0).write();
        };
        let parts = [("start", start.write()), ("end", end.write()), ("over", over.write())];
        let known = parts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Some(Toml::Table(known.collect()))
    }
}

fn part<V: Value>(table: &toml::Table, name: &str) -> Result<V, String> {
    let value = table.get(name).ok_or_else(|| format!("`{name}` is missing"))?;
    V::read(value).map_err(|why| format!("`{name}`: {why}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Schedule, String> {
        Schedule::read(&text.parse().unwrap())
    }

    #[test]
    fn a_line_falls_and_then_stays() {
        let schedule = read("{ start = 0.5, end = 0, over = 100 }").unwrap();
        let values: Vec<f64> = [0, 50, 99, 100, u64::MAX].map(|n| schedule.at(n)).to_vec();
        assert_eq!(values[0], 0.5);
        assert_eq!(values[1], 0.25);
        assert!(values[2] > 0.0);
        assert_eq!(values[3..], [0.0, 0.0]);
        assert_eq!(Schedule::read(&schedule.write().unwrap()).unwrap(), schedule);
    }

    #[test]
    fn a_number_is_constant() {
        let schedule = read("0.1").unwrap();
        assert_eq!((schedule.at(0), schedule.at(1_000)), (0.1, 0.1));
        assert_eq!(Schedule::read(&schedule.write().unwrap()).unwrap(), schedule);
    }

    #[test]
    fn bad_schedules_say_what_is_wrong() {
        let message = |text| read(text).unwrap_err();
        assert!(message("'x'").contains("expected a number or a line"));
        assert!(message("{ start = 1.0, over = 5 }").contains("`end` is missing"));
        assert!(message("{ start = 1, end = 0, ovr = 5 }").contains("unknown key `ovr`"));
        assert!(message("{ start = 1, end = 0, over = 0 }").contains("at least 1"));
        assert!(
            message("{ start = nan, end = 0, over = 1 }").contains("`start`: expected a finite")
        );
    }
}
