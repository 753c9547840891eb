//! Training without libtorch: it counts, and fails where it is told to.

use std::sync::{Arc, Mutex};

use tributary_common::ids::{Incarnation, PolicyVersion};
use tributary_common::network::{Network, Weights};

use crate::locks::lock;
use crate::replay::Samples;
use crate::training::{
    Moments, SkippedUpdate, TrainError, Training, TrainingState, UpdateReport, WeightSets,
};

/// The actions of every trajectory that reached training.
pub(super) type Seen = Arc<Mutex<Vec<Vec<u32>>>>;

/// Held to stop the training.
pub(super) type Gate = Arc<tokio::sync::Mutex<()>>;

/// What the averaged weights are more than the raw ones, which are the step.
pub(super) const EMA_OFFSET: f32 = 0.25;

pub(super) struct FakeTraining {
    pub(super) network: Network,
    pub(super) step: u64,
    pub(super) seen: Seen,
    /// Attempts, from 1, that are skipped, and those that panic.
    pub(super) skip: Vec<u64>,
    pub(super) panic: Vec<u64>,
    pub(super) attempts: u64,
    /// Taken for each update: who holds it stops the training.
    pub(super) gate: Gate,
}

impl FakeTraining {
    fn weights(&self, generated: u64) -> Weights {
        let version = PolicyVersion { incarnation: Incarnation(1), step: self.step };
        let values = vec![self.step as f32; self.network.parameter_count()];
        Weights { version, log_z: 0.5, generated, values }
    }
}

impl Training for FakeTraining {
    fn update(&mut self, samples: &Samples) -> Result<UpdateReport, SkippedUpdate> {
        let _passed = self.gate.blocking_lock();
        self.attempts += 1;
        if self.skip.contains(&self.attempts) {
            let cause = TrainError::Loss { loss: f64::NAN };
            return Err(SkippedUpdate { cause, in_a_row: 1, restored: false });
        }
        assert!(!self.panic.contains(&self.attempts), "an operator failed");
        lock(&self.seen).extend(samples.iter_actions().map(<[u32]>::to_vec));
        self.step += 1;
        Ok(UpdateReport {
            step: self.step,
            loss: 2.0,
            squared_residuals: vec![2.0; samples.len()],
            log_z: 0.5,
            gradient_norm: 1.0,
            learning_rate: 1e-3,
            mean_log_reward: 0.0,
            rows: samples.len(),
        })
    }

    fn step(&self) -> u64 {
        self.step
    }

    fn log_z(&self) -> f64 {
        0.5
    }

    fn publish(&mut self, generated: u64) -> Result<WeightSets, TrainError> {
        let raw = self.weights(generated);
        let values = raw.values.iter().map(|value| value + EMA_OFFSET).collect();
        let ema = Weights { values, ..raw.clone() };
        Ok(WeightSets { ema: ema.into(), raw: raw.into() })
    }

    fn state(&self) -> Result<TrainingState, TrainError> {
        let values = self.weights(0).values;
        let moments = Moments { steps: self.step, mean: values.clone(), square: values.clone() };
        let (weights, ema, target) = (values.clone(), values.clone(), values);
        let (step, log_z) = (self.step, 0.5);
        Ok(TrainingState { step, weights, ema, target, moments, log_z, ..TrainingState::default() })
    }

    fn restore(&mut self, state: &TrainingState) -> Result<(), TrainError> {
        self.step = state.step;
        Ok(())
    }
}
