//! Adam (Kingma and Ba: "Adam: a method for stochastic optimization", 2015, algorithm 1), on one
//! flat vector of parameters in libtorch and on single numbers; with decoupled weight decay AdamW
//! (Loshchilov and Hutter: "Decoupled weight decay regularization", 2019, algorithm 2).

use tch::{TchError, Tensor};
use tributary_common::run_file::{self, OptimizerKind};

use crate::torch::{assign, to_host};
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

/// Adam of a flat parameter vector. Works in place on whatever device that is on; on the CPU, too,
/// its vectorized passes were cheaper than one fused pass in Rust with its two copies.
pub struct Adam {
    settings: Settings,
    steps: u64,
    mean: Tensor,
    square: Tensor,
    /// Memory for what is between.
    scratch: Tensor,
}

impl Adam {
    /// For a vector like this one.
    pub fn new(settings: Settings, parameters: &Tensor) -> Result<Self, TchError> {
        let zeros = || parameters.f_zeros_like();
        let (mean, square, scratch) = (zeros()?, zeros()?, zeros()?);
        Ok(Self { settings, steps: 0, mean, square, scratch })
    }

    /// One step against the gradient, at a fraction of the learning rate; returns the rate.
    pub fn step(
        &mut self,
        parameters: &mut Tensor,
        gradient: &Tensor,
        fraction: f64,
    ) -> Result<f64, TchError> {
        let _no_grad = tch::no_grad_guard();
        let Settings { learning_rate, beta1, beta2, epsilon, weight_decay } = self.settings;
        let rate = fraction * learning_rate;
        self.steps += 1;
        let (mean, square) = self.settings.corrections(self.steps);
        let _ = self.mean.f_lerp_(gradient, 1.0 - beta1)?;
        let _ = gradient.f_square_out(&self.scratch)?;
        let _ = self.square.f_lerp_(&self.scratch, 1.0 - beta2)?;
        if rate < LEAST_RATE {
            return Ok(rate);
        }
        if weight_decay > 0.0 {
            let _ = parameters.f_mul_scalar_(1.0 - rate * weight_decay)?;
        }
        // parameters -= rate · (mean / its correction) / (sqrt(square / its correction) + epsilon),
        // with the numbers drawn into the denominator.
        let scale = -mean / rate;
        let _ = self.square.f_sqrt_out(&self.scratch)?;
        let _ = self.scratch.f_mul_scalar_(scale / square.sqrt())?;
        let _ = self.scratch.f_add_scalar_(scale * epsilon)?;
        let _ = parameters.f_addcdiv_(&self.mean, &self.scratch)?;
        Ok(rate)
    }

    /// Its moments, on the host.
    pub fn moments(&self) -> Result<Moments<Vec<f32>>, TchError> {
        let mut moments = Moments { steps: self.steps, ..Moments::default() };
        to_host(&self.mean, &mut moments.mean)?;
        to_host(&self.square, &mut moments.square)?;
        Ok(moments)
    }

    /// Goes on from these moments.
    pub fn restore(&mut self, moments: &Moments<Vec<f32>>) -> Result<(), TchError> {
        assign(&mut self.mean, &moments.mean)?;
        assign(&mut self.square, &moments.square)?;
        self.steps = moments.steps;
        Ok(())
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

/// Shortens a gradient of this norm to the largest that is wanted, in place (Pascanu, Mikolov,
/// Bengio: "On the difficulty of training recurrent neural networks", 2013).
pub fn clip(gradient: &mut Tensor, norm: f64, largest: Option<f64>) -> Result<(), TchError> {
    if let Some(largest) = largest.filter(|largest| norm > *largest) {
        let _ = gradient.f_mul_scalar_(largest / norm)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use tributary_common::random::{Purpose, Stream};

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
        for (largest, expected) in
            [(None, [3.0, 4.0]), (Some(6.0), [3.0, 4.0]), (Some(1.0), [0.6, 0.8])]
        {
            let mut gradient = Tensor::from_slice(&[3f32, 4.0]);
            clip(&mut gradient, 5.0, largest).unwrap();
            for (i, expected) in (0..).zip(expected) {
                let ours = gradient.double_value(&[i]);
                assert!((ours - expected).abs() < 1e-6, "{largest:?}: {ours}");
            }
        }
    }

    #[test]
    fn the_vector_does_what_the_numbers_do() {
        [SETTINGS, ADAMW].into_iter().for_each(compare);
    }

    fn compare(settings: Settings) {
        let mut stream = Stream::new(1, Purpose::Walk, 0, 0);
        let mut random = |scale: f64| -> Vec<f32> {
            (0..50).map(|_| (scale * (stream.uniform() - 0.5)) as f32).collect()
        };
        let start = random(2.0);
        let mut vector = Tensor::from_slice(&start);
        let mut numbers: Vec<f64> = start.iter().map(|&x| f64::from(x)).collect();
        let mut adam = Adam::new(settings, &vector).unwrap();
        let mut scalars = vec![ScalarAdam::new(settings); 50];
        for step in 0..20 {
            let mut gradient = random(10f64.powi(step % 5 - 2));
            // Parameters whose gradient is 0, and steps at no rate at all.
            gradient[..10].fill(0.0);
            let fraction = f64::from(step % 4) / 3.0;
            adam.step(&mut vector, &Tensor::from_slice(&gradient), fraction).unwrap();
            for ((number, scalar), &g) in numbers.iter_mut().zip(&mut scalars).zip(&gradient) {
                scalar.step(number, f64::from(g), fraction);
            }
            if step == 10 {
                // Moments survive their way through a checkpoint.
                let moments = adam.moments().unwrap();
                adam = Adam::new(settings, &vector).unwrap();
                adam.restore(&moments).unwrap();
            }
        }
        let mut values = Vec::new();
        to_host(&vector, &mut values).unwrap();
        for (value, number) in values.iter().zip(&numbers) {
            assert!((f64::from(*value) - number).abs() < 1e-5, "{value} is not {number}");
        }
    }
}
