//! Training: a batch of trajectories in, better weights out.

mod gradients;
mod spare;

use std::ops::Range;
use std::sync::Arc;

use tributary_common::environment::Environment;
use tributary_common::ids::{Incarnation, PolicyVersion};
use tributary_common::network::{Network, Weights};
use tributary_common::random::{Purpose, Stream};
use tributary_common::registry::Task;
use tributary_common::run_file::{Backward, Device, LogZInitial, Optimizer, RunFile};

use self::spare::Spare;
use crate::adam::{Adam, ScalarAdam, Settings, clip};
use crate::average::MovingAverage;
use crate::batch::Batch;
use crate::engine::{Engine, Step, Vector, engine};
use crate::objective::{Gradients, Objective, Terms, objective};
use crate::pessimistic::fit_backward;
use crate::probabilities::Probabilities;
use crate::replay::Samples;
use crate::target::Target;
use crate::torch::device;
use crate::training::{
    Moments, SkippedUpdate, TrainError, Training, TrainingState, UpdateReport, WeightSets,
};

/// So many skipped updates in a row take training back to the weights that were last published.
const SKIPPED_UNTIL_RESTORED: u32 = 3;

/// Trains one policy on trajectories drawn by any policy.
///
/// log P_F, log P_B and log F are always those under the current weights, never the actor's.
/// The caller sets libtorch's number of threads.
pub struct Trainer {
    environment: Arc<dyn Environment>,
    objective: Box<dyn Objective>,
    incarnation: Incarnation,
    seed: u64,
    network: Network,
    engine: Box<dyn Engine>,
    adam: Adam,
    average: MovingAverage,
    optimizer: Optimizer,
    /// Whether P_B learns by likelihood, not from the objective.
    pessimistic: bool,
    target: Target,
    log_z: f64,
    log_z_initial: LogZInitial,
    log_z_adam: ScalarAdam,
    step: u64,
    skipped_in_a_row: u32,
    good: Good,
    spare: Spare,
    memory: Memory,
}

/// What training goes back to when updates keep failing: what was last published. Adam starts anew
/// there: its moments led to the failures.
struct Good {
    sets: WeightSets,
    /// Updates that went into the moving average.
    ema_steps: u64,
    /// The target network's weights; empty without one.
    target: Vec<f32>,
    /// Adam's moments of log Z.
    log_z_moments: Moments<f64>,
}

/// What one update writes, kept to be written again.
struct Memory {
    batch: Batch,
    probabilities: Probabilities,
    terms: Terms,
    gradients: Gradients,
    logits: Vec<f32>,
    logit_gradient: Vec<f32>,
}

impl Trainer {
    /// A policy with the run's initial weights.
    pub fn new(
        run_file: &RunFile,
        task: &Task,
        incarnation: Incarnation,
    ) -> Result<Self, TrainError> {
        let learner = &run_file.learner;
        let environment = Arc::clone(&task.environment);
        let definition = Network::of_run(run_file, &*environment);
        let mut batch = Batch::new(definition.heads);
        if run_file.objective.needs_state_rewards() {
            let log_reward_min = run_file.objective.log_reward_min;
            batch = batch.with_state_rewards(Arc::clone(&task.undelayed), log_reward_min);
        }
        if run_file.objective.needs_edge_flows() {
            batch = batch.with_incoming_edges();
        }
        let memory = Memory {
            batch,
            probabilities: Probabilities::new(definition.heads),
            terms: Terms::default(),
            gradients: Gradients::default(),
            logits: Vec::new(),
            logit_gradient: Vec::new(),
        };
        let values = definition.initial_values(run_file.run.seed);
        // CUDA adds in any order.
        let wanted = if run_file.run.lockstep { Device::Cpu } else { learner.device };
        let device = device(wanted)?;
        tracing::info!(?device, "training");
        let target = Target::of_run(&run_file.objective);
        let engine = engine(&definition, &values, target.is_network(), device)?;
        let adam = Adam::new(Settings::of_weights(learner));
        let average = MovingAverage::new(learner.ema);
        let log_z_adam = ScalarAdam::new(Settings::of_log_z(learner));
        let log_z = match learner.log_z_initial {
            LogZInitial::At(log_z) => log_z,
            LogZInitial::Estimate => 0.0,
        };
        let version = PolicyVersion { incarnation, step: 0 };
        let target_weights = if target.is_network() { values.clone() } else { Vec::new() };
        let weights = Arc::new(Weights { version, log_z, generated: 0, values });
        let good = Good {
            sets: WeightSets { raw: Arc::clone(&weights), ema: weights },
            ema_steps: 0,
            target: target_weights,
            log_z_moments: log_z_adam.moments.clone(),
        };
        Ok(Self {
            environment,
            objective: objective(&run_file.objective),
            incarnation,
            seed: run_file.run.seed,
            network: definition,
            engine,
            adam,
            average,
            target,
            optimizer: learner.optimizer.clone(),
            pessimistic: run_file.policy.backward == Backward::Pessimistic,
            log_z,
            log_z_initial: learner.log_z_initial,
            log_z_adam,
            step: 0,
            skipped_in_a_row: 0,
            good,
            spare: Spare::default(),
            memory,
        })
    }

