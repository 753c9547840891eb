//! Tributary's actor.
