//! What a learner says.

use std::time::Duration;

use tributary_common::ids::{ActorId, Epoch, Incarnation, RunId, Seq};
use tributary_common::session::books::RejectionReason;
use tributary_common::session::refusal::{Fingerprints, Refusal, RefusalCode};
use tributary_common::session::work::WorkOrder;
use tributary_common::session::{Acked, Credit, Identity};
use tributary_common::text::printable;

use super::{
    FromWireEnum, Result, WireError, bounded, bytes, cut, positive, required, run_id, secret,
    short, value_error,
};
use crate::{limits, v1};

super::same_words!(RefusalCode, v1::RefusalCode, "refused.code":
    Protocol, Run, Fingerprint, Identity, Full, Complete, ProtocolError);
super::same_words!(RejectionReason, v1::RejectionReason, "rejection.reason":
    IllegalAction, TooLong, Unfinished, InvalidReward, Stale, RunComplete, Quarantined);

/// One message of a learner.
#[derive(Clone, Debug, PartialEq)]
pub enum LearnerEvent {
    /// The actor is admitted.
    Welcome(Box<Welcome>),
    /// The actor is refused; it may come back after the time named, if the code allows.
    Refused(Refusal, Duration),
    /// Records are taken care of.
    Ack(Ack),
    /// More may be sent.
    Credit(Credit),
    /// Trajectories to draw in a lockstep run.
    Work(WorkOrder),
    /// Finish; after the deadline (if any) leave.
    Drain {
        /// For people.
        reason: String,
        /// Leave what is not acked by then.
        deadline: Option<Duration>,
    },
    /// A newer session exists.
    Fenced(Epoch),
}

/// Everything that an actor needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Welcome {
    /// The protocol version of this session.
    pub protocol: u32,
    /// The run.
    pub run: RunId,
    /// For people.
    pub run_name: String,
    /// The learner's.
    pub incarnation: Incarnation,
    /// Who the actor is.
    pub identity: Identity,
    /// What it need not send again.
    pub acked: Vec<Acked>,
    /// The run file, TOML with overrides applied.
    pub run_file: String,
    /// The data files that it names.
    pub assets: Vec<Asset>,
    /// The run's seed.
    pub seed: u64,
    /// The number of this epoch's random streams.
    pub stream: u64,
    /// Index of the exploration setting.
    pub exploration_setting: u32,
    /// Acks mean "on disk".
    pub durable: bool,
    /// Trajectories are drawn on work orders only.
    pub lockstep: bool,
    /// What the actor must find, too.
    pub fingerprints: Fingerprints,
    /// How often to report progress.
    pub progress_every: Duration,
}

/// A data file of the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asset {
    /// As the run file writes it: says which file this is, never where to put it.
    pub name: String,
    /// Its hash.
    pub blake3: [u8; 32],
    /// In bytes.
    pub size: u64,
}

/// Records are taken care of.
#[derive(Clone, Debug, PartialEq)]
pub struct Ack {
    /// Which.
    pub acked: Acked,
    /// Those among them that were rejected; only the first [`limits::REPORT_ENTRIES`] travel.
    pub rejections: Vec<Rejection>,
    /// `None`: unchanged.
    pub credit: Option<Credit>,
}

/// One rejected record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Its number in the epoch acked.
    pub seq: Seq,
    /// Why.
    pub reason: RejectionReason,
    /// For people.
    pub detail: String,
    /// The step at fault, if there is one.
    pub step: Option<u32>,
}

impl From<LearnerEvent> for v1::LearnerMessage {
    fn from(event: LearnerEvent) -> Self {
        use v1::learner_message::Message;
        let message = match event {
            LearnerEvent::Welcome(welcome) => Message::Welcome((*welcome).into()),
            LearnerEvent::Refused(refusal, after) => Message::Refused(refused(refusal, after)),
            LearnerEvent::Ack(ack) => Message::Ack(ack.into()),
            LearnerEvent::Credit(credit) => Message::Credit(credit.into()),
            LearnerEvent::Work(order) => Message::Work(order.into()),
            LearnerEvent::Drain { reason, deadline } => Message::Drain(v1::Drain {
                reason: cut(reason),
                deadline_milliseconds: deadline.map_or(0, milliseconds),
            }),
            LearnerEvent::Fenced(epoch) => {
                Message::Fenced(v1::Fenced { epoch: Some(epoch.into()) })
            }
        };
        Self { message: Some(message) }
    }
}

