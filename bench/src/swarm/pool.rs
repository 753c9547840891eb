//! Trajectories that were drawn beforehand, so that the generator takes little of the cores.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use prost::Message as _;
use tributary_common::ids::{Epoch, Incarnation, PolicyVersion, Seq};
use tributary_common::network::cpu::Snapshot;
use tributary_common::network::{Network, Weights};
use tributary_common::random::{Purpose, Stream};
use tributary_common::registry::Registry;
use tributary_common::rollout::{Exploration, Rollouts};
use tributary_common::session::record_bytes;
use tributary_common::trajectory::{TrajectoryBatch, TrajectoryKind, TrajectoryView};
use tributary_proto::convert::actor::ActorEvent;
use tributary_proto::convert::batch::StampedBatch;
use tributary_proto::v1::ActorMessage;

/// How many there are.
const SIZE: u64 = 4_096;

/// All of them, by an untrained policy.
pub(super) struct Pool {
    network: Arc<Network>,
    actions: Vec<Vec<u32>>,
    log_mu: Vec<f64>,
    raw: Vec<f64>,
    outputs: usize,
}

impl Pool {
    /// Draws for a run file.
    pub(super) fn draw(run_file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(run_file)?;
        let folder = run_file.parent().context("a run file lies in a folder")?;
        let (run_file, task) = Registry::builtin().read(&text, &[], folder)?;
        let network = Arc::new(Network::of_run(&run_file, task.environment.as_ref()));
        let values = network.initial_values(run_file.run.seed);
        let version = PolicyVersion { incarnation: Incarnation(1), step: 0 };
        let weights = Weights { version, log_z: 0.0, generated: 0, values };
        let snapshot = Snapshot::new(Arc::clone(&network), weights);
        let mut streams: Vec<Stream> =
            (0..SIZE).map(|index| Stream::new(1, Purpose::Rollout, 0, index)).collect();
        let exploration = Exploration::at(&run_file.exploration, 0, 0);
        let mut drawn = Vec::new();
        let environment = Arc::clone(&task.environment);
        Rollouts::new(environment).draw(&snapshot, exploration, &mut streams, &mut drawn)?;
        let objects: Vec<_> = drawn.iter().map(|trajectory| trajectory.object.clone()).collect();
        let mut raw = Vec::new();
        task.undelayed.evaluate(&objects, &mut raw)?;
        let outputs = task.undelayed.outputs().len();
        let (actions, log_mu) = drawn.into_iter().map(|of| (of.actions, of.log_mu)).unzip();
        Ok(Self { network, actions, log_mu, raw, outputs })
    }

    /// The policy's.
    pub(super) fn network(&self) -> &Arc<Network> {
        &self.network
    }

    /// What the same cost of the session's credit.
    pub(super) fn cost(&self, count: usize, first: u64, stamp: Stamp) -> u64 {
        let places = (first..first + count as u64).map(|seq| self.place(seq, stamp));
        places.map(|place| record_bytes(self.actions[place].len(), self.outputs)).sum()
    }

    /// The size of a message of so many records.
    pub(super) fn message_bytes(&self, count: usize) -> usize {
        let policy = PolicyVersion { incarnation: Incarnation(1), step: 0 };
        let batch = self.batch(count, 0, Stamp { offset: 0, policy, setting: 0 });
        let epoch = Epoch { incarnation: Incarnation(1), counter: 1 };
        let message: ActorMessage = ActorEvent::Batch(StampedBatch { epoch, batch }).into();
        message.encoded_len()
    }

    fn place(&self, seq: u64, stamp: Stamp) -> usize {
        (stamp.offset + seq) as usize % self.actions.len()
    }

    /// So many records from `first` on, of a session that began anywhere in the pool.
    pub(super) fn batch(&self, count: usize, first: u64, stamp: Stamp) -> TrajectoryBatch {
        let mut batch = TrajectoryBatch::default();
        for seq in first..first + count as u64 {
            let place = self.place(seq, stamp);
            batch.push(&TrajectoryView {
                seq: Seq(seq),
                actions: &self.actions[place],
                raw: &self.raw[place * self.outputs..(place + 1) * self.outputs],
                policy: stamp.policy,
                kind: TrajectoryKind::Forward,
                setting: stamp.setting,
                log_mu: self.log_mu[place] as f32,
                seconds: 0.0,
            });
        }
        batch
    }
}

/// What a session says of all its records.
#[derive(Clone, Copy)]
pub(super) struct Stamp {
    pub(super) offset: u64,
    pub(super) policy: PolicyVersion,
    pub(super) setting: u32,
}