    /// The policy network's definition.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Computes the gradient of the network's parameters; returns its norm and the loss. The terms
    /// stay in memory.
    fn gradient(&mut self, samples: &Samples) -> Result<(f64, f64), TrainError> {
        let dropout = self.dropout_seed();
        let Memory { batch, probabilities, terms, gradients, logits, logit_gradient } =
            &mut self.memory;
        batch.build(&*self.environment, samples)?;
        self.engine.forward(&batch.states.features, dropout, logits)?;
        probabilities.terms(batch, logits, terms);
        let untouched = self.log_z_adam.moments.steps == 0;
        terms.log_z = match self.log_z_initial {
            LogZInitial::Estimate if untouched => log_z_estimate(terms),
            _ => self.log_z,
        };
        self.target.write(&mut *self.engine, batch, logits, probabilities, terms)?;
        let loss = self.objective.loss(terms, gradients);
        if !loss.is_finite() {
            return Err(TrainError::Loss { loss });
        }
        if self.pessimistic {
            fit_backward(terms, &samples.sources, gradients);
        }
        probabilities.logit_gradient(batch, gradients, logit_gradient);
        Ok((self.engine.backward(logit_gradient)?, loss))
    }

    fn try_update(&mut self, samples: &Samples) -> Result<UpdateReport, TrainError> {
        let (gradient_norm, loss) = self.gradient(samples)?;
        if !gradient_norm.is_finite() {
            return Err(TrainError::Gradient { norm: gradient_norm });
        }
        let squared_residuals = squared_residuals(&self.memory.terms);
        let log_z = (self.memory.terms.log_z, self.memory.gradients.log_z);
        let rows = self.memory.batch.states.len();
        let gradient_scale = clip(gradient_norm, self.optimizer.clip_norm);
        let learning_rate = match self.apply(gradient_scale, log_z) {
            Ok(learning_rate) => learning_rate,
            Err(error) => {
                self.restore_good()?;
                return Err(error);
            }
        };
        let mean_log_reward = samples.log_rewards.iter().sum::<f64>() / samples.len() as f64;
        let (step, log_z) = (self.step, self.log_z);
        Ok(UpdateReport {
            step,
            loss,
            squared_residuals,
            log_z,
            gradient_norm,
            learning_rate,
            mean_log_reward,
            rows,
        })
    }

    /// Of each update its own, the same whenever the update is done.
    fn dropout_seed(&self) -> u64 {
        Stream::new(self.seed, Purpose::Dropout, self.step, 0).bits()
    }

    /// Steps against the gradient of the weights, so much of it, and from log Z against its own;
    /// returns the learning rate of the weights.
    fn apply(
        &mut self,
        gradient_scale: f64,
        (log_z, log_z_gradient): (f64, f64),
    ) -> Result<f64, TrainError> {
        let fraction = self.optimizer.learning_rate_fraction(self.step);
        let learning_rate = self.adam.rate(fraction);
        self.engine.step(&Step {
            gradient_scale,
            shares: self.adam.shares(),
            weights: self.adam.step(learning_rate),
            average: self.average.update(),
            target: self.target.follow(self.step + 1),
        })?;
        self.log_z = log_z;
        self.log_z_adam.step(&mut self.log_z, log_z_gradient, fraction);
        self.step += 1;
        Ok(learning_rate)
    }

    /// Back to what was last published; the step goes on, so that versions never repeat.
    fn restore_good(&mut self) -> Result<(), TrainError> {
        let Good { sets: WeightSets { raw, ema }, ema_steps, target, log_z_moments } = &self.good;
        let zeros = vec![0.0; raw.values.len()];
        let state = TrainingState {
            step: self.step,
            weights: raw.values.clone(),
            ema: ema.values.clone(),
            ema_steps: *ema_steps,
            target: target.clone(),
            moments: Moments { steps: 0, mean: zeros.clone(), square: zeros },
            log_z: raw.log_z,
            log_z_moments: log_z_moments.clone(),
        };
        self.restore(&state)
    }

    /// Weights of this step with these values, whose memory is used again.
    fn weights(&mut self, values: Vec<f32>, generated: u64) -> Arc<Weights> {
        let version = PolicyVersion { incarnation: self.incarnation, step: self.step };
        let weights = Arc::new(Weights { version, log_z: self.log_z, generated, values });
        self.spare.watch(&weights);
        weights
    }

    /// A copy of one of the engine's vectors.
    fn vector(&self, vector: Vector) -> Result<Vec<f32>, TrainError> {
        let mut values = Vec::new();
        self.engine.read(vector, &mut values)?;
        Ok(values)
    }
}

