//! The trainer's thread: draw, update, publish, until a goal or an end.

mod lockstep;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use tributary_common::random::{Purpose, Stream};
use tributary_common::run_file;

use crate::checkpoint::Contents;
use crate::edges::Edge;
use crate::figures::Board;
use crate::findings::Findings;
use crate::hand_over::HandOver;
use crate::interference::Interference;
use crate::lockstep::Lockstep;
use crate::panics;
use crate::publish::Publisher;
use crate::redraw::Redraw;
use crate::replay::Samples;
use crate::roster::Roster;
use crate::skipped::{Dumped, SkippedBatches};
use crate::threads::side_by_side;
use crate::training::{TrainError, Training, TrainingState, UpdateReport};

/// Panics in a row after which training goes back to its last checkpoint.
const MOST_PANICS: u32 = 3;

/// When to do what.
#[derive(Clone, Copy, Debug)]
pub struct StepsConfig {
    /// Of the draws from replay.
    pub seed: u64,
    /// Stop after so many updates.
    pub updates: Option<u64>,
    /// Updates between two publishes.
    pub publish_every: u64,
    /// Time between two checkpoints.
    pub checkpoint_every: Duration,
}

/// What the trainer's thread works with.
pub struct StepsDeps {
    /// Where trajectories come from.
    pub hand_over: Arc<HandOver>,
    /// Where weights go.
    pub publisher: Publisher,
    /// Where it is counted.
    pub board: Arc<Board>,
    /// Whose marks a checkpoint holds.
    pub roster: Arc<Roster>,
    /// Whose finds a checkpoint holds.
    pub findings: Arc<Findings>,
    /// Where batches without a step go.
    pub skipped: SkippedBatches,
    /// To the thread that writes checkpoints.
    pub checkpoints: Sender<Contents>,
    /// Measures how gradients agree, where the run file asks for that.
    pub interference: Option<Interference>,
    /// Draws other paths to objects, where the run file asks for that.
    pub redraw: Option<Redraw>,
    /// The rounds of a lockstep run.
    pub lockstep: Option<Arc<Lockstep>>,
}

/// The trainer's thread.
pub struct Steps {
    training: Box<dyn Training>,
    config: StepsConfig,
    deps: StepsDeps,
    published: Option<u64>,
    last_checkpoint: Instant,
    /// What training goes back to when it panics again and again.
    fallback: Arc<TrainingState>,
    panics: u32,
    draws: u64,
}

impl Steps {
    /// Before the first update.
    ///
    /// # Errors
    /// Weights that cannot be read.
    pub fn new(
        training: Box<dyn Training>,
        config: StepsConfig,
        deps: StepsDeps,
    ) -> Result<Self, TrainError> {
        let fallback = Arc::new(training.state()?);
        let last_checkpoint = Instant::now();
        let (published, panics, draws) = (None, 0, 0);
        Ok(Self { training, config, deps, published, last_checkpoint, fallback, panics, draws })
    }

    /// Goes on behind so many draws from replay.
    #[must_use]
    pub fn behind(self, draws: u64) -> Self {
        Self { draws, ..self }
    }

    /// Trains until a goal, or until nothing more will be drawn; then publishes the last weights,
    /// sends the last checkpoint and ends all draws.
    ///
    /// # Errors
    /// Weights that cannot be read or are no longer finite.
    pub fn run(mut self) -> Result<(), TrainError> {
        self.publish()?;
        let mut samples = Samples::default();
        while self.config.updates.is_none_or(|goal| self.training.step() < goal) {
            let Some(waited) = self.draw(&mut samples)? else { break };
            self.deps.board.update(|figures| figures.waited("trainer.data", waited));
            self.redraw(&mut samples)?;
            self.update(&samples)?;
            self.measure(&samples);
            if self.training.step().is_multiple_of(self.config.publish_every) {
                self.publish()?;
            }
            if self.deps.lockstep.is_none() {
                self.checkpoint_if_due()?;
            }
        }
        if let Some(lockstep) = &self.deps.lockstep {
            lockstep.close();
        }
        self.deps.board.update(|figures| figures.stop_clock());
        self.deps.hand_over.end_training();
        self.publish()?;
        let contents = self.contents()?;
        let hash = contents.training.blake3();
        self.deps.board.update(|figures| figures.weights_blake3 = Some(hash));
        let _waiting = self.deps.board.wait(Edge::TrainerCheckpoint);
        if self.deps.checkpoints.send(contents).is_err() {
            tracing::error!("the last checkpoint was not taken: its thread is gone");
        }
        Ok(())
    }

