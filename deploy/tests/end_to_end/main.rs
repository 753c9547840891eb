//! Runs the real programs as a user would: `tributary` and, through it, `tributary-learner`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bad_input;
mod endings;
mod exploration;
mod golden;
mod metrics;
mod programs;
mod report;
mod restart;
mod resume;
mod reward_examples;
mod rna;
mod scale;
mod security;
mod slurm;
mod spool;
mod stop;
mod top;
mod training;
mod trust;
mod versions;
