#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod backward;
mod networks;
mod objectives;
mod optimizer;

use std::path::Path;

use tributary_common::data_set;
use tributary_common::exact::{Comparison, SnapshotPolicy, Target, terminating_distribution};
use tributary_common::log_space::LogReward;
use tributary_common::network::States;
use tributary_common::network::cpu::{Scratch, Snapshot};
use tributary_common::random::{Purpose, Stream};
use tributary_common::registry::{Registry, Task};
use tributary_common::rollout::{Exploration, Rollouts, Trajectory};
use tributary_common::run_file;

use super::*;
use crate::engine::LARGE;
use crate::examine::Sound;
use crate::fakes;
use crate::redraw::Redraw;
use crate::replay::Replay;

const HYPERGRID: &str = r#"
[run]
seed = 3
[environment]
kind = "hypergrid"
dimensions = 2
side = 4
[reward]
kind = "original"
r0 = 0.1
r1 = 0.5
r2 = 2.0
[policy]
hidden = [32, 32]
[learner]
updates = 1000
batch = 16
learning_rate = 0.003
ema = 0.99
device = "cpu"
"#;

fn run(changes: &[(&str, &str)]) -> (RunFile, Task) {
    tch::set_num_threads(1);
    let changes: Vec<_> = changes.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
    let run_file = RunFile::parse(HYPERGRID, &changes).unwrap();
    let task = Registry::builtin().task(&run_file, std::path::Path::new(".")).unwrap();
    (run_file, task)
}

fn trainer(run_file: &RunFile, task: &Task) -> Trainer {
    Trainer::new(run_file, task, Incarnation(1)).unwrap()
}

/// Trains on its own trajectories, all in one thread; the exact total variation of the averaged
/// weights, and log Z less the target's.
fn converge(run_file: &RunFile, task: &Task) -> (f64, f64) {
    let Task { environment, undelayed, .. } = task;
    let mut trainer = trainer(run_file, task);
    let network = Arc::new(trainer.network().clone());
    let mut replay = Replay::new(&run_file.replay, run_file.learner.batch)
        .unwrap()
        .with_initial(data_set::initial(run_file, task, Path::new("")).unwrap());
    let uniform = run_file.replay.redraw_uniform;
    let mut redraw = Redraw::new(environment.clone(), network.clone(), run_file.run.seed, uniform);
    let mut rollouts = Rollouts::new(environment.clone());
    let mut samples = Samples::default();
    let mut generated = 0;
    while trainer.step() < run_file.learner.updates.unwrap() {
        let sets = trainer.publish(generated).unwrap();
        redraw.follow(&sets.raw);
        let snapshot = Snapshot::new(network.clone(), (*sets.raw).clone());
        while replay.may_insert() {
            let mut streams = [Stream::new(run_file.run.seed, Purpose::Rollout, 0, generated)];
            let mut drawn = Vec::new();
            rollouts.draw(&snapshot, Exploration::NONE, &mut streams, &mut drawn).unwrap();
            let Trajectory { actions, object, .. } = drawn.remove(0);
            let hash = blake3::hash(object.to_string().as_bytes()).as_bytes()[0];
            let mut raw = Vec::new();
            undelayed.evaluate(&[object], &mut raw).unwrap();
            let log_reward: LogReward = undelayed.transform(&raw).unwrap();
            let sound = fakes::sound(&actions, log_reward, snapshot.weights().version);
            replay.insert(&Sound { object: u64::from(hash), ..sound });
            generated += 1;
        }
        let mut stream = Stream::new(run_file.run.seed, Purpose::Replay, trainer.step(), 0);
        while replay.sample(trainer.step(), &mut stream, &mut samples) {
            redraw.draw(trainer.step(), &mut samples).unwrap();
            let report = trainer.update(&samples).unwrap();
            replay.trained(&samples.ordinals, &report.squared_residuals);
        }
    }
    let ema = Snapshot::new(network, (*trainer.publish(generated).unwrap().ema).clone());
    let mut policy = SnapshotPolicy::new(&ema);
    let learned = terminating_distribution(&**environment, &mut policy, &mut || true).unwrap();
    let target = Target::new(&**environment, &**undelayed, 1_000, &mut || true).unwrap();
    let Comparison { total_variation, .. } = Comparison::new(&target, &learned);
    (total_variation, trainer.log_z() - target.log_z())
}

