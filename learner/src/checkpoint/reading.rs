//! A checkpoint that was read becomes what a learner goes on from.

use std::sync::Arc;

use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use tributary_common::checkpoint::{Checkpoint, CheckpointError, EMA, RAW, TARGET};
use tributary_common::network::{Network, Weights};

use super::state::State;
use super::{Contents, FINDINGS, OPTIMIZER, REPLAY, STATE};
use crate::replay::Columns;
use crate::training::{Moments, TrainingState};

impl Contents {
    /// What a checkpoint of this network holds, every bit as it was.
    ///
    /// # Errors
    /// A file that is missing, or whose hash is right and that is not what a learner goes on from; the
    /// error names it.
    pub fn read(checkpoint: &Checkpoint, network: &Network) -> Result<Self, CheckpointError> {
        let reading = Reading { checkpoint, network };
        let state: State = serde_json::from_slice(reading.file(STATE)?)
            .map_err(|error| reading.damaged(STATE, error))?;
        let manifest = &checkpoint.manifest;
        if (state.run_id, state.version) != (manifest.run_id, manifest.version) {
            return Err(reading.damaged(STATE, "its run or its version is not the manifest's"));
        }
        let target = if manifest.files.contains_key(TARGET) {
            reading.weights(TARGET, &state)?
        } else {
            Vec::new()
        };
        let training = TrainingState {
            step: state.version.step,
            weights: reading.weights(RAW, &state)?,
            ema: reading.weights(EMA, &state)?,
            ema_steps: state.ema_steps,
            target,
            moments: reading.moments(state.moments_steps)?,
            log_z: state.log_z,
            log_z_moments: state.log_z_moments(),
        };
        let replay = Columns::from_bytes(reading.file(REPLAY)?)
            .map_err(|error| reading.damaged(REPLAY, error))?;
        let findings = serde_json::from_slice(reading.file(FINDINGS)?)
            .map_err(|error| reading.damaged(FINDINGS, error))?;
        let State { generated, figures, draws, rounds, sessions, .. } = state;
        let training = Arc::new(training);
        Ok(Self { training, generated, figures, findings, draws, rounds, sessions, replay })
    }
}

struct Reading<'a> {
    checkpoint: &'a Checkpoint,
    network: &'a Network,
}

impl Reading<'_> {
    fn file(&self, name: &str) -> Result<&[u8], CheckpointError> {
        let bytes = self.checkpoint.files.get(name);
        let bytes = bytes.ok_or_else(|| self.damaged(name, "the manifest does not name it"))?;
        Ok(bytes)
    }

    fn damaged(&self, name: &str, reason: impl ToString) -> CheckpointError {
        let path = self.checkpoint.path.join(name);
        CheckpointError::Damaged { path, reason: reason.to_string() }
    }

    fn weights(&self, name: &str, state: &State) -> Result<Vec<f32>, CheckpointError> {
        let read = Weights::from_bytes(self.network, self.file(name)?);
        let weights = read.map_err(|source| {
            let path = self.checkpoint.path.join(name);
            CheckpointError::Weights { path, source }
        })?;
        if weights.version != state.version {
            return Err(self.damaged(name, "its version is not the manifest's"));
        }
        Ok(weights.values)
    }

    fn moments(&self, steps: u64) -> Result<Moments<Vec<f32>>, CheckpointError> {
        let tensors = SafeTensors::deserialize(self.file(OPTIMIZER)?)
            .map_err(|error| self.damaged(OPTIMIZER, error))?;
        let numbers = |name: &str| {
            let view = tensors.tensor(name).map_err(|error| self.damaged(OPTIMIZER, error))?;
            let ours = self.network.parameter_count();
            if view.dtype() != Dtype::F32 || view.shape() != [ours] {
                let (kind, shape) = (view.dtype(), view.shape());
                let reason = format!("\"{name}\" should be f32 [{ours}], but is {kind} {shape:?}");
                return Err(self.damaged(OPTIMIZER, reason));
            }
            let bytes = view.data().chunks_exact(4);
            Ok(bytes.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
        };
        Ok(Moments { steps, mean: numbers("mean")?, square: numbers("square")? })
    }
}
