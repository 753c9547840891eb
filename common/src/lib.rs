//! Tributary's pure domain.
