//! Statistics of figures: correlations, means, and how sure they are.

use serde::{Deserialize, Serialize};

use crate::random::Stream;

/// Resamples of a bootstrap.
const RESAMPLES: usize = 1_000;

/// The share of resamples that lies below, and above, an interval: 95 % lie within.
const TAIL: f64 = 0.025;

/// Where a figure lies in 95 % of the resamples of its data.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The 2.5th percentile.
    pub low: f64,
    /// The 97.5th.
    pub high: f64,
}

/// The percentile bootstrap (Efron 1979) of a statistic of `count` data: `statistic` is given the
/// places of `count` data drawn with replacement, 1,000 times. Resamples in which it is not defined
/// are left out; `None` if that is half of them.
pub fn bootstrap(
    count: usize,
    stream: &mut Stream,
    mut statistic: impl FnMut(&[usize]) -> Option<f64>,
) -> Option<Interval> {
    if count == 0 {
        return None;
    }
    let mut places = vec![0; count];
    let mut values = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        places.fill_with(|| stream.below(count));
        values.extend(statistic(&places));
    }
    if 2 * values.len() < RESAMPLES {
        return None;
    }
    values.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| values[(share * (values.len() - 1) as f64).round() as usize];
    Some(Interval { low: at(TAIL), high: at(1.0 - TAIL) })
}

/// Pearson's correlation, if both vary.
pub fn pearson(x: &[f64], y: &[f64]) -> Option<f64> {
    let varies = |values: &[f64]| values.iter().any(|value| *value != values[0]);
    if !varies(x) || !varies(y) {
        return None;
    }
    let (mean_x, mean_y) = (mean(x)?, mean(y)?);
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

/// Spearman's correlation, Pearson's of the ranks, if both vary; ties have their mean rank.
pub fn spearman(x: &[f64], y: &[f64]) -> Option<f64> {
    pearson(&ranks(x), &ranks(y))
}

/// The mean, if there is a value.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The standard error of the mean, if there are two values.
pub fn standard_error(values: &[f64]) -> Option<f64> {
    let mean = mean(values).filter(|_| values.len() > 1)?;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let count = values.len() as f64;
    Some((squares / (count - 1.0) / count).sqrt())
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
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::random::Purpose;

    #[test]
    fn ties_share_their_mean_rank() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0]), [2.5, 0.0, 2.5, 1.0]);
    }

    #[test]
    fn a_correlation_needs_two_that_vary() {
        assert_eq!(pearson(&[1.0, 2.0], &[0.1, 0.1]), None);
        assert_eq!(pearson(&[], &[]), None);
        assert_eq!(pearson(&[1.0, 2.0, 3.0], &[5.0, 3.0, 1.0]), Some(-1.0));
        // By hand: covariance 1, variances 2 and 2 (sums).
        let half = pearson(&[0.0, 1.0, 2.0], &[0.0, 2.0, 1.0]);
        assert!(half.is_some_and(|r| (r - 0.5).abs() < 1e-15), "{half:?}");
        assert_eq!(spearman(&[1.0, 10.0, 100.0], &[0.1, 0.2, 9.0]), Some(1.0));
    }

    #[test]
    fn an_error_of_a_mean_by_hand() {
        // Squares of deviations 1 + 1 + 4 + 4 = 10, over 3, over 4.
        let error = standard_error(&[1.0, 3.0, 0.0, 4.0]).unwrap();
        assert!((error - (10.0f64 / 12.0).sqrt()).abs() < 1e-15, "{error}");
        assert_eq!((standard_error(&[1.0]), mean(&[])), (None, None));
    }

    #[test]
    fn a_bootstrap_of_a_mean_is_as_wide_as_its_error_says() {
        let mut stream = Stream::new(5, Purpose::Evaluation, 0, 0);
        let data: Vec<f64> = (0..400).map(|_| stream.uniform()).collect();
        let of = |places: &[usize]| Some(places.iter().map(|&i| data[i]).sum::<f64>() / 400.0);
        let Interval { low, high } = bootstrap(data.len(), &mut stream, of).unwrap();
        let (mean, error) = (mean(&data).unwrap(), standard_error(&data).unwrap());
        for (end, expected) in [(low, mean - 1.96 * error), (high, mean + 1.96 * error)] {
            assert!((end - expected).abs() < 0.4 * error, "{end}, expected {expected}, seed 5");
        }
        assert_eq!(bootstrap(3, &mut stream, |_| None), None);
        assert_eq!(bootstrap(0, &mut stream, |_| Some(1.0)), None);
    }
}
