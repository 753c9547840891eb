//! Sub-trajectory balance (Madan, Rector-Brooks, Korablyov, Bengio, Jain, Nica, Bosc, Bengio,
//! Malkin: "Learning GFlowNets from partial episodes for improved convergence and stability", 2023).

use std::ops::Range;

use tributary_common::run_file::{self, Weighting};

use super::{Flow, Gradients, Objective, ResidualLoss, Slopes, Terms};

/// The weighted mean, over all parts s_i → … → s_j of the trajectories of a batch, of
/// `(log F(s_i) + Σ log P_F(s_t+1 | s_t) - Σ log P_B(s_t | s_t+1) - log F(s_j))²`,
/// where log F is log Z in the initial state and log R after the exit; log F(s_j) is the target's where
/// there is one. The paper's weights are [`Weighting::GeometricWithin`].
#[derive(Clone, Copy, Debug)]
pub struct SubTrajectoryBalance {
    /// The weights of the parts.
    pub weighting: Weighting,
    /// λ of the geometric weightings.
    pub lambda: f64,
    /// In the place of the square.
    pub residual: ResidualLoss,
    /// What log F is on the way.
    pub flow: Flow,
}

impl SubTrajectoryBalance {
    /// As a run file describes it.
    pub fn of_run(objective: &run_file::Objective) -> Self {
        Self {
            weighting: objective.weighting,
            lambda: objective.lambda,
            residual: ResidualLoss::of_run(objective),
            flow: Flow { forward_looking: objective.forward_looking },
        }
    }

    /// λ such that a part of l transitions weighs λ^l within its trajectory: 0 for single
    /// transitions only, infinity for the whole trajectory only; none for `geometric`, whose weights
    /// depend on how often each length occurs.
    fn decay(&self) -> Option<f64> {
        match self.weighting {
            Weighting::GeometricWithin => Some(self.lambda),
            Weighting::EqualWithin | Weighting::Equal => Some(1.0),
            Weighting::DetailedBalance | Weighting::ModifiedDetailedBalance => Some(0.0),
            Weighting::TrajectoryBalance => Some(f64::INFINITY),
            Weighting::Geometric => None,
        }
    }

    /// Loss of the parts of all trajectories; writes its gradient.
    fn of_decay(&self, lambda: f64, terms: &Terms, parts: Parts<'_>, slopes: &mut Slopes) -> f64 {
        let over_batch = matches!(self.weighting, Weighting::Equal | Weighting::DetailedBalance);
        let sum_of = |n: usize| sum_over_parts(&decaying(lambda, n));
        let batch: f64 = if over_batch {
            terms.trajectories().map(|(transitions, _)| sum_of(transitions.len())).sum()
        } else {
            terms.log_reward.len() as f64
        };
        let in_linear_time =
            self.residual == ResidualLoss::Squared && lambda > 0.0 && lambda.is_finite();
        let mut loss = 0.0;
        for (transitions, _) in terms.trajectories() {
            let n = transitions.len();
            let share = if over_batch { 1.0 / batch } else { 1.0 / (batch * sum_of(n)) };
            loss += if in_linear_time {
                parts.squared(transitions, lambda, share, slopes)
            } else {
                let weights: Vec<f64> =
                    decaying(lambda, n).iter().map(|weight| share * weight).collect();
                parts.one_by_one(transitions, &weights, self.residual, slopes)
            };
        }
        loss
    }

    /// The same for `geometric`: λ^l for the mean over all parts of length l.
    fn of_lengths(&self, terms: &Terms, parts: Parts<'_>, slopes: &mut Slopes) -> f64 {
        let lengths = || terms.trajectories().map(|(transitions, _)| transitions.len());
        let longest = lengths().max().unwrap_or(0);
        let mut weights = decaying(self.lambda, longest);
        let sum: f64 = weights.iter().sum();
        // Trajectories of just each length; then, of at least each length; then, parts of it.
        let mut count = vec![0.0; longest];
        lengths().for_each(|n| count[n - 1] += 1.0);
        for _ in 0..2 {
            let mut longer = 0.0;
            for count in count.iter_mut().rev() {
                longer += *count;
                *count = longer;
            }
        }
        weights.iter_mut().zip(&count).for_each(|(weight, count)| *weight /= sum * count);
        let of_trajectory =
            |(transitions, _)| parts.one_by_one(transitions, &weights, self.residual, slopes);
        terms.trajectories().map(of_trajectory).sum()
    }
}

impl Objective for SubTrajectoryBalance {
    fn loss(&self, terms: &Terms, gradients: &mut Gradients) -> f64 {
        gradients.reset(terms);
        let (residuals, gaps) = (self.flow.residuals(terms), self.flow.gaps(terms));
        let mut slopes = Slopes::new(residuals.len());
        let parts = Parts { residuals: &residuals, gaps: &gaps };
        let loss = match self.decay() {
            Some(lambda) => self.of_decay(lambda, terms, parts, &mut slopes),
            None => self.of_lengths(terms, parts, &mut slopes),
        };
        self.flow.take_back(&slopes, terms, gradients);
        loss
    }
}

