//! One example of each main message, with every field set.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::time::Duration;

use tributary_common::ids::{ActorId, Epoch, Incarnation, PolicyVersion, RunId, Seq};
use tributary_common::session::books::RejectionReason;
use tributary_common::session::refusal::{Fingerprints, Refusal, RefusalCode};
use tributary_common::session::work::{Place, WorkOrder};
use tributary_common::session::{Acked, Credit, Identity, Leftover, Resume, Secret};
use tributary_common::trajectory::{TrajectoryBatch, TrajectoryKind, TrajectoryView};
use tributary_proto::convert::actor::{ActorEvent, Hello};
use tributary_proto::convert::batch::StampedBatch;
use tributary_proto::convert::chunks::{Chunk, Manifest, WeightSet, WeightsEvent};
use tributary_proto::convert::learner::{Ack, Asset, LearnerEvent, Rejection, Welcome};
use tributary_proto::v1;

pub fn epoch(counter: u64) -> Epoch {
    Epoch { incarnation: Incarnation(2), counter }
}

pub fn policy(step: u64) -> PolicyVersion {
    PolicyVersion { incarnation: Incarnation(2), step }
}

pub fn batch() -> StampedBatch {
    let mut batch = TrajectoryBatch::default();
    let kinds = [TrajectoryKind::Forward, TrajectoryKind::LocalSearch, TrajectoryKind::Imported];
    for (i, (kind, actions)) in kinds.into_iter().zip([&[0, 3, 300][..], &[], &[7]]).enumerate() {
        batch.push(&TrajectoryView {
            seq: Seq(40 + i as u64),
            actions,
            raw: &[0.5, -2.0],
            policy: policy(100 + 4 * (i as u64 / 2)),
            kind,
            setting: i as u32,
            log_mu: -1.5,
            seconds: 0.25,
        });
    }
    StampedBatch { epoch: epoch(3), batch }
}

/// Of a lockstep run.
pub fn placed_batch() -> StampedBatch {
    let mut stamped = batch();
    (640..643).for_each(|index| stamped.batch.place(Place { round: 5, index }));
    stamped
}

pub fn hello() -> Hello {
    let leftovers = vec![
        Leftover { epoch: epoch(1), acked_below: Seq(4), next: Seq(9) },
        Leftover { epoch: epoch(2), acked_below: Seq(0), next: Seq(0) },
    ];
    Hello {
        protocol: (1, 1),
        run: Some(RunId([7; 16])),
        software: "tributary 0.1.0".into(),
        name: "actor-a".into(),
        host: "node-17".into(),
        process: 4242,
        threads: 8,
        resume: Some(Resume {
            actor: ActorId(2_000_000_001),
            secret: Secret([9; 16]),
            acked_records: 77,
            leftovers,
        }),
        attempt: None,
        claims: vec![],
    }
}

pub fn fingerprints() -> Fingerprints {
    Fingerprints { environment: [1; 32], reward: [2; 32], architecture: [3; 32] }
}

pub fn welcome() -> Welcome {
    Welcome {
        protocol: 1,
        run: RunId([7; 16]),
        run_name: "tfbind8".into(),
        incarnation: Incarnation(2),
        identity: Identity {
            actor: ActorId(2_000_000_001),
            secret: Secret([9; 16]),
            epoch: epoch(3),
        },
        acked: vec![Acked { epoch: epoch(1), below: Seq(5) }],
        run_file: "[run]\nname = \"tfbind8\"\n".into(),
        assets: vec![Asset { name: "data/tfbind8.tsv".into(), blake3: [4; 32], size: 1_000_000 }],
        seed: 1,
        stream: 3,
        exploration_setting: 2,
        durable: true,
        lockstep: false,
        fingerprints: fingerprints(),
        progress_every: Duration::from_secs(1),
    }
}

