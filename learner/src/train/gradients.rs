//! The gradient of single trajectories: for diagnostics, never for a step.

use tch::{Kind, Tensor};

use super::Trainer;
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
        let mut gradients = Vec::with_capacity(chosen.len());
        for &i in chosen {
            one.clear();
            let actions = actions[i].iter().copied();
            one.push(samples.ordinals[i], actions, samples.log_rewards[i], samples.policies[i]);
            gradients.push(self.gradient(&one)?.0);
        }
        let gradients = Tensor::f_stack(&gradients, 0)?;
        let products = gradients.f_matmul(&gradients.f_transpose(0, 1)?)?;
        let mut values = vec![0.0; chosen.len() * chosen.len()];
        products
            .f_to_kind(Kind::Double)?
            .f_contiguous()?
            .f_copy_data(&mut values, products.numel())?;
        Ok(values)
    }
}
