//! How objects are asked for, whoever measures them.

use std::time::Duration;

use crate::run_file::{Config, Keys};

/// How objects are asked for: in which numbers, for how long, how often.
#[derive(Clone, Debug, PartialEq)]
pub struct Asking {
    /// Objects of one request.
    pub max_batch: usize,
    /// How long an object waits for others to share its request.
    pub max_wait: Duration,
    /// Objects that wait for their values at the same time, in each actor, before it draws no more.
    pub queue: Option<usize>,
    /// A request that takes longer, for each of its objects, is worth a warning.
    pub soft_timeout: Option<Duration>,
    /// A request that takes longer, for each of its objects, is given up.
    pub timeout: Duration,
    /// How often an object is tried again.
    pub retries: u32,
    /// The pause before the first of these; doubles.
    pub retry_wait: Duration,
    /// What an object measures that the program cannot measure.
    pub refused: Option<f64>,
}

impl Default for Asking {
    fn default() -> Self {
        Self {
            max_batch: 1,
            max_wait: Duration::ZERO,
            queue: None,
            soft_timeout: None,
            timeout: Duration::from_secs(600),
            retries: 2,
            retry_wait: Duration::from_secs(1),
            refused: None,
        }
    }
}

impl Asking {
    /// Objects that wait for their values in an actor that asks for so many at a time: by default
    /// as many again are ready.
    pub fn queue(&self, at_a_time: usize) -> usize {
        self.queue.unwrap_or_else(|| 2 * self.max_batch.saturating_mul(at_a_time)).max(1)
    }

    /// How long a request of so many objects may take.
    pub fn limit(&self, objects: usize) -> Duration {
        self.timeout.saturating_mul(u32::try_from(objects).unwrap_or(u32::MAX))
    }
}

impl Config for Asking {
    fn declare(&mut self, keys: &mut Keys<'_>) {
        keys.key("max_batch", &mut self.max_batch, "objects of one request")
            .at_least(1)
            .at_most(4_096);
        let wait = "how long an object waits for others to share its request";
        keys.key("max_wait", &mut self.max_wait, wait);
        let queue = "objects of an actor that wait for their values before it draws no more; twice \
                     what is asked for at a time when left out";
        keys.key("queue", &mut self.queue, queue)
            .must("be 1 to 65536", |queue| queue.is_none_or(|queue| (1..=65_536).contains(&queue)));
        let soft = "time for each object of a request after which it is said to be slow";
        keys.key("soft_timeout", &mut self.soft_timeout, soft);
        let hard =
            "time for each object of a request after which it is given up: a worker is killed";
        keys.key("timeout", &mut self.timeout, hard).above(Duration::ZERO);
        keys.key("retries", &mut self.retries, "how often a failed object is tried again")
            .at_most(100);
        let wait = "pause before an object is tried again; doubles each time";
        keys.key("retry_wait", &mut self.retry_wait, wait);
        let refused = "the value of an object that cannot be measured; without one its trajectories \
                       are left out";
        keys.key("refused", &mut self.refused, refused);
    }
}