    /// The next batch, and how long training waited for it; none when no more will ever be drawn.
    fn draw(&mut self, samples: &mut Samples) -> Result<Option<Duration>, TrainError> {
        if let Some(lockstep) = self.deps.lockstep.clone() {
            return self.draw_in_lockstep(&lockstep, samples);
        }
        self.draws += 1;
        let mut stream = self.stream_of_draw(self.draws);
        let _waiting = self.deps.board.wait(Edge::TrainerData);
        Ok(self.deps.hand_over.draw(self.training.step(), &mut stream, samples))
    }

    /// The random numbers of a draw from replay; draws are counted from 1.
    fn stream_of_draw(&self, draw: u64) -> Stream {
        Stream::new(self.config.seed, Purpose::Replay, 0, draw)
    }

    /// Draws the paths that the batch lacks, and counts the time for which training waits for that.
    fn redraw(&mut self, samples: &mut Samples) -> Result<(), TrainError> {
        let Some(redraw) = &mut self.deps.redraw else { return Ok(()) };
        let start = Instant::now();
        let _waiting = self.deps.board.wait(Edge::TrainerRedraw);
        redraw.draw(self.draws, samples)?;
        let waited = start.elapsed();
        self.deps.board.update(|figures| figures.waited("trainer.redraw", waited));
        Ok(())
    }

    fn update(&mut self, samples: &Samples) -> Result<(), TrainError> {
        let step = self.training.step();
        let waiting = self.deps.board.wait(Edge::TrainerUpdate);
        let outcome = panics::contain(|| self.training.update(samples));
        drop(waiting);
        match outcome {
            Ok(Ok(report)) => {
                self.panics = 0;
                self.count(&report, samples);
            }
            Ok(Err(skipped)) => {
                self.panics = 0;
                let restored = skipped.restored;
                self.skip(step, &skipped.cause.to_string(), samples);
                if restored {
                    tracing::warn!("training went back to the last published weights");
                }
            }
            Err(cause) => {
                self.panics += 1;
                self.skip(step, &format!("panic: {cause}"), samples);
                if self.panics == MOST_PANICS && self.deps.lockstep.is_some() {
                    return Err(TrainError::Panics { cause });
                }
                if self.panics == MOST_PANICS {
                    // The weights go back, the step goes on: no actor sees a version twice.
                    tracing::warn!(to = self.fallback.step, step, "training goes back");
                    let fallback = TrainingState { step, ..TrainingState::clone(&self.fallback) };
                    self.training.restore(&fallback)?;
                }
            }
        }
        Ok(())
    }