impl TryFrom<v1::LearnerMessage> for LearnerEvent {
    type Error = WireError;

    fn try_from(wire: v1::LearnerMessage) -> Result<Self> {
        use v1::learner_message::Message;
        Ok(match required(wire.message, "learner_message")? {
            Message::Welcome(welcome) => Self::Welcome(Box::new(welcome.try_into()?)),
            Message::Refused(wire) => {
                let after = Duration::from_millis(wire.retry_after_milliseconds.into());
                let refusal = Refusal {
                    code: RefusalCode::from_wire(wire.code)?,
                    field: shown(&wire.field),
                    ours: shown(&wire.ours),
                    theirs: shown(&wire.theirs),
                    advice: shown(&wire.advice),
                };
                Self::Refused(refusal, after)
            }
            Message::Ack(ack) => Self::Ack(ack.try_into()?),
            Message::Credit(credit) => Self::Credit(credit.into()),
            Message::Work(order) => Self::Work(order.try_into()?),
            Message::Drain(v1::Drain { reason, deadline_milliseconds: deadline }) => {
                let deadline = (deadline > 0).then_some(Duration::from_millis(deadline.into()));
                Self::Drain { reason: shown(&reason), deadline }
            }
            Message::Fenced(fenced) => {
                Self::Fenced(required(fenced.epoch, "fenced.epoch")?.try_into()?)
            }
        })
    }
}

/// For texts that only people read, on the other side of a network.
fn shown(text: &str) -> String {
    printable(text, limits::TEXT_BYTES)
}

fn milliseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

fn refused(refusal: Refusal, retry_after: Duration) -> v1::Refused {
    let Refusal { code, field, ours, theirs, advice } = refusal;
    v1::Refused {
        code: v1::RefusalCode::from(code) as i32,
        field: cut(field),
        ours: cut(ours),
        theirs: cut(theirs),
        advice: cut(advice),
        retry_after_milliseconds: milliseconds(retry_after),
    }
}

impl From<Welcome> for v1::Welcome {
    fn from(welcome: Welcome) -> Self {
        Self {
            protocol: welcome.protocol,
            run_id: welcome.run.0.to_vec(),
            run_name: cut(welcome.run_name),
            incarnation: welcome.incarnation.0,
            actor_id: welcome.identity.actor.0,
            secret: welcome.identity.secret.0.to_vec(),
            epoch: Some(welcome.identity.epoch.into()),
            acked: welcome.acked.into_iter().map(Into::into).collect(),
            run_file: welcome.run_file,
            assets: welcome.assets.into_iter().map(Into::into).collect(),
            seed: welcome.seed,
            stream: welcome.stream,
            exploration_setting: welcome.exploration_setting,
            durable: welcome.durable,
            lockstep: welcome.lockstep,
            fingerprints: Some(welcome.fingerprints.into()),
            progress_milliseconds: milliseconds(welcome.progress_every),
        }
    }
}

impl TryFrom<v1::Welcome> for Welcome {
    type Error = WireError;

