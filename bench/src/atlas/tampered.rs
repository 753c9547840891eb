//! A trainer whose loss takes log P_F as the actor stored it: wrong on purpose.

use std::sync::Arc;

use anyhow::Result;
use tributary_common::ids::PolicyVersion;
use tributary_common::network::cpu::Snapshot;
use tributary_common::network::{Network, Weights};
use tributary_common::random::{Purpose, Stream};
use tributary_common::rollout::{Exploration, Rollouts, Trajectory};
use tributary_learner::adam::{Adam, ScalarAdam, Settings};
use tributary_learner::batch::Batch;
use tributary_learner::engine::{Engine, Step, Vector, engine};
use tributary_learner::objective::{Gradients, Objective, Terms, TrajectoryBalance};
use tributary_learner::probabilities::Probabilities;
use tributary_learner::replay::Samples;
use tributary_learner::torch::device;

use crate::experiment::Experiment;

/// Trajectories kept.
const CAPACITY: usize = 4_096;

/// Trains on trajectories from a replay by trajectory balance, with the log P_F of when they were drawn
/// in the residual, and returns the policy. The gradient goes to the present log P_F as if it were
/// they that had been off balance.
pub(super) fn learn(experiment: &Experiment) -> Result<Snapshot> {
    let Experiment { run_file, task, .. } = experiment;
    let environment = &task.environment;
    let definition = Network::of_run(run_file, environment.as_ref());
    let values = definition.initial_values(run_file.run.seed);
    let mut engine = engine(&definition, &values, false, device(run_file.learner.device)?)?;
    let definition = Arc::new(definition);
    let mut adam = Adam::new(Settings::of_weights(&run_file.learner));
    let mut log_z_adam = ScalarAdam::new(Settings::of_log_z(&run_file.learner));
    let mut batch = Batch::new(definition.heads);
    let mut probabilities = Probabilities::new(definition.heads);
    let (mut terms, mut gradients) = (Terms::default(), Gradients::default());
    let (mut logits, mut logit_gradient) = (Vec::new(), Vec::new());
    let mut rollouts = Rollouts::new(Arc::clone(environment));
    let mut kept: Vec<(Trajectory, f64)> = Vec::new();
    let (seed, size) = (run_file.run.seed, run_file.learner.batch);
    let mut log_z = 0.0;
    for step in 0..experiment.updates()? {
        let snapshot = snapshot(&definition, &*engine)?;
        let exploration = Exploration::at(&run_file.exploration, 0, step * size as u64);
        let mut streams: Vec<Stream> =
            (0..size as u64).map(|i| Stream::new(seed, Purpose::Rollout, step, i)).collect();
        let mut drawn = Vec::new();
        rollouts.draw(&snapshot, exploration, &mut streams, &mut drawn)?;
        let objects: Vec<_> = drawn.iter().map(|trajectory| trajectory.object.clone()).collect();
        let mut raw = Vec::new();
        task.undelayed.evaluate(&objects, &mut raw)?;
        for (trajectory, raw) in drawn.into_iter().zip(raw.chunks(task.undelayed.outputs().len())) {
            kept.push((trajectory, task.undelayed.transform(raw)?.get()));
        }
        let left = kept.len().saturating_sub(CAPACITY);
        kept.drain(..left);

        let mut stream = Stream::new(seed, Purpose::Replay, 0, step);
        let chosen: Vec<&(Trajectory, f64)> =
            (0..size).map(|_| &kept[stream.below(kept.len())]).collect();
        let mut samples = Samples::default();
        for (i, (trajectory, log_reward)) in chosen.iter().enumerate() {
            let actions = trajectory.actions.iter().copied();
            samples.push(i as u64, actions, *log_reward, PolicyVersion::default());
        }
        batch.build(environment.as_ref(), &samples)?;
        engine.forward(&batch.states.features, 0, &mut logits)?;
        probabilities.terms(&batch, &logits, &mut terms);
        terms.log_z = log_z;
        // What is wrong: the whole stored log-probability in the place of the present ones.
        for (bounds, (trajectory, _)) in batch.offsets.windows(2).zip(&chosen) {
            let transitions = bounds[0] as usize..bounds[1] as usize;
            terms.log_pf[transitions.clone()].fill(0.0);
            terms.log_pf[transitions.start] = trajectory.log_mu;
        }
        TrajectoryBalance::default().loss(&terms, &mut gradients);
        probabilities.logit_gradient(&batch, &gradients, &mut logit_gradient);
        engine.backward(&logit_gradient)?;
        let fraction = run_file.learner.optimizer.learning_rate_fraction(step);
        let (shares, weights) = (adam.shares(), adam.step(adam.rate(fraction)));
        let (gradient_scale, average) = (1.0, 1.0);
        engine.step(&Step { gradient_scale, shares, weights, average, target: None })?;
        log_z_adam.step(&mut log_z, gradients.log_z, fraction);
    }
    snapshot(&definition, &*engine)
}

fn snapshot(definition: &Arc<Network>, engine: &dyn Engine) -> Result<Snapshot> {
    let mut values = Vec::new();
    engine.read(Vector::Weights, &mut values)?;
    let version = PolicyVersion::default();
    let weights = Weights { version, log_z: 0.0, generated: 0, values };
    Ok(Snapshot::new(Arc::clone(definition), weights))
}