pub fn actor_events() -> Vec<(&'static str, ActorEvent)> {
    let waited_seconds = [("credit".to_string(), 1.5), ("reward".to_string(), 20.0)].into();
    let progress = v1::Progress {
        policy: Some(policy(104).into()),
        trajectories: 1000,
        evaluations: 900,
        evaluation_seconds: 12.5,
        unacked_records: 30,
        unacked_bytes: 3000,
        waited_seconds,
        non_finite: 1,
        reconnects: 2,
        ..v1::Progress::default()
    };
    let goodbye = v1::Goodbye { reason: "asked to stop".into(), unacked_records: 3 };
    vec![
        ("hello", ActorEvent::Hello(hello())),
        ("ready", ActorEvent::Ready(fingerprints())),
        ("batch", ActorEvent::Batch(batch())),
        ("progress", ActorEvent::Progress(progress)),
        ("goodbye", ActorEvent::Goodbye(goodbye)),
        ("placed_batch", ActorEvent::Batch(placed_batch())),
    ]
}

pub fn learner_events() -> Vec<(&'static str, LearnerEvent)> {
    let refusal = Refusal::new(
        RefusalCode::Fingerprint,
        "environment",
        "0102",
        "0304",
        "run the same version on both sides",
    );
    let rejection = Rejection {
        seq: Seq(41),
        reason: RejectionReason::IllegalAction,
        detail: "action 9 at step 2 is not legal there".into(),
        step: Some(2),
    };
    let ack = Ack {
        acked: Acked { epoch: epoch(3), below: Seq(43) },
        rejections: vec![rejection],
        credit: Some(Credit { bytes: 70_000, records: Some(500) }),
    };
    let work = WorkOrder { round: 5, first_index: 640, count: 128, policy: policy(100) };
    let drain = LearnerEvent::Drain {
        reason: "the run is complete".into(),
        deadline: Some(Duration::from_secs(10)),
    };
    vec![
        ("welcome", LearnerEvent::Welcome(Box::new(welcome()))),
        ("refused", LearnerEvent::Refused(refusal, Duration::from_millis(1500))),
        ("ack", LearnerEvent::Ack(ack)),
        ("credit", LearnerEvent::Credit(Credit { bytes: 65_536, records: None })),
        ("drain", drain),
        ("fenced", LearnerEvent::Fenced(epoch(4))),
        ("work", LearnerEvent::Work(work)),
    ]
}

pub fn weights_events() -> Vec<(&'static str, WeightsEvent)> {
    let manifest = Manifest {
        version: policy(104),
        set: WeightSet::Ema,
        architecture: [3; 32],
        total_bytes: 5,
        blake3: [5; 32],
    };
    let data = prost::bytes::Bytes::from_static(b"bytes");
    vec![
        ("weights_manifest", WeightsEvent::Manifest(manifest)),
        ("weights_data", WeightsEvent::Data(Chunk { offset: 1_048_576, data })),
    ]
}

/// Messages of which the domain knows nothing yet, or that people read.
pub fn words() -> Vec<(&'static str, Vec<u8>)> {
    use prost::Message;
    let result = v1::Result {
        key: vec![6; 32],
        object: "\"ACGTACGT\"".into(),
        status: v1::EvaluationStatus::Measured as i32,
        raw: vec![0.5],
        seconds: 3600.0,
        lease_id: 12,
        error: String::new(),
        ..v1::Result::default()
    };
    let known = v1::answer::Answer::Known(result.clone());
    let answer = v1::Answer { key: vec![6; 32], answer: Some(known) };
    let answers = v1::learner_answer::Message::Answers(v1::Answers { answers: vec![answer] });
    let results = v1::Results { number: 1, results: vec![result] };
    let results = v1::actor_question::Message::Results(results);
    let record = v1::MetricsRecord {
        number: 9,
        step: 104,
        seconds: 10.5,
        time: 1.7e9,
        values: [("loss".to_string(), 0.25)].into(),
        stalled_edge: None,
    };
    vec![
        ("answers", v1::LearnerAnswer { message: Some(answers) }.encode_to_vec()),
        ("results", v1::ActorQuestion { message: Some(results) }.encode_to_vec()),
        ("metrics_record", record.encode_to_vec()),
        ("status", status().encode_to_vec()),
    ]
}

