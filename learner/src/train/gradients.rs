//! The gradient of single trajectories: for diagnostics, never for a step.

use super::Trainer;
use crate::engine::product;
use crate::replay::Samples;
use crate::training::TrainError;

impl Trainer {
    /// The inner products of the gradients of these trajectories' own losses with respect to the
    /// network's parameters (log Z not among them), `[chosen.len(), chosen.len()]` row after row.
    pub(super) fn products(
        &mut self,
        samples: &Samples,
        chosen: &[usize],
    ) -> Result<Vec<f64>, TrainError> {
        let (actions, mut one) = (samples.iter_actions().collect::<Vec<_>>(), Samples::default());
        let mut gradients = vec![Vec::new(); chosen.len()];
        for (&i, gradient) in chosen.iter().zip(&mut gradients) {
            one.clear();
            let actions = actions[i].iter().copied();
            one.push(samples.ordinals[i], actions, samples.log_rewards[i], samples.policies[i]);
            self.gradient(&one)?;
            self.engine.gradient(gradient)?;
        }
        let rows = gradients.iter();
        Ok(rows.flat_map(|row| gradients.iter().map(|column| product(row, column))).collect())
    }
}
