//! A reward made slow, to stand for an expensive one.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::{InvalidRaw, Output, Outside, Reward, RewardError};
use crate::environment::Identity;
use crate::log_space::LogReward;
use crate::object::Object;

/// Sleeps for every object that it measures, and is its inner reward in all else.
pub struct Delayed {
    inner: Arc<dyn Reward>,
    delay: Duration,
}

impl Delayed {
    /// `inner` with a sleep of `delay` for each object of an evaluated batch.
    pub fn new(inner: Arc<dyn Reward>, delay: Duration) -> Self {
        Self { inner, delay }
    }
}

impl Reward for Delayed {
    fn identity(&self) -> Identity {
        self.inner.identity()
    }

    fn outputs(&self) -> Vec<Output> {
        self.inner.outputs()
    }

    fn evaluate(&self, objects: &[Object], raw: &mut Vec<f64>) -> Result<(), RewardError> {
        let objects_in_batch = u32::try_from(objects.len()).unwrap_or(u32::MAX);
        thread::sleep(self.delay.saturating_mul(objects_in_batch));
        self.inner.evaluate(objects, raw)
    }

    fn transform(&self, raw: &[f64]) -> Result<LogReward, InvalidRaw> {
        self.inner.transform(raw)
    }

    fn key(&self, object: &Object, key: &mut Vec<u8>) {
        self.inner.key(object, key);
    }

    fn outside(&self) -> Option<&Outside> {
        self.inner.outside()
    }

    fn is_logarithmic(&self) -> bool {
        self.inner.is_logarithmic()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Instant;

    use super::*;
    use crate::environment::Hypergrid;
    use crate::reward::hypergrid::{HypergridReward, Landscape};

    #[test]
    fn every_object_costs_its_delay_and_keeps_its_value() {
        let grid = Hypergrid::new(1, 8).unwrap();
        let inner: Arc<dyn Reward> =
            Arc::new(HypergridReward::new(Landscape::Sparse, &grid).unwrap());
        let slow = Delayed::new(Arc::clone(&inner), Duration::from_millis(5));
        let objects = [Object::Integers(vec![6]), Object::Integers(vec![2])];
        let (mut values, mut expected) = (Vec::new(), Vec::new());
        let start = Instant::now();
        slow.evaluate(&objects, &mut values).unwrap();
        assert!(start.elapsed() >= Duration::from_millis(10));
        inner.evaluate(&objects, &mut expected).unwrap();
        assert_eq!(values, expected);
        assert_eq!(slow.identity(), inner.identity());
    }
}
