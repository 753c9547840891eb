//! The section about training: stops, the optimizer, where and how often.

use super::keys::{Config, Keys};
use super::optimizer::{LogZInitial, Optimizer};
use super::units::ByteSize;
use crate::choices;
use std::time::Duration;

choices! {
    /// Where the learner computes.
    pub enum Device {
        /// On a CUDA device when there is one.
        Auto = "auto",
        /// On the processor.
        Cpu = "cpu",
        /// On a CUDA device, which must be there.
        Cuda = "cuda",
    }
}

/// `[learner]`. The run ends at the first of the stops that are given.
#[derive(Clone, Debug, PartialEq)]
pub struct Learner {
    /// Stop: trajectories generated.
    pub generated: Option<u64>,
    /// Stop: distinct objects whose reward was evaluated.
    pub paid: Option<u64>,
    /// Stop: evaluations of the reward, failed and repeated ones too.
    pub max_evaluations: Option<u64>,
    /// Stop: what evaluations cost.
    pub max_cost: Option<f64>,
    /// Stop: updates of the weights.
    pub updates: Option<u64>,
    /// Stop: time of training.
    pub time: Option<Duration>,
    /// Trajectories per update.
    pub batch: usize,
    /// Of the policy's weights.
    pub learning_rate: f64,
    /// Of log Z; 100 times `learning_rate` unless it is given.
    pub log_z_learning_rate: f64,
    /// Where log Z starts.
    pub log_z_initial: LogZInitial,
    /// Adam's decay of the mean gradient.
    pub adam_beta1: f64,
    /// Adam's decay of the mean squared gradient.
    pub adam_beta2: f64,
    /// Added to Adam's denominator.
    pub adam_epsilon: f64,
    /// What else is done to gradients and learning rates.
    pub optimizer: Optimizer,
    /// Decay, per update, of the averaged weights that are evaluated, sampled and exported; 0 for
    /// no averaging.
    pub ema: f64,
    /// Updates between two broadcasts of the weights.
    pub publish_every: Option<u64>,
    /// Time between two checkpoints.
    pub checkpoint_every: Duration,
    /// Of so many checkpoints one is kept for ever, besides the newest three; 0 for none.
    pub keep_every: u64,
    /// Where the learner computes.
    pub device: Device,
    /// Threads of an update; the launcher or the machine decides when not given.
    pub threads: Option<usize>,
    /// Bytes of trajectories that all actors together may have under way to the trainer.
    pub credit_budget: ByteSize,
}

impl Default for Learner {
    fn default() -> Self {
        Self {
            generated: None,
            paid: None,
            max_evaluations: None,
            max_cost: None,
            updates: None,
            time: None,
            batch: 64,
            learning_rate: 1e-3,
            log_z_learning_rate: 0.1,
            log_z_initial: LogZInitial::At(0.0),
            adam_beta1: 0.9,
            adam_beta2: 0.999,
            adam_epsilon: 1e-8,
            optimizer: Optimizer::default(),
            ema: 0.998,
            publish_every: None,
            checkpoint_every: Duration::from_secs(60),
            keep_every: 0,
            device: Device::Auto,
            threads: None,
            credit_budget: ByteSize::mebibytes(64),
        }
    }
}

impl Config for Learner {
    fn declare(&mut self, keys: &mut Keys<'_>) {
        self.declare_stops(keys);
        self.declare_optimizer(keys);
        let ema = "decay, per update, of the averaged weights; 0 for no averaging";
        keys.key("ema", &mut self.ema, ema).at_least(0.0).below(1.0);
        let publish = "updates between two broadcasts; when not given 4, or outside lockstep as many as an \
                       actor's batch pays for if that is more";
        keys.key("publish_every", &mut self.publish_every, publish).at_least(Some(1));
        keys.key("checkpoint_every", &mut self.checkpoint_every, "time between two checkpoints")
            .above(Duration::ZERO);
        let keep = "besides the newest three, every so many-th checkpoint stays; 0 for none";
        keys.key("keep_every", &mut self.keep_every, keep);
        keys.key("device", &mut self.device, "where the learner computes");
        keys.key("threads", &mut self.threads, "threads of an update")
            .at_least(Some(1))
            .at_most(Some(1_024));
        let budget = "bytes of trajectories that all actors may have under way";
        keys.key("credit_budget", &mut self.credit_budget, budget).at_least(ByteSize::mebibytes(1));
    }
}

impl Learner {
    fn declare_stops(&mut self, keys: &mut Keys<'_>) {
        keys.key("generated", &mut self.generated, "stop after so many trajectories")
            .at_least(Some(1));
        keys.key("paid", &mut self.paid, "stop after so many evaluated objects").at_least(Some(1));
        keys.key("updates", &mut self.updates, "stop after so many updates").at_least(Some(1));
        keys.key("time", &mut self.time, "stop after so much training").above(Some(Duration::ZERO));
        let most = "stop paying after so many evaluations, failed and repeated ones too, and end";
        keys.key("max_evaluations", &mut self.max_evaluations, most).at_least(Some(1));
        let most = "stop paying when evaluations have cost so much (seconds, or `reward.cost` for \
                    each), and end";
        keys.key("max_cost", &mut self.max_cost, most).above(Some(0.0));
        let stops = ["generated", "paid", "updates", "time", "max_evaluations", "max_cost"];
        keys.need_one_of(&stops, "the run has no end");
    }

    fn declare_optimizer(&mut self, keys: &mut Keys<'_>) {
        keys.key("batch", &mut self.batch, "trajectories per update")
            .at_least(1)
            .at_most(1_048_576);
        keys.key("learning_rate", &mut self.learning_rate, "the learning rate of the policy")
            .above(0.0);
        let log_z_learning_rate = 100.0 * self.learning_rate;
        let meaning = "the learning rate of log Z, 100 times the policy's unless given";
        keys.key("log_z_learning_rate", &mut self.log_z_learning_rate, meaning)
            .or(log_z_learning_rate)
            .at_least(0.0);
        let initial = "where log Z starts: a number, or \"estimate\" from the first batch";
        keys.key("log_z_initial", &mut self.log_z_initial, initial);
        keys.key("adam_beta1", &mut self.adam_beta1, "Adam's decay of the mean gradient")
            .at_least(0.0)
            .below(1.0);
        keys.key("adam_beta2", &mut self.adam_beta2, "Adam's decay of the squared gradient")
            .at_least(0.0)
            .below(1.0);
        keys.key("adam_epsilon", &mut self.adam_epsilon, "added to Adam's denominator").above(0.0);
        self.optimizer.declare(keys, self.learning_rate, self.updates);
    }
}
