//! What a packed backpack is worth: R = exp(total worth / temperature).

use std::sync::Arc;

use tributary_common::environment::{Environment, Identity};
use tributary_common::log_space::LogReward;
use tributary_common::object::Object;
use tributary_common::reward::{InvalidRaw, Output, Reward, RewardError, Role};
use tributary_common::run_file::{Config, Keys, Problem, Section};

use crate::backpack::Backpack;

/// The total worth of what is packed. The raw value that is measured (and kept) is the worth; the
/// temperature enters only in [`transform`](Reward::transform), so that it can change without
/// measuring anything again.
pub struct Worth {
    backpack: Arc<dyn Environment>,
    written: Written,
}

/// Its keys in the run file.
#[derive(Clone, Debug)]
struct Written {
    worth: Vec<f64>,
    temperature: f64,
}

impl Default for Written {
    fn default() -> Self {
        Self { worth: Vec::new(), temperature: 1.0 }
    }
}

impl Config for Written {
    fn about() -> &'static str {
        "what is packed is worth the sum of its items: R = exp(sum / temperature)"
    }

    fn declare(&mut self, keys: &mut Keys<'_>) {
        keys.key("worth", &mut self.worth, "what each item is worth, in its order").required();
        keys.key("temperature", &mut self.temperature, "lower: only the best packings").above(0.0);
    }
}

impl Worth {
    /// Its `kind` in the run file.
    pub const KIND: &str = "worth";

    /// The reward that `[reward]` of a run file describes.
    ///
    /// # Errors
    /// Every problem with its keys, and an environment that is no backpack.
    pub fn from_section(
        section: &Section,
        environment: &Arc<dyn Environment>,
    ) -> Result<Self, Vec<Problem>> {
        let written: Written = section.parse()?;
        let kind = environment.identity().kind;
        if kind != Backpack::KIND {
            let message = format!("= \"worth\": this is the worth of a backpack, not of a {kind}");
            return Err(vec![section.problem("kind", &message)]);
        }
        let (given, items) = (written.worth.len(), environment.forward_actions());
        if given != items {
            let message = format!("gives {given} numbers for {items} items");
            return Err(vec![section.problem("worth", &message)]);
        }
        Ok(Self { backpack: Arc::clone(environment), written })
    }
}

impl Reward for Worth {
    fn identity(&self) -> Identity {
        let Written { worth, temperature } = &self.written;
        let configuration =
            serde_json::json!({ "worth": worth, "temperature": temperature }).to_string();
        Identity { kind: Self::KIND.to_owned(), version: 1, configuration }
    }

    fn outputs(&self) -> Vec<Output> {
        vec![Output { name: "worth".to_owned(), role: Role::Objective }]
    }

    fn evaluate(&self, objects: &[Object], raw: &mut Vec<f64>) -> Result<(), RewardError> {
        for object in objects {
            let packed = self.backpack.state_of(object).map_err(|error| RewardError::Failed {
                kind: Self::KIND.to_owned(),
                reason: error.to_string(),
            })?[0];
            let items = self.written.worth.iter().enumerate();
            let packed_items = items.filter(|(i, _)| packed >> i & 1 == 1);
            raw.push(packed_items.map(|(_, worth)| worth).sum());
        }
        Ok(())
    }

    fn transform(&self, raw: &[f64]) -> Result<LogReward, InvalidRaw> {
        let worth = raw.iter().sum::<f64>();
        LogReward::try_from(worth / self.written.temperature)
            .map_err(|error| InvalidRaw { raw: raw.to_vec(), reason: error.to_string() })
    }
}