#[test]
fn a_small_hypergrid_is_learned() {
    for changes in [
        &[("policy.backward", "uniform")][..],
        &[("policy.backward", "learned")][..],
        &[("replay.selector", "uniform"), ("replay.samples_per_insert", "4.0")][..],
    ] {
        let (run_file, task) = run(changes);
        let (total_variation, log_z) = converge(&run_file, &task);
        assert!(total_variation < 0.05, "{changes:?}: total variation {total_variation}");
        assert!(log_z.abs() < 0.1, "{changes:?}: log Z is off by {log_z}");
    }
}

#[test]
fn replay_that_prefers_learns_a_small_hypergrid() {
    let prioritized = ("replay.selector", "prioritized");
    for changes in [
        &[prioritized, ("replay.priority", "log_reward")][..],
        &[prioritized, ("replay.priority", "loss"), ("replay.samples_per_insert", "4.0")][..],
        &[("replay.selector", "top_fraction"), ("replay.samples_per_insert", "2.0")][..],
    ] {
        let (run_file, task) = run(changes);
        let (total_variation, log_z) = converge(&run_file, &task);
        println!("{changes:?}: total variation {total_variation}, log Z off by {log_z}");
        assert!(total_variation < 0.05, "{changes:?}: total variation {total_variation}");
        assert!(log_z.abs() < 0.1, "{changes:?}: log Z is off by {log_z}");
    }
}

#[test]
fn replay_that_draws_paths_anew_learns_a_small_hypergrid() {
    let often = ("replay.samples_per_insert", "4.0");
    let uniform = ("replay.selector", "uniform");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("data.csv");
    // The corners, the four best objects.
    let corners = "cell,value\n0 0,0.6\n0 3,0.6\n3 0,0.6\n3 3,0.6\n";
    std::fs::write(&file, corners).unwrap();
    for changes in [
        &[("replay.keep", "objects"), uniform, often][..],
        &[("replay.keep", "objects"), ("policy.backward", "uniform"), often][..],
        &[("replay.max_lag", "1"), ("learner.publish_every", "1"), uniform, often][..],
        &[("replay.initial", file.to_str().unwrap())][..],
        &[("replay.duplicates", "merge"), ("replay.keep", "objects"), uniform, often][..],
    ] {
        let (run_file, task) = run(changes);
        let (total_variation, log_z) = converge(&run_file, &task);
        println!("{changes:?}: total variation {total_variation}, log Z off by {log_z}");
        assert!(total_variation < 0.05, "{changes:?}: total variation {total_variation}");
        assert!(log_z.abs() < 0.1, "{changes:?}: log Z is off by {log_z}");
    }
}

#[test]
fn a_report_has_the_residual_of_each_trajectory() {
    let (run_file, task) = run(&[]);
    let samples = &batches(&task)[0];
    let report = trainer(&run_file, &task).update(samples).unwrap();
    let mean = report.squared_residuals.iter().sum::<f64>() / samples.len() as f64;
    assert_eq!(report.squared_residuals.len(), samples.len());
    assert!((mean - report.loss).abs() < 1e-9 * mean, "{mean} is not {}", report.loss);
}

/// Four batches of random trajectories of the run's environment.
fn batches(task: &Task) -> Vec<Samples> {
    let batch = |round| {
        let mut stream = Stream::new(9, Purpose::Walk, round, 0);
        fakes::random_trajectories(&*task.environment, 16, &mut stream)
    };
    (0..4).map(batch).collect()
}

