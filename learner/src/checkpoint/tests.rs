#![allow(clippy::unwrap_used)]

mod crash;
mod damage;

use std::fs;
use std::path::{Path, PathBuf};

use tributary_common::checkpoint::{self, Checkpoint};
use tributary_common::environment::{Environment, Hypergrid};
use tributary_common::estimate::EvaluationData;
use tributary_common::ids::{ActorId, Epoch, Incarnation, PolicyVersion, RunId};
use tributary_common::ledger::{self, Ledger};
use tributary_common::log_space::LogReward;
use tributary_common::network::Network;
use tributary_common::object::Object;
use tributary_common::random::{Purpose, Stream};
use tributary_common::registry::Registry;
use tributary_common::run_file;
use tributary_common::session::Secret;
use tributary_common::session::books::Books;
use tributary_common::session::learner::LearnerSession;
use tributary_common::session::sessions::SavedSessions;

use super::*;
use crate::fakes;
use crate::figures::{Board, Figures};
use crate::findings::Findings;
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

fn config(run: &Path) -> CheckpointConfig {
    fakes::checkpoint_config(run, RUN, Incarnation(1), network("8"))
}

fn writer(run: &Path) -> CheckpointWriter {
    CheckpointWriter::new(config(run))
}

/// The steps of the checkpoints that a run has; all of them are whole.
fn steps(run: &Path) -> Vec<u64> {
    let read = |path: &PathBuf| Checkpoint::read(path).unwrap().manifest.version.step;
    let folders = checkpoint::list(run).unwrap();
    let steps = folders.iter().map(read).collect();
    let entries = fs::read_dir(run.join(checkpoint::FOLDER)).unwrap().count();
    assert_eq!(entries, folders.len(), "something is left behind");
    steps
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
    let mut figures = Figures::default();
    figures.update(f64::NAN, 0.1 + 0.2, 3, [1].into_iter());
    figures.waited("trainer.data", std::time::Duration::from_millis(3));
    Contents {
        training: training.into(),
        generated: 1 << 60,
        figures: figures.save(),
        findings: findings(),
        draws: 4,
        rounds: Some(SavedRounds { round: 5, next: 6 }),
        sessions: SavedSessions::new((1..4).map(session).collect(), forgotten),
        replay: replay().save(),
    }
}

fn findings() -> SavedFindings {
    let (config, data) = (run_file::Evaluation::default(), EvaluationData::default());
    let grid: Arc<dyn Environment> = Arc::new(Hypergrid::new(2, 4).unwrap());
    let findings = Findings::new(&config, &grid, &data);
    for (x, log_reward) in [(0, f64::NEG_INFINITY), (1, -1.0 / 3.0), (2, -0.0)] {
        findings.see(&Object::Integers(vec![x, 0]), log_reward, true, true);
    }
    findings.save()
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
        let path = writer(run.path()).write(&contents).unwrap();
        let checkpoint = Checkpoint::newest(run.path()).unwrap();
        assert_eq!(checkpoint.path, path);
        let read = Contents::read(&checkpoint, &network("8")).unwrap();
        assert!(same(&read, &contents), "step {step}");
    }
}

#[test]
fn a_checkpoint_of_another_network_or_without_a_file_is_refused_by_the_files_name() {
    let run = tempfile::tempdir().unwrap();
    writer(run.path()).write(&contents(0)).unwrap();
    let checkpoint = || Checkpoint::newest(run.path()).unwrap();
    let refused = |checkpoint: &Checkpoint, hidden| {
        Contents::read(checkpoint, &network(hidden)).unwrap_err().to_string()
    };
    let other = refused(&checkpoint(), "9");
    assert!(other.contains(".safetensors") && other.contains("architecture"), "{other}");
    // What the run file says is compared with the directory's, not gone on from.
    for name in checkpoint().manifest.files.into_keys().filter(|name| name != RUN_FILE) {
        let mut without = checkpoint();
        without.files.remove(&name);
        let error = refused(&without, "8");
        assert!(error.contains(&name), "{name}: {error}");
        let mut wrong = checkpoint();
        wrong.files.insert(name.clone(), b"[".to_vec());
        let error = refused(&wrong, "8");
        assert!(error.contains(&name), "{name}: {error}");
    }
}

