//! The keys of `[learner]` that say how gradients move the weights and log Z.

use super::keys::Keys;
use super::value::Value;
use crate::choices;
use toml::Value as Toml;

choices! {
    /// What turns gradients into steps.
    pub enum OptimizerKind {
        /// Adam.
        Adam = "adam",
        /// Adam with decoupled weight decay.
        AdamW = "adamw",
    }
}

choices! {
    /// How the learning rates fall after their warm-up.
    pub enum Decay {
        /// They stay.
        Constant = "constant",
        /// Along half a period of the cosine.
        Cosine = "cosine",
        /// In a straight line.
        Linear = "linear",
    }
}

/// Where log Z starts: a number, or the word "estimate".
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LogZInitial {
    /// Here.
    At(f64),
    /// At the mean of `log R + Σ log P_B - Σ log P_F` over the first batch.
    Estimate,
}

impl Value for LogZInitial {
    fn read(value: &Toml) -> Result<Self, String> {
        match value.as_str() {
            Some("estimate") => Ok(Self::Estimate),
            _ => f64::read(value)
                .map(Self::At)
                .map_err(|_| "expected a finite number or \"estimate\"".to_owned()),
        }
    }

    fn write(&self) -> Option<Toml> {
        match self {
            Self::At(number) => number.write(),
            Self::Estimate => Some(Toml::String("estimate".to_owned())),
        }
    }
}

/// The optimizer's part of `[learner]`, besides the learning rates and Adam's own numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Optimizer {
    /// What turns gradients into steps.
    pub kind: OptimizerKind,
    /// The part of each weight that an update of AdamW takes away, over the learning rate.
    pub weight_decay: f64,
    /// The largest norm of the weights' gradient: longer ones are shortened to it.
    pub clip_norm: Option<f64>,
    /// Updates over which the learning rates rise from nearly 0.
    pub warm_up: u64,
    /// How they fall after that.
    pub schedule: Decay,
    /// Updates over which they fall; given wherever they do.
    pub decay_over: Option<u64>,
    /// Where they end, as a fraction of their full value.
    pub final_learning_rate_fraction: f64,
}

impl Default for Optimizer {
    fn default() -> Self {
        Self {
            kind: OptimizerKind::Adam,
            weight_decay: 0.01,
            clip_norm: None,
            warm_up: 0,
            schedule: Decay::Constant,
            decay_over: None,
            final_learning_rate_fraction: 0.0,
        }
    }
}

impl Optimizer {
    /// `updates` is where the run stops, if it is given in updates.
    pub(super) fn declare(
        &mut self,
        keys: &mut Keys<'_>,
        learning_rate: f64,
        updates: Option<u64>,
    ) {
        keys.key("optimizer", &mut self.kind, "what turns gradients into steps");
        let decay = "part of each weight that an update takes away, over the learning rate";
        keys.key("weight_decay", &mut self.weight_decay, decay)
            .only(self.kind == OptimizerKind::AdamW, "with optimizer = \"adamw\"")
            .at_least(0.0)
            .must("be less than 1 / learning_rate", |decay| decay * learning_rate < 1.0);
        let clip = "largest norm of the weights' gradient; longer ones are shortened to it";
        keys.key("clip_norm", &mut self.clip_norm, clip).above(Some(0.0));
        let warm_up = "updates over which the learning rates rise to their full value";
        keys.key("warm_up", &mut self.warm_up, warm_up);
        keys.key("schedule", &mut self.schedule, "how the learning rates fall after the warm-up");
        self.declare_decay(keys, updates);
    }

    fn declare_decay(&mut self, keys: &mut Keys<'_>, updates: Option<u64>) {
        let decays = self.schedule != Decay::Constant;
        let with_decay = "with schedule = \"cosine\" or \"linear\"";
        let rest = updates.map(|updates| updates.saturating_sub(self.warm_up).max(1));
        let over = "updates over which the learning rates fall; the rest of the run's `updates` if \
                    these are given";
        let key = keys
            .key("decay_over", &mut self.decay_over, over)
            .or(if decays { rest } else { None })
            .only(decays, with_decay)
            .at_least(Some(1));
        if decays && rest.is_none() {
            key.required();
        }
        let fraction = "where the learning rates end, as a fraction of their full value";
        keys.key("final_learning_rate_fraction", &mut self.final_learning_rate_fraction, fraction)
            .only(decays, with_decay)
            .at_least(0.0)
            .at_most(1.0);
    }

