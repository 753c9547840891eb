//! A run on a real Slurm with four nodes on one machine: `make test-cluster`.
//!
//! It is ignored by `cargo test`, since it needs Slurm's programs and takes minutes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod life;
mod run;
mod slurm;
