//! The real learner service and the real actor link over a simulated network (turmoil), with faults
//! that follow from a seed; `docs/simulation.md` tells how to run and read one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod actor;
mod checks;
mod duplicates;
mod faults;
mod learner;
mod network;
mod no_connection;
mod run;
mod seeds;
mod slow_peer;
mod trace;
mod world;
