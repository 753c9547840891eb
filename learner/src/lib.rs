//! Tributary's learner.
