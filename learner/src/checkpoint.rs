//! What a checkpoint holds, written beside the training and read back to the last bit.
//!
//! `tributary_common::checkpoint` is the form on disk: files, a manifest, hashes.

mod reading;
mod state;
#[cfg(test)]
mod tests;
mod writer;

use std::sync::Arc;

use tributary_common::session::sessions::SavedSessions;

use crate::figures::SavedFigures;
use crate::findings::SavedFindings;
use crate::lockstep::rounds::SavedRounds;
use crate::replay::Columns;
use crate::training::TrainingState;

pub use writer::{
    CheckpointConfig, CheckpointWriter, NewestLearner, WriteError, newest_learner_of, unfinished,
};

/// Adam's moments of the weights.
const OPTIMIZER: &str = "optimizer.safetensors";
/// Replay, with the state of its selector.
const REPLAY: &str = "replay.safetensors";
/// Modes found, the best objects, the last ones.
const FINDINGS: &str = "findings.json";
/// The run file as the learner had it.
const RUN_FILE: &str = "run.toml";
/// Everything else.
const STATE: &str = "state.json";

/// Everything that a checkpoint holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contents {
    /// Weights, moments, log Z.
    pub training: Arc<TrainingState>,
    /// Trajectories accepted: those that replay was given. In a durable run also the ledger's
    /// position: what it accepted from this ordinal on came later.
    pub generated: u64,
    /// What was counted and measured by then.
    pub figures: SavedFigures,
    /// What was found by then.
    pub findings: SavedFindings,
    /// Batches drawn from replay: they number the random numbers of the next one.
    pub draws: u64,
    /// Of a lockstep run: the rounds that are over.
    pub rounds: Option<SavedRounds>,
    /// Marks and books of all actors.
    pub sessions: SavedSessions,
    /// Replay, with the state of its selector.
    pub replay: Columns,
}
