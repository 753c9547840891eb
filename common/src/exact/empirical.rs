//! The distance of counted objects from the target, as papers report it over the last 200,000
//! objects, and what a perfect sampler would show.

use serde::{Deserialize, Serialize};

use super::Target;

/// The empirical distance of some objects from the target.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Empirical {
    /// Objects that were counted.
    pub objects: u64,
    /// Half the sum over all objects of |their share of the count - p|.
    pub total_variation: f64,
    /// What as many perfect samples would show on average.
    pub noise_floor: f64,
}

impl Empirical {
    /// Of how often each object was seen, in the order of [`Target::log_rewards`]; `None` if none
    /// was.
    pub fn new(target: &Target, counts: &[u32]) -> Option<Self> {
        let objects: u64 = counts.iter().map(|&count| u64::from(count)).sum();
        if objects == 0 {
            return None;
        }
        let share = |count: u32| f64::from(count) / objects as f64;
        let distances =
            counts.iter().zip(probabilities(target)).map(|(&c, p)| (share(c) - p).abs());
        let total_variation = 0.5 * distances.sum::<f64>();
        Some(Self { objects, total_variation, noise_floor: noise_floor(target, objects) })
    }
}

/// The mean total variation between the target and so many independent samples of it: half the sum
/// over all objects of the mean absolute deviation of a Poisson variable of mean `samples` p, over
/// `samples`. An empirical total variation near it says that the sampler is as good as this many
/// samples can tell.
pub fn noise_floor(target: &Target, samples: u64) -> f64 {
    let samples = samples as f64;
    let deviations = probabilities(target).map(|p| mean_absolute_deviation(samples * p));
    0.5 * deviations.sum::<f64>() / samples
}

fn probabilities(target: &Target) -> impl Iterator<Item = f64> {
    target.log_rewards().iter().map(|log_reward| (log_reward - target.log_z()).exp())
}

/// Of a Poisson variable: 2 e^-m m^(k + 1) / k!, k the whole part of m.
fn mean_absolute_deviation(mean: f64) -> f64 {
    if mean <= 0.0 {
        return 0.0;
    }
    let whole = mean.floor();
    (2f64.ln() - mean + (whole + 1.0) * mean.ln() - log_factorial(whole)).exp()
}

/// log k! of a whole number; by Stirling's series from 16 on, with an error below 1e-9.
fn log_factorial(k: f64) -> f64 {
    if k < 16.0 {
        return (2..=k as u32).map(|i| f64::from(i).ln()).sum();
    }
    let inverse = 1.0 / k;
    let correction = inverse / 12.0 - inverse.powi(3) / 360.0 + inverse.powi(5) / 1260.0;
    k * k.ln() - k + 0.5 * (std::f64::consts::TAU * k).ln() + correction
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::environment::Hypergrid;
    use crate::random::{Purpose, Stream};
    use crate::reward::{HypergridReward, Landscape};

    fn original(dimensions: usize, side: usize, r0: f64) -> Target {
        let grid = Hypergrid::new(dimensions, side).unwrap();
        let reward = HypergridReward::new(Landscape::Original { r0, r1: 0.5, r2: 2.0 }, &grid);
        Target::new(&grid, &reward.unwrap(), u64::MAX, &mut || true).unwrap()
    }

    #[test]
    fn deviations_are_those_of_the_sum_over_all_counts() {
        for mean in [1e-6, 0.3, 1.0, 2.5, 16.0, 17.2, 40.0] {
            let (mut probability, mut sum) = (f64::exp(-mean), 0.0);
            for count in 0..200 {
                sum += probability * (f64::from(count) - mean).abs();
                probability *= mean / f64::from(count + 1);
            }
            let ours = mean_absolute_deviation(mean);
            assert!((ours - sum).abs() < 1e-9 * (1.0 + sum), "mean {mean}: {ours}, expected {sum}");
        }
    }

    #[test]
    fn noise_floors_are_those_known() {
        for (dimensions, side, r0, samples, expected) in [
            (2, 8, 0.1, 20_000, 0.018),
            (2, 8, 0.1, 200_000, 0.0058),
            (4, 8, 0.1, 200_000, 0.053),
            (4, 8, 0.001, 200_000, 0.022),
            (2, 64, 0.1, 1_000_000, 0.022),
        ] {
            let floor = noise_floor(&original(dimensions, side, r0), samples);
            assert!((floor / expected - 1.0).abs() < 0.04, "{floor}, expected {expected}");
        }
    }

    #[test]
    fn perfect_samples_are_at_the_noise_floor_and_others_above() {
        let target = original(2, 8, 0.1);
        let weights: Vec<f64> = target.log_rewards().iter().map(|r| r.exp()).collect();
        let counted = |weights: &[f64]| {
            let mut stream = Stream::new(11, Purpose::Evaluation, 0, 0);
            let mut counts = vec![0u32; 64];
            (0..20_000).for_each(|_| counts[stream.categorical(weights)] += 1);
            Empirical::new(&target, &counts).unwrap()
        };
        let perfect = counted(&weights);
        assert_eq!(perfect.objects, 20_000);
        let ratio = perfect.total_variation / perfect.noise_floor;
        assert!((0.7..1.3).contains(&ratio), "{perfect:?}, seed 11");
        // The total variation of the uniform distribution is .5357.
        let uniform = counted(&[1.0; 64]).total_variation;
        assert!((uniform - 0.5357).abs() < 0.02, "{uniform}, seed 11");
        assert_eq!(Empirical::new(&target, &[0; 64]), None);
    }
}