/// Of trajectory balance, one for each trajectory, in squared nats.
fn squared_residuals(terms: &Terms) -> Vec<f64> {
    scores(terms).map(|score| (terms.log_z + score).powi(2)).collect()
}

/// The log Z that balances the batch best, as a mean of squared residuals: the mean over its
/// trajectories of `log R + Σ log P_B - Σ log P_F`, which is that of log-partition variance.
fn log_z_estimate(terms: &Terms) -> f64 {
    -scores(terms).sum::<f64>() / terms.log_reward.len() as f64
}

/// `Σ log P_F - Σ log P_B - log R` of each trajectory.
fn scores(terms: &Terms) -> impl Iterator<Item = f64> {
    terms.trajectories().map(|(transitions, log_reward): (Range<usize>, f64)| {
        let log_pf: f64 = terms.log_pf[transitions.clone()].iter().sum();
        let log_pb: f64 = terms.log_pb[transitions].iter().sum();
        log_pf - log_pb - log_reward
    })
}

impl Training for Trainer {
    fn update(&mut self, samples: &Samples) -> Result<UpdateReport, SkippedUpdate> {
        let cause = match self.try_update(samples) {
            Ok(report) => {
                self.skipped_in_a_row = 0;
                return Ok(report);
            }
            Err(cause) => cause,
        };
        self.skipped_in_a_row += 1;
        let in_a_row = self.skipped_in_a_row;
        let due = in_a_row.is_multiple_of(SKIPPED_UNTIL_RESTORED);
        let restored = due && self.restore_good().is_ok();
        Err(SkippedUpdate { cause, in_a_row, restored })
    }

    fn step(&self) -> u64 {
        self.step
    }

    fn log_z(&self) -> f64 {
        self.log_z
    }

    fn publish(&mut self, generated: u64) -> Result<WeightSets, TrainError> {
        let (mut raw, mut ema) = (self.spare.take(), self.spare.take());
        let finite = self.engine.copies(&mut raw, &mut ema)?;
        if let Some((set, _)) = ["raw", "ema"].into_iter().zip(finite).find(|(_, finite)| !finite) {
            return Err(TrainError::Weights { set });
        }
        let sets =
            WeightSets { raw: self.weights(raw, generated), ema: self.weights(ema, generated) };
        self.good = Good {
            sets: sets.clone(),
            ema_steps: self.average.steps,
            target: self.vector(Vector::Target)?,
            log_z_moments: self.log_z_adam.moments.clone(),
        };
        Ok(sets)
    }

    fn state(&self) -> Result<TrainingState, TrainError> {
        Ok(TrainingState {
            step: self.step,
            weights: self.vector(Vector::Weights)?,
            ema: self.vector(Vector::Average)?,
            ema_steps: self.average.steps,
            target: self.vector(Vector::Target)?,
            moments: Moments {
                steps: self.adam.steps,
                mean: self.vector(Vector::Mean)?,
                square: self.vector(Vector::Square)?,
            },
            log_z: self.log_z,
            log_z_moments: self.log_z_adam.moments.clone(),
        })
    }

    fn gradient_products(
        &mut self,
        samples: &Samples,
        chosen: &[usize],
    ) -> Result<Option<Vec<f64>>, TrainError> {
        self.products(samples, chosen).map(Some)
    }

    fn restore(&mut self, state: &TrainingState) -> Result<(), TrainError> {
        let ours = self.network().parameter_count();
        let vectors = [&state.weights, &state.ema, &state.moments.mean, &state.moments.square];
        let target = Some(&state.target).filter(|target| !target.is_empty());
        let lengths = vectors.into_iter().chain(target).map(Vec::len);
        if let Some(theirs) = lengths.into_iter().find(|&theirs| theirs != ours) {
            return Err(TrainError::OtherNetwork { theirs, ours });
        }
        self.engine.write(Vector::Weights, &state.weights)?;
        self.engine.write(Vector::Average, &state.ema)?;
        self.engine.write(Vector::Mean, &state.moments.mean)?;
        self.engine.write(Vector::Square, &state.moments.square)?;
        self.average.steps = state.ema_steps;
        // A state without a target is that of a run that had none: it starts where the weights are.
        let is_without_target = state.target.is_empty();
        let target = if is_without_target { &state.weights } else { &state.target };
        self.engine.write(Vector::Target, target)?;
        self.adam.steps = state.moments.steps;
        self.log_z = state.log_z;
        self.log_z_adam.moments = state.log_z_moments.clone();
        self.step = state.step;
        let version = PolicyVersion { incarnation: self.incarnation, step: state.step };
        let weights = |values: &Vec<f32>| {
            let values = values.clone();
            Arc::new(Weights { version, log_z: state.log_z, generated: 0, values })
        };
        self.good = Good {
            sets: WeightSets { raw: weights(&state.weights), ema: weights(&state.ema) },
            ema_steps: state.ema_steps,
            target: self.vector(Vector::Target)?,
            log_z_moments: state.log_z_moments.clone(),
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests;
