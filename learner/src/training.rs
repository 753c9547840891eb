//! What the rest of the learner asks of training, apart from how it is done.
//!
//! [`Trainer`](crate::train::Trainer) does it with libtorch; tests of the service use a fake.

use std::sync::Arc;

use tch::TchError;
use tributary_common::network::Weights;
use tributary_common::trajectory::IllegalTrajectory;

use crate::lockstep::Straggler;
use crate::replay::Samples;

/// Training of one policy; owned by one thread.
pub trait Training: Send {
    /// One update of the weights and log Z on these trajectories. An update that fails leaves them
    /// as they were, or takes them back to the last [`publish`](Self::publish), where the
    /// optimizer starts anew.
    fn update(&mut self, samples: &Samples) -> Result<UpdateReport, SkippedUpdate>;

    /// Updates done, the skipped ones not counted; never decreases.
    fn step(&self) -> u64;

    /// log Z as learned so far.
    fn log_z(&self) -> f64;

    /// Both weight sets, stamped with the step and `generated` (trajectories accepted so far). What
    /// is published is also what training falls back to when updates keep failing.
    fn publish(&mut self, generated: u64) -> Result<WeightSets, TrainError>;

    /// All that a checkpoint needs besides the replay. Random numbers need nothing: their streams
    /// are addressed by the step.
    fn state(&self) -> Result<TrainingState, TrainError>;

    /// For [interference](crate::interference): the inner products of the gradients of these
    /// trajectories of a batch, all pairs, row after row; `None` where training has no gradients.
    fn gradient_products(
        &mut self,
        _samples: &Samples,
        _chosen: &[usize],
    ) -> Result<Option<Vec<f64>>, TrainError> {
        Ok(None)
    }

    /// Goes on from a state of the same network.
    fn restore(&mut self, state: &TrainingState) -> Result<(), TrainError>;
}

/// The two named weight sets of one step.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightSets {
    /// As trained.
    pub raw: Arc<Weights>,
    /// Their exponential moving average: for evaluation, sampling and export.
    pub ema: Arc<Weights>,
}

/// What an update did.
#[derive(Clone, Debug, PartialEq)]
pub struct UpdateReport {
    /// Updates done, this one included.
    pub step: u64,
    /// The loss before the update: the mean over the trajectories, in squared nats.
    pub loss: f64,
    /// The squared residual of trajectory balance of each trajectory before the update, whatever
    /// the objective, in squared nats.
    pub squared_residuals: Vec<f64>,
    /// log Z after the update.
    pub log_z: f64,
    /// Euclidean norm of the gradient of the network's parameters, before any clipping.
    pub gradient_norm: f64,
    /// The learning rate of the network's parameters in this update.
    pub learning_rate: f64,
    /// Mean log-reward of the trajectories.
    pub mean_log_reward: f64,
    /// Rows that the network computed: the distinct states of the trajectories.
    pub rows: usize,
}

/// An update that was not done.
#[derive(Debug, thiserror::Error)]
#[error("update skipped ({in_a_row} in a row): {cause}")]
pub struct SkippedUpdate {
    /// What was wrong.
    pub cause: TrainError,
    /// Updates skipped since the last one that was done.
    pub in_a_row: u32,
    /// Whether training went back to the weights that were last published.
    pub restored: bool,
}

/// Why training cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A trajectory that the environment does not allow reached training.
    #[error("trajectory {index} of the batch cannot be replayed: {source}")]
    Trajectory {
        /// Its place in the batch.
        index: usize,
        /// What is illegal about it.
        source: IllegalTrajectory,
    },
    /// A state on the way has no log-reward.
    #[error("the objective needs log R of every state, but {0}")]
    StateReward(String),
    /// The loss is infinite or NaN.
    #[error("the loss is {loss}")]
    Loss {
        /// The loss.
        loss: f64,
    },
    /// The gradient is infinite or NaN.
    #[error("the norm of the gradient is {norm}")]
    Gradient {
        /// Its norm.
        norm: f64,
    },
    /// The weights are no longer finite.
    #[error("the {set} weights hold a value that is not finite")]
    Weights {
        /// "raw" or "ema".
        set: &'static str,
    },
    /// A state of another network.
    #[error("the state has {theirs} parameters, this network has {ours}")]
    OtherNetwork {
        /// In the state.
        theirs: usize,
        /// Of the network.
        ours: usize,
    },
    /// Nobody delivers a round of a lockstep run.
    #[error(transparent)]
    Straggler(#[from] Straggler),
    /// Updates of a lockstep run panic again and again: going back would change its weights.
    #[error("updates of this lockstep run panic again and again: {cause}")]
    Panics {
        /// What the last panic said.
        cause: String,
    },
    /// No path can be drawn to an object that was accepted.
    #[error("no path can be drawn anew: {0}")]
    Redraw(String),
    /// CUDA was asked for.
    #[error(
        "learner.device = \"cuda\", but libtorch finds no CUDA device; use \"auto\" or \"cpu\", \
         or set up with TORCH=cuda"
    )]
    NoCuda,
    /// An operator of libtorch failed.
    #[error("libtorch: {0}")]
    Torch(#[from] TchError),
}

/// Adam's moments of one parameter vector, or of one number.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moments<T> {
    /// Updates that went into them.
    pub steps: u64,
    /// Decaying mean of the gradient.
    pub mean: T,
    /// Decaying mean of its square.
    pub square: T,
}

/// Where training stands, but for the replay.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrainingState {
    /// Updates done.
    pub step: u64,
    /// The raw weights, flat, in the order of the network's parameters.
    pub weights: Vec<f32>,
    /// Their moving average, in the same order.
    pub ema: Vec<f32>,
    /// Updates that went into the moving average.
    pub ema_steps: u64,
    /// The target network's weights, in the same order; empty without one.
    pub target: Vec<f32>,
    /// Adam's moments of the weights, in the same order.
    pub moments: Moments<Vec<f32>>,
    /// log Z.
    pub log_z: f64,
    /// Adam's moments of log Z.
    pub log_z_moments: Moments<f64>,
}

impl TrainingState {
    /// The hash of what was learned: raw weights, averaged weights and log Z, as little-endian
    /// numbers one behind the other, in hexadecimal digits.
    pub fn blake3(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for value in self.weights.iter().chain(&self.ema) {
            hasher.update(&value.to_le_bytes());
        }
        hasher.update(&self.log_z.to_le_bytes());
        hasher.finalize().to_hex().to_string()
    }
}
