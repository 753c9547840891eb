//! Tributary's learner.

pub mod objective;
pub mod replay;
pub mod training;
