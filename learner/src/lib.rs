//! Tributary's learner: takes trajectories from many actors, trains on them, and sends weights back.
//!
//! The path of a trajectory: `service` (the wire) -> `ingest` (examined, counted) -> `hand_over`
//! (`replay`) -> `steps` (the trainer's thread) -> `training`. Weights walk `steps` -> `publish` ->
//! `service`. `app` makes all of it and ends it in order.

mod dead_letters;
mod examine;
mod figures;
mod files;
mod hand_over;
mod http;
mod ingest;
mod locks;
mod metrics;
pub mod objective;
mod outbox;
mod publish;
mod record;
pub mod replay;
mod roster;
mod run_directory;
mod skipped;
pub mod training;
mod view;
