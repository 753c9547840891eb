//! Adam (Kingma and Ba: "Adam: a method for stochastic optimization", 2015, algorithm 1), of a vector
//! of parameters and of single numbers; with decoupled weight decay AdamW (Loshchilov and Hutter:
//! "Decoupled weight decay regularization", 2019, algorithm 2).

use tributary_common::run_file::{self, OptimizerKind};

use crate::engine::Move;
use crate::training::Moments;

/// A smaller learning rate moves no weight in float32, and its inverse leaves the range of one.
const LEAST_RATE: f64 = 1e-30;

/// Adam's settings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// The step size, alpha.
    pub learning_rate: f64,
    /// Decay of the mean gradient.
    pub beta1: f64,
    /// Decay of the mean squared gradient.
    pub beta2: f64,
    /// Added to the denominator.
    pub epsilon: f64,
    /// The part of each parameter that a step takes away, over the learning rate; 0 for Adam.
    pub weight_decay: f64,
}

impl Settings {
    /// Those of the policy's weights.
    pub fn of_weights(learner: &run_file::Learner) -> Self {
        let decays = learner.optimizer.kind == OptimizerKind::AdamW;
        Self {
            learning_rate: learner.learning_rate,
            beta1: learner.adam_beta1,
            beta2: learner.adam_beta2,
            epsilon: learner.adam_epsilon,
            weight_decay: if decays { learner.optimizer.weight_decay } else { 0.0 },
        }
    }

    /// Those of log Z: a learning rate of its own, and no weight decay.
    pub fn of_log_z(learner: &run_file::Learner) -> Self {
        let learning_rate = learner.log_z_learning_rate;
        Self { learning_rate, weight_decay: 0.0, ..Self::of_weights(learner) }
    }

    /// The corrections of both means after so many steps, for their start at 0.
    fn corrections(&self, steps: u64) -> (f64, f64) {
        let steps = steps as f64;
        (1.0 - self.beta1.powf(steps), 1.0 - self.beta2.powf(steps))
    }
}

/// The steps of Adam of a vector, whose moments are in an [`Engine`](crate::engine::Engine).
#[derive(Clone, Debug)]
pub struct Adam {
    settings: Settings,
    /// Steps so far.
    pub steps: u64,
}

impl Adam {
    /// At the start.
    pub fn new(settings: Settings) -> Self {
        Self { settings, steps: 0 }
    }

    /// The next step's rate, at a fraction of the learning rate.
    pub fn rate(&self, fraction: f64) -> f64 {
        fraction * self.settings.learning_rate
    }

    /// How far the means of the gradient and of its square go to the new ones.
    pub fn shares(&self) -> [f64; 2] {
        [1.0 - self.settings.beta1, 1.0 - self.settings.beta2]
    }

    /// Counts a step of this rate; how it moves the weights.
    pub fn step(&mut self, rate: f64) -> Option<Move> {
        self.steps += 1;
        if rate < LEAST_RATE {
            return None;
        }
        let Settings { epsilon, weight_decay, .. } = self.settings;
        let (mean, square) = self.settings.corrections(self.steps);
        // w -= rate · (mean / its correction) / (sqrt(square / its correction) + epsilon).
        let scale = -mean / rate;
        let (root, least) = (scale / square.sqrt(), scale * epsilon);
        Some(Move { keep: 1.0 - rate * weight_decay, root, least })
    }
}

/// Adam of one number, in float64.
#[derive(Clone, Debug, PartialEq)]
pub struct ScalarAdam {
    settings: Settings,
    /// Its moments.
    pub moments: Moments<f64>,
}

impl ScalarAdam {
    /// At the start.
    pub fn new(settings: Settings) -> Self {
        Self { settings, moments: Moments::default() }
    }

    /// One step against the gradient, at a fraction of the learning rate.
    pub fn step(&mut self, parameter: &mut f64, gradient: f64, fraction: f64) {
        let Settings { learning_rate, beta1, beta2, epsilon, weight_decay } = self.settings;
        let rate = fraction * learning_rate;
        let Moments { steps, mean, square } = &mut self.moments;
        *steps += 1;
        *mean += (1.0 - beta1) * (gradient - *mean);
        *square += (1.0 - beta2) * (gradient * gradient - *square);
        let (mean_correction, square_correction) = self.settings.corrections(*steps);
        let deviation = (*square / square_correction).sqrt() + epsilon;
        *parameter -= rate * weight_decay * *parameter;
        *parameter -= rate * (*mean / mean_correction) / deviation;
    }
}

/// What shortens a gradient of this norm to the largest that is wanted (Pascanu, Mikolov, Bengio: "On
/// the difficulty of training recurrent neural networks", 2013).
pub fn clip(norm: f64, largest: Option<f64>) -> f64 {
    largest.filter(|largest| norm > *largest).map_or(1.0, |largest| largest / norm)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Settings =
        Settings { learning_rate: 0.1, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 };
    const ADAMW: Settings = Settings { weight_decay: 0.5, ..SETTINGS };

    #[test]
    fn two_steps_by_hand() {
        let (mut adam, mut x) = (ScalarAdam::new(SETTINGS), 1.0);
        // The first step is the learning rate whatever the gradient: m = .2, v = .004, both
        // corrected to 2 and 4.
        adam.step(&mut x, 2.0, 1.0);
        assert!((x - 0.9).abs() < 1e-8);
        assert!((adam.moments.mean - 0.2).abs() < 1e-15);
        assert!((adam.moments.square - 0.004).abs() < 1e-15);
        // m = .9 · .2 - .1 = .08, over .19; v = .999 · .004 + .001 = .004996, over .001999.
        adam.step(&mut x, -1.0, 1.0);
        let expected = 0.9 - 0.1 * (0.08 / 0.19) / (0.004_996f64 / 0.001_999).sqrt();
        assert!((x - expected).abs() < 1e-8, "{x} is not {expected}");
    }

    #[test]
    fn weight_decay_and_schedule_by_hand() {
        let (mut adam, mut x) = (ScalarAdam::new(ADAMW), 1.0);
        // At half the rate, .05: 1 - .05 · .5 = .975, then the step of .05.
        adam.step(&mut x, 2.0, 0.5);
        assert!((x - 0.925).abs() < 1e-8, "{x}");
        // At no rate nothing moves but the moments: m = .9 · .2 + .1 · 4 = .58.
        adam.step(&mut x, 4.0, 0.0);
        assert!((x - 0.925).abs() < 1e-8, "{x}");
        assert!((adam.moments.mean - 0.58).abs() < 1e-15);
    }

    #[test]
    fn only_long_gradients_are_shortened() {
        for (largest, expected) in [(None, 1.0), (Some(6.0), 1.0), (Some(1.0), 0.2)] {
            assert_eq!(clip(5.0, largest), expected, "{largest:?}");
        }
    }
}
