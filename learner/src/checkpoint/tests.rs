#![allow(clippy::unwrap_used)]

use std::path::Path;

use tributary_common::checkpoint::Checkpoint;
use tributary_common::ids::{ActorId, Epoch, Incarnation, PolicyVersion, RunId};
use tributary_common::log_space::LogReward;
use tributary_common::network::Network;
use tributary_common::random::{Purpose, Stream};
use tributary_common::registry::Registry;
use tributary_common::run_file;
use tributary_common::session::Secret;
use tributary_common::session::books::Books;
use tributary_common::session::learner::LearnerSession;
use tributary_common::session::sessions::SavedSessions;

use super::*;
use crate::fakes;
use crate::replay::{Replay, Samples};
use crate::training::Moments;

const RUN: RunId = RunId([7; 16]);

fn network(hidden: &str) -> Network {
    let text = format!(
        "[environment]\nkind = 'hypergrid'\ndimensions = 2\nside = 4\n[reward]\nkind = 'original'\n\
         [policy]\nhidden = [{hidden}]\n[learner]\nupdates = 1\n"
    );
    let (run_file, task) = Registry::builtin().read(&text, &[], Path::new("")).unwrap();
    Network::of_run(&run_file, task.environment.as_ref())
}

fn writer(run: &Path, incarnation: u32) -> CheckpointWriter {
    CheckpointWriter::new(run, RUN, Incarnation(incarnation), network("8"))
}

/// Numbers with all their bits, as training never rounds them.
fn contents(step: u64) -> Contents {
    let mut stream = Stream::new(step, Purpose::Walk, 0, 0);
    let count = network("8").parameter_count();
    let mut numbers = |first: f32| -> Vec<f32> {
        let rest = (1..count).map(|_| (stream.uniform() as f32 - 0.5) * 1e-3);
        [first].into_iter().chain(rest).collect()
    };
    let training = TrainingState {
        step,
        weights: numbers(-0.0),
        ema: numbers(f32::MIN_POSITIVE / 4.0),
        ema_steps: step + 1,
        target: if step.is_multiple_of(2) { numbers(f32::MAX) } else { Vec::new() },
        moments: Moments { steps: step + 2, mean: numbers(1e-45), square: numbers(0.1) },
        log_z: 0.1 + 0.2,
        log_z_moments: Moments { steps: step + 3, mean: -1.0 / 3.0, square: 5e-324 },
    };
    let session = |counter| {
        let epoch = Epoch { incarnation: Incarnation(1), counter };
        (ActorId(counter), LearnerSession::new(Secret([counter as u8; 16]), epoch).save())
    };
    let forgotten = Books { received: 5, accepted: 4, lost_in_restart: 1, ..Books::default() };
    Contents {
        training,
        generated: 1 << 60,
        paid: u64::MAX,
        samples: 3,
        draws: 4,
        rounds: Some(SavedRounds { round: 5, next: 6 }),
        sessions: SavedSessions::new((1..4).map(session).collect(), forgotten),
        replay: replay().save(),
    }
}

fn replay() -> Replay {
    let mut replay = Replay::new(&run_file::Replay::default(), 2).unwrap();
    for i in 0..9 {
        let log_reward = LogReward::try_from(-1.0 / f64::from(i + 1)).unwrap();
        replay.insert(&fakes::sound(&[i, 1], log_reward, PolicyVersion::default()));
    }
    let mut stream = Stream::new(1, Purpose::Replay, 0, 0);
    assert!(replay.sample(0, &mut stream, &mut Samples::default()));
    replay
}

/// Debug shows the sign of a zero, which equality does not see.
fn same(one: &Contents, other: &Contents) -> bool {
    one == other && format!("{one:?}") == format!("{other:?}")
}

#[test]
fn what_was_written_is_read_back_to_the_last_bit() {
    let run = tempfile::tempdir().unwrap();
    for step in [0, 1] {
        let contents = contents(step);
        let path = writer(run.path(), 1).write(&contents).unwrap();
        let checkpoint = Checkpoint::newest(run.path()).unwrap();
        assert_eq!(checkpoint.path, path);
        let read = Contents::read(&checkpoint, &network("8")).unwrap();
        assert!(same(&read, &contents), "step {step}");
    }
}

#[test]
fn a_checkpoint_of_another_network_or_without_a_file_is_refused_by_the_files_name() {
    let run = tempfile::tempdir().unwrap();
    writer(run.path(), 1).write(&contents(0)).unwrap();
    let checkpoint = || Checkpoint::newest(run.path()).unwrap();
    let refused = |checkpoint: &Checkpoint, hidden| {
        Contents::read(checkpoint, &network(hidden)).unwrap_err().to_string()
    };
    let other = refused(&checkpoint(), "9");
    assert!(other.contains(".safetensors") && other.contains("architecture"), "{other}");
    for name in checkpoint().manifest.files.into_keys() {
        let mut without = checkpoint();
        without.files.remove(&name);
        let error = refused(&without, "8");
        assert!(error.contains(&name), "{name}: {error}");
        let mut empty = checkpoint();
        empty.files.insert(name.clone(), b"{}".to_vec());
        let error = refused(&empty, "8");
        assert!(error.contains(&name), "{name}: {error}");
    }
}
