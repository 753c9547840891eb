//! A table's reward that takes as long as rewards do: heavy-tailed, and longer for better objects. For
//! `tributary-bench crowd`.

use std::sync::Arc;
use std::time::Duration;

use tributary_common::environment::Identity;
use tributary_common::log_space::LogReward;
use tributary_common::object::Object;
use tributary_common::random::{Purpose, Stream};
use tributary_common::registry::Registry;
use tributary_common::reward::{InvalidRaw, Output, Reward, RewardError, Table};

/// Mean milliseconds that an object takes; without it none takes any time.
const MILLISECONDS: &str = "TRIBUTARY_TAILED_MS";

/// The registry and this reward, by the name of "tailed"; its keys are those of "table". In the learner,
/// which compares with all objects, it takes no time.
pub(crate) fn with(registry: Registry, takes_time: bool) -> Registry {
    registry.with_reward("tailed", move |section, context| {
        let table = Table::from_section(section, context.environment.as_ref(), context.files)?;
        let mean = std::env::var(MILLISECONDS).ok().filter(|_| takes_time);
        let mean = mean.and_then(|text| text.parse().ok()).unwrap_or(0);
        Ok(Arc::new(Tailed::new(table, Duration::from_millis(mean))))
    })
}

struct Tailed {
    inner: Table,
    mean: Duration,
    /// Of all measured values.
    centre: f64,
    spread: f64,
}

impl Tailed {
    fn new(inner: Table, mean: Duration) -> Self {
        let count = inner.values().len().max(1) as f64;
        let centre = inner.values().values().sum::<f64>() / count;
        let square = inner.values().values().map(|value| (value - centre).powi(2)).sum::<f64>();
        Self { inner, mean, centre, spread: (square / count).sqrt() }
    }

    /// Log-normal with sigma 1; half of the variance of its logarithm is the value's, so that an object a standard
    /// deviation better takes twice as long. The same for an object whoever measures it.
    fn takes(&self, object: &Object, value: f64) -> Duration {
        let name = object.to_string();
        let seed = name.bytes().fold(0, |sum: u64, byte| sum.wrapping_mul(31) + u64::from(byte));
        let mut stream = Stream::new(seed, Purpose::Walk, 11, 0);
        let [u, v] = [(); 2].map(|()| stream.uniform());
        let chance = (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos();
        let better = (value - self.centre) / self.spread;
        let log = std::f64::consts::FRAC_1_SQRT_2 * (chance + better) - 0.5;
        self.mean.mul_f64(log.exp())
    }
}

impl Reward for Tailed {
    fn is_at_hand(&self) -> bool {
        true
    }

    fn identity(&self) -> Identity {
        Identity { kind: "tailed".to_owned(), ..self.inner.identity() }
    }

    fn outputs(&self) -> Vec<Output> {
        self.inner.outputs()
    }

    fn evaluate(&self, objects: &[Object], raw: &mut Vec<f64>) -> Result<(), RewardError> {
        let from = raw.len();
        self.inner.evaluate(objects, raw)?;
        if self.mean > Duration::ZERO {
            let values = objects.iter().zip(&raw[from..]);
            let takes = values.map(|(object, &value)| self.takes(object, value));
            std::thread::sleep(takes.sum());
        }
        Ok(())
    }

    fn transform(&self, raw: &[f64]) -> Result<LogReward, InvalidRaw> {
        self.inner.transform(raw)
    }
}