    /// The fraction of the learning rates that holds for the update after `step` updates; a function
    /// of the step alone.
    ///
    /// It rises from `1 / warm_up` in the first update to 1 in update `warm_up`, then falls over the
    /// next `decay_over` updates and stays.
    #[must_use]
    pub fn learning_rate_fraction(&self, step: u64) -> f64 {
        if step < self.warm_up {
            return (step + 1) as f64 / self.warm_up as f64;
        }
        let Some(over) = self.decay_over else { return 1.0 };
        let fallen = ((step - self.warm_up) as f64 / over as f64).min(1.0);
        let height = match self.schedule {
            Decay::Constant => 1.0,
            Decay::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * fallen).cos()),
            Decay::Linear => 1.0 - fallen,
        };
        let last = self.final_learning_rate_fraction;
        last + (1.0 - last) * height
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::run_file::{Learner, RunFile};

    fn learner(keys: &str) -> Result<Learner, String> {
        let text = format!("[environment]\nkind = 'x'\n[reward]\nkind = 'y'\n[learner]\n{keys}\n");
        let run_file = RunFile::parse(&text, &[]).map_err(|error| error.to_string())?;
        assert_eq!(RunFile::parse(&run_file.to_toml(), &[]).unwrap(), run_file);
        Ok(run_file.learner)
    }

    #[test]
    fn the_learning_rate_falls_over_the_rest_of_the_updates() {
        let over = |keys: &str| learner(keys).unwrap().optimizer.decay_over;
        let cosine = "updates = 100\nschedule = 'cosine'\n";
        assert_eq!(over(cosine), Some(100));
        assert_eq!(over(&format!("{cosine}warm_up = 30")), Some(70));
        assert_eq!(over(&format!("{cosine}warm_up = 30\ndecay_over = 7")), Some(7));
        assert_eq!(over("updates = 100"), None);
        assert_eq!(over("generated = 100\nschedule = 'linear'\ndecay_over = 9"), Some(9));
        let missing = learner("generated = 100\nschedule = 'linear'").unwrap_err();
        assert!(missing.contains("`learner.decay_over` is missing (updates over"), "{missing}");
    }

    #[test]
    fn keys_that_do_not_apply_or_cannot_be_are_refused() {
        for (key, expected) in [
            ("weight_decay = 0.1", "applies only with optimizer = \"adamw\""),
            ("optimizer = 'adamw'\nweight_decay = 2e3", "must be less than 1 / learning_rate"),
            ("optimizer = 'sgd'", "expected one of \"adam\", \"adamw\""),
            ("clip_norm = 0", "must be greater than 0.0"),
            ("decay_over = 5", "applies only with schedule = \"cosine\" or \"linear\""),
            ("schedule = 'cosine'\ndecay_over = 0", "must be at least 1"),
            ("schedule = 'cosine'\nfinal_learning_rate_fraction = 2", "must be at most 1.0"),
            ("log_z_initial = 'guess'", "expected a finite number or \"estimate\""),
        ] {
            let error = learner(&format!("updates = 9\n{key}")).unwrap_err();
            assert!(error.contains(expected), "{key}: {error}");
        }
    }

    #[test]
    fn log_z_starts_at_a_number_or_an_estimate() {
        let start = |value| learner(&format!("updates = 9\nlog_z_initial = {value}"));
        assert_eq!(start("5").unwrap().log_z_initial, LogZInitial::At(5.0));
        assert_eq!(start("'estimate'").unwrap().log_z_initial, LogZInitial::Estimate);
        assert_eq!(learner("updates = 9").unwrap().log_z_initial, LogZInitial::At(0.0));
    }

    #[test]
    fn the_learning_rate_rises_falls_and_stays() {
        let fractions = |optimizer: &Optimizer, steps: &[u64], expected: &[f64]| {
            for (&step, expected) in steps.iter().zip(expected) {
                let ours = optimizer.learning_rate_fraction(step);
                assert!((ours - expected).abs() < 1e-15, "{optimizer:?}, {step}: {ours}");
            }
        };
        let constant = Optimizer::default();
        fractions(&constant, &[0, 1, u64::MAX], &[1.0; 3]);
        let warm_up = Optimizer { warm_up: 4, ..constant.clone() };
        fractions(&warm_up, &[0, 1, 3, 4, 1_000], &[0.25, 0.5, 1.0, 1.0, 1.0]);
        let linear = Optimizer {
            schedule: Decay::Linear,
            decay_over: Some(10),
            final_learning_rate_fraction: 0.2,
            ..warm_up
        };
        let steps = [0, 3, 4, 9, 14, 15, 99];
        fractions(&linear, &steps, &[0.25, 1.0, 1.0, 0.6, 0.2, 0.2, 0.2]);
        // Half way down the cosine is the middle, a third down three quarters.
        let cosine = Optimizer { schedule: Decay::Cosine, decay_over: Some(12), ..linear };
        fractions(&cosine, &[4, 8, 10, 16, 99], &[1.0, 0.8, 0.6, 0.2, 0.2]);
    }
}