#[test]
fn a_restored_trainer_goes_on_bit_for_bit() {
    let (run_file, task) = run(&[]);
    let batches = batches(&task);
    let mut first = trainer(&run_file, &task);
    first.update(&batches[0]).unwrap();
    first.update(&batches[1]).unwrap();
    let state = first.state().unwrap();
    let mut second = trainer(&run_file, &task);
    second.restore(&state).unwrap();
    assert_eq!(second.state().unwrap(), state);
    for batch in &batches[2..] {
        assert_eq!(first.update(batch).unwrap(), second.update(batch).unwrap());
    }
    assert_eq!(first.publish(8).unwrap(), second.publish(8).unwrap());
    assert_eq!(second.step(), 4);

    let (other, task) = run(&[("policy.hidden", "[8]")]);
    let error = trainer(&other, &task).restore(&state).unwrap_err();
    assert!(matches!(error, TrainError::OtherNetwork { .. }), "{error}");
}

#[test]
fn updates_that_are_not_finite_are_skipped_and_the_third_goes_back() {
    let (run_file, task) = run(&[]);
    let batches = batches(&task);
    let mut trainer = trainer(&run_file, &task);
    trainer.update(&batches[0]).unwrap();
    let published = trainer.publish(16).unwrap();
    trainer.update(&batches[1]).unwrap();
    let before = trainer.state().unwrap();
    let mut bad = batches[2].clone();
    bad.log_rewards[5] = f64::NAN;
    for in_a_row in 1..=2 {
        let skipped = trainer.update(&bad).unwrap_err();
        assert!(matches!(skipped.cause, TrainError::Loss { .. }), "{skipped}");
        assert_eq!((skipped.in_a_row, skipped.restored), (in_a_row, false));
        assert_eq!(trainer.state().unwrap(), before);
    }
    let mut illegal = Samples::default();
    illegal.push(0, [7], 0.0, PolicyVersion::default());
    let skipped = trainer.update(&illegal).unwrap_err();
    assert!(matches!(skipped.cause, TrainError::Trajectory { index: 0, .. }), "{skipped}");
    assert!(skipped.restored);
    assert_eq!(trainer.step(), 2, "versions must not repeat");
    let after = trainer.publish(16).unwrap();
    assert_eq!(after.raw.values, published.raw.values);
    assert_eq!(after.ema.values, published.ema.values);
    assert_eq!(after.raw.log_z, published.raw.log_z);
    trainer.update(&batches[3]).unwrap();
    assert_eq!(trainer.step(), 3);
}

#[test]
fn what_is_published_is_what_was_trained_also_of_large_networks() {
    for (hidden, is_large) in [("[8]", false), ("[1024, 1024]", true)] {
        let (run_file, task) = run(&[("policy.hidden", hidden)]);
        let mut trainer = trainer(&run_file, &task);
        assert_eq!(trainer.network().parameter_count() >= LARGE, is_large);
        for batch in &batches(&task)[..2] {
            trainer.update(batch).unwrap();
            let sets = trainer.publish(7).unwrap();
            let state = trainer.state().unwrap();
            assert_eq!((&sets.raw.values, &sets.ema.values), (&state.weights, &state.ema));
            assert_eq!((sets.raw.version.step, sets.ema.generated), (state.step, 7));
        }
    }
}

#[test]
fn weights_that_are_not_finite_are_never_published() {
    let (run_file, task) = run(&[("learner.learning_rate", "1e38")]);
    let mut trainer = trainer(&run_file, &task);
    let mut refused = false;
    for batch in batches(&task) {
        refused |= trainer.update(&batch).is_err();
    }
    assert!(refused || trainer.publish(0).is_err());
}

#[test]
fn a_device_that_is_not_there_is_an_error() {
    if tch::Cuda::is_available() {
        return;
    }
    assert!(matches!(device(run_file::Device::Cuda), Err(TrainError::NoCuda)));
    assert_eq!(device(run_file::Device::Auto).unwrap(), tch::Device::Cpu);
}

