//! Runs the real programs as a user would: `tributary` and, through it, `tributary-learner`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bad_input;
mod endings;
mod exploration;
mod golden;
mod programs;
mod restart;
mod resume;
mod rna;
mod security;
mod slurm;
mod spool;
mod stop;
mod training;
mod versions;