#[test]
fn the_newest_three_are_kept_and_every_so_many_th() {
    let run = tempfile::tempdir().unwrap();
    let writer = || CheckpointWriter::new(CheckpointConfig { keep_every: 4, ..config(run.path()) });
    for step in 1..=10 {
        // A new life of the learner counts on.
        writer().write(&contents(10 * step)).unwrap();
    }
    assert_eq!(steps(run.path()), [40, 80, 90, 100]);
    let unfinished = run.path().join(checkpoint::FOLDER).join(".tmp-000001-000000000007");
    fs::create_dir(unfinished).unwrap();
    CheckpointWriter::new(config(run.path())).write(&contents(110)).unwrap();
    assert_eq!(steps(run.path()), [90, 100, 110]);
}

#[test]
fn the_same_step_again_replaces_its_checkpoint() {
    let run = tempfile::tempdir().unwrap();
    for draws in [1, 2] {
        writer(run.path()).write(&Contents { draws, ..contents(5) }).unwrap();
    }
    assert_eq!(steps(run.path()), [5]);
    let checkpoint = Checkpoint::newest(run.path()).unwrap();
    assert_eq!(Contents::read(&checkpoint, &network("8")).unwrap().draws, 2);
}

#[test]
fn a_checkpoint_that_cannot_be_written_leaves_the_older_ones_and_is_counted() {
    let run = tempfile::tempdir().unwrap();
    let board = Board::default();
    let mut told = Vec::new();
    let mut write = |step| {
        let (sender, receiver) = crossbeam_channel::bounded(1);
        sender.send(contents(step)).unwrap();
        drop(sender);
        writer(run.path()).run(&receiver, &board, |path, _| told.push(path.to_owned()));
        board.figures().checkpoints
    };
    write(1);
    write(2);
    // Also root cannot make a folder where a file is.
    let in_the_way = run.path().join(checkpoint::FOLDER).join(".tmp-000001-000000000003");
    fs::write(&in_the_way, b"").unwrap();
    let failed = write(3);
    assert_eq!((failed.written, failed.failures), (2, 1));
    let trouble = failed.trouble.unwrap();
    assert!(trouble.contains("000001-000000000003"), "{trouble}");
    fs::remove_file(in_the_way).unwrap();
    assert_eq!(steps(run.path()), [1, 2]);
    let well = write(3);
    assert_eq!((well.written, well.failures, well.trouble), (3, 1, None));
    assert_eq!((steps(run.path()).len(), told.len()), (3, 3));
}

#[test]
fn what_no_learner_could_go_on_from_is_not_written() {
    let run = tempfile::tempdir().unwrap();
    let mut broken = contents(1);
    Arc::make_mut(&mut broken.training).ema[3] = f32::NAN;
    let error = writer(run.path()).write(&broken).unwrap_err();
    assert!(matches!(error, WriteError::NotFinite("weights")), "{error}");
    assert_eq!(checkpoint::list(run.path()).unwrap(), [] as [PathBuf; 0]);
}

#[test]
fn an_older_learner_that_is_still_alive_writes_none() {
    let run = tempfile::tempdir().unwrap();
    let file = run.path().join(ledger::FILE);
    let writer = |incarnation| {
        let newest_learner = newest_learner_of(file.clone());
        let incarnation = Incarnation(incarnation);
        CheckpointWriter::new(CheckpointConfig {
            incarnation,
            newest_learner,
            ..config(run.path())
        })
    };
    let error = writer(1).write(&contents(1)).unwrap_err();
    assert!(matches!(error, WriteError::Unfenced(_)), "no ledger, no checkpoint: {error}");
    let _old = Ledger::open(&file, RUN, Incarnation(1)).unwrap();
    writer(1).write(&contents(2)).unwrap();
    let _new = Ledger::open(&file, RUN, Incarnation(2)).unwrap();
    let error = writer(1).write(&contents(3)).unwrap_err();
    assert!(error.to_string().contains("2 has started"), "{error}");
    assert_eq!(steps(run.path()), [2]);
    writer(2).write(&contents(3)).unwrap();
    assert_eq!(steps(run.path()), [2, 3]);
}