    /// Measures interference when it is due; its cost is counted, its failure is no training's.
    fn measure(&mut self, samples: &Samples) {
        let Some(interference) = &self.deps.interference else { return };
        let step = self.training.step();
        if !interference.is_due(step) {
            return;
        }
        let start = Instant::now();
        let chosen = interference.chosen(samples);
        let products = panics::contain(|| self.training.gradient_products(samples, &chosen));
        let figures = match products {
            Ok(Ok(products)) => {
                products.map(|of| interference.figures(step, samples, &chosen, &of))
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "no measurement of interference");
                None
            }
            Err(cause) => {
                tracing::warn!(cause, "no measurement of interference: panic");
                None
            }
        };
        let seconds = start.elapsed().as_secs_f64();
        self.deps.board.update(|all| {
            all.evaluation.interference = figures.or(all.evaluation.interference);
            all.evaluation.interference_seconds += seconds;
        });
    }

    fn count(&mut self, report: &UpdateReport, samples: &Samples) {
        self.deps.hand_over.trained(&samples.ordinals, &report.squared_residuals);
        let before = report.step - 1;
        let lags = samples.policies.iter().map(|policy| before.saturating_sub(policy.step));
        let by_source = samples.mean_by_source(&report.squared_residuals);
        self.deps.board.update(|figures| {
            figures.update(report.loss, report.log_z, samples.actions.len(), lags);
            figures.gradient_norm = Some(report.gradient_norm);
            figures.learning_rate = Some(report.learning_rate);
            let by_source = by_source.into_iter().map(|(source, loss)| (source.name(), loss));
            figures.loss_by_source.extend(by_source);
        });
    }

    fn skip(&mut self, step: u64, cause: &str, samples: &Samples) {
        self.deps.board.update(|figures| figures.skipped_batches += 1);
        let columns = samples.log_rewards.iter().zip(&samples.policies).zip(&samples.sources);
        let trajectories: Vec<_> = samples
            .iter_actions()
            .zip(columns)
            .map(|(actions, ((log_reward, &policy), source))| Dumped {
                actions,
                log_reward: log_reward.to_string(),
                policy,
                source: source.name(),
            })
            .collect();
        match self.deps.skipped.add(step, cause, &trajectories) {
            Ok(file) => tracing::warn!(step, cause, ?file, "batch skipped"),
            Err(error) => tracing::warn!(step, cause, %error, "batch skipped and not written"),
        }
        let not_written = self.deps.skipped.not_written();
        self.deps.board.update(|figures| figures.not_written.skipped = not_written);
    }

    fn publish(&mut self) -> Result<(), TrainError> {
        let step = self.training.step();
        if self.published == Some(step) {
            return Ok(());
        }
        let generated = self.deps.board.update(|figures| figures.generated);
        let sets = self.training.publish(generated)?;
        let published = self.deps.publisher.publish(sets.raw, sets.ema);
        if let Some(redraw) = &mut self.deps.redraw {
            redraw.follow(published.weights(run_file::Weights::Raw));
        }
        self.published = Some(step);
        self.deps.board.update(|figures| figures.policy = Some(published.version));
        Ok(())
    }

    fn checkpoint_if_due(&mut self) -> Result<(), TrainError> {
        match self.last_checkpoint.elapsed() >= self.config.checkpoint_every {
            true => self.checkpoint(),
            false => Ok(()),
        }
    }

    /// Hands a copy to the writer; when that is still busy, the next time will do.
    fn checkpoint(&mut self) -> Result<(), TrainError> {
        let start = Instant::now();
        self.last_checkpoint = start;
        if self.deps.checkpoints.is_full() {
            tracing::warn!("the checkpoint before this one is still being written; skipped");
            self.deps.board.update(|figures| figures.checkpoints.skipped += 1);
            return Ok(());
        }
        let contents = self.contents()?;
        self.fallback = Arc::clone(&contents.training);
        if self.deps.checkpoints.try_send(contents).is_err() {
            tracing::error!("the checkpoint was not taken: its thread is gone");
        }
        let pause = start.elapsed().as_secs_f64();
        self.deps.board.update(|figures| {
            let checkpoints = &mut figures.checkpoints;
            checkpoints.pause_seconds = pause;
            checkpoints.pause_seconds_max = checkpoints.pause_seconds_max.max(pause);
        });
        Ok(())
    }

    /// A copy of everything, at one moment. Making files of it is left to the writer's thread.
    fn contents(&self) -> Result<Contents, TrainError> {
        let StepsDeps { hand_over, roster, findings, board, .. } = &self.deps;
        // Side by side: training waits for both.
        let training = || self.training.state();
        let (training, copied) = side_by_side(training, || {
            let _settling = hand_over.settling();
            let (counters, replay) = hand_over.save();
            let figures = board.update(|figures| figures.save());
            (counters, replay, roster.save(), findings.save(), figures)
        });
        let (counters, replay, sessions, findings, figures) = copied;
        let training = Arc::new(training?);
        let rounds = self.deps.lockstep.as_ref().map(|lockstep| lockstep.saved());
        let (generated, draws) = (counters.inserted, self.draws);
        Ok(Contents { training, generated, figures, findings, draws, rounds, sessions, replay })
    }
}
