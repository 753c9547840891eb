//! How gradients of trajectories agree: the inner product and the cosine of pairs, the measure of
//! "Interference and Generalization in Temporal Difference Learning" (Bengio, Pineau, Precup 2020).
//!
//! A step against the gradient g of one trajectory changes the loss of another, with gradient h, by
//! about -(learning rate) g · h: what is learned on the one helps the other where the product is
//! positive, and undoes it where it is negative.

use serde::Serialize;
use tributary_common::estimate::spread;
use tributary_common::run_file;

use crate::replay::{Samples, Source};

/// Distances in updates, each the least of its class: 0, 1 to 9, 10 to 99, 100 and more.
const LAGS: [u64; 4] = [0, 1, 10, 100];

/// The pairs of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct PairFigures {
    /// How many.
    pub pairs: u64,
    /// Mean inner product of their gradients.
    pub inner_product: Option<f64>,
    /// Mean cosine, over those pairs of which neither gradient is 0.
    pub cosine: Option<f64>,
}

/// The pairs of one batch, by kind and by lag.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct InterferenceFigures {
    /// The update after which it was measured.
    pub step: u64,
    /// All pairs.
    pub all: PairFigures,
    /// Both trajectories are on-policy: as an actor drew them, trained on for the first time.
    pub on_policy: PairFigures,
    /// One is, the other is replayed, or redrawn.
    pub mixed: PairFigures,
    /// Neither is.
    pub replayed: PairFigures,
    /// By how many updates apart are the weights that drew the two: 0, 1 to 9, 10 to 99, 100 and
    /// more.
    pub by_lag: [PairFigures; 4],
}

impl InterferenceFigures {
    /// Each class with its name in `metrics.jsonl`.
    pub fn classes(&self) -> [(&'static str, PairFigures); 8] {
        let [at_once, to_10, to_100, later] = self.by_lag;
        [
            ("interference.all", self.all),
            ("interference.on_policy", self.on_policy),
            ("interference.mixed", self.mixed),
            ("interference.replayed", self.replayed),
            ("interference.lag_0", at_once),
            ("interference.lag_1", to_10),
            ("interference.lag_10", to_100),
            ("interference.lag_100", later),
        ]
    }
}

/// When interference is measured, and on what.
#[derive(Debug)]
pub struct Interference {
    every: u64,
    trajectories: usize,
}

impl Interference {
    /// As the run file asks for it, if it does.
    pub fn of_run(config: &run_file::Evaluation) -> Option<Self> {
        let trajectories = config.interference_trajectories;
        let every = config.interference_every?;
        Some(Self { every, trajectories })
    }

    /// Whether to measure after this update.
    pub fn is_due(&self, step: u64) -> bool {
        step.is_multiple_of(self.every)
    }

    /// Which of the batch's trajectories are compared: some, spread evenly over it.
    pub fn chosen(&self, samples: &Samples) -> Vec<usize> {
        let all: Vec<usize> = (0..samples.len()).collect();
        spread(&all, self.trajectories)
    }

    /// The figures of pairs of these trajectories of the batch; `products` are the inner products of
    /// all their gradients, row after row.
    pub fn figures(
        &self,
        step: u64,
        samples: &Samples,
        chosen: &[usize],
        products: &[f64],
    ) -> InterferenceFigures {
        let count = chosen.len();
        let mut sums = [Sum::default(); 8];
        for (i, &one) in chosen.iter().enumerate() {
            for (j, &other) in chosen.iter().enumerate().take(i) {
                let product = products[i * count + j];
                let norms = (products[i * count + i] * products[j * count + j]).sqrt();
                let cosine = (norms > 0.0).then(|| product / norms);
                let new = [one, other].map(|place| samples.sources[place] == Source::Fresh);
                let kind = match new {
                    [true, true] => 1,
                    [false, false] => 3,
                    _ => 2,
                };
                let steps = [one, other].map(|place| samples.policies[place].step);
                let apart = steps[0].abs_diff(steps[1]);
                let lag = 3 + LAGS.partition_point(|&least| least <= apart);
                for class in [0, kind, lag] {
                    sums[class].add(product, cosine);
                }
            }
        }
        let [all, on_policy, mixed, replayed, by_lag @ ..] = sums.map(|sum| sum.figures());
        InterferenceFigures { step, all, on_policy, mixed, replayed, by_lag }
    }
}

#[derive(Clone, Copy, Default)]
struct Sum {
    pairs: u64,
    products: f64,
    cosines: f64,
    with_cosine: u64,
}

impl Sum {
    fn add(&mut self, product: f64, cosine: Option<f64>) {
        self.pairs += 1;
        self.products += product;
        self.cosines += cosine.unwrap_or_default();
        self.with_cosine += u64::from(cosine.is_some());
    }

