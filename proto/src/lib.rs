//! Tributary's wire contract.