/// Weights ∝ λ^l of the parts of length l = 1..=n, the largest of them 1: no power overflows.
fn decaying(lambda: f64, n: usize) -> Vec<f64> {
    let power = |base: f64, exponent: usize| base.powi(i32::try_from(exponent).unwrap_or(i32::MAX));
    let weight = |l| if lambda <= 1.0 { power(lambda, l - 1) } else { power(1.0 / lambda, n - l) };
    (1..=n).map(weight).collect()
}

/// The sum over all parts of a trajectory of n transitions: n - l + 1 of them have length l.
fn sum_over_parts(weights: &[f64]) -> f64 {
    let n = weights.len();
    weights.iter().enumerate().map(|(i, weight)| (n - i) as f64 * weight).sum()
}

/// The parts of the trajectories of a batch, by what their residuals are sums of.
#[derive(Clone, Copy)]
struct Parts<'a> {
    /// Of each transition.
    residuals: &'a [f64],
    /// Added to a residual that ends with the transition.
    gaps: &'a [f64],
}

impl Parts<'_> {
    /// Loss and slopes of one trajectory by going through all parts, for any loss of a residual: O(n²)
    /// work in O(n) memory. `weights[l - 1]` is that of a part of length l; lengths without weight
    /// cost nothing.
    fn one_by_one(
        self,
        trajectory: Range<usize>,
        weights: &[f64],
        residual_loss: ResidualLoss,
        slopes: &mut Slopes,
    ) -> f64 {
        let (residuals, gaps) =
            (&self.residuals[trajectory.clone()], &self.gaps[trajectory.clone()]);
        let around = &mut slopes.around[trajectory.clone()];
        let starting = &mut slopes.starting[trajectory];
        let n = residuals.len();
        let is_weight = |weight: &f64| *weight > 0.0;
        let shortest = weights.iter().position(is_weight).map_or(n, |i| i + 1);
        let longest = weights.iter().rposition(is_weight).map_or(0, |i| i + 1);
        let mut loss = 0.0;
        let mut ending = vec![0.0; n];
        let starts = starting.iter_mut().enumerate().take((n + 1).saturating_sub(shortest));
        for (start, starting) in starts {
            let end = n.min(start + longest);
            let mut residual = 0.0;
            for t in start..end {
                residual += residuals[t];
                let length = t - start + 1;
                ending[t] = 0.0;
                if length >= shortest {
                    let (value, slope) = residual_loss.at(residual + gaps[t]);
                    loss += weights[length - 1] * value;
                    ending[t] = weights[length - 1] * slope;
                }
            }
            // A transition is in the parts that end with it or later.
            let mut later = 0.0;
            for t in (start..end).rev() {
                later += ending[t];
                around[t] += later;
            }
            *starting += later;
        }
        loss
    }

    /// Loss and slopes of one trajectory for the squared residual in O(n), for 0 < λ < ∞.
    ///
    /// The weight of the part that starts with transition b and ends with e is written as
    /// `outer^b · inner^(e-b) · outer^(n-1-e)`, with (inner, outer) = (λ, 1) for λ <= 1, and (1, 1/λ)
    /// for λ > 1. With r(b..e) the residual of the part without its gap, the sums over all b of the
    /// first two factors times 1, r and r² follow from those of the transition before. (The same sums
    /// from the moments of the running total would cancel where log F is large.)
    fn squared(
        self,
        trajectory: Range<usize>,
        lambda: f64,
        share: f64,
        slopes: &mut Slopes,
    ) -> f64 {
        let (residuals, gaps) =
            (&self.residuals[trajectory.clone()], &self.gaps[trajectory.clone()]);
        let around = &mut slopes.around[trajectory.clone()];
        let starting_slopes = &mut slopes.starting[trajectory];
        let (inner, outer) = if lambda <= 1.0 { (lambda, 1.0) } else { (1.0, 1.0 / lambda) };
        let (mut weight, mut first, mut second) = (0.0, 0.0, 0.0);
        let (mut starting, mut loss) = (1.0, 0.0);
        let mut ending = Vec::with_capacity(residuals.len());
        for (&residual, &gap) in residuals.iter().zip(gaps) {
            first *= inner;
            second *= inner;
            weight = inner * weight + starting;
            second += residual * (2.0 * first + residual * weight);
            first += residual * weight;
            loss = outer * loss + second + gap * (2.0 * first + gap * weight);
            ending.push((weight, first, starting));
            starting *= outer;
        }
        // A part around transition t is one that ends with t and one, maybe empty, that starts after
        // it: the sums over all of the latter of the last two factors times 1, and times r and the gap.
        let (mut after, mut first_after) = (0.0, 0.0);
        let (mut stopping, mut next) = (1.0, 0.0);
        for (t, (weight, first, starting)) in ending.into_iter().enumerate().rev() {
            first_after = inner * (first_after + next * after) + stopping * gaps[t];
            after = inner * after + stopping;
            around[t] += 2.0 * share * (first * after + weight * first_after);
            starting_slopes[t] += 2.0 * share * starting * (residuals[t] * after + first_after);
            stopping *= outer;
            next = residuals[t];
        }
        share * loss
    }
}