    fn figures(self) -> PairFigures {
        let mean = |sum: f64, count: u64| (count > 0).then(|| sum / count as f64);
        PairFigures {
            pairs: self.pairs,
            inner_product: mean(self.products, self.pairs),
            cosine: mean(self.cosines, self.with_cosine),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tributary_common::ids::{Incarnation, PolicyVersion};

    use super::*;

    fn samples(trajectories: &[(Source, u64)]) -> Samples {
        let mut samples = Samples::default();
        for (ordinal, &(source, step)) in (0..).zip(trajectories) {
            let policy = PolicyVersion { incarnation: Incarnation(1), step };
            samples.push_from(source, ordinal, [], 0.0, policy);
        }
        samples
    }

    fn measure(every: u64) -> Interference {
        let config = run_file::Evaluation {
            interference_every: Some(every),
            interference_trajectories: 3,
            ..run_file::Evaluation::default()
        };
        Interference::of_run(&config).unwrap()
    }

    #[test]
    fn pairs_are_sorted_by_kind_and_by_lag() {
        let interference = measure(10);
        // Gradients (1, 0), (1, 1) and (0, -2).
        let batch = samples(&[(Source::Replayed, 0), (Source::Fresh, 0), (Source::Fresh, 12)]);
        assert_eq!(interference.chosen(&batch), [0, 1, 2]);
        let products = [1.0, 1.0, 0.0, 1.0, 2.0, -2.0, 0.0, -2.0, 4.0];
        let figures = interference.figures(30, &batch, &[0, 1, 2], &products);
        let pairs = |pairs, product: f64, cosine: f64| PairFigures {
            pairs,
            inner_product: Some(product),
            cosine: Some(cosine),
        };
        let half = 0.5f64.sqrt();
        let none = PairFigures::default();
        let close = |found: PairFigures, expected: PairFigures| {
            assert_eq!(
                (found.pairs, found.inner_product),
                (expected.pairs, expected.inner_product)
            );
            let off = found.cosine.unwrap() - expected.cosine.unwrap();
            assert!(off.abs() < 1e-12, "{found:?}, expected {expected:?}");
        };
        close(figures.all, pairs(3, -1.0 / 3.0, 0.0));
        close(figures.on_policy, pairs(1, -2.0, -half));
        close(figures.mixed, pairs(2, 0.5, 0.5 * half));
        assert_eq!(figures.replayed, none);
        close(figures.by_lag[0], pairs(1, 1.0, half));
        assert_eq!((figures.by_lag[1], figures.by_lag[3]), (none, none));
        close(figures.by_lag[2], pairs(2, -1.0, -0.5 * half));
        assert!(interference.is_due(30) && !interference.is_due(31));
    }

    #[test]
    fn a_gradient_of_zero_has_no_cosine() {
        let interference = measure(1);
        let batch = samples(&[(Source::Fresh, 0); 4]);
        assert_eq!(interference.chosen(&batch), [0, 1, 2]);
        let products = [4.0, 0.0, 0.0, 0.0];
        let figures = interference.figures(1, &batch, &[0, 1], &products);
        let expected = PairFigures { pairs: 1, inner_product: Some(0.0), cosine: None };
        assert_eq!(figures.on_policy, expected);
        assert!(Interference::of_run(&run_file::Evaluation::default()).is_none());
    }
}
