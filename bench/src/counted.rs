//! A hypergrid's reward that writes down who measured what and when: for `tributary-bench soak kill`,
//! which kills processes and then counts what was measured.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tributary_common::environment::{Environment, Hypergrid, Identity};
use tributary_common::log_space::LogReward;
use tributary_common::object::Object;
use tributary_common::registry::Registry;
use tributary_common::reward::{
    HypergridReward, InvalidRaw, Landscape, Output, Reward, RewardError,
};

/// Names the file of the calls; without it nothing is written.
const CALLS: &str = "TRIBUTARY_COUNTED_CALLS";
/// Milliseconds that each object takes.
const MILLISECONDS: &str = "TRIBUTARY_COUNTED_MS";

/// Everything that comes with Tributary, and this reward by the name of "counted".
pub(crate) fn registry() -> Registry {
    Registry::builtin().with_reward("counted", |section, context| {
        let problem = |message: String| vec![section.problem("kind", &message)];
        let counted = Counted::new(context.environment.as_ref());
        Ok(Arc::new(counted.map_err(|error| problem(format!("= \"counted\": {error}")))?))
    })
}

/// The reward `original`, counted.
struct Counted {
    inner: HypergridReward,
    file: Option<File>,
    delay: Duration,
    calls: AtomicU64,
}

impl Counted {
    fn new(environment: &dyn Environment) -> Result<Self, String> {
        let grid = Hypergrid::of(environment).ok_or("is of hypergrids")?;
        let inner = HypergridReward::new(Landscape::USUAL[0], &grid).map_err(|e| e.to_string())?;
        let open = |path| File::options().create(true).append(true).open(Path::new(&path));
        let file = std::env::var_os(CALLS).map(open).transpose().map_err(|e| e.to_string())?;
        let milliseconds = std::env::var(MILLISECONDS).ok().and_then(|text| text.parse().ok());
        let delay = Duration::from_millis(milliseconds.unwrap_or(0));
        Ok(Self { inner, file, delay, calls: AtomicU64::new(0) })
    }

    /// One write, so that a kill leaves no half line. `bench/src/soak/kill/calls.rs` reads it.
    fn write(&self, lines: &str) -> Result<(), RewardError> {
        let written = self.file.as_ref().map(|mut file| file.write_all(lines.as_bytes()));
        written.transpose().map_err(|error| self.failed(&error))?;
        Ok(())
    }

    fn failed(&self, error: &dyn std::error::Error) -> RewardError {
        RewardError::Failed { kind: self.identity().kind, reason: error.to_string() }
    }
}

impl Reward for Counted {
    fn identity(&self) -> Identity {
        Identity { kind: "counted".to_owned(), ..self.inner.identity() }
    }

    fn outputs(&self) -> Vec<Output> {
        self.inner.outputs()
    }

    fn evaluate(&self, objects: &[Object], raw: &mut Vec<f64>) -> Result<(), RewardError> {
        if objects.is_empty() {
            return Ok(());
        }
        let (who, call) = (process::id(), self.calls.fetch_add(1, Relaxed));
        let mut lines = String::new();
        for object in objects {
            let object = serde_json::to_string(object).map_err(|error| self.failed(&error))?;
            lines.push_str(&format!("{who} {call} {} began {object}\n", now()));
        }
        self.write(&lines)?;
        std::thread::sleep(self.delay * u32::try_from(objects.len()).unwrap_or(u32::MAX));
        self.inner.evaluate(objects, raw)?;
        self.write(&format!("{who} {call} {} ended\n", now()))
    }

    fn transform(&self, raw: &[f64]) -> Result<LogReward, InvalidRaw> {
        self.inner.transform(raw)
    }
}

/// Microseconds since 1970.
fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_micros())
}
