//! A user's own environment and reward.