/// With no hidden layer the gradient of a trajectory is, for each input's row, the sum of the
/// gradients of the logits over the states in which that input is on.
#[test]
fn of_a_linear_policy_the_products_of_gradients_are_those_of_the_closed_form() {
    let (run_file, task) = run(&[("policy.hidden", "[]")]);
    let environment = &*task.environment;
    let samples = &batches(&task)[0];
    let chosen = [0, 3, 7, 15];
    let mut trainer = trainer(&run_file, &task);
    let snapshot = {
        let network = Arc::new(trainer.network().clone());
        Snapshot::new(network, (*trainer.publish(0).unwrap().raw).clone())
    };
    let heads = snapshot.heads();
    let log_z = trainer.log_z();
    // For each state of a trajectory: its inputs, and the gradient of the loss by its logits.
    let trajectory = |i: usize| {
        let actions = samples.iter_actions().nth(i).unwrap();
        let mut state = vec![0; environment.state_width()];
        environment.reset(&mut state);
        let (mut inputs, mut gradients, mut residual) = (Vec::new(), Vec::new(), log_z);
        residual -= samples.log_rewards[i];
        for step in 0..=actions.len() {
            let mut states = States::new(heads);
            states.push(environment, &state);
            let mut scratch = Scratch::default();
            let row = snapshot.forward(&mut scratch, &states.features);
            let mut gradient = vec![0.0; heads.width()];
            let mut log_p = Vec::new();
            let legal = states.forward.row(0);
            heads.log_forward(row, legal, states.can_stop[0], &mut log_p);
            let columns: Vec<usize> =
                legal.iter().map(|&a| a as usize).chain([heads.exit_column()]).collect();
            let taken = actions.get(step).map_or(heads.exit_column(), |&action| action as usize);
            for (&column, log_p) in columns.iter().zip(&log_p) {
                gradient[column] += f64::from(u8::from(column == taken)) - log_p.exp();
            }
            let place = columns.iter().position(|&column| column == taken).unwrap();
            residual += log_p[place];
            if step > 0 {
                let ways = states.backward.row(0);
                heads.log_backward(&states, 0, row, &mut log_p);
                let mut before = state.clone();
                let undone = ways.iter().position(|&way| {
                    environment.forward_of(&state, way) == actions[step - 1] && {
                        before.copy_from_slice(&state);
                        environment.undo(&mut before, way);
                        true
                    }
                });
                let undone = undone.unwrap();
                residual -= log_p[undone];
                for (place, (&way, log_p)) in ways.iter().zip(&log_p).enumerate() {
                    let column = heads.backward_column() + way as usize;
                    gradient[column] -= f64::from(u8::from(place == undone)) - log_p.exp();
                }
            }
            inputs.push(states.features.row(0).to_vec());
            gradients.push(gradient);
            if let Some(&action) = actions.get(step) {
                environment.step(&mut state, action);
            }
        }
        gradients.iter_mut().flatten().for_each(|g| *g *= 2.0 * residual);
        (inputs, gradients)
    };
    let products = trainer.gradient_products(samples, &chosen).unwrap().unwrap();
    for (i, &one) in chosen.iter().enumerate() {
        for (j, &other) in chosen.iter().enumerate() {
            let ((inputs, gradients), (others, theirs)) = (trajectory(one), trajectory(other));
            let mut expected = 0.0;
            for (inputs, gradient) in inputs.iter().zip(&gradients) {
                for (others, theirs) in others.iter().zip(&theirs) {
                    let shared = inputs.iter().filter(|input| others.contains(input)).count();
                    let product: f64 = gradient.iter().zip(theirs).map(|(a, b)| a * b).sum();
                    // The bias is on in every state.
                    expected += (1.0 + shared as f64) * product;
                }
            }
            let product = |i: usize, j: usize| products[i * chosen.len() + j];
            let (found, norms) = (product(i, j), (product(i, i) * product(j, j)).sqrt());
            let off = (found - expected).abs();
            assert!(off < 1e-5 * norms, "{one}, {other}: {found}, {expected}");
        }
    }
    let step = trainer.step();
    assert_eq!(step, 0, "a measurement is no update");
}
