//! Fresh paths to old objects: the samples of a batch whose path was not kept get one that is drawn
//! backward with the newest P_B, before they are trained on.
//!
//! The paths of a batch are drawn together, on the CPU, by the trainer's thread: they cost about a
//! forward pass of the network over their states. No gradient goes through the draw: log P_F and
//! log P_B of the path are computed anew in training, as of any other.

use std::sync::Arc;

use tributary_common::environment::Environment;
use tributary_common::network::cpu::Snapshot;
use tributary_common::network::{Network, Weights};
use tributary_common::random::{Purpose, Stream};
use tributary_common::rollout::BackwardRollouts;
use tributary_common::trajectory::walk;

use crate::replay::Samples;
use crate::training::TrainError;

/// Draws paths to objects in replay.
pub struct Redraw {
    environment: Arc<dyn Environment>,
    network: Arc<Network>,
    seed: u64,
    uniform: f64,
    rollouts: BackwardRollouts,
    snapshot: Option<Snapshot>,
    state: Vec<u32>,
}

impl Redraw {
    /// For a run with this seed; each step is drawn uniformly with probability `uniform`, so that
    /// every path keeps a chance.
    pub fn new(
        environment: Arc<dyn Environment>,
        network: Arc<Network>,
        seed: u64,
        uniform: f64,
    ) -> Self {
        let rollouts = BackwardRollouts::new(Arc::clone(&environment));
        let state = vec![0; environment.state_width()];
        Self { environment, network, seed, uniform, rollouts, snapshot: None, state }
    }

    /// Draws with these weights from now on.
    pub fn follow(&mut self, weights: &Weights) {
        self.snapshot = Some(Snapshot::new(Arc::clone(&self.network), weights.clone()));
    }

    /// Draws the paths that these samples lack; `round` is the number of the batch. Their policy is
    /// then the one that drew them.
    ///
    /// # Errors
    /// An object that cannot be built, an environment that breaks its laws, or no weights yet.
    pub fn draw(&mut self, round: u64, samples: &mut Samples) -> Result<(), TrainError> {
        if !samples.sources.iter().any(|source| source.is_redrawn()) {
            return Ok(());
        }
        let no_path = |reason: &dyn std::fmt::Display| TrainError::Redraw(reason.to_string());
        let Some(snapshot) = &self.snapshot else { return Err(no_path(&"no weights yet")) };
        let (mut ends, mut streams) = (Vec::new(), Vec::new());
        let lacking = samples.iter_actions().zip(&samples.sources).enumerate();
        for (i, (actions, _)) in lacking.filter(|(_, (_, source))| source.is_redrawn()) {
            walk(&*self.environment, actions, &mut self.state).map_err(|error| no_path(&error))?;
            ends.push(self.state.clone());
            streams.push(Stream::new(self.seed, Purpose::Redraw, round, i as u64));
        }
        let drawn = self
            .rollouts
            .draw(snapshot, self.uniform, usize::MAX, &ends, &mut streams)
            .map_err(|error| no_path(&error))?;
        let mut paths = drawn.iter().map(|path| path.actions.as_slice());
        let sources = samples.sources.clone();
        samples.replace_paths(snapshot.weights().version, |i| {
            sources[i].is_redrawn().then(|| paths.next()).flatten()
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
