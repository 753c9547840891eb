//! Detailed balance (Bengio, Lahlou, Deleu, Hu, Tiwari, Bengio: "GFlowNet foundations", 2023,
//! section 3.2).

use super::{Flow, Gradients, Objective, ResidualLoss, Slopes, Terms};

/// The mean over the transitions of a batch, the exits among them, of
/// `(log F(s) + log P_F(s' | s) - log P_B(s | s') - log F(s'))²`,
/// where log F is log Z in the initial state and log R after the exit; log F(s') is the target's where
/// there is one.
#[derive(Clone, Copy, Debug, Default)]
pub struct DetailedBalance {
    /// In the place of the square.
    pub residual: ResidualLoss,
    /// What log F is on the way.
    pub flow: Flow,
}

impl Objective for DetailedBalance {
    fn loss(&self, terms: &Terms, gradients: &mut Gradients) -> f64 {
        gradients.reset(terms);
        let residuals = self.flow.residuals(terms);
        let share = 1.0 / residuals.len() as f64;
        let mut slopes = Slopes::new(residuals.len());
        let mut loss = 0.0;
        for (t, (residual, gap)) in residuals.iter().zip(self.flow.gaps(terms)).enumerate() {
            let (value, slope) = self.residual.at(residual + gap);
            loss += share * value;
            slopes.around[t] = share * slope;
            slopes.starting[t] = share * slope;
        }
        self.flow.take_back(&slopes, terms, gradients);
        loss
    }
}
