//! What an actor says.

use tributary_common::claims::LeaseId;
use tributary_common::ids::{ActorId, RunId, Seq};
use tributary_common::plain_text::plain;
use tributary_common::reward::ObjectKey;
use tributary_common::session::refusal::Fingerprints;
use tributary_common::session::{Leftover, Resume};

use super::batch::StampedBatch;
use super::{
    Result, WireError, bounded, bytes, cut, optional_run_id, positive, required, secret, short,
    value_error,
};
use crate::{limits, v1};

/// One message of an actor.
#[derive(Clone, Debug, PartialEq)]
pub enum ActorEvent {
    /// The first.
    Hello(Hello),
    /// The second, after Welcome.
    Ready(Fingerprints),
    /// Finished trajectories.
    Batch(StampedBatch),
    /// How it is doing.
    Progress(v1::Progress),
    /// It leaves.
    Goodbye(v1::Goodbye),
}

/// An actor introduces itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The protocol versions it speaks, inclusive.
    pub protocol: (u32, u32),
    /// The run it wants; `None`: any.
    pub run: Option<RunId>,
    /// Program and version, for people.
    pub software: String,
    /// For people.
    pub name: String,
    /// For people.
    pub host: String,
    /// Its process id.
    pub process: u32,
    /// Rollout threads.
    pub threads: u32,
    /// If it had a session before.
    pub resume: Option<Resume>,
    /// Which of its program's Hellos this is, if that is told.
    pub attempt: Option<Attempt>,
    /// Evaluations that it was granted in an earlier session and still works on.
    pub claims: Vec<(ObjectKey, LeaseId)>,
}

/// The place of a Hello among those of one start of an actor's program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// A random number of the start, not 0.
    pub program: u64,
    /// Counts its Hellos, from 1.
    pub number: u64,
}

impl Attempt {
    /// Whether a later Hello of the same program has been said.
    pub fn is_overtaken_by(self, other: Attempt) -> bool {
        self.program == other.program && self.number < other.number
    }
}

impl From<ActorEvent> for v1::ActorMessage {
    fn from(event: ActorEvent) -> Self {
        use v1::actor_message::Message;
        let message = match event {
            ActorEvent::Hello(hello) => Message::Hello(hello.into()),
            ActorEvent::Ready(fingerprints) => {
                Message::Ready(v1::Ready { fingerprints: Some(fingerprints.into()) })
            }
            ActorEvent::Batch(batch) => Message::Batch(batch.into()),
            ActorEvent::Progress(progress) => Message::Progress(progress),
            ActorEvent::Goodbye(goodbye) => Message::Goodbye(goodbye),
        };
        Self { message: Some(message) }
    }
}

impl TryFrom<v1::ActorMessage> for ActorEvent {
    type Error = WireError;

    fn try_from(wire: v1::ActorMessage) -> Result<Self> {
        use v1::actor_message::Message;
        Ok(match required(wire.message, "actor_message")? {
            Message::Hello(hello) => Self::Hello(hello.try_into()?),
            Message::Ready(ready) => {
                Self::Ready(required(ready.fingerprints, "ready.fingerprints")?.try_into()?)
            }
            Message::Batch(batch) => Self::Batch(batch.try_into()?),
            Message::Progress(progress) => Self::Progress(checked_progress(progress)?),
            Message::Goodbye(goodbye) => {
                let reason = plain(&short(goodbye.reason, "goodbye.reason")?);
                Self::Goodbye(v1::Goodbye { reason, ..goodbye })
            }
        })
    }
}

fn checked_progress(progress: v1::Progress) -> Result<v1::Progress> {
    let waited = &progress.waited_seconds;
    bounded(waited.len(), limits::REPORT_ENTRIES, "progress.waited_seconds")?;
    for name in waited.keys() {
        bounded(name.len(), limits::TEXT_BYTES, "progress.waited_seconds")?;
    }
    bounded(progress.reward_failures.len(), limits::REPORT_ENTRIES, "progress.reward_failures")?;
    for name in progress.reward_failures.keys() {
        bounded(name.len(), limits::TEXT_BYTES, "progress.reward_failures")?;
    }
    bounded(progress.reward_trouble.len(), limits::TEXT_BYTES, "progress.reward_trouble")?;
    let seconds = waited.values().chain([&progress.evaluation_seconds]);
    if let Some(seconds) = seconds.into_iter().find(|s| !(s.is_finite() && **s >= 0.0)) {
        return Err(value_error("progress seconds", seconds, "finite and not negative"));
    }
    Ok(progress)
}

