//! Objects whose log-reward is known.

use crate::object::Object;

/// An object with its state and its log-reward.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// The object.
    pub object: Object,
    /// Its state in the environment.
    pub state: Vec<u32>,
    /// log R; minus infinity for R = 0.
    pub log_reward: f64,
}
