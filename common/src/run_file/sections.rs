//! The sections about the run, its policy and actors.

use super::architecture::Architecture;
use super::keys::{Config, Keys};
use crate::choices;
use std::time::Duration;

/// `[run]`
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Names the run in reports and metrics.
    pub name: String,
    /// Of every random stream of the run.
    pub seed: u64,
    /// Bit-identical runs for any number of actors.
    pub lockstep: bool,
    /// How long a lockstep run waits for an actor before it asks others.
    pub lockstep_patience: Duration,
    /// Whether event files for TensorBoard are written.
    pub tensorboard: bool,
}

impl Default for Run {
    fn default() -> Self {
        Self {
            name: "run".to_owned(),
            seed: 0,
            lockstep: false,
            lockstep_patience: Duration::from_secs(600),
            tensorboard: false,
        }
    }
}

impl Config for Run {
    fn declare(&mut self, keys: &mut Keys<'_>) {
        keys.key("name", &mut self.name, "the run's name in reports and metrics").must(
            "be 1 to 64 letters, digits, `-`, `_` or `.`, the first a letter or digit",
            |name| is_name(name),
        );
        keys.key("seed", &mut self.seed, "the seed of every random stream of the run");
        keys.key("lockstep", &mut self.lockstep, "the same weights for any number of actors");
        let patience = "how long an actor may take for what it was told to draw before others are \
                        told to; as long again, and the run ends";
        keys.key("lockstep_patience", &mut self.lockstep_patience, patience)
            .above(Duration::ZERO)
            .only(self.lockstep, "with lockstep = true");
        let events = "the figures of `metrics.jsonl` also as event files for TensorBoard, in the run directory";
        keys.key("tensorboard", &mut self.tensorboard, events);
    }
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

choices! {
    /// How the backward policy P_B is obtained.
    pub enum Backward {
        /// A head of the network, trained by the objective.
        Learned = "learned",
        /// The same probability for every backward edge of a state.
        Uniform = "uniform",
        /// The same probability for every path to a state, by the environment's path counts.
        Maxent = "maxent",
        /// A head of the network, fitted by likelihood to the trajectories seen.
        Pessimistic = "pessimistic",
    }
}

impl Backward {
    /// Whether the network has backward logits.
    #[must_use]
    pub fn is_learned(self) -> bool {
        matches!(self, Self::Learned | Self::Pessimistic)
    }
}

choices! {
    /// Which network a learned backward policy is read from.
    pub enum BackwardNetwork {
        /// The forward policy's.
        Shared = "shared",
        /// One of its own, of the same architecture.
        Own = "own",
    }
}

/// `[policy]`
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// The network.
    pub architecture: Architecture,
    /// The backward policy P_B.
    pub backward: Backward,
    /// Which network a learned P_B is read from.
    pub backward_network: BackwardNetwork,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            architecture: Architecture::default(),
            backward: Backward::Learned,
            backward_network: BackwardNetwork::Shared,
        }
    }
}

impl Config for Policy {
    fn declare(&mut self, keys: &mut Keys<'_>) {
        self.architecture.declare(keys);
        keys.key("backward", &mut self.backward, "the backward policy P_B");
        let network = "whether a learned P_B shares the forward policy's network";
        keys.key("backward_network", &mut self.backward_network, network)
            .only(self.backward.is_learned(), "with backward = \"learned\" or \"pessimistic\"");
    }
}

choices! {
    /// One of the two named sets of weights.
    pub enum Weights {
        /// As trained.
        Raw = "raw",
        /// Their exponential moving average.
        Ema = "ema",
    }
}

choices! {
    /// What an actor does that has waited long enough for a lost learner.
    pub enum AfterWait {
        /// It ends.
        Exit = "exit",
    }
}

/// `[actor] on_learner_loss`
#[derive(Clone, Debug, PartialEq)]
pub struct OnLearnerLoss {
    /// How long an actor tries to reconnect.
    pub wait: Duration,
    /// What it does after that.
    pub then: AfterWait,
}

impl Default for OnLearnerLoss {
    fn default() -> Self {
        Self { wait: Duration::from_secs(600), then: AfterWait::Exit }
    }
}

impl Config for OnLearnerLoss {
    fn declare(&mut self, keys: &mut Keys<'_>) {
        keys.key("wait", &mut self.wait, "how long an actor tries to reconnect");
        keys.key("then", &mut self.then, "what it does after that");
    }
}

/// `[actor]`
#[derive(Clone, Debug, PartialEq)]
pub struct Actor {
    /// Trajectories built in lockstep by each rollout thread, where the run file gives a number; see
    /// [`RunFile::actor_batch`](super::RunFile::actor_batch).
    pub batch: Option<usize>,
    /// Rollout threads of each actor.
    pub threads: usize,
    /// The weights that actors sample with.
    pub weights: Weights,
    /// What happens when the learner does not answer.
    pub on_learner_loss: OnLearnerLoss,
}

impl Default for Actor {
    fn default() -> Self {
        let on_learner_loss = OnLearnerLoss::default();
        Self { batch: None, threads: 1, weights: Weights::Raw, on_learner_loss }
    }
}

impl Config for Actor {
    fn declare(&mut self, keys: &mut Keys<'_>) {
        let batch = "trajectories in lockstep per rollout thread; when not given four batches of the \
                     learner, but no fewer than 16 and no more than 128";
        keys.key("batch", &mut self.batch, batch).at_least(Some(1)).at_most(Some(65_536));
        keys.key("threads", &mut self.threads, "rollout threads of each actor")
            .at_least(1)
            .at_most(1_024);
        keys.key("weights", &mut self.weights, "the weights that actors sample with");
        keys.table("on_learner_loss", &mut self.on_learner_loss);
    }
}
