//! What the values of an outside program are worth.

use serde::{Serialize, Serializer};

use crate::choices;
use crate::log_space::{LogReward, log_of_power};
use crate::reward::InvalidRaw;
use crate::run_file::{Config, Keys};

choices! {
    /// What a program's values are.
    pub enum Values {
        /// Rewards y: R = max(floor, scale (max(y, 0))^exponent).
        Reward = "reward",
        /// Their logarithms y: R = max(floor, scale exp(exponent y)).
        LogReward = "log_reward",
    }
}

impl Serialize for Values {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// From raw values to log R. The first output makes R, the others are recorded.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Worth {
    /// What the first value is.
    pub values: Values,
    /// Above 0.
    pub exponent: f64,
    /// Above 0.
    pub scale: f64,
    /// 0 or more: the smallest R.
    pub floor: f64,
    /// The names of an object's values, one at least.
    #[serde(skip)]
    pub outputs: Vec<String>,
}

impl Default for Worth {
    fn default() -> Self {
        let (values, outputs) = (Values::Reward, vec!["value".to_owned()]);
        Self { values, exponent: 1.0, scale: 1.0, floor: 0.0, outputs }
    }
}

impl Worth {
    /// log R of an object's values.
    ///
    /// # Errors
    /// Another number of values than there are outputs; a value that is not finite.
    pub fn log_reward(&self, raw: &[f64]) -> Result<LogReward, InvalidRaw> {
        let invalid = |reason: String| InvalidRaw { raw: raw.to_vec(), reason };
        if raw.len() != self.outputs.len() {
            let expected = self.outputs.len();
            return Err(invalid(format!("{} values, expected {expected}", raw.len())));
        }
        if !raw.iter().all(|value| value.is_finite()) {
            return Err(invalid("they must be finite".to_owned()));
        }
        let log_value = match self.values {
            Values::Reward => raw[0].max(0.0).ln(),
            Values::LogReward => raw[0],
        };
        let log_reward = log_of_power(log_value, self.exponent, self.scale, self.floor);
        LogReward::try_from(log_reward).map_err(|error| invalid(error.to_string()))
    }
}

impl Config for Worth {
    fn declare(&mut self, keys: &mut Keys<'_>) {
        let outputs = "names of an object's values; the first makes R, the others are recorded";
        keys.key("outputs", &mut self.outputs, outputs).must(
            "be 1 to 64 different names",
            |names| {
                let mut sorted: Vec<&String> = names.iter().collect();
                sorted.sort_unstable();
                sorted.dedup();
                (1..=64).contains(&names.len())
                    && sorted.len() == names.len()
                    && names.iter().all(|name| !name.is_empty())
            },
        );
        keys.key("values", &mut self.values, "what the first value y is");
        keys.key("exponent", &mut self.exponent, "the power of the reward").above(0.0);
        keys.key("scale", &mut self.scale, "the factor of the power").above(0.0);
        keys.key("floor", &mut self.floor, "the smallest reward").at_least(0.0);
    }
}
