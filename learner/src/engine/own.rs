//! Training of a small perceptron by our own kernels, in the host's memory: a step, the average and
//! the target network in one walk over all vectors.

use tch::TchError;
use tributary_common::network::cpu::{Passes, with_wide_vectors};
use tributary_common::network::{Network, Ragged};

use super::{Engine, Move, Step, Vector, are_finite, check_features, copy_both, product};

/// Weights in the host's memory.
pub(super) struct Own {
    passes: Passes,
    inputs: usize,
    /// Whether the passes have the newest weights.
    is_packed: bool,
    weights: Vec<f32>,
    average: Vec<f32>,
    mean: Vec<f32>,
    square: Vec<f32>,
    gradient: Vec<f32>,
    target: Option<Box<Target>>,
}

/// The target network.
struct Target {
    passes: Passes,
    weights: Vec<f32>,
}

impl Own {
    pub(super) fn new(passes: Passes, network: &Network, values: &[f32], has_target: bool) -> Self {
        let zeros = vec![0.0; values.len()];
        let target =
            has_target.then(|| Target { passes: passes.clone(), weights: values.to_vec() });
        Self {
            passes,
            inputs: network.layers().first().map_or(0, |layer| layer.inputs),
            is_packed: false,
            weights: values.to_vec(),
            average: values.to_vec(),
            mean: zeros.clone(),
            square: zeros.clone(),
            gradient: zeros,
            target: target.map(Box::new),
        }
    }

    /// The step, all vectors side by side.
    #[inline(always)]
    fn walk(&mut self, step: &Step) {
        let [of_mean, of_square] = step.shares.map(Way::new);
        let (scale, of_average) = (step.gradient_scale as f32, Way::new(step.average));
        let moments = self.mean.iter_mut().zip(&mut self.square).zip(&self.gradient);
        let weights = self.weights.iter_mut().zip(&mut self.average);
        let narrow = |Move { keep, root, least }| [keep, root, least].map(|number| number as f32);
        let moves = step.weights.map(narrow);
        for (((mean, square), gradient), (weight, average)) in moments.zip(weights) {
            let gradient = scale * gradient;
            *mean = of_mean.go(*mean, gradient);
            *square = of_square.go(*square, gradient * gradient);
            if let Some([keep, root, least]) = moves {
                *weight = keep * *weight + *mean / (root * square.sqrt() + least);
            }
            *average = of_average.go(*average, *weight);
        }
        if let (Some(target), Some(share)) = (&mut self.target, step.target) {
            let of_target = Way::new(share);
            for (target, weight) in target.weights.iter_mut().zip(&self.weights) {
                *target = of_target.go(*target, *weight);
            }
        }
    }

    fn vector(&self, vector: Vector) -> Option<&Vec<f32>> {
        Some(match vector {
            Vector::Weights => &self.weights,
            Vector::Average => &self.average,
            Vector::Mean => &self.mean,
            Vector::Square => &self.square,
            Vector::Target => return self.target.as_ref().map(|target| &target.weights),
        })
    }

    fn vector_mut(&mut self, vector: Vector) -> Option<&mut Vec<f32>> {
        Some(match vector {
            Vector::Weights => &mut self.weights,
            Vector::Average => &mut self.average,
            Vector::Mean => &mut self.mean,
            Vector::Square => &mut self.square,
            Vector::Target => return self.target.as_mut().map(|target| &mut target.weights),
        })
    }
}

impl Engine for Own {
    fn forward(
        &mut self,
        features: &Ragged,
        _: u64,
        logits: &mut Vec<f32>,
    ) -> Result<(), TchError> {
        check_features(features, self.inputs)?;
        if !self.is_packed {
            self.passes.set_weights(&self.weights);
            self.is_packed = true;
        }
        self.passes.forward(features, logits);
        Ok(())
    }

    fn forward_target(&mut self, features: &Ragged, logits: &mut Vec<f32>) -> Result<(), TchError> {
        check_features(features, self.inputs)?;
        let Some(target) = &mut self.target else {
            return Err(TchError::Shape("there is no target network".to_owned()));
        };
        target.passes.set_weights(&target.weights);
        target.passes.forward(features, logits);
        Ok(())
    }

    fn backward(&mut self, gradient: &[f32]) -> Result<f64, TchError> {
        self.passes.backward(gradient, &mut self.gradient);
        Ok(product(&self.gradient, &self.gradient).sqrt())
    }

    fn gradient(&self, out: &mut Vec<f32>) -> Result<(), TchError> {
        out.clone_from(&self.gradient);
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), TchError> {
        with_wide_vectors(
            #[inline(always)]
            || self.walk(step),
        );
        self.is_packed = false;
        Ok(())
    }

    fn read(&self, vector: Vector, out: &mut Vec<f32>) -> Result<(), TchError> {
        out.clear();
        out.extend(self.vector(vector).into_iter().flatten());
        Ok(())
    }

    fn copies(&self, raw: &mut Vec<f32>, average: &mut Vec<f32>) -> Result<[bool; 2], TchError> {
        let copy = |from: &Vec<f32>, to: &mut Vec<f32>| {
            to.clone_from(from);
            are_finite(to)
        };
        let first = || copy(&self.weights, raw);
        let second = || copy(&self.average, average);
        let (raw, average) = copy_both(self.weights.len(), first, second);
        Ok([raw, average])
    }

    fn write(&mut self, vector: Vector, values: &[f32]) -> Result<(), TchError> {
        self.is_packed = false;
        if let Some(vector) = self.vector_mut(vector) {
            vector.clear();
            vector.extend(values);
        }
        Ok(())
    }
}

/// A share of the way from one number to another, from the nearer end, so that all of it is exact.
#[derive(Clone, Copy)]
struct Way {
    gone: f32,
    left: f32,
}

impl Way {
    fn new(share: f64) -> Self {
        Self { gone: share as f32, left: (1.0 - share) as f32 }
    }

    #[inline]
    fn go(self, from: f32, to: f32) -> f32 {
        let way = to - from;
        if self.gone < self.left { from + self.gone * way } else { to - self.left * way }
    }
}
