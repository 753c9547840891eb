//! The cases that are timed, and one measurement.

use anyhow::Result;
use serde::Serialize;

use crate::report::median;
use crate::run::Tributary;

/// A hypergrid and a batch size.
pub(crate) struct Case {
    /// For example "2D H8".
    pub(crate) name: &'static str,
    dimensions: usize,
    side: usize,
    /// Trajectories of one update.
    pub(crate) batch: usize,
}

const fn case(name: &'static str, dimensions: usize, side: usize, batch: usize) -> Case {
    Case { name, dimensions, side, batch }
}

/// The cases of the comparison.
pub(crate) const CASES: [Case; 6] = [
    case("2D H8", 2, 8, 16),
    case("2D H8", 2, 8, 128),
    case("4D H16", 4, 16, 16),
    case("4D H16", 4, 16, 128),
    case("4D H32", 4, 32, 16),
    case("4D H32", 4, 32, 128),
];

/// What one measurement gave.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Figures {
    pub(crate) ms_per_iteration: f64,
    pub(crate) trajectories_per_second: f64,
    /// States that were trained on, the initial and the terminal one of each trajectory included.
    pub(crate) states_per_second: f64,
    /// Actions of a trained trajectory, the exit included.
    pub(crate) mean_length: f64,
    /// Mean updates between the weights that drew a trajectory and its use.
    pub(crate) lag: f64,
}

impl Figures {
    /// The median of each figure.
    pub(crate) fn median(all: &[Figures]) -> Figures {
        let median = |figure: fn(&Figures) -> f64| median(all.iter().map(figure).collect());
        Figures {
            ms_per_iteration: median(|f| f.ms_per_iteration),
            trajectories_per_second: median(|f| f.trajectories_per_second),
            states_per_second: median(|f| f.states_per_second),
            mean_length: median(|f| f.mean_length),
            lag: median(|f| f.lag),
        }
    }
}

impl Case {
    /// Trains for some seconds in a folder of its own, with no evaluation beside it.
    pub(crate) fn measure(
        &self,
        tributary: &Tributary,
        seconds: u64,
        actors: usize,
        seed: u64,
    ) -> Result<Figures> {
        let folder = tempfile::tempdir()?;
        let run_file = folder.path().join("run.toml");
        std::fs::write(&run_file, self.run_file(seconds))?;
        let summary = tributary.train(&run_file, actors, seed, &[])?;
        let (steps, time) = (summary.number("steps")?, summary.number("seconds")?);
        let trained = steps * self.batch as f64;
        let mean_length = summary.number("mean_length")?;
        Ok(Figures {
            ms_per_iteration: 1e3 * time / steps,
            trajectories_per_second: trained / time,
            states_per_second: trained * mean_length / time,
            mean_length,
            lag: summary.number("lag_mean")?,
        })
    }

    fn run_file(&self, seconds: u64) -> String {
        let Self { dimensions, side, batch, .. } = self;
        format!(
            r#"[run]
name = "bench"
[environment]
kind = "hypergrid"
dimensions = {dimensions}
side = {side}
[reward]
kind = "original"
r0 = 0.1
r1 = 0.5
r2 = 2.0
[policy]
network = "mlp"
hidden = [256, 256]
backward = "learned"
[objective]
kind = "trajectory_balance"
[learner]
time = "{seconds}s"
batch = {batch}
learning_rate = 1e-3
log_z_learning_rate = 0.1
checkpoint_every = "1h"
[evaluation]
every = "1h"
max_states = 1
"#
        )
    }
}
