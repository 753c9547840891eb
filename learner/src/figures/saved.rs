//! The figures that a checkpoint keeps, so that a run that goes on counts on.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Figures, Lags};
use crate::yields::SettingYield;

/// What was counted and measured up to a checkpoint. Figures of evaluation are measured anew.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SavedFigures {
    paid: u64,
    yields: Vec<SettingYield>,
    updates: u64,
    samples: u64,
    transitions: u64,
    skipped_batches: u64,
    lag_sum: u64,
    lag_max: u64,
    lags: Lags,
    loss: Option<f64>,
    log_z: Option<f64>,
    gradient_norm: Option<f64>,
    learning_rate: Option<f64>,
    recent_log_z: Vec<f64>,
    training_seconds: f64,
    evaluation_seconds: f64,
    interference_seconds: f64,
    waited_seconds: BTreeMap<String, f64>,
}

impl SavedFigures {
    /// What each exploration setting has brought.
    pub fn yields(&self) -> &[SettingYield] {
        &self.yields
    }
}

/// JSON has no other numbers.
fn finite(value: Option<f64>) -> Option<f64> {
    value.filter(|value| value.is_finite())
}

impl Figures {
    /// For a checkpoint.
    pub fn save(&self) -> SavedFigures {
        let waited = self.waited_seconds.iter();
        SavedFigures {
            paid: self.paid,
            yields: self.yields.clone(),
            updates: self.updates,
            samples: self.samples,
            transitions: self.transitions,
            skipped_batches: self.skipped_batches,
            lag_sum: self.lag_sum,
            lag_max: self.lag_max,
            lags: self.lags.clone(),
            loss: finite(self.loss),
            log_z: finite(self.log_z),
            gradient_norm: finite(self.gradient_norm),
            learning_rate: finite(self.learning_rate),
            recent_log_z: self.recent_log_z.iter().copied().filter(|z| z.is_finite()).collect(),
            training_seconds: self.training_time().as_secs_f64(),
            evaluation_seconds: self.evaluation.seconds,
            interference_seconds: self.evaluation.interference_seconds,
            waited_seconds: waited.map(|(edge, &seconds)| (edge.to_string(), seconds)).collect(),
        }
    }

    /// Goes on from a checkpoint, behind so many accepted trajectories. The clock starts again with the
    /// next one.
    pub fn restore(&mut self, saved: &SavedFigures, generated: u64) {
        let saved = saved.clone();
        self.generated = generated;
        self.paid = saved.paid;
        self.yields = saved.yields;
        self.updates = saved.updates;
        self.samples = saved.samples;
        self.transitions = saved.transitions;
        self.skipped_batches = saved.skipped_batches;
        self.lag_sum = saved.lag_sum;
        self.lag_max = saved.lag_max;
        self.lags = saved.lags;
        self.loss = saved.loss;
        self.log_z = saved.log_z;
        self.gradient_norm = saved.gradient_norm;
        self.learning_rate = saved.learning_rate;
        self.recent_log_z = saved.recent_log_z.into();
        self.before = Duration::try_from_secs_f64(saved.training_seconds).unwrap_or_default();
        self.evaluation.seconds = saved.evaluation_seconds;
        self.evaluation.interference_seconds = saved.interference_seconds;
        let waited = saved.waited_seconds.into_iter();
        self.waited_seconds = waited.map(|(edge, seconds)| (edge.into(), seconds)).collect();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_run_that_goes_on_counts_on() {
        let mut before = Figures::default();
        before.accept(7, 5);
        before.update(0.5, 3.0, 9, [0, 4].into_iter());
        before.waited("trainer.data", Duration::from_millis(250));
        before.before = Duration::from_secs(100);
        before.stop_clock();
        let text = serde_json::to_vec(&before.save()).unwrap();
        let saved: SavedFigures = serde_json::from_slice(&text).unwrap();
        assert_eq!(saved, before.save());

        let mut after = Figures::default();
        after.restore(&saved, before.generated);
        assert_eq!(after.save(), saved);
        assert_eq!((after.generated, after.paid), (7, 5));
        after.accept(7, 5);
        let time = after.training_time();
        assert!(time >= Duration::from_secs(100), "{time:?}");
        assert_eq!(after.training_time(), time, "the clock starts with the next trajectory");
        after.accept(8, 5);
        while after.training_time() == time {
            std::thread::yield_now();
        }
        after.update(0.5, 5.0, 1, [2].into_iter());
        assert_eq!((after.updates, after.samples, after.log_z_mean()), (2, 3, Some(4.0)));
        assert_eq!((after.lag_mean(), after.mean_length()), (2.0, 13.0 / 3.0));
    }
}
