//! Messages that do not keep the protocol are refused, each with the field named.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{batch, hello, learner_events, welcome};
use proptest::prelude::*;
use prost::Message;
use tributary_common::session::batch_bytes;
use tributary_common::session::work::WorkOrder;
use tributary_common::trajectory::TrajectoryBatch;
use tributary_proto::convert::WireError;
use tributary_proto::convert::actor::{ActorEvent, Hello};
use tributary_proto::convert::batch::StampedBatch;
use tributary_proto::convert::chunks::{Chunk, WeightsEvent, chunks};
use tributary_proto::convert::learner::{LearnerEvent, Welcome};
use tributary_proto::{limits, v1};

type Change<T> = (&'static str, fn(&mut T));

fn each_is_refused<W, D>(message: W, changes: &[Change<W>])
where
    W: Clone,
    D: std::fmt::Debug + TryFrom<W, Error = WireError>,
{
    D::try_from(message.clone()).expect("it is fine before the change");
    for (field, change) in changes {
        let mut changed = message.clone();
        change(&mut changed);
        let error = D::try_from(changed).expect_err(field).to_string();
        assert!(error.starts_with(field), "\"{error}\" should name {field}");
    }
}

#[test]
fn batches() {
    each_is_refused::<v1::Batch, StampedBatch>(
        batch().into(),
        &[
            ("batch.epoch", |b| b.epoch = None),
            ("epoch.incarnation", |b| b.epoch.as_mut().unwrap().incarnation = 0),
            ("batch.first_seq", |b| b.first_seq = u64::MAX - 1),
            ("batch.lengths", |b| *b = v1::Batch { epoch: b.epoch, ..Default::default() }),
            ("batch.lengths", |b| b.lengths = vec![0; limits::BATCH_RECORDS + 1]),
            ("batch.actions", |b| b.lengths[0] = 2),
            ("batch.actions", |b| b.lengths = vec![u32::MAX; 3]),
            ("batch.actions", |b| b.actions.push(1)),
            ("batch.outputs", |b| b.outputs = 0),
            ("batch.outputs", |b| b.outputs = u32::MAX),
            ("batch.raw", |b| b.outputs = 3),
            ("batch.raw", |b| b.raw.truncate(5)),
            ("batch.policy", |b| b.policy.truncate(2)),
            ("batch.policy", |b| b.policy[1] = 2),
            ("batch.policies", |b| b.policies = vec![b.policies[0]; 4]),
            ("policy_version.incarnation", |b| b.policies[0].incarnation = 0),
            ("batch.kind", |b| b.kind.push(1)),
            ("batch.kind", |b| b.kind[0] = 0),
            ("batch.kind", |b| b.kind[0] = 99),
            ("batch.setting", |b| b.setting.clear()),
            ("batch.log_mu", |b| b.log_mu.clear()),
            ("batch.seconds", |b| b.seconds.clear()),
            ("batch.seconds", |b| b.seconds[0] = f32::NAN),
            ("batch.seconds", |b| b.seconds[0] = -1.0),
            ("batch.evaluation", |b| b.evaluation = vec![3; 3]),
            ("batch.evaluation", |b| b.evaluation = vec![1; 2]),
            ("batch.index", |b| b.round = 1),
            ("batch.round", |b| b.index = vec![1, 2, 3]),
            ("batch.conditions", |b| b.conditions = vec![v1::Condition::default()]),
            ("batch.condition", |b| b.condition = vec![0]),
        ],
    );
}

#[test]
fn non_finite_rewards_pass_to_be_counted() {
    let mut wire: v1::Batch = batch().into();
    wire.raw[0] = f64::NAN;
    wire.raw[1] = f64::INFINITY;
    assert!(StampedBatch::try_from(wire).unwrap().batch.raw[0].is_nan());
}

#[test]
fn hellos() {
    each_is_refused::<v1::Hello, Hello>(
        hello().into(),
        &[
            ("hello.protocol_min", |h| h.protocol_min = 0),
            ("hello.protocol_max", |h| h.protocol_max = 0),
            ("run_id", |h| h.run_id.truncate(15)),
            ("hello.name", |h| h.name = "x".repeat(limits::TEXT_BYTES + 1)),
            ("resume.actor_id", |h| h.resume.as_mut().unwrap().actor_id = 0),
            ("secret", |h| h.resume.as_mut().unwrap().secret.clear()),
            ("leftover.epoch", |h| h.resume.as_mut().unwrap().leftovers[0].epoch = None),
            ("resume.leftovers", |h| h.resume.as_mut().unwrap().leftovers.reverse()),
            ("resume.leftovers", |h| {
                let leftovers = &mut h.resume.as_mut().unwrap().leftovers;
                *leftovers = vec![leftovers[0]; limits::LEFTOVERS + 1];
            }),
            ("running_claim.lease_id", |h| {
                h.resume.as_mut().unwrap().claims.push(v1::RunningClaim::default());
            }),
            ("running_claim.key", |h| {
                let claim = v1::RunningClaim { key: vec![1; 31], lease_id: 1 };
                h.resume.as_mut().unwrap().claims.push(claim);
            }),
            ("resume.claims", |h| {
                let claim = v1::RunningClaim { key: vec![1; 32], lease_id: 1 };
                h.resume.as_mut().unwrap().claims = vec![claim; limits::RUNNING_CLAIMS + 1];
            }),
        ],
    );
}

#[test]
fn welcomes() {
    each_is_refused::<v1::Welcome, Welcome>(
        welcome().into(),
        &[
            ("welcome.protocol", |w| w.protocol = 0),
            ("run_id", |w| w.run_id.clear()),
            ("welcome.incarnation", |w| w.incarnation = 0),
            ("welcome.actor_id", |w| w.actor_id = 0),
            ("secret", |w| w.secret.push(0)),
            ("welcome.epoch", |w| w.epoch = None),
            ("epoch.counter", |w| w.epoch.as_mut().unwrap().counter = 0),
            ("acked.epoch", |w| w.acked[0].epoch = None),
            ("welcome.run_file", |w| w.run_file = "#".repeat(limits::RUN_FILE_BYTES + 1)),
            ("welcome.assets", |w| w.assets = vec![w.assets[0].clone(); limits::ASSETS + 1]),
            ("asset.name", |w| w.assets[0].name.clear()),
            ("asset.blake3", |w| w.assets[0].blake3.clear()),
            ("asset.size", |w| w.assets[0].size = u64::MAX),
            ("welcome.fingerprints", |w| w.fingerprints = None),
            ("fingerprints.reward", |w| w.fingerprints.as_mut().unwrap().reward.clear()),
            ("welcome.progress_milliseconds", |w| w.progress_milliseconds = 0),
        ],
    );
}

#[test]
fn work_orders() {
    let order = v1::WorkOrder { round: 5, first_index: 640, count: 128, policy: None };
    each_is_refused::<v1::WorkOrder, WorkOrder>(
        v1::WorkOrder { policy: Some(common::policy(100).into()), ..order },
        &[
            ("work.round", |w| w.round = 0),
            ("work.first_index", |w| w.first_index = u64::MAX),
            ("work.count", |w| w.count = 0),
            ("work.policy", |w| w.policy = None),
        ],
    );
}

#[test]
fn unknown_words() {
    let nothing = ActorEvent::try_from(v1::ActorMessage::default()).unwrap_err();
    assert_eq!(nothing, WireError::Missing { field: "actor_message" });
    assert!(LearnerEvent::try_from(v1::LearnerMessage::default()).is_err());
    let refused = v1::Refused { code: 99, ..Default::default() };
    let message = Some(v1::learner_message::Message::Refused(refused));
    let error = LearnerEvent::try_from(v1::LearnerMessage { message }).unwrap_err().to_string();
    assert_eq!(error, "refused.code has the value 99, which this release does not know");

    // Unknown fields are ignored: field 200, a varint.
    let (_, event) = learner_events().swap_remove(3);
    let mut bytes = v1::LearnerMessage::from(event.clone()).encode_to_vec();
    bytes.extend([0xc0, 0x0c, 0x01]);
    let message = v1::LearnerMessage::decode(&bytes[..]).unwrap();
    assert_eq!(LearnerEvent::try_from(message).unwrap(), event);
}

#[test]
fn chunks_share_the_whole_and_are_bounded() {
    let size = 2 * limits::CHUNK_BYTES + 5;
    let whole = prost::bytes::Bytes::from(vec![7; size]);
    let pieces: Vec<Chunk> = chunks(whole.clone()).collect();
    assert_eq!(pieces.iter().map(|chunk| chunk.data.len()).sum::<usize>(), size);
    assert_eq!(pieces[2].offset, 2 * limits::CHUNK_BYTES as u64);
    assert_eq!(pieces[0].data.as_ptr(), whole.as_ptr());
    for data in [whole.slice(..0), whole] {
        assert!(Chunk::try_from(v1::AssetData { offset: 0, data }).is_err());
    }
    let manifest = v1::WeightsManifest { total_bytes: u64::MAX, ..Default::default() };
    let message = Some(v1::weights_message::Message::Manifest(manifest));
    assert!(WeightsEvent::try_from(v1::WeightsMessage { message }).is_err());
}

#[test]
fn the_largest_batch_stays_within_the_session_message_limit() {
    let count = limits::BATCH_BYTES as usize / 76;
    let costly = StampedBatch {
        epoch: tributary_common::ids::Epoch {
            incarnation: tributary_common::ids::Incarnation(u32::MAX),
            counter: u64::MAX,
        },
        batch: TrajectoryBatch {
            first_seq: tributary_common::ids::Seq(u64::MAX / 2),
            lengths: vec![1; count],
            actions: vec![u32::MAX; count],
            outputs: 1,
            raw: vec![1.0; count],
            policy: (0..count as u64).map(|i| common::policy(u64::MAX - i)).collect(),
            kind: vec![tributary_common::trajectory::TrajectoryKind::Imported; count],
            setting: vec![u32::MAX; count],
            log_mu: vec![-1.0; count],
            seconds: vec![1.0; count],
            round: u64::MAX,
            index: (0..count as u64).map(|i| u64::MAX - i).collect(),
        },
    };
    let one = StampedBatch {
        epoch: costly.epoch,
        batch: TrajectoryBatch {
            lengths: vec![(limits::RECORD_BYTES as u32 - 72) / 4],
            actions: vec![u32::MAX; (limits::RECORD_BYTES as usize - 72) / 4],
            ..batch().batch
        },
    };
    for stamped in [costly, one] {
        assert!(batch_bytes(&stamped.batch) <= limits::BATCH_BYTES + 100);
        let encoded = v1::ActorMessage::from(ActorEvent::Batch(stamped)).encoded_len();
        assert!(encoded < limits::SESSION_MESSAGE_BYTES, "{encoded}");
    }
}

proptest! {
    /// Whatever bytes come, decoding and converting ends in a value or an error.
    #[test]
    fn no_bytes_panic(
        which in 0usize..5,
        cut in 0usize..400,
        flips in prop::collection::vec((0usize..400, any::<u8>()), 0..6),
    ) {
        let (_, event) = common::actor_events().swap_remove(which);
        let mut bytes = v1::ActorMessage::from(event).encode_to_vec();
        for (place, value) in flips {
            if let Some(byte) = bytes.get_mut(place) {
                *byte = value;
            }
        }
        bytes.truncate(cut.max(1));
        if let Ok(message) = v1::ActorMessage::decode(&bytes[..])
            && let Ok(ActorEvent::Batch(stamped)) = ActorEvent::try_from(message)
        {
            prop_assert_eq!(stamped.batch.iter().count(), stamped.batch.len());
        }
    }
}
