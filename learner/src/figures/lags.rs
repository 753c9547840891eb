//! A histogram of lags, in bins that double.

use serde::{Deserialize, Serialize};

/// Samples by their lag: 0, 1, 2 to 3, 4 to 7, and so on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lags(Vec<u64>);

/// One bin that is not empty, or lies below one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LagBin {
    /// The least lag in it, in updates.
    pub from: u64,
    /// The largest.
    pub to: u64,
    /// Samples.
    pub count: u64,
}

impl Lags {
    /// Counts a sample.
    pub fn count(&mut self, lag: u64) {
        let bin = (u64::BITS - lag.leading_zeros()) as usize;
        if self.0.len() <= bin {
            self.0.resize(bin + 1, 0);
        }
        if let Some(count) = self.0.get_mut(bin) {
            *count += 1;
        }
    }

    /// The bins up to the last that holds something.
    pub fn bins(&self) -> Vec<LagBin> {
        let bin = |(bin, &count): (usize, &u64)| match bin {
            0 => LagBin { from: 0, to: 0, count },
            // At most 64: the bits of a lag.
            _ => LagBin { from: 1 << (bin - 1), to: u64::MAX >> (64 - bin), count },
        };
        self.0.iter().take(65).enumerate().map(bin).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lag_is_in_the_bin_that_names_it() {
        let mut lags = Lags::default();
        assert!(lags.bins().is_empty());
        for lag in [0, 1, 2, 3, 4, 7, 8, 1_000] {
            lags.count(lag);
        }
        let bins: Vec<_> = lags.bins().iter().map(|bin| (bin.from, bin.to, bin.count)).collect();
        assert_eq!(bins[..5], [(0, 0, 1), (1, 1, 1), (2, 3, 2), (4, 7, 2), (8, 15, 1)]);
        assert_eq!(bins.last(), Some(&(512, 1_023, 1)));
        lags.count(u64::MAX);
        assert_eq!(lags.bins().last(), Some(&LagBin { from: 1 << 63, to: u64::MAX, count: 1 }));
    }
}
