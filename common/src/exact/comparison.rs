//! How far a distribution is from the target.

use serde::{Deserialize, Serialize};

use super::{Target, entropy};
use crate::statistics::{pearson, spearman};

/// The distance of a policy's distribution p from the target q = R / Z over all finished objects.
/// Divergences are in nats.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Half the sum of |p - q|: 0 to 1.
    pub total_variation: f64,
    /// The sum of |p - q|: twice the total variation.
    pub l1: f64,
    /// The mean of |p - q| over all objects, as some papers report it.
    pub l1_mean: f64,
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
    /// -sum p log p of the policy, in nats: 0 for one object, log n for n alike.
    pub entropy_policy: f64,
    /// Likewise of the target.
    pub entropy_target: f64,
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
            l1_mean: l1 / policy.len().max(1) as f64,
            jensen_shannon: pairs().map(to_mean).sum::<f64>().max(0.0),
            kl_policy_target: finite(pairs().map(|(p, q)| divergence(p, q)).sum()),
            kl_target_policy: finite(pairs().map(|(p, q)| divergence(q, p)).sum()),
            log_z_target: log_z,
            pearson: pearson(&log_p, &log_r),
            spearman: spearman(&log_p, &log_r),
            entropy_policy: entropy(policy.iter().copied()),
            entropy_target: entropy(pairs().map(|(_, q)| q)),
            states: target.states(),
            objects: policy.len() as u64,
        }
    }

    /// How far a learned log Z is above the target's, in nats.
    #[must_use]
    pub fn log_z_error(&self, log_z: f64) -> f64 {
        log_z - self.log_z_target
    }
}

/// One term of KL(p || q).
fn divergence(p: f64, q: f64) -> f64 {
    if p > 0.0 { p * (p / q).ln() } else { 0.0 }
}
