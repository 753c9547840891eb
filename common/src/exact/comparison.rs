//! How far a distribution is from the target.

use serde::{Deserialize, Serialize};

use super::Target;

/// The distance of a policy's distribution p from the target q = R / Z over all finished objects.
/// Divergences are in nats.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Half the sum of |p - q|: 0 to 1.
    pub total_variation: f64,
    /// The sum of |p - q|: twice the total variation. (Papers that report the mean divide it by the
    /// number of objects.)
    pub l1: f64,
    /// The mean of KL(p || m) and KL(q || m), with m the mean of p and q: 0 to ln 2.
    pub jensen_shannon: f64,
    /// KL(p || q): what the policy draws that it should not. None if infinite: where the policy
    /// draws objects with R = 0.
    pub kl_policy_target: Option<f64>,
    /// KL(q || p): what the policy misses. None if infinite.
    pub kl_target_policy: Option<f64>,
    /// log Z of the target.
    pub log_z_target: f64,
    /// Pearson's correlation of log p and log R over objects with R > 0. None where one of the two
    /// does not vary.
    pub pearson: Option<f64>,
    /// Spearman's, likewise; ties have their mean rank.
    pub spearman: Option<f64>,
    /// States of the environment, finished or not.
    pub states: u64,
    /// Finished objects.
    pub objects: u64,
}

impl Comparison {
    /// Compares the probabilities of all objects, in the order of the target.
    pub fn new(target: &Target, policy: &[f64]) -> Self {
        let log_z = target.log_z();
        let pairs = || {
            let targets = target.log_rewards().iter().map(|log_reward| (log_reward - log_z).exp());
            policy.iter().copied().zip(targets)
        };
        let l1 = pairs().map(|(p, q)| (p - q).abs()).sum::<f64>();
        let to_mean = |(p, q): (f64, f64)| {
            let mean = 0.5 * (p + q);
            0.5 * (divergence(p, mean) + divergence(q, mean))
        };
        let finite = |divergence: f64| divergence.is_finite().then_some(divergence.max(0.0));
        let rewarded = policy.iter().zip(target.log_rewards()).filter(|(_, r)| r.is_finite());
        // A probability below the smallest double counts as that.
        let (log_p, log_r): (Vec<f64>, Vec<f64>) =
            rewarded.map(|(p, log_reward)| (p.max(f64::MIN_POSITIVE).ln(), *log_reward)).unzip();
        Self {
            total_variation: 0.5 * l1,
            l1,
            jensen_shannon: pairs().map(to_mean).sum::<f64>().max(0.0),
            kl_policy_target: finite(pairs().map(|(p, q)| divergence(p, q)).sum()),
            kl_target_policy: finite(pairs().map(|(p, q)| divergence(q, p)).sum()),
            log_z_target: log_z,
            pearson: correlation(&log_p, &log_r),
            spearman: correlation(&ranks(&log_p), &ranks(&log_r)),
            states: target.states(),
            objects: policy.len() as u64,
        }
    }
}

/// One term of KL(p || q).
fn divergence(p: f64, q: f64) -> f64 {
    if p > 0.0 { p * (p / q).ln() } else { 0.0 }
}

/// Pearson's correlation, if both vary.
fn correlation(x: &[f64], y: &[f64]) -> Option<f64> {
    let varies = |values: &[f64]| values.iter().any(|value| *value != values[0]);
    if !varies(x) || !varies(y) {
        return None;
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (mean_x, mean_y) = (mean(x), mean(y));
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (x, y) in x.iter().zip(y) {
        let (dx, dy) = (x - mean_x, y - mean_y);
        xx += dx * dx;
        yy += dy * dy;
        xy += dx * dy;
    }
    let correlation = xy / (xx * yy).sqrt();
    correlation.is_finite().then_some(correlation.clamp(-1.0, 1.0))
}

/// The rank of each value, ties sharing their mean.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    for tied in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = first as f64 + (tied.len() - 1) as f64 / 2.0;
        tied.iter().for_each(|&i| ranks[i] = rank);
        first += tied.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_share_their_mean_rank() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0]), [2.5, 0.0, 2.5, 1.0]);
    }

    #[test]
    fn a_correlation_needs_two_that_vary() {
        assert_eq!(correlation(&[1.0, 2.0], &[0.1, 0.1]), None);
        assert_eq!(correlation(&[], &[]), None);
        assert_eq!(correlation(&[1.0, 2.0, 3.0], &[5.0, 3.0, 1.0]), Some(-1.0));
        // By hand: covariance 1, variances 2 and 2 (sums).
        let half = correlation(&[0.0, 1.0, 2.0], &[0.0, 2.0, 1.0]);
        assert!(half.is_some_and(|r| (r - 0.5).abs() < 1e-15), "{half:?}");
    }
}
