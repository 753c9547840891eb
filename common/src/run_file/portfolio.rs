//! One value for all actors, or a list of them to be spread over the actors.

use super::description::Form;
use super::schedule::Schedule;
use super::value::Value;
use toml::Value as Toml;

/// Values of exploration settings, at least one: `0.1`, or a list such as `[0.0, 0.01, 0.1]` whose
/// entry i belongs to setting i (Horgan et al. 2018, "Distributed Prioritized Experience Replay",
/// spread epsilon over actors in this way).
#[derive(Clone, Debug, PartialEq)]
pub struct Portfolio<V = Schedule>(Vec<V>);

impl<V: Copy> Portfolio<V> {
    /// The entry of a setting; a single one is that of every setting.
    #[must_use]
    pub fn of(&self, setting: usize) -> V {
        self.0[setting % self.0.len()]
    }

    /// The entries, at least 1.
    #[must_use]
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether every entry satisfies a condition.
    #[must_use]
    pub fn all(&self, condition: impl Fn(V) -> bool) -> bool {
        self.0.iter().all(|entry| condition(*entry))
    }
}

impl Portfolio {
    /// The value in a setting once so many trajectories have been generated.
    #[must_use]
    pub fn at(&self, setting: usize, trajectories: u64) -> f64 {
        self.of(setting).at(trajectories)
    }

    /// Whether every value satisfies a condition that the ends of a line satisfy.
    #[must_use]
    pub fn ends(&self, condition: impl Fn(f64) -> bool) -> bool {
        self.all(|schedule| schedule.ends(&condition))
    }
}

impl<V> From<V> for Portfolio<V> {
    fn from(entry: V) -> Self {
        Self(vec![entry])
    }
}

impl<V: Value> Value for Portfolio<V> {
    fn read(value: &Toml) -> Result<Self, String> {
        if !value.is_array() {
            return V::read(value).map(Self::from);
        }
        match Vec::read(value)? {
            none if none.is_empty() => Err("expected at least one entry".to_owned()),
            entries => Ok(Self(entries)),
        }
    }

    fn write(&self) -> Option<Toml> {
        match &self.0[..] {
            [only] => only.write(),
            _ => self.0.write(),
        }
    }

    fn form() -> Form {
        Form::new(format!("{}, or a list of these", V::form().words))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Portfolio, String> {
        Portfolio::read(&text.parse().unwrap())
    }

    #[test]
    fn entries_belong_to_settings_and_a_single_one_to_all() {
        let list = read("[0, { start = 0.5, end = 0.1, over = 100 }, 1]").unwrap();
        assert_eq!((list.len(), list.at(0, 50), list.at(2, 50)), (3, 0.0, 1.0));
        assert!((list.at(1, 50) - 0.3).abs() < 1e-12);
        let single = read("0.25").unwrap();
        assert_eq!((single.len(), single.at(0, 0), single.at(7, 9)), (1, 0.25, 0.25));
        for portfolio in [list, single] {
            assert_eq!(Portfolio::read(&portfolio.write().unwrap()).unwrap(), portfolio);
        }
    }

    #[test]
    fn whole_numbers_may_be_spread_too() {
        let rounds: Portfolio<usize> = Portfolio::read(&"[0, 7]".parse().unwrap()).unwrap();
        assert_eq!([rounds.of(0), rounds.of(1), rounds.of(2)], [0, 7, 0]);
        assert!(Portfolio::<usize>::read(&"[0, 0.5]".parse().unwrap()).is_err());
    }

    #[test]
    fn bad_lists_say_what_is_wrong() {
        assert_eq!(read("[]").unwrap_err(), "expected at least one entry");
        assert!(read("[0.1, 'x']").unwrap_err().contains("item 2, \"x\": expected a number or a"));
        assert!(read("[[0.1]]").unwrap_err().contains("item 1, [0.1]: expected a number or a"));
    }
}
