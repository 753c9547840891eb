//! The loss of one residual.

use tributary_common::run_file;

/// What a residual r (in nats) costs. All are r² to second order at 0, so that changing one for
/// another keeps the learning rates.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum ResidualLoss {
    /// r²
    #[default]
    Squared,
    /// r² up to the threshold c, its tangent 2 c |r| - c² beyond (Huber 1964, times 2).
    Huber(f64),
    /// 2 log cosh r
    LogCosh,
}

impl ResidualLoss {
    /// The one that a run file asks for.
    pub fn of_run(objective: &run_file::Objective) -> Self {
        match objective.residual {
            run_file::Residual::Squared => Self::Squared,
            run_file::Residual::Huber => Self::Huber(objective.huber_threshold),
            run_file::Residual::LogCosh => Self::LogCosh,
        }
    }

    /// The loss of a residual, and its derivative.
    pub fn at(self, residual: f64) -> (f64, f64) {
        let size = residual.abs();
        match self {
            Self::Huber(threshold) if size > threshold => {
                (threshold * (2.0 * size - threshold), 2.0 * threshold.copysign(residual))
            }
            Self::Squared | Self::Huber(_) => (residual * residual, 2.0 * residual),
            Self::LogCosh => {
                let log_cosh = size + (-2.0 * size).exp().ln_1p() - std::f64::consts::LN_2;
                (2.0 * log_cosh, 2.0 * residual.tanh())
            }
        }
    }
}
