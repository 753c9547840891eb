//! Tributary's actor: draws trajectories with the learner's newest weights, pays for their rewards
//! and streams both up.

#![forbid(unsafe_code)]

pub mod exploration;
#[cfg(test)]
mod fakes;
pub mod rollout;