impl From<Hello> for v1::Hello {
    fn from(hello: Hello) -> Self {
        Self {
            protocol_min: hello.protocol.0,
            protocol_max: hello.protocol.1,
            run_id: hello.run.map(|run| run.0.to_vec()).unwrap_or_default(),
            software: cut(hello.software),
            name: cut(hello.name),
            host: cut(hello.host),
            process: hello.process,
            threads: hello.threads,
            resume: hello.resume.map(|resume| v1::Resume {
                claims: hello.claims.into_iter().map(running).collect(),
                ..resume.into()
            }),
            program: hello.attempt.map_or(0, |attempt| attempt.program),
            attempt: hello.attempt.map_or(0, |attempt| attempt.number),
        }
    }
}

impl TryFrom<v1::Hello> for Hello {
    type Error = WireError;

    fn try_from(wire: v1::Hello) -> Result<Self> {
        let min = positive(wire.protocol_min, "hello.protocol_min")?;
        if wire.protocol_max < min {
            let expected = "at least protocol_min";
            return Err(value_error("hello.protocol_max", wire.protocol_max, expected));
        }
        Ok(Self {
            protocol: (min, wire.protocol_max),
            run: optional_run_id(&wire.run_id)?,
            software: plain(&short(wire.software, "hello.software")?),
            name: plain(&short(wire.name, "hello.name")?),
            host: plain(&short(wire.host, "hello.host")?),
            process: wire.process,
            threads: wire.threads,
            claims: wire.resume.as_ref().map(claims).transpose()?.unwrap_or_default(),
            resume: wire.resume.map(TryInto::try_into).transpose()?,
            attempt: (wire.program != 0)
                .then_some(Attempt { program: wire.program, number: wire.attempt }),
        })
    }
}

fn running((key, lease): (ObjectKey, LeaseId)) -> v1::RunningClaim {
    v1::RunningClaim { key: key.0.to_vec(), lease_id: lease.0 }
}

fn claims(resume: &v1::Resume) -> Result<Vec<(ObjectKey, LeaseId)>> {
    bounded(resume.claims.len(), limits::RUNNING_CLAIMS, "resume.claims")?;
    let claim = |claim: &v1::RunningClaim| {
        let lease = positive(claim.lease_id, "running_claim.lease_id")?;
        Ok((ObjectKey(bytes(&claim.key, "running_claim.key")?), LeaseId(lease)))
    };
    resume.claims.iter().map(claim).collect()
}

impl From<Resume> for v1::Resume {
    fn from(resume: Resume) -> Self {
        let leftover = |leftover: Leftover| v1::Leftover {
            epoch: Some(leftover.epoch.into()),
            acked_below: leftover.acked_below.0,
            next_seq: leftover.next.0,
        };
        Self {
            actor_id: resume.actor.0,
            secret: resume.secret.0.to_vec(),
            acked_records: resume.acked_records,
            leftovers: resume.leftovers.into_iter().map(leftover).collect(),
            claims: Vec::new(),
        }
    }
}

impl TryFrom<v1::Resume> for Resume {
    type Error = WireError;

    fn try_from(wire: v1::Resume) -> Result<Self> {
        bounded(wire.leftovers.len(), limits::LEFTOVERS, "resume.leftovers")?;
        let leftover = |leftover: v1::Leftover| {
            let epoch = required(leftover.epoch, "leftover.epoch")?.try_into()?;
            let (acked_below, next) = (Seq(leftover.acked_below), Seq(leftover.next_seq));
            Ok(Leftover { epoch, acked_below, next })
        };
        let leftovers: Vec<Leftover> =
            wire.leftovers.into_iter().map(leftover).collect::<Result<_>>()?;
        if !leftovers.is_sorted_by(|a, b| a.epoch < b.epoch) {
            return Err(value_error(
                "resume.leftovers",
                "unsorted",
                "in ascending order of epochs",
            ));
        }
        Ok(Self {
            actor: ActorId(positive(wire.actor_id, "resume.actor_id")?),
            secret: secret(&wire.secret)?,
            acked_records: wire.acked_records,
            leftovers,
        })
    }
}
