//! Tributary's learner.

pub mod adam;
pub mod average;
pub mod batch;
#[cfg(test)]
mod fakes;
pub mod objective;
pub mod probabilities;
pub mod replay;
pub mod torch;
pub mod train;
pub mod training;
