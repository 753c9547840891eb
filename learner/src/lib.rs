//! Tributary's learner: takes trajectories from many actors, trains on them, and sends weights back.
//!
//! The path of a trajectory: [`service`] (the wire) -> [`ingest`] ([`examine`]d and counted) ->
//! [`hand_over`] ([`replay`]) -> [`steps`] (the trainer's thread; [`redraw`] draws what paths it
//! lacks) -> [`training`]. Weights walk
//! `steps` -> [`publish`] -> `service`. [`app`] makes all of it and ends it in order.

pub mod adam;
pub mod app;
pub mod average;
pub mod batch;
pub mod callers;
pub mod checkpoint;
pub mod claims;
pub mod costs;
pub mod dashboard;
pub mod dead_letters;
pub mod distribution;
mod doors;
pub mod durable;
mod edge_flows;
pub mod edges;
pub mod engine;
pub mod entropy;
pub mod error;
pub mod evaluate;
pub mod examine;
#[cfg(test)]
mod fakes;
pub mod figures;
mod files;
pub mod findings;
pub mod hand_over;
pub mod http;
pub mod incoming;
pub mod ingest;
pub mod intake;
pub mod interference;
pub mod keeper;
pub mod ledger_writer;
pub mod limit;
pub mod listener;
mod locks;
pub mod lockstep;
pub mod memory;
pub mod metrics;
pub mod objective;
pub mod options;
pub mod outbox;
mod panics;
pub mod pessimistic;
pub mod prepare;
pub mod probabilities;
pub mod probes;
mod program;
pub mod publish;
pub mod quarantine;
pub mod record;
pub mod redraw;
pub mod reinsert;
pub mod replay;
pub mod replay_summary;
pub mod resume;
pub mod roster;
pub mod run_directory;
pub mod security;
pub mod service;
pub mod skipped;
pub mod steps;
pub mod target;
pub mod tensorboard;
mod threads;
pub mod torch;
pub mod train;
pub mod training;
pub mod view;
pub mod watchdog;
pub mod yields;

/// Of everything in the learner but libtorch: trajectories come, lie in replay and leave in another order
/// (`docs/adr/0003-mimalloc-in-the-learner.md`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pub use program::main;
