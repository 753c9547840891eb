//! How long training stands still for a checkpoint: with 10 MB of weights and a replay of 100,000
//! trajectories.

#![allow(clippy::unwrap_used)]
use std::thread;

use std::path::Path;

use tributary_common::estimate::EvaluationData;
use tributary_common::ids::{Incarnation, PolicyVersion, RunId};
use tributary_common::log_space::LogReward;
use tributary_common::network::Network;
use tributary_common::registry::Registry;
use tributary_common::session::sessions::SessionsConfig;
use tributary_common::soak;

use super::*;
use crate::checkpoint::CheckpointWriter;
use crate::fakes;
use crate::findings::Findings;
use crate::replay::Replay;
use crate::train::Trainer;

const RUN: &str = "[environment]\nkind = 'hypergrid'\ndimensions = 2\nside = 8\n[reward]\n\
                   kind = 'original'\n[policy]\nhidden = [1572, 1572]\n[learner]\nupdates = 1\n";

#[test]
fn training_hardly_stands_still_for_a_checkpoint() {
    let times = soak::count(5, 101);
    tch::set_num_threads(1);
    let (run_file, task) = Registry::builtin().read(RUN, &[], Path::new("")).unwrap();
    let network = Network::of_run(&run_file, task.environment.as_ref());
    let bytes = 4 * network.parameter_count();
    assert!(bytes > 10_000_000, "{bytes}");
    let training = Trainer::new(&run_file, &task, Incarnation(1)).unwrap();

    let hand_over = Arc::new(HandOver::new(Replay::new(&run_file.replay, 64).unwrap()));
    let capacity = run_file.replay.capacity as u32;
    for i in 0..capacity {
        let actions: Vec<u32> = (0..14).map(|action| i.rotate_left(action) % 2).collect();
        let log_reward = LogReward::try_from(-f64::from(i)).unwrap();
        hand_over.insert_at_once(&fakes::sound(&actions, log_reward, PolicyVersion::default()));
    }
    let sessions = SessionsConfig {
        incarnation: Incarnation(1),
        durable: false,
        most_sessions: 2,
        most_remembered: 2,
        budget_bytes: 1 << 20,
        window_bytes: 1 << 20,
        record_bytes: 1 << 10,
    };
    let data = EvaluationData::default();
    let findings = Findings::new(&run_file.evaluation, &task.environment, &data);
    let (publisher, _newest) = Publisher::new();
    let (checkpoints, to_write) = crossbeam_channel::bounded(1);
    let (folder, board) = (tempfile::tempdir().unwrap(), Arc::new(Board::default()));
    let config = StepsConfig {
        seed: 1,
        updates: None,
        publish_every: 1,
        checkpoint_every: Duration::from_secs(1),
    };
    let deps = StepsDeps {
        hand_over,
        publisher,
        board: Arc::clone(&board),
        roster: Arc::new(Roster::new(sessions, 1)),
        findings: Arc::new(findings),
        skipped: SkippedBatches::new(folder.path()),
        checkpoints,
        interference: None,
        redraw: None,
        lockstep: None,
    };
    let mut steps = Steps::new(Box::new(training), config, deps).unwrap();
    let config = fakes::checkpoint_config(folder.path(), RunId([1; 16]), Incarnation(1), network);
    let writer = CheckpointWriter::new(config);
    let (mut pauses, deadline) = (Vec::new(), Instant::now() + Duration::from_secs(600));
    thread::scope(|scope| {
        let board = &board;
        scope.spawn(move || writer.run(&to_write, board, |_, _| {}));
        for number in 1..=times {
            steps.checkpoint().unwrap();
            pauses.push(board.figures().checkpoints.pause_seconds);
            while board.figures().checkpoints.written < number {
                assert!(Instant::now() < deadline, "checkpoint {number} was not written");
                thread::yield_now();
            }
        }
        drop(steps);
    });
    pauses.sort_by(f64::total_cmp);
    let (median, most) = (pauses[pauses.len() / 2], pauses[pauses.len() - 1]);
    let write = board.figures().checkpoints.write_seconds;
    println!(
        "{times} checkpoints of {bytes} bytes of weights and {capacity} trajectories: training stood \
         still for {:.1} ms (median), {:.1} ms at most; writing the last took {write:.2} s",
        1e3 * median,
        1e3 * most
    );
    // What a busy machine allows; the figure is in docs/checkpoints.md.
    assert!(median <= 1.0, "{median} s");
}