/// What is asked once, and its answers.
pub fn calls() -> Vec<(&'static str, Vec<u8>)> {
    use prost::Message;
    let subscribe = v1::SubscribeRequest {
        run_id: vec![7; 16],
        actor_id: 2_000_000_001,
        set: v1::WeightSet::Ema as i32,
        newer_than: Some(policy(100).into()),
    };
    let data = prost::bytes::Bytes::from_static(b"bytes");
    vec![
        ("subscribe", subscribe.encode_to_vec()),
        ("fetch", v1::FetchRequest { blake3: vec![4; 32], offset: 1_048_576 }.encode_to_vec()),
        ("asset_data", v1::AssetData { offset: 1_048_576, data }.encode_to_vec()),
        (
            "stream_metrics",
            v1::StreamMetricsRequest {
                from_number: 9,
                follow: true,
                prefixes: vec!["loss".into()],
            }
            .encode_to_vec(),
        ),
        ("watch", v1::WatchRequest { prefixes: vec!["loss".into()] }.encode_to_vec()),
        ("drain_request", v1::DrainRequest { reason: "enough".into() }.encode_to_vec()),
        ("drain_reply", v1::DrainReply { started: true }.encode_to_vec()),
    ]
}

/// The rest of the shared rewards and of reward services.
pub fn rewards() -> Vec<(&'static str, Vec<u8>)> {
    use prost::Message;
    use v1::actor_question::Message as Question;
    let question = |message| v1::ActorQuestion { message: Some(message) }.encode_to_vec();
    let proof = v1::ActorProof {
        actor_id: 2_000_000_001,
        secret: vec![9; 16],
        epoch: Some(epoch(3).into()),
    };
    let answer = |answer| v1::Answer { key: vec![6; 32], answer: Some(answer) };
    let answers = vec![
        answer(v1::answer::Answer::Granted(v1::Granted {
            lease_id: 12,
            lease_milliseconds: 60_000,
        })),
        answer(v1::answer::Answer::Busy(v1::Busy { actor_id: 8, retry_after_milliseconds: 500 })),
    ];
    let answers = v1::learner_answer::Message::Answers(v1::Answers { answers });
    let acked = v1::learner_answer::Message::ResultsAck(v1::ResultsAck { through_number: 4 });
    let output = v1::RewardOutput { name: "score".into(), role: v1::RewardRole::Objective as i32 };
    let (kind, version) = ("docking".into(), "2".into());
    let describe = v1::DescribeReply { kind, version, outputs: vec![output], batch: 64 };
    let measured = v1::Measured {
        status: v1::EvaluationStatus::Measured as i32,
        raw: vec![0.5, -2.0],
        seconds: 3600.0,
        error: "a word".into(),
        transient: true,
    };
    let evaluate = v1::EvaluateRequest { id: 3, objects: vec!["\"ACGT\"".into()] };
    vec![
        ("proof", question(Question::Proof(proof))),
        ("claims", question(Question::Claims(v1::Claims { keys: vec![vec![6; 32]] }))),
        ("renewals", question(Question::Renewals(v1::Renewals { lease_ids: vec![12, 13] }))),
        ("granted_busy", v1::LearnerAnswer { message: Some(answers) }.encode_to_vec()),
        ("results_ack", v1::LearnerAnswer { message: Some(acked) }.encode_to_vec()),
        ("describe_reply", describe.encode_to_vec()),
        ("evaluate_request", evaluate.encode_to_vec()),
        ("evaluate_reply", v1::EvaluateReply { id: 3, measured: vec![measured] }.encode_to_vec()),
    ]
}

fn status() -> v1::StatusReply {
    let row = v1::ActorRow {
        id: 2_000_000_001,
        name: "actor-a".into(),
        state: v1::ActorState::Streaming as i32,
        epoch: Some(epoch(3).into()),
        received: 50,
        accepted: 40,
        policy: Some(policy(100).into()),
        ..v1::ActorRow::default()
    };
    v1::StatusReply {
        run_id: vec![7; 16],
        run_name: "tfbind8".into(),
        incarnation: 2,
        state: v1::RunState::Running as i32,
        counters: Some(v1::Counters { generated: 40, paid: 30, updates: 104, samples: 6656 }),
        books: Some(v1::Books {
            received: 50,
            accepted: 40,
            duplicate: 9,
            rejected: [("illegal_action".to_string(), 1)].into(),
            ..v1::Books::default()
        }),
        policy: Some(policy(104).into()),
        log_z: Some(11.5),
        loss: Some(0.25),
        exact: Some(v1::ExactEvaluation { total_variation: 0.125, ..Default::default() }),
        actors: vec![row],
        goals: Some(v1::Goals { generated: Some(450_000), ..v1::Goals::default() }),
        ..v1::StatusReply::default()
    }
}
