//! `state.json`: all of a checkpoint that is not an array of numbers.

use serde::{Deserialize, Serialize};
use tributary_common::ids::{PolicyVersion, RunId};
use tributary_common::session::sessions::SavedSessions;

use super::Contents;
use crate::figures::SavedFigures;
use crate::lockstep::rounds::SavedRounds;
use crate::training::Moments;

#[derive(Serialize, Deserialize)]
pub(super) struct State {
    schema: u32,
    pub(super) run_id: RunId,
    pub(super) version: PolicyVersion,
    pub(super) log_z: f64,
    log_z_moments: MomentsOfNumber,
    pub(super) moments_steps: u64,
    pub(super) ema_steps: u64,
    pub(super) generated: u64,
    pub(super) figures: SavedFigures,
    pub(super) draws: u64,
    pub(super) rounds: Option<SavedRounds>,
    pub(super) sessions: SavedSessions,
}

#[derive(Serialize, Deserialize)]
struct MomentsOfNumber {
    steps: u64,
    mean: f64,
    square: f64,
}

impl State {
    pub(super) fn of(contents: &Contents, run_id: RunId, version: PolicyVersion) -> Self {
        let Contents { training, generated, figures, draws, rounds, sessions, .. } = contents;
        let Moments { steps, mean, square } = training.log_z_moments;
        Self {
            schema: 1,
            run_id,
            version,
            log_z: training.log_z,
            log_z_moments: MomentsOfNumber { steps, mean, square },
            moments_steps: training.moments.steps,
            ema_steps: training.ema_steps,
            generated: *generated,
            figures: figures.clone(),
            draws: *draws,
            rounds: *rounds,
            sessions: sessions.clone(),
        }
    }

    pub(super) fn log_z_moments(&self) -> Moments<f64> {
        let MomentsOfNumber { steps, mean, square } = self.log_z_moments;
        Moments { steps, mean, square }
    }
}