    fn try_from(wire: v1::Welcome) -> Result<Self> {
        bounded(wire.run_file.len(), limits::RUN_FILE_BYTES, "welcome.run_file")?;
        bounded(wire.assets.len(), limits::ASSETS, "welcome.assets")?;
        bounded(wire.acked.len(), limits::LEFTOVERS, "welcome.acked")?;
        let progress = positive(wire.progress_milliseconds, "welcome.progress_milliseconds")?;
        Ok(Self {
            protocol: positive(wire.protocol, "welcome.protocol")?,
            run: run_id(&wire.run_id)?,
            run_name: short(wire.run_name, "welcome.run_name")?,
            incarnation: Incarnation(positive(wire.incarnation, "welcome.incarnation")?),
            identity: Identity {
                actor: ActorId(positive(wire.actor_id, "welcome.actor_id")?),
                secret: secret(&wire.secret)?,
                epoch: required(wire.epoch, "welcome.epoch")?.try_into()?,
            },
            acked: wire.acked.into_iter().map(TryInto::try_into).collect::<Result<_>>()?,
            run_file: wire.run_file,
            assets: wire.assets.into_iter().map(TryInto::try_into).collect::<Result<_>>()?,
            seed: wire.seed,
            stream: wire.stream,
            exploration_setting: wire.exploration_setting,
            durable: wire.durable,
            lockstep: wire.lockstep,
            fingerprints: required(wire.fingerprints, "welcome.fingerprints")?.try_into()?,
            progress_every: Duration::from_millis(progress.into()),
        })
    }
}

impl From<WorkOrder> for v1::WorkOrder {
    fn from(order: WorkOrder) -> Self {
        let WorkOrder { round, first_index, count, policy } = order;
        Self { round, first_index, count, policy: Some(policy.into()) }
    }
}

impl TryFrom<v1::WorkOrder> for WorkOrder {
    type Error = WireError;

    fn try_from(wire: v1::WorkOrder) -> Result<Self> {
        let v1::WorkOrder { round, first_index, count, policy } = wire;
        if first_index.checked_add(u64::from(count)).is_none() {
            let expected = "a number with room above it";
            return Err(value_error("work.first_index", first_index, expected));
        }
        Ok(Self {
            round: positive(round, "work.round")?,
            first_index,
            count: positive(count, "work.count")?,
            policy: required(policy, "work.policy")?.try_into()?,
        })
    }
}

impl From<Asset> for v1::Asset {
    fn from(asset: Asset) -> Self {
        Self { name: asset.name, blake3: asset.blake3.to_vec(), size: asset.size }
    }
}

impl TryFrom<v1::Asset> for Asset {
    type Error = WireError;

    fn try_from(wire: v1::Asset) -> Result<Self> {
        let v1::Asset { name, blake3, size } = wire;
        let name = short(name, "asset.name")?;
        positive(name.len(), "asset.name")?;
        if size > limits::ASSET_BYTES {
            let most = limits::ASSET_BYTES;
            return Err(WireError::TooMany { field: "asset.size", most, found: size });
        }
        Ok(Self { name, blake3: bytes(&blake3, "asset.blake3")?, size })
    }
}

impl From<Ack> for v1::Ack {
    fn from(ack: Ack) -> Self {
        let rejection = |rejection: Rejection| v1::Rejection {
            seq: rejection.seq.0,
            reason: v1::RejectionReason::from(rejection.reason) as i32,
            detail: cut(rejection.detail),
            step: rejection.step,
        };
        let named = ack.rejections.into_iter().take(limits::REPORT_ENTRIES);
        Self {
            acked: Some(ack.acked.into()),
            rejections: named.map(rejection).collect(),
            credit: ack.credit.map(Into::into),
        }
    }
}

impl TryFrom<v1::Ack> for Ack {
    type Error = WireError;

    fn try_from(wire: v1::Ack) -> Result<Self> {
        let rejection = |wire: v1::Rejection| {
            let reason = RejectionReason::from_wire(wire.reason)?;
            let detail = shown(&wire.detail);
            Ok(Rejection { seq: Seq(wire.seq), reason, detail, step: wire.step })
        };
        bounded(wire.rejections.len(), limits::REPORT_ENTRIES, "ack.rejections")?;
        Ok(Self {
            acked: required(wire.acked, "ack.acked")?.try_into()?,
            rejections: wire.rejections.into_iter().map(rejection).collect::<Result<_>>()?,
            credit: wire.credit.map(Into::into),
        })
    }
}
